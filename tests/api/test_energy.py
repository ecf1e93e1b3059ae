"""Energy figures as `task show` tells them, held against those of the ledger's other receipts."""

from ambientd.api.energy import DOUBTS, energy_infos
from ambientd.rules.energy import RESIDUAL_FACTOR, SAMPLES_MIN, EnergyDoubt
from tests.ledger.cluster import TestCluster

SECOND_MS = 1_000
ORDINARY_MJ = 20_000


def doubts_of_the_next(cluster: TestCluster, energy_mj: int) -> set[str]:
    """What is said of a task whose workers both name this energy."""
    cluster.energy_mj = energy_mj
    task = cluster.admit(nonce=b"next")
    cluster.work(task)
    return {info.doubt for info in energy_infos(cluster.state, task, cluster.task(task))}


def after(tasks: int) -> TestCluster:
    """A cluster of two nodes' worth of work behind it, a second of 20 W each time."""
    cluster = TestCluster(working_ms=SECOND_MS, energy_mj=ORDINARY_MJ)
    for number in range(tasks):
        cluster.work(cluster.admit(nonce=b"%d" % number))
    return cluster


def test_an_ordinary_figure_is_shown_without_a_word() -> None:
    assert doubts_of_the_next(after(0), ORDINARY_MJ) == {""}


def test_a_figure_above_what_the_device_can_draw_is_shown_as_implausible() -> None:
    assert doubts_of_the_next(after(0), 10**9) == {DOUBTS[EnergyDoubt.ABOVE_POWER]}


def test_a_figure_is_held_against_the_same_nodes_earlier_receipts() -> None:
    # Four nodes share the work by halves, so each has the samples that the rule asks for.
    cluster = after(4 * SAMPLES_MIN)
    far = ORDINARY_MJ * (RESIDUAL_FACTOR + 1)
    assert doubts_of_the_next(cluster, far) == {DOUBTS[EnergyDoubt.OUT_OF_LINE]}


def test_without_earlier_receipts_the_same_figure_is_believed() -> None:
    assert doubts_of_the_next(after(0), ORDINARY_MJ * (RESIDUAL_FACTOR + 1)) == {""}
