"""What a submitter asks for, and the states a task goes through (protocols/03-records.md)."""

from enum import IntEnum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, TaskId, Value
from ambientd.model.bundle import Bundle, Extent
from ambientd.model.mark import Attempts
from ambientd.model.proof import ProofTerms


class Assurance(IntEnum):
    """How a task is verified."""

    NONE = 0
    REPLICATED = 1
    AUDITED = 2
    """By one worker that has earned trust, whom nobody told whether another works beside it."""

    QUORUM = 3
    """By so many replicas that colluders are hardly ever among themselves."""


Guarantee: TypeAlias = Assurance | ProofTerms
"""How a task is verified; with terms it is proven (protocols/18 §9)."""

PROVEN = "proven"


class TaskState(IntEnum):
    """Where a task stands; the last four are terminal."""

    PENDING = 0
    ASSIGNED = 1
    COMMITTED = 2
    DISPUTED = 3
    FINAL = 4
    CANCELLED = 5
    EXPIRED = 6


class SlotState(IntEnum):
    """How far one replica is."""

    WAITING = 0
    ASSIGNED = 1
    COMMITTED = 2
    REVEALED = 3
    WITHHELD = 4


BEFORE_SEALED = frozenset({TaskState.PENDING, TaskState.ASSIGNED})
"""Until every worker has sealed its answer a task can be taken back, and can be late as a whole."""

TERMINAL = frozenset({TaskState.FINAL, TaskState.CANCELLED, TaskState.EXPIRED})


class Verdict(IntEnum):
    """The committee's finding on a task."""

    NONE = 0
    AGREED = 1
    DIVERGENT = 2
    INCONCLUSIVE = 3
    BISECTED = 4
    PROVEN = 5


CHECKED_REPLICAS = 2
"""A task for a worker that is not trusted with it has so many."""

DEFAULT_CLASS = "general"
DEFAULT_PRIORITY = 4


class Constraint(Value, frozen=True):
    """What a worker's label must be, or must not be."""

    key: str
    value: str
    is_excluded: bool = False


class TaskSpec(Value, frozen=True):
    """A task as its submitter signs it; module and input are named by SHA-256.

    `deadline_ms` is block time, 0 for none; no strategy and 0 attempts mean the cluster's own. Of a
    bundle, gas, wall time and output are for all items together (protocols/19). Attempts travel
    as a list where states may be handed on (protocols/03 §12).
    """

    module: Digest
    input: Digest
    module_size_bytes: int
    input_size_bytes: Extent
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int
    assurance: Guarantee
    replicas: int
    price_msat_per_mgas: int
    task_class: str = DEFAULT_CLASS
    constraints: tuple[Constraint, ...] = ()
    distinct: tuple[str, ...] = ()
    """Labels in which replicas differ, where there are nodes enough."""

    priority: int = DEFAULT_PRIORITY
    deadline_ms: int = 0
    attempts_max: int | Attempts = 0
    strategy: str = ""

    @property
    def proof(self) -> ProofTerms | None:
        """Give the terms of the proof that is asked for; None where none is."""
        return self.assurance if isinstance(self.assurance, ProofTerms) else None

    @property
    def assurance_name(self) -> str:
        """Give the assurance in a word."""
        return PROVEN if isinstance(self.assurance, ProofTerms) else self.assurance.name.lower()

    @property
    def is_disputable(self) -> bool:
        """Tell whether referees can ever decide: where answers are compared, or audited."""
        return self.assurance is not Assurance.NONE and self.proof is None

    @property
    def attempts(self) -> int:
        """Give how often a slot is given out at most; 0 for the cluster's."""
        allowed = self.attempts_max
        return allowed.attempts_max if isinstance(allowed, Attempts) else allowed

    @property
    def marks_max(self) -> int:
        """Give how many states may be handed on to who has a slot next; 0 for none."""
        return self.attempts_max.marks_max if isinstance(self.attempts_max, Attempts) else 0

    @property
    def items(self) -> int:
        """Count the inputs that the module is executed on, each by itself."""
        return self.input_size_bytes.items if isinstance(self.input_size_bytes, Bundle) else 1

    @property
    def replicas_max(self) -> int:
        """Give how many replicas there can be: a worker that has no trust is given a second."""
        return CHECKED_REPLICAS if self.assurance is Assurance.AUDITED else self.replicas


class Commit(Value, frozen=True):
    """A worker's sealed answer: H(task, slot, attempt, worker, result root, nonce), signed."""

    task: TaskId
    slot: int
    attempt: int
    worker: NodeId
    commitment: Digest
    signature: bytes


class Result(Value, frozen=True):
    """What replicas must agree on: the outcome, and which prepared module it is the outcome of.

    `prepared` is the prepared module's hash, zeros when the module was refused; gas depends on it.
    """

    kind: int
    reason: str
    output: Digest
    output_size_bytes: Extent
    gas: int
    prepared: Digest
    rewriter_version: int
