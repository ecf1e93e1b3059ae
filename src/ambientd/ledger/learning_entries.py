"""What the ledger holds of studies and their rounds (protocols/16-learning.md)."""

from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, Value
from ambientd.model.learning import (
    NO_DATA,
    Announced,
    AnyPlan,
    Contributed,
    LessonInput,
    RoundState,
    Score,
    Shown,
    StudyId,
    StudyState,
    Terms,
    keep_length,
)
from ambientd.model.receipt import SignedReceipt

NOTHING_SCORED = Score(correct=0, total=0, loss_micro=0)

ROUNDS_KEPT = 64
"""Rounds of one study that the ledger keeps; who wants older ones keeps their receipts."""


class EndedStudy(Value, frozen=True):
    """A study that is over, and since when."""

    study: StudyId
    author: NodeId
    ended_ms: int


class Studies(Value, frozen=True):
    """Which studies there are: those that go on, ascending, and the others in order of ending."""

    open: tuple[StudyId, ...] = ()
    ended: tuple[EndedStudy, ...] = ()


class Consent(Value, frozen=True):
    """What a node's owner last said of a study: whether it takes part, and on which data."""

    node: NodeId
    is_in: bool
    said_ms: int
    data: Digest = NO_DATA
    samples: int = 0


class StudyEntry(Value, frozen=True):
    """A study: its plan, who takes part, the present model, and how far it is.

    `round` is the number of the round under way or of the last one, `done` how many came to a
    model, and `failures` how many in a row did not. `until_ms` is an invitation's end in running
    time. `escrow_msat` is what is left of the price that its author has set aside.
    """

    author: NodeId
    name: str
    plan: AnyPlan
    terms: Terms
    model: Digest
    model_size_bytes: int
    state: StudyState
    admitted_ms: int
    until_ms: int
    round: int = 0
    done: int = 0
    failures: int = 0
    reason: str = ""
    consents: tuple[Consent, ...] = ()
    ended_ms: int = 0
    escrow_msat: int = 0
    barred: tuple[NodeId, ...] = ()
    """Who lied with shares or an update in a round: they take part in no further one."""

    def __post_init__(self) -> None:
        """Keep the plan's length."""
        keep_length(self, self.plan)

    @property
    def is_open(self) -> bool:
        """Whether the study goes on."""
        return self.state in {StudyState.INVITING, StudyState.RUNNING}

    @property
    def participants(self) -> tuple[NodeId, ...]:
        """Give who takes part, in ascending order."""
        return tuple(said.node for said in self.consents if said.is_in)


class LessonEntry(Value, frozen=True):
    """What a participant has signed of its training, until its round has ended or audits have."""

    receipt: SignedReceipt
    parts: LessonInput


class Finding(Value, frozen=True):
    """An aggregator's word on what a round comes to, and who lied in it."""

    node: NodeId
    after: Digest
    left_out: tuple[NodeId, ...]
    faulty: tuple[NodeId, ...] = ()


class Scored(Value, frozen=True):
    """A participant's word on the round's model."""

    node: NodeId
    score: Score


class RoundEntry(Value, frozen=True):
    """A round: who is in it, and what each has said; short once it has ended.

    `aggregators` are the committee at the round's beginning in a drawn order, and `turn` is how
    often more of them were asked. Once it has ended `asked` is how many were in it, `receipt` the
    hash of the round's receipt, `leaf` its place.
    """

    state: RoundState
    began_ms: int
    due_ms: int
    seed: bytes
    before: Digest
    after: Digest
    roster: tuple[NodeId, ...] = ()
    aggregators: tuple[NodeId, ...] = ()
    turn: int = 0
    keys: tuple[Announced, ...] = ()
    shares: tuple[Shown, ...] = ()
    contributed: tuple[Contributed, ...] = ()
    survivors: tuple[NodeId, ...] = ()
    opened: tuple[Shown, ...] = ()
    findings: tuple[Finding, ...] = ()
    left_out: tuple[NodeId, ...] = ()
    scores: tuple[Scored, ...] = ()
    score: Score = NOTHING_SCORED
    reason: str = ""
    updates: int = 0
    leaf: int = 0
    receipt: Digest = Digest(b"")
    ended_ms: int = 0
    faulty: tuple[NodeId, ...] = ()
    asked: int = 0


LearningEntries: TypeAlias = Studies | StudyEntry | RoundEntry | LessonEntry
