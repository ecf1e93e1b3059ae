"""What rounds of federated learning want done on this device, and the places that it is for."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, Lesson, LessonInput, Plan, StudyId


class Step(Enum):
    """What is done for a round."""

    TRAIN = "train"
    GATHER = "gather"
    AGGREGATE = "aggregate"
    SCORE = "score"


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
class TrainWanted:
    """Train the model on this node's own data, keep the update as a blob, report a Trained."""

    place: Place
    plan: Plan
    model: Model
    samples_max: int
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True)
class ScoreWanted:
    """Say how good a model is on this node's own held-out data; report a ScoreMade."""

    place: Place
    plan: Plan
    model: Model
    samples_max: int


@dataclass(frozen=True, slots=True)
class GatherWanted:
    """Bring updates here, and report as Gathered whose came in `wait_ms`.

    Of whom is audited, `audited` holds what the training was given: it has to come here, too.
    """

    place: Place
    contributed: tuple[Contributed, ...]
    size_bytes: int
    wait_ms: int
    audited: tuple[tuple[NodeId, LessonInput], ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateWanted:
    """Make the next model of the present one and of updates; report an Aggregated."""

    place: Place
    plan: Plan
    model: Model
    contributed: tuple[Contributed, ...]
    size_bytes: int
    wait_ms: int


LearningEffect: TypeAlias = TrainWanted | ScoreWanted | GatherWanted | AggregateWanted
