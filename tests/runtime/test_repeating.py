"""Whoever aggregates trains again for those who were drawn, and names who says something else."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.learning.learner import NumpyLearner, make_learner
from ambientd.codec.digest import sha256
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import (
    Contributed,
    Plan,
    RoundReceipt,
    RoundState,
    Score,
    within,
)
from ambientd.model.learning_effect import (
    AggregateWanted,
    Committed,
    GatherWanted,
    Model,
    Place,
    Step,
    TrainWanted,
)
from ambientd.node.learning_event import Aggregated, Gathered, LearningFailed, Trained
from ambientd.ports.learning import Consent, Learner, TrainedUpdate, never
from ambientd.runtime import repeating
from ambientd.runtime.blobs import Blobs, RequestBlob
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.repeating import AUDIT_MS_MAX
from sim.learners import RememberedConsents
from tests.runtime.test_learning import HERE, STUDY, place

PLAN = within(
    Plan(model="mlp:64,8,10", trainer="numpy", aggregation="median", seed=b"s" * 32), 1_000
)
NODES = tuple(NodeId(bytes([number]) * 32) for number in range(1, 6))
HONEST, COPIER, IDLE, POISONER, HIDDEN = NODES


async def _nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
    del peer, digest, size_bytes
    await trio.lowlevel.checkpoint()
    return None


class Classroom:
    """One node with the blobs of five participants."""

    def __init__(
        self, folder: Path, learner: Learner | None = None, request: RequestBlob = _nobody
    ) -> None:
        files = BlobFiles(folder, quota_bytes=1 << 24)
        self.learner = make_learner()
        used = learner or self.learner
        self.blobs = Blobs(files, request, list)
        consents = RememberedConsents({STUDY: Consent("digits:1/10")})
        self.host = LearningHost(lambda: used, consents, self.blobs, files)
        self.model = self.learner.initial(PLAN)

    async def start(self) -> Model:
        return Model(await self.blobs.put(self.model), len(self.model), (HERE,))

    async def committed(self, node: NodeId, part: int) -> Committed:
        rows = self.learner.lesson_data(PLAN, f"digits:{part}/10")
        return Committed(node, await self.blobs.put(rows), len(rows))

    def update(self, part: int) -> TrainedUpdate:
        return self.learner.train(PLAN, self.model, f"digits:{part}/10", 1)

    async def round(self) -> AggregateWanted:
        """Let five say something; four of them are drawn, and of one of these no data are here."""
        idle, honest = bytes(len(self.model)), self.update(1).update
        poison = (b"\xff\xff\x0f\x00") * (len(self.model) // 4)
        said = dict(zip(NODES, (honest, honest, idle, poison, idle), strict=True))
        contributed = tuple(
            [Contributed(node=n, update=await self.blobs.put(said[n]), samples=9) for n in NODES]
        )
        drawn = [await self.committed(node, part) for part, node in enumerate(NODES[:4], start=1)]
        drawn.append(Committed(HIDDEN, Digest(sha256(b"not shown")), 100))
        return AggregateWanted(
            place(Step.AGGREGATE),
            PLAN,
            await self.start(),
            contributed,
            len(self.model),
            60_000,
            tuple(drawn),
            60_000,
        )


async def test_copier_idler_and_poisoner_are_named_and_nobody_honest_or_unseen(
    tmp_path: Path,
) -> None:
    room = Classroom(tmp_path)
    done = await room.host.carry_out(await room.round())
    assert isinstance(done, Aggregated)
    assert done.faulty == (COPIER, IDLE, POISONER)
    assert done.left_out == (), "the round's model is of all: no float decides about it"


def left_out(wanted: AggregateWanted, *nodes: NodeId) -> AggregateWanted:
    """Give a round as it is where whoever named the survivors missed something of these."""
    counted = tuple(each for each in wanted.contributed if each.node not in nodes)
    missed = tuple(each for each in wanted.contributed if each.node in nodes)
    return replace(wanted, contributed=counted, unshown=missed)


async def test_who_was_left_out_and_shows_its_rows_here_is_examined_as_all_others(
    tmp_path: Path,
) -> None:
    """One who names survivors may lie of it; and who shows its rows late is no better for it."""
    room = Classroom(tmp_path)
    wanted = left_out(await room.round(), HONEST, POISONER)
    done = await room.host.carry_out(wanted)
    assert isinstance(done, Aggregated)
    assert done.faulty == (COPIER, IDLE, POISONER)


async def test_who_was_left_out_and_shows_no_rows_or_no_update_here_either_is_named(
    tmp_path: Path,
) -> None:
    room = Classroom(tmp_path)
    wanted = await room.round()
    gone = msgspec.structs.replace(
        wanted.contributed[0], update=Digest(sha256(b"an update that nobody has"))
    )
    wanted = replace(wanted, contributed=(gone, *wanted.contributed[1:]))
    done = await room.host.carry_out(left_out(wanted, HONEST, HIDDEN))
    assert isinstance(done, Aggregated)
    assert done.faulty == (HONEST, COPIER, IDLE, POISONER, HIDDEN)


@pytest.mark.parametrize(("shows", "is_silent"), [(HONEST, POISONER), (HIDDEN, HONEST)])
async def test_what_somebody_shows_comes_though_another_keeps_this_one_waiting(
    tmp_path: Path, shows: NodeId, is_silent: NodeId
) -> None:
    """One who names survivors leaves an honest one out, and never answers who asks for its rows.

    Or a device has lost its power since, and an aggregator has them.
    """
    shown: dict[Digest, bytes] = {}
    asked: list[NodeId] = []

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        del size_bytes
        asked.append(peer)
        if peer == is_silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return shown.get(Digest(digest)) if peer == shows else None

    room = Classroom(tmp_path, request=request)
    rows, update = room.learner.lesson_data(PLAN, "digits:1/10"), room.update(1).update
    shown = {Digest(sha256(each)): each for each in (rows, update)}
    model = await room.start()
    said, data = (Digest(sha256(each)) for each in (update, rows))
    wanted = AggregateWanted(
        place(Step.AGGREGATE),
        PLAN,
        replace(model, holders=(POISONER, HIDDEN)),
        (Contributed(node=IDLE, update=await room.blobs.put(room.update(3).update), samples=9),),
        len(room.model),
        1_000,
        (Committed(HONEST, data, len(rows)),),
        60_000,
        (Contributed(node=HONEST, update=said, samples=9),),
    )
    done = await room.host.carry_out(wanted)
    assert isinstance(done, Aggregated)
    assert done.faulty == ()
    assert set(asked[:2]) == {HONEST}, "nobody else could keep it from being heard"


async def test_whoever_names_the_data_of_another_keeps_them_from_nobody(tmp_path: Path) -> None:
    """A survivor joined with an honest one's data, and shows nothing: both are looked for."""
    shown: dict[Digest, bytes] = {}

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        del size_bytes
        if peer in (COPIER, POISONER):
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return shown.get(Digest(digest)) if peer == HONEST else None

    room = Classroom(tmp_path, request=request)
    wanted, rows = await room.round(), room.learner.lesson_data(PLAN, "digits:5/10")
    data = Digest(sha256(rows))
    shown[data] = rows
    drawn = tuple(Committed(node, data, len(rows)) for node in (COPIER, POISONER, HONEST))
    wanted = replace(
        left_out(wanted, POISONER, HONEST),
        model=replace(wanted.model, holders=(POISONER,)),
        wait_ms=1_000,
        examined=drawn,
        audit_ms=0,
    )
    done = await room.host.carry_out(wanted)
    assert isinstance(done, Aggregated)
    assert done.faulty == ()


