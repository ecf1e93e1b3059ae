"""What the runtime tells a node of what was done for rounds of federated learning."""

from typing import TypeAlias

import msgspec

from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import ExecutionReport
from ambientd.model.learning import Announced, Score
from ambientd.model.learning_effect import Place


class LearningReport(msgspec.Struct, frozen=True):
    """What was done here for a round, or could not be."""

    place: Place


class Trained(LearningReport, frozen=True):
    """An update was made, and is kept here as a blob."""

    update: Digest
    samples: int
    report: ExecutionReport | None = None


class ScoreMade(LearningReport, frozen=True):
    """A model was tried on this node's own held-out data."""

    score: Score


class Gathered(LearningReport, frozen=True):
    """These nodes' updates are here."""

    held: tuple[NodeId, ...]


class Aggregated(LearningReport, frozen=True):
    """The next model was made, and is kept here as a blob."""

    after: Digest
    left_out: tuple[NodeId, ...]
    faulty: tuple[NodeId, ...] = ()


class KeysMade(LearningReport, frozen=True):
    """This node's secret of a round is kept; these are its keys."""

    keys: Announced


class SharesDealt(LearningReport, frozen=True):
    """Sealed shares for the circle are kept here as a blob."""

    digest: Digest
    size_bytes: int


class SharesOpened(LearningReport, frozen=True):
    """Opened shares are kept here as a blob; whom they are for was written down before."""

    digest: Digest
    size_bytes: int


class GaveUp(LearningReport, frozen=True):
    """This node is to leave a study: its budget is spent, or went to rounds without a model."""

    reason: str


class LearningFailed(LearningReport, frozen=True):
    """It could not be done here now; `declined` when it would not be later either."""

    reason: str
    declined: bool = False


LearningDone: TypeAlias = (
    Trained
    | ScoreMade
    | Gathered
    | Aggregated
    | KeysMade
    | SharesDealt
    | SharesOpened
    | GaveUp
    | LearningFailed
)
