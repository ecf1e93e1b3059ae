"""A history that no single order explains is seen."""

from typing import Any

import pytest

from ambientd.model.base import TaskId
from ambientd.model.task import TaskState
from sim.checkers import InvariantViolation
from sim.histories import History, Shown
from tests.node.cluster import Cluster


def breaks(text: str) -> Any:
    return pytest.raises(InvariantViolation, match=text)


def played() -> tuple[Cluster, History, TaskId]:
    """Play a world with one task; its submitting is noted."""
    cluster, history = Cluster(), History()
    cluster.world.observers.append(history)
    now = cluster.world.now
    task = cluster.submit()
    entry_host = cluster.hosts[0]
    history.submitted(task, entry_host.key, now)
    cluster.until_closed(task)
    return cluster, history, task


def test_what_was_shown_is_what_the_log_says() -> None:
    cluster, history, task = played()
    for host in cluster.hosts:
        history.show(host, task)
    history.check()
    assert {shown.state for shown in history.shown} == {TaskState.FINAL}


def test_a_wrong_and_a_stale_answer_are_seen() -> None:
    cluster, history, task = played()
    history.show(cluster.hosts[0], task)
    [good] = history.shown
    history.shown.append(Shown(good.node, task, good.index, None))
    with breaks("instead of"):
        history.check()
    history.shown[1:] = [Shown(good.node, task, good.index - 1, good.state)]
    with breaks("after"):
        history.check()


def test_a_task_that_nobody_submitted_is_seen() -> None:
    _, history, task = played()
    history.submitted(task, b"another", 0)
    with breaks("without being submitted"):
        history.check()
