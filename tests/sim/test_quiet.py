"""The log looks at what is due only when that may have changed: nothing comes of it elsewhere."""

import pytest

from ambientd.consensus.core import Consensus
from sim.plans import Plan, play

PLANS = [
    Plan("log", 3, 4, 40_000),
    Plan("log", 2, 1, 40_000),
    Plan("node-seats", 1, 4, 30_000),
    Plan("node-states", 1, 4, 30_000),
]


def worked_out(core: Consensus) -> int | None:
    """Give the next deadline without a look at what was known of it."""
    due_at = core._due_at()
    return None if due_at is None else max(due_at, core._now + 1)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.scenario}-{plan.nodes}")
def test_a_log_that_always_looks_does_the_same(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    ask = Consensus._is_quiet

    def counted(core: Consensus, now: int) -> bool:
        looks.append(ask(core, now))
        return looks[-1]

    monkeypatch.setattr(Consensus, "_is_quiet", counted)
    sparing = play(plan).trace_hash
    assert any(looks)
    monkeypatch.setattr(Consensus, "_is_quiet", lambda _core, _now: False)
    monkeypatch.setattr(Consensus, "next_deadline", property(worked_out))
    assert play(plan).trace_hash == sparing