async def test_data_that_nobody_can_train_on_are_a_lie_and_an_update_of_another_length_too(
    tmp_path: Path,
) -> None:
    room = Classroom(tmp_path)
    wanted = await room.round()
    spoiled = await room.blobs.put(b"no rows")
    short = Contributed(node=HONEST, update=await room.blobs.put(b"shrt"), samples=9)
    drawn = await room.committed(HONEST, 1)
    for examined, contributed in (
        (Committed(HONEST, spoiled, 7), wanted.contributed[0]),
        (drawn, short),
    ):
        others = wanted.contributed[1:]
        size = len(b"shrt") if contributed is short else wanted.size_bytes
        changed = replace(
            wanted,
            contributed=(contributed,) if contributed is short else (contributed, *others),
            size_bytes=size,
            examined=(examined,),
        )
        done = await room.host.carry_out(changed)
        assert isinstance(done, Aggregated)
        assert done.faulty == (HONEST,)


class Slow(NumpyLearner):
    """Trains for as long as others let it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked = 0

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        self.asked += 1
        trio.from_thread.run(trio.sleep_forever)
        return super().train_on(plan, model, rows, number, is_over)


@pytest.mark.parametrize(("audit_ms", "most_ms"), [(300, AUDIT_MS_MAX), (50_000_000, 300)])
async def test_who_is_not_examined_in_time_is_not_named_and_the_model_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit_ms: int, most_ms: int
) -> None:
    """Not in the study's time, nor in what others are to wait for it."""
    monkeypatch.setattr(repeating, "AUDIT_MS_MAX", most_ms)
    slow = Slow()
    room = Classroom(tmp_path, slow)
    with trio.fail_after(60):
        done = await room.host.carry_out(replace(await room.round(), audit_ms=audit_ms))
    assert isinstance(done, Aggregated)
    assert (done.faulty, slow.asked) == ((), 1)


class Without(NumpyLearner):
    """A node whose trainer's library is missing."""

    def __init__(self) -> None:
        super().__init__(None, {})


async def test_a_member_without_the_trainer_aggregates_and_names_nobody(tmp_path: Path) -> None:
    room = Classroom(tmp_path, Without())
    done = await room.host.carry_out(await room.round())
    assert isinstance(done, Aggregated)
    assert done.faulty == ()


