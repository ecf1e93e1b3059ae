"""Studies driven by hand: who joins, what each says of a round, on the ledger's own cluster."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import study_id
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION
from ambientd.model.learning import Plan, RoundState, Score, StudyId, Terms, within
from ambientd.model.learning_record import (
    FlJoin,
    FlKeys,
    FlLeave,
    FlResult,
    FlScore,
    FlShares,
    FlStudy,
    FlSurvivors,
    FlUnmask,
    FlUpdate,
    LearningBody,
)
from ambientd.model.record import VersionKnown
from ambientd.rules.tolerances import is_audited
from tests.ledger.cluster import UNTIL_MS, TestCluster

GUESTS = range(20, 26)
STEP_MS, TRAIN_MS, INVITE_MS = 1_000, 3_000, 5_000
OPEN = Plan(model="mlp:4,3,2", trainer="numpy", aggregation="fedavg", seed=bytes(32))
PRIVATE = Plan(
    model="mlp:4,3,2",
    trainer="numpy",
    aggregation="fedavg",
    seed=bytes(32),
    clip_micro=1_000_000,
    noise_milli=4_000,
    group_size=3,
    is_private=True,
)


WITHIN = within(
    Plan(model="mlp:4,3,2", trainer="numpy", aggregation="median", seed=bytes(32)), 1_000
)
"""Native training whose audits allow a thousandth."""


def terms(**changes: int) -> Terms:
    values = {
        "rounds": 2,
        "participants_min": 3,
        "wanted": len(GUESTS),
        "invite_ms": INVITE_MS,
        "train_ms": TRAIN_MS,
        "step_ms": STEP_MS,
    }
    return Terms(**(values | changes))


def study_body(plan: Plan = OPEN, nonce: bytes = b"n", **changes: int) -> FlStudy:
    return FlStudy(
        nonce=nonce,
        name="digits",
        plan=plan,
        terms=terms(**changes),
        initial=Digest(sha256(b"model")),
        model_size_bytes=92,
        until_ms=UNTIL_MS,
    )


@dataclass
class Studied:
    """A cluster of four members and six guests, and a study that its first member began."""

    __test__ = False

    plan: Plan = OPEN
    changes: dict[str, int] = field(default_factory=dict)
    joins: bool = True
    cluster_type: type[TestCluster] = TestCluster
    version: int = FIRST_STATE_VERSION

    def __post_init__(self) -> None:
        self.cluster = self.cluster_type()
        self.go_over()
        for number in GUESTS:
            self.cluster.block(self.cluster.join(number, invite=900 + number))
        body = study_body(self.plan, **self.changes)
        self.study = study_id(self.cluster.node(0), body)
        self.cluster.block((0, body))
        if self.joins:
            self.block(*((guest, self.joined()) for guest in GUESTS))

    def go_over(self) -> None:
        """Let an epoch begin with each state version up to the one that is wanted."""
        cluster = self.cluster
        while cluster.state.version < self.version:
            word = VersionKnown(version=cluster.state.version + 1, said_ms=cluster.time_ms)
            cluster.block(*((number, word) for number in range(cluster.members)))
            due = cluster.state.epoch_due
            assert due is not None
            cluster.block((0, due))
            cluster.block()

    def block(self, *said: tuple[int, LearningBody], after_ms: int = 100) -> list[LedgerEvent]:
        return self.cluster.block(*said, after_ms=after_ms)

    @property
    def entry(self) -> StudyEntry:
        entry = self.cluster.state.study(self.study)
        assert entry is not None
        return entry

    @property
    def row(self) -> RoundEntry:
        row = self.cluster.state.round(self.study, self.entry.round)
        assert row is not None
        return row

    def round(self, number: int) -> RoundEntry:
        row = self.cluster.state.round(self.study, number)
        assert row is not None
        return row

    @property
    def state(self) -> RoundState:
        return self.row.state

    def number(self, node: NodeId) -> int:
        return next(each for each in (*range(4), *GUESTS) if self.cluster.node(each) == node)

    def joined(self, said_ms: int = 1) -> FlJoin:
        join = FlJoin(study=self.study, said_ms=said_ms)
        data = Digest(sha256(b"data"))
        return replace(join, data=data, samples=10) if is_audited(self.plan) else join

    def left(self, said_ms: int = 2) -> FlLeave:
        return FlLeave(study=self.study, said_ms=said_ms)

    # What each says of the present round

    def word(self, guest: int) -> LearningBody:
        """Give what a participant says of the step that the round is at."""
        study, number = self.study, self.entry.round
        digest = Digest(sha256(b"%d %d" % (guest, number)))
        match self.state:
            case RoundState.KEYS:
                key = sha256(b"key %d" % guest)
                return FlKeys(
                    study=study, round=number, mask_key=key, seal_key=key, self_commitment=key
                )
            case RoundState.SHARES:
                return FlShares(study=study, round=number, digest=digest, size_bytes=100)
            case RoundState.UNMASKING:
                return FlUnmask(study=study, round=number, digest=digest, size_bytes=100)
            case RoundState.EVALUATING:
                score = Score(correct=9, total=10, loss_micro=5)
                return FlScore(study=study, round=number, score=score)
            case _:
                return FlUpdate(study=study, round=number, update=digest, samples=10)

    def say(self, *guests: int, after_ms: int = 100) -> list[LedgerEvent]:
        return self.block(*((each, self.word(each)) for each in guests), after_ms=after_ms)

    def survivors(self, *guests: int) -> FlSurvivors:
        nodes = tuple(sorted(self.cluster.node(each) for each in guests))
        return FlSurvivors(study=self.study, round=self.entry.round, survivors=nodes)

    def name_survivors(self, *guests: int) -> list[LedgerEvent]:
        return self.block((self.number(self.row.aggregators[0]), self.survivors(*guests)))

    def result(self, model: bytes = b"next", left_out: tuple[NodeId, ...] = ()) -> FlResult:
        after, number = Digest(sha256(model)), self.entry.round
        return FlResult(study=self.study, round=number, after=after, left_out=left_out)

    def find(self, model: bytes = b"next", places: tuple[int, ...] = (0, 1)) -> list[LedgerEvent]:
        drawn = [self.number(self.row.aggregators[place]) for place in places]
        return self.block(*((each, self.result(model)) for each in drawn))

    def play(self, guests: tuple[int, ...] = tuple(GUESTS), model: bytes = b"next") -> None:
        """Play one round to its end; guests that are not named stay silent."""
        number = self.entry.round
        waits_ms = {RoundState.TRAINING: TRAIN_MS + 100}
        for _ in range(12):
            if self.entry.round != number or not self.entry.is_open:
                return
            match self.state:
                case RoundState.SURVIVORS:
                    self.name_survivors(*guests)
                case RoundState.AGGREGATING:
                    self.find(model)
                case state:
                    self.say(*guests)
                    if self.entry.round == number and self.state is state:
                        self.block(after_ms=waits_ms.get(state, STEP_MS + 100))


def names(study: Studied, *guests: int) -> tuple[NodeId, ...]:
    return tuple(sorted(study.cluster.node(each) for each in guests))


def begin_study(cluster: TestCluster, participant: int) -> StudyId:
    """Begin a study that one guest takes part in, and let it say something in the first round."""
    body = study_body(participants_min=1, wanted=1)
    study = study_id(cluster.node(0), body)
    cluster.block((0, body))
    cluster.block((participant, FlJoin(study=study, said_ms=1)))
    update = Digest(sha256(b"update"))
    cluster.block((participant, FlUpdate(study=study, round=1, update=update, samples=1)))
    return study
