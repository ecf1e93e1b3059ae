"""What is told of a record that changed nothing; whoever proposed it knows it again by that."""

from ambientd.codec.statements import task_id
from ambientd.ledger.events import RecordRejected
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import (
    Admit,
    Body,
    Cancel,
    DisputeSegment,
    DisputeStep,
    DisputeTrace,
    Marked,
    ProofFound,
    Settle,
    StepFound,
    StepPromise,
    StepProof,
)


def rejection_of(author: NodeId, body: Body, reason: str) -> RecordRejected:
    """Give what is told of a record that is rejected."""
    kind = type(body).__name__.lower()
    return RecordRejected(author, kind, reason, _task_of(author, body), body)


def is_rejection_of(event: object, author: NodeId, body: Body) -> bool:
    """Tell whether an event says that a record was rejected, for whatever reason."""
    if not isinstance(event, RecordRejected):
        return False
    return (event.author, event.body) == (author, body)


def _task_of(author: NodeId, body: Body) -> TaskId | None:
    """Give the task a record is about, when it is about one."""
    match body:
        case Cancel(task=task) | Settle(task=task):
            return task
        case DisputeStep(verdict=verdict):
            return verdict.task
        case DisputeSegment(verdict=found):
            return found.task
        case DisputeTrace(trace=trace):
            return trace.task
        case StepPromise(task=task) | StepProof(task=task):
            return task
        case Marked(mark=mark):
            return mark.task
        case ProofFound(word=word) | StepFound(word=word):
            return word.task
        case Admit(nonce=nonce, spec=spec):
            return task_id(author, nonce, spec)
        case _:
            return None
