"""What the runtime tells a node of what was done for rounds of federated learning."""

from typing import TypeAlias

import msgspec

from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import ExecutionReport
from ambientd.model.learning import Score
from ambientd.model.learning_effect import Place


class Trained(msgspec.Struct, frozen=True):
    """An update was made, and is kept here as a blob."""

    place: Place
    update: Digest
    samples: int
    report: ExecutionReport | None = None


class ScoreMade(msgspec.Struct, frozen=True):
    """A model was tried on this node's own held-out data."""

    place: Place
    score: Score


class Gathered(msgspec.Struct, frozen=True):
    """These nodes' updates are here."""

    place: Place
    held: tuple[NodeId, ...]


class Aggregated(msgspec.Struct, frozen=True):
    """The next model was made, and is kept here as a blob."""

    place: Place
    after: Digest
    left_out: tuple[NodeId, ...]


class LearningFailed(msgspec.Struct, frozen=True):
    """It could not be done here now; `declined` when it would not be later either."""

    place: Place
    reason: str
    declined: bool = False


LearningDone: TypeAlias = Trained | ScoreMade | Gathered | Aggregated | LearningFailed
