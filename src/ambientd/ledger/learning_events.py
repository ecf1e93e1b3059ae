"""What the ledger tells of studies and their rounds."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import NodeId
from ambientd.model.learning import RoundReceipt, RoundState, StudyId, StudyState


@dataclass(frozen=True, slots=True)
class StudyBegan:
    """Nodes are invited to a study."""

    study: StudyId
    author: NodeId


@dataclass(frozen=True, slots=True)
class StudyJoined:
    """A node's owner has let it take part, or takes it out."""

    study: StudyId
    node: NodeId
    is_in: bool


@dataclass(frozen=True, slots=True)
class RoundMoved:
    """A round waits for something else now; it begins with KEYS or TRAINING."""

    study: StudyId
    round: int
    state: RoundState


@dataclass(frozen=True, slots=True)
class RoundHeard:
    """A node has said what its round waits for."""

    study: StudyId
    round: int
    state: RoundState
    node: NodeId


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round came to a model, or failed; its receipt is a leaf of the receipt log."""

    receipt: RoundReceipt
    leaf: int
    reason: str


@dataclass(frozen=True, slots=True)
class StudyEnded:
    """A study is over."""

    study: StudyId
    state: StudyState
    reason: str


LearningEvent: TypeAlias = (
    StudyBegan | StudyJoined | RoundMoved | RoundHeard | RoundEnded | StudyEnded
)
