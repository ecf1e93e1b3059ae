"""How tests wait for daemons: what is slow to ask is asked seldom, and what has come is found."""

import time
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.mesh.cluster import Cluster


@pytest.fixture
def alone(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))


def test_what_comes_while_a_slow_question_is_slept_over_is_found_at_the_deadline(
    alone: Cluster,
) -> None:
    begun = time.monotonic()

    def has_come() -> bool:
        is_there = time.monotonic() > begun + 0.3
        time.sleep(0.25)
        return is_there

    # Slept over as long again as it took, twice, the second question would come after the deadline.
    assert alone.until(has_come, "it comes", 0.6)


def test_what_never_comes_ends_at_the_deadline_and_is_asked_a_third_of_the_time_at_most(
    alone: Cluster,
) -> None:
    asked: list[float] = []

    def never() -> bool:
        asked.append(time.monotonic())
        time.sleep(0.1)
        return False

    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"not within 0.9 s: it comes"):
        alone.until(never, "it comes", 0.9)
    assert time.monotonic() - begun >= 0.9
    assert 1 < len(asked) <= 4