async def test_who_does_not_show_its_data_is_no_survivor(tmp_path: Path) -> None:
    room = Classroom(tmp_path)
    wanted = await room.round()
    gathered = await room.host.carry_out(
        GatherWanted(
            place(Step.GATHER),
            wanted.contributed,
            wanted.size_bytes,
            200,
            examined=wanted.examined,
        )
    )
    assert isinstance(gathered, Gathered)
    assert gathered.held == NODES[:4]


async def test_a_participant_trains_on_what_it_joined_with_and_keeps_it_for_others(
    tmp_path: Path,
) -> None:
    room = Classroom(tmp_path)
    rows = room.learner.lesson_data(PLAN, "digits:1/10")
    own = Committed(HERE, Digest(sha256(rows)), len(rows))
    wanted = TrainWanted(place(Step.TRAIN), PLAN, await room.start(), 1_000, None, own)
    assert not await room.blobs.has(own.data)
    done = await room.host.carry_out(wanted)
    assert isinstance(done, Trained)
    assert await room.blobs.get(done.update) == room.update(1).update
    assert await room.blobs.get(own.data) == rows


async def test_a_participant_whose_data_changed_says_nothing(tmp_path: Path) -> None:
    room = Classroom(tmp_path)
    own = Committed(HERE, Digest(sha256(b"other data")), 100)
    wanted = TrainWanted(place(Step.TRAIN), PLAN, await room.start(), 1_000, None, own)
    done = await room.host.carry_out(wanted)
    assert isinstance(done, LearningFailed)
    assert done.declined
    assert "not the data" in done.reason
    assert not await room.blobs.has(own.data)


async def test_training_whose_time_is_over_ends_and_leaves_no_thread_behind(tmp_path: Path) -> None:
    """Batches of one take as long as anybody likes for few products (days, within 10^11)."""
    room = Classroom(tmp_path)
    wanted = await room.round()
    endless = msgspec.structs.replace(PLAN, passes=100_000, batch=1)
    done = await room.host.carry_out(replace(wanted, plan=endless, audit_ms=300))
    assert isinstance(done, Aggregated)
    assert done.faulty == ()
    with trio.fail_after(60):
        while trio.to_thread.current_default_thread_limiter().borrowed_tokens:
            await trio.sleep(0.05)


class Breaking(NumpyLearner):
    """A trainer whose library raises what nobody foresaw, and of some rows alone."""

    def __init__(self) -> None:
        super().__init__(None)
        self.sizes: list[int] = []

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        self.sizes.append(len(rows))
        if len(self.sizes) == 1:
            raise RuntimeError("shapes do not fit")
        return super().train_on(plan, model, rows, number, is_over)


async def test_rows_that_break_a_trainer_keep_no_model_back_and_few_are_tried_first(
    tmp_path: Path,
) -> None:
    breaking = Breaking()
    room = Classroom(tmp_path, breaking)
    done = await room.host.carry_out(await room.round())
    assert isinstance(done, Aggregated)
    assert len(breaking.sizes) == 4
    assert breaking.sizes == sorted(breaking.sizes), "who commits to much takes nobody's time"
    assert len(done.faulty) >= 2
    assert done.faulty == tuple(sorted(done.faulty))


class Patient(NumpyLearner):
    """Trains until nobody wants it any more."""

    def __init__(self) -> None:
        super().__init__(None)
        self.begun = threading.Event()
        self.asked = 0

    def train_on(
        self,
        plan: Plan,
        model: bytes,
        rows: bytes,
        number: int,
        is_over: Callable[[], bool] = never,
    ) -> TrainedUpdate:
        self.asked += 1
        self.begun.set()
        while not is_over():
            time.sleep(0.01)
        return super().train_on(plan, model, rows, number, is_over)


def ended_without_a_model(model: Model) -> RoundEnded:
    before = model.digest
    receipt = RoundReceipt(
        study=STUDY, round=1, plan=before, state=RoundState.FAILED, before=before,
        after=before, contributed=(), survivors=(), left_out=(), aggregators=(),
        score=Score(correct=0, total=0, loss_micro=0), began_ms=1, ended_ms=2,
    )  # fmt: skip
    return RoundEnded(receipt, 1, "its author ended it")


async def test_an_audit_takes_no_turn_of_other_rounds_and_ends_with_its_own(
    tmp_path: Path,
) -> None:
    patient = Patient()
    room = Classroom(tmp_path, patient)
    wanted = await room.round()
    other = replace(wanted, place=Place(STUDY, 2, Step.AGGREGATE), examined=())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.host.carry_out, wanted)
            await trio.to_thread.run_sync(patient.begun.wait)
            assert isinstance(await room.host.carry_out(other), Aggregated)
            await room.host.hear(ended_without_a_model(wanted.model))
    assert patient.asked == 1, "nobody else is examined for a round that is over"
