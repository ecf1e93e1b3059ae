"""What rounds of federated learning want done on this device, and the places that it is for."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import (
    Circle,
    Contributed,
    Lesson,
    LessonInput,
    Plan,
    Shown,
    StudyId,
)


class Step(Enum):
    """What is done for a round."""

    TRAIN = "train"
    GATHER = "gather"
    AGGREGATE = "aggregate"
    SCORE = "score"
    KEYS = "keys"
    DEAL = "deal"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Place:
    """What this node owes a round."""

    study: StudyId
    round: int
    step: Step


@dataclass(frozen=True, slots=True)
class Model:
    """A model as a blob, and who is likely to have it."""

    digest: Digest
    size_bytes: int
    holders: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """What a node said when it joined that it trains on: a blob's hash, and so many samples."""

    node: NodeId
    data: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RoundWish:
    """What a round wants done here, and the place that it is for."""

    place: Place


@dataclass(frozen=True, slots=True)
class TrainWanted(RoundWish):
    """Train the model on this node's own data, keep the update as a blob, report a Trained.

    Where others may repeat it, it is on what was `committed` to, which is kept as a blob, too.
    """

    plan: Plan
    model: Model
    samples_max: int
    lesson: Lesson | None = None
    committed: Committed | None = None


@dataclass(frozen=True, slots=True)
class ScoreWanted(RoundWish):
    """Say how good a model is on this node's own held-out data; report a ScoreMade."""

    plan: Plan
    model: Model
    samples_max: int


@dataclass(frozen=True, slots=True)
class GatherWanted(RoundWish):
    """Bring updates here, and report as Gathered whose came in `wait_ms`.

    Of whom is audited, `audited` or `examined` holds what the training was given: it has to come
    here, too. In private mode so has what was dealt in each of `circles`.
    """

    contributed: tuple[Contributed, ...]
    size_bytes: int
    wait_ms: int
    audited: tuple[tuple[NodeId, LessonInput], ...] = ()
    circles: tuple[Circle, ...] = ()
    examined: tuple[Committed, ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateWanted(RoundWish):
    """Make the next model of the present one and of updates; report an Aggregated.

    Of those `examined` the training is repeated, for `audit_ms` at most, and who is too far off
    is named: what could not be repeated in time is nobody's fault. Nor is what could not be
    fetched, but of those whose updates do not count because somebody else missed it before:
    the `unshown` are named if rows or update do not come here either.
    """

    plan: Plan
    model: Model
    contributed: tuple[Contributed, ...]
    size_bytes: int
    wait_ms: int
    examined: tuple[Committed, ...] = ()
    audit_ms: int = 0
    unshown: tuple[Contributed, ...] = ()


@dataclass(frozen=True, slots=True)
class KeysWanted(RoundWish):
    """Keep a secret for a round of private mode, and report its keys as KeysMade."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class DealWanted(RoundWish):
    """Seal shares of the round's secrets for each of the circle; report a SharesDealt."""

    circle: Circle


@dataclass(frozen=True, slots=True)
class ConcealWanted(RoundWish):
    """Train, clip, add noise, mask; write down what that spends, then report a Trained."""

    plan: Plan
    model: Model
    circle: Circle


@dataclass(frozen=True, slots=True)
class OpenWanted(RoundWish):
    """Write down whose shares are opened, open them, and report a SharesOpened."""

    circle: Circle
    survivors: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class SumWanted(RoundWish):
    """Take the masks off the sums of circles, make the next model of them; report Aggregated."""

    plan: Plan
    model: Model
    circles: tuple[Circle, ...]
    contributed: tuple[Contributed, ...]
    opened: tuple[Shown, ...]
    wait_ms: int


@dataclass(frozen=True, slots=True)
class BringUpdate:
    """Bring an update here that was said while others train; nothing waits for it yet."""

    node: NodeId
    update: Digest
    size_bytes: int


OpenEffect: TypeAlias = TrainWanted | ScoreWanted | GatherWanted | AggregateWanted
PrivateEffect: TypeAlias = KeysWanted | DealWanted | ConcealWanted | OpenWanted | SumWanted
LearningEffect: TypeAlias = OpenEffect | PrivateEffect
