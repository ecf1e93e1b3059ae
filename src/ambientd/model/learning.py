"""Federated learning: what a study is, and what its rounds leave behind (protocols/16)."""

from enum import IntEnum
from typing import TYPE_CHECKING, NewType, TypeAlias

from msgspec.structs import asdict, force_setattr

from ambientd.model.base import Digest, NodeId, TaskId, Value
from ambientd.model.genesis import Genesis
from ambientd.model.receipt import AnchorProof, CheckpointNote
from ambientd.model.task import TaskSpec

StudyId = NewType("StudyId", bytes)

PARTICIPANTS_MAX = 256
"""Nodes that ever take part in one study."""

MODEL_BYTES_MAX = 64 * 1024 * 1024
"""A model is one blob: as many parameters as fit, four bytes each."""

NO_MODULE = Digest(bytes(32))
NO_DATA = Digest(bytes(32))


class StudyState(IntEnum):
    """How far a study is."""

    INVITING = 0
    RUNNING = 1
    DONE = 2
    STOPPED = 3
    FAILED = 4


class RoundState(IntEnum):
    """What a round waits for; KEYS, SHARES and UNMASKING in private mode alone."""

    KEYS = 0
    SHARES = 1
    TRAINING = 2
    SURVIVORS = 3
    UNMASKING = 4
    AGGREGATING = 5
    EVALUATING = 6
    DONE = 7
    FAILED = 8


class Plan(Value, frozen=True):
    """What a study does: numbers are integers, a model's parameters fixed-point Q16.

    `clip_micro` is the norm that an update is clipped to, 0 for none; `noise_milli` the noise
    multiplier. `group_size` and `threshold` are of secure aggregation; a threshold of 0 is two
    thirds of the group and one more. `poisoned_permille` is the share of liars that the
    aggregation is to stand.
    """

    model: str
    trainer: str
    aggregation: str
    seed: bytes
    module: Digest = NO_MODULE
    passes: int = 1
    batch: int = 32
    rate_micro: int = 100_000
    prox_micro: int = 0
    poisoned_permille: int = 0
    clip_micro: int = 0
    noise_milli: int = 0
    group_size: int = 0
    threshold: int = 0
    is_private: bool = False

    @property
    def tolerance_micro(self) -> int:
        """Give how far an update may be off what others' training gives; 0 if none is audited."""
        return 0


class TolerantPlan(Plan, frozen=True):
    """A plan with a tolerance, which travels as one field more; one without never does."""

    tolerance_micro: int = 0


if TYPE_CHECKING:
    AnyPlan: TypeAlias = Plan
else:
    AnyPlan = TolerantPlan
    """What a plan is read as, of either length; `keep_length` then makes it what it was."""


def within(plan: Plan, tolerance_micro: int) -> Plan:
    """Give a plan with this tolerance."""
    return TolerantPlan(**(asdict(plan) | {"tolerance_micro": tolerance_micro}))


def keep_length(holder: Value, plan: Plan) -> None:
    """Let a value that was just read hold a plan without a tolerance as it travels."""
    if type(plan) is TolerantPlan and not plan.tolerance_micro:
        fields = {name: value for name, value in asdict(plan).items() if name != "tolerance_micro"}
        force_setattr(holder, "plan", Plan(**fields))


class Terms(Value, frozen=True):
    """How a study's rounds go: how many, with whom, and how long each step may take.

    An invitation ends early once `wanted` nodes have joined. `train_ms` is for a participant's
    training, `step_ms` for any other step. No update counts for more than `samples_max`. Where a
    module trains, `module_size_bytes` is its size, and `audits` updates of a round are audited.
    """

    rounds: int
    participants_min: int
    wanted: int
    invite_ms: int
    train_ms: int
    step_ms: int
    samples_max: int = 1_000_000
    module_size_bytes: int = 0
    audits: int = 0


class LessonInput(Value, frozen=True):
    """What a lesson's input is put together of; its hash is the input that the task names."""

    header: bytes
    model: Digest
    model_size_bytes: int
    data: Digest
    data_size_bytes: int


class Lesson(Value, frozen=True):
    """A participant's training in one round, as the task that anybody can execute again."""

    task: TaskId
    submitter: NodeId
    nonce: bytes
    spec: TaskSpec
    parts: LessonInput


class Score(Value, frozen=True):
    """What a model gets right on held-out data, and the loss summed over it, in millionths."""

    correct: int
    total: int
    loss_micro: int


class Contributed(Value, frozen=True):
    """One participant's update in a round: the blob's hash, and how many samples it is of."""

    node: NodeId
    update: Digest
    samples: int


class Announced(Value, frozen=True):
    """A participant's keys of one round, and what binds it to its own mask."""

    node: NodeId
    mask_key: bytes
    seal_key: bytes
    self_commitment: bytes


class Shown(Value, frozen=True):
    """A blob that a participant has made for a step: its sealed shares, or the opened ones."""

    node: NodeId
    digest: Digest
    size_bytes: int


class Circle(Value, frozen=True):
    """A group of private mode as the log has it: who was drawn, and whose shares are in the log.

    `members` and `dealt` are in ascending order of nodes.
    """

    members: tuple[Announced, ...]
    threshold: int
    dealt: tuple[Shown, ...]

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Give who was drawn."""
        return tuple(each.node for each in self.members)

    @property
    def dealers(self) -> tuple[NodeId, ...]:
        """Give who masks its values towards the others."""
        return tuple(each.node for each in self.dealt)


class RoundReceipt(Value, frozen=True):
    """A leaf of the receipt log: what a round made of which updates (protocols/16 section 7).

    `survivors` are whose updates count, in ascending order; `left_out` those of them that the
    aggregation dropped. A round that failed leaves the model as it was, and still has spent what
    `contributed` shows: updates that left their participants.
    """

    study: StudyId
    round: int
    plan: Digest
    state: RoundState
    before: Digest
    after: Digest
    contributed: tuple[Contributed, ...]
    survivors: tuple[NodeId, ...]
    left_out: tuple[NodeId, ...]
    aggregators: tuple[NodeId, ...]
    score: Score
    began_ms: int
    ended_ms: int


class RoundFile(Value, frozen=True):
    """Everything a stranger needs to check offline what a round came to (`*.round`)."""

    version: int
    genesis: Genesis
    plan: AnyPlan
    receipt: RoundReceipt
    leaf_index: int
    path: tuple[Digest, ...]
    epochs: tuple[bytes, ...]
    """How each epoch before the note's ended, as the proofs of the log (05 section 11)."""
    note: CheckpointNote
    anchor: AnchorProof | None

    def __post_init__(self) -> None:
        """Keep the plan's length."""
        keep_length(self, self.plan)
