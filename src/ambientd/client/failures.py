"""What can go wrong with a task, or a study, that the mesh has accepted."""

from ambientd.api import replies
from ambientd.api.learning_values import StudyInfo
from ambientd.errors import AmbientError
from ambientd.model.bundle import ItemOutcome
from ambientd.model.execution import OutcomeKind


class TaskFailedError(AmbientError):
    """The task has ended, and not with an output: its own outcome, or it was never executed."""

    def __init__(self, task: replies.Task) -> None:
        outcome = task.outcome or task.state
        because = f": {task.reason}" if task.reason else ""
        super().__init__(f"task {task.task_id[:12]} ended as {outcome}{because}")
        self.task = task


class TaskUnfinishedError(AmbientError):
    """The task goes on; it was waited for as long as was asked."""

    def __init__(self, task: replies.Task, timeout_s: float) -> None:
        super().__init__(
            f"task {task.task_id[:12]} is {task.state} after {timeout_s:g} s and goes on; "
            "wait longer, ask why(), or cancel() it"
        )
        self.task = task


class StudyUnfinishedError(AmbientError):
    """The study goes on; it was waited for as long as was asked."""

    def __init__(self, study: StudyInfo, timeout_s: float) -> None:
        super().__init__(
            f"study {study.study[:12]} is {study.state} after {timeout_s:g} s and goes on; "
            "wait longer, or stop() it"
        )
        self.study = study


class NoOutcomesError(TaskFailedError):
    """One worker alone has answered a bundle, with bytes that hold no outcomes of its items."""

    def __init__(self, task: replies.Task, because: str) -> None:
        super().__init__(task)
        told = "ask for assurance replicated"
        self.args = (f"task {task.task_id[:12]} has no outcomes: {because}; {told}",)


class ItemFailedError(TaskFailedError):
    """One item of a bundle has no output; the others may have theirs. The first `item` is 0."""

    def __init__(self, task: replies.Task, item: int, outcome: ItemOutcome) -> None:
        super().__init__(task)
        ending = OutcomeKind(outcome.kind).name.lower()
        because = f": {outcome.reason}" if outcome.reason else ""
        self.args = (f"item {item} of task {task.task_id[:12]} ended as {ending}{because}",)
        self.item = item
        self.outcome = outcome
