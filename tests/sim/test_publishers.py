"""Owners publish in worlds of whole nodes; a name that means something else is seen."""

import pytest

from ambientd.ledger.events import ModulePublished, ModuleYanked
from sim.cluster import ClusterOptions, run
from sim.faults import Fault
from sim.hunt import hunt
from sim.publishers import NamesLast
from tests.sim.test_money import Heard


@pytest.mark.slow
def test_owners_publish_and_yank_and_nothing_that_was_published_changes() -> None:
    heard, names = Heard(), NamesLast()
    run(ClusterOptions(1, faults=frozenset({Fault.MODULES}), time_ms=40_000), [heard, names])
    assert {ModulePublished, ModuleYanked} <= heard.kinds
    assert names.published > 5


@pytest.mark.slow
def test_a_version_that_is_replaced_is_seen() -> None:
    found = hunt("replaces-versions", 5)
    assert found.finding is not None
    assert found.finding.invariant == "names of modules last"
