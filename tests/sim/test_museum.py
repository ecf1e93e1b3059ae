"""Worlds that were broken once stay whole."""

import pytest

from sim.museum import EXHIBITS, Exhibit
from sim.plans import attempt


@pytest.mark.slow
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: str(exhibit.plan.seed))
def test_a_world_that_was_broken_once_stays_whole(exhibit: Exhibit) -> None:
    assert attempt(exhibit.plan) is None
