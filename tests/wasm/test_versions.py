"""The words of a dispute name the rewriter's version alone, so the others change only with it."""

from ambientd.wasm.pausing import PAUSER_VERSION
from ambientd.wasm.prepare import REWRITER_VERSION
from ambientd.wasm.state import STATE_VERSION

FORMS = {3: (2, 1)}
"""The pauser's and the state's version beside each of the rewriter; lines are only added."""


def test_pauser_and_state_change_only_together_with_the_rewriter() -> None:
    assert FORMS[REWRITER_VERSION] == (PAUSER_VERSION, STATE_VERSION)
    assert max(FORMS) == REWRITER_VERSION
