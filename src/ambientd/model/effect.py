"""What roles want done; the node signs, routes or hands each on to the runtime."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.message import JobMessage
from ambientd.model.record import Body
from ambientd.model.task import Result, TaskSpec


class Purpose(Enum):
    """Why a task is executed here."""

    SLOT = "slot"
    REFEREE = "referee"


@dataclass(frozen=True, slots=True)
class Propose:
    """Sign a body and bring it into the log."""

    body: Body


@dataclass(frozen=True, slots=True)
class SendJob:
    """Send a job message to one peer."""

    to: NodeId
    message: JobMessage


@dataclass(frozen=True, slots=True)
class BroadcastJob:
    """Send a job message to every other committee member."""

    message: JobMessage


@dataclass(frozen=True, slots=True)
class Assignment:
    """One execution that this node owes: as a slot's worker or as a referee (slot 0)."""

    purpose: Purpose
    task: TaskId
    slot: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Get module and input from their holders, execute, and report an ExecutionEnded."""

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """What the host tells of an execution that came to an outcome; energy in millijoules."""

    result: Result
    engine: str
    engine_version: str
    started_ms: int
    finished_ms: int
    energy_mj: int | None
    energy_source: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop an execution whose answer is no longer wanted."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class FetchBlob:
    """Bring a blob here while its holders are up."""

    digest: Digest
    size_bytes: int
    holders: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class AnchorRoot:
    """Put a checkpoint's root into a Bitcoin transaction and report an AnchorProven."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class HearAnchor:
    """Another member has sent this transaction to anchor a root: no second one is needed."""

    root: Digest
    raw_tx: bytes


@dataclass(frozen=True, slots=True)
class LeaveAnchors:
    """The log has an anchor of this batch: sign nothing new for it or an earlier one."""

    size: int


RoleEffect: TypeAlias = (
    Propose
    | SendJob
    | BroadcastJob
    | Execute
    | Abandon
    | FetchBlob
    | AnchorRoot
    | HearAnchor
    | LeaveAnchors
)
