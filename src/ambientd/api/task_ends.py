"""Whether an execution that was done again came to the end that the ledger has."""

from msgspec.structs import replace

from ambientd.api.replies import Task
from ambientd.codec.digest import sha256
from ambientd.model.bundle import ItemOutcome
from ambientd.model.execution import OutcomeKind

ABORTED = "aborted"


def agrees(task: Task, outcome: str, gas: int | None, output_sha256: str | None) -> bool | None:
    """Tell whether the ledger has the same end; None while it has none, or there is none here."""
    if outcome == ABORTED or task.state != "final":
        return None
    if task.outcome == "none" or task.verdict == "inconclusive":
        return None
    return (outcome, gas, output_sha256) == (task.outcome, task.gas, task.output_sha256)


def as_item(task: Task, found: ItemOutcome | None) -> Task:
    """Give a bundle as if it were the task of one of its items, to compare that with.

    What a lone worker made up holds no such item: with that no execution agrees.
    """
    if found is None:
        return replace(task, gas=None, output_sha256=None)
    is_completed = found.kind == OutcomeKind.COMPLETED
    return replace(
        task,
        outcome=OutcomeKind(found.kind).name.lower(),
        gas=found.gas,
        output_sha256=sha256(found.output).hex() if is_completed else None,
    )
