"""Records of federated learning: who wants a study, who takes part, what each says of a round."""

from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, Value
from ambientd.model.learning import NO_DATA, AnyPlan, Score, StudyId, Terms, keep_length
from ambientd.model.receipt import SignedReceipt


class FlStudy(Value, frozen=True, tag=32):
    """The author wants a study; `initial` is the model that it begins with, as a blob.

    Only until `until_ms`: ended studies are forgotten, and no old record shall bring them back.
    """

    nonce: bytes
    name: str
    plan: AnyPlan
    terms: Terms
    initial: Digest
    model_size_bytes: int
    until_ms: int

    def __post_init__(self) -> None:
        """Keep the plan's length."""
        keep_length(self, self.plan)


class FlStop(Value, frozen=True, tag=33):
    """The author of a study ends it."""

    study: StudyId


class FlJoin(Value, frozen=True, tag=34):
    """The author's owner lets it take part in a study; `said_ms` orders what it says of it.

    Where training is proven, `data` is the hash of what it trains on, and `samples` how many.
    """

    study: StudyId
    said_ms: int
    data: Digest = NO_DATA
    samples: int = 0


class FlLeave(Value, frozen=True, tag=35):
    """The author takes part in a study no more."""

    study: StudyId
    said_ms: int


class FlKeys(Value, frozen=True, tag=36):
    """The author's keys for one round, and what binds it to its own mask."""

    study: StudyId
    round: int
    mask_key: bytes
    seal_key: bytes
    self_commitment: bytes


class FlShares(Value, frozen=True, tag=37):
    """The author has shared its secrets with its group: each share sealed, all in one blob."""

    study: StudyId
    round: int
    digest: Digest
    size_bytes: int


class FlUpdate(Value, frozen=True, tag=38):
    """The author's update, as a blob: plain in open mode, masked in private mode.

    Where training is proven the update is the lesson's output, and `receipt` is of the lesson.
    """

    study: StudyId
    round: int
    update: Digest
    samples: int
    receipt: SignedReceipt | None = None


class FlSurvivors(Value, frozen=True, tag=39):
    """An aggregator's word on whose updates it has; the first such word is final."""

    study: StudyId
    round: int
    survivors: tuple[NodeId, ...]


class FlUnmask(Value, frozen=True, tag=40):
    """The author's shares of the survivors' own masks and the others' keys, as a blob."""

    study: StudyId
    round: int
    digest: Digest
    size_bytes: int


class FlResult(Value, frozen=True, tag=41):
    """An aggregator's word on the model that a round came to.

    `faulty` are those whose shares are shown to be false by what they signed, or, where updates
    are audited within a tolerance, those whose update is further off than that.
    """

    study: StudyId
    round: int
    after: Digest
    left_out: tuple[NodeId, ...]
    faulty: tuple[NodeId, ...] = ()


class FlScore(Value, frozen=True, tag=42):
    """A participant's word on how good the round's model is on its own held-out data."""

    study: StudyId
    round: int
    score: Score


StudyBody: TypeAlias = FlStudy | FlStop | FlJoin | FlLeave
RoundWord: TypeAlias = FlKeys | FlShares | FlUpdate | FlUnmask | FlResult | FlScore
RoundBody: TypeAlias = RoundWord | FlSurvivors
LearningBody: TypeAlias = StudyBody | RoundBody
