"""What TLC says of the model is read as it says it."""

from scripts.model import figures

ENDED = """Progress(12): 90,112 states generated, 9,001 distinct states found, 17 left on queue.
120,001 states generated, 16,662 distinct states found, 0 states left on queue.
The depth of the complete state graph search is 23.
"""


def test_a_run_that_ended_is_told_with_its_states_and_its_depth() -> None:
    assert figures(ENDED) == "16662 states, depth 23"


def test_a_run_that_broke_off_has_no_depth() -> None:
    assert figures(ENDED.splitlines()[0]) == "9001 states"
    assert figures("java: not found") == "? states"
