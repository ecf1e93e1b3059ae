"""How far a task is, in steps that everybody can see in the log.

Each replica is given to a worker, which seals its answer and then shows it; the verdict is the last
step. A replica that is given to another worker takes its steps again.
"""

from ambientd.api.replies import Task
from ambientd.cli.parts import Steps

_STEPS_OF_A_REPLICA = 3
_STEPS = {"waiting": 0, "assigned": 1, "committed": 2, "revealed": 3, "withheld": 3}


def steps_of(task: Task) -> Steps:
    """Give how many of a task's steps are done, of how many."""
    total = _STEPS_OF_A_REPLICA * max(task.replicas, len(task.slots)) + 1
    if task.state == "final":
        return Steps(task.state, total, total)
    done = sum(_STEPS.get(slot.state, 0) for slot in task.slots)
    return Steps(task.state, min(done, total - 1), total)
