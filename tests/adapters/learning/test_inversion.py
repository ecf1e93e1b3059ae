import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "examples" / "gradient-inversion" / "invert.py"


def test_an_update_in_the_open_is_the_picture_and_a_sum_with_noise_is_not() -> None:
    found, drawings = runpy.run_path(str(SCRIPT))["figures"]()
    in_the_open, masked, summed, noised, _ = found.values()
    assert in_the_open > 0.99
    assert drawings[0] == drawings[1] != drawings[2]
    assert masked < 0.2, "what a private study hands out is noise to whoever takes it"
    # A sum tells hardly more than what everybody knows of digits, and with noise next to nothing.
    assert summed < 0.75
    assert noised < 0.2
