import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "examples" / "gradient-inversion" / "invert.py"


def test_an_update_in_the_open_is_the_picture_and_a_sum_with_noise_is_not() -> None:
    found, drawings = runpy.run_path(str(SCRIPT))["figures"]()
    likeness = list(found.values())
    assert likeness[0] > 0.99
    assert drawings[0] == drawings[1] != drawings[3]
    # A sum tells hardly more than what everybody knows of digits, and with noise next to nothing.
    assert likeness[1] < 0.75
    assert likeness[2] < 0.2
