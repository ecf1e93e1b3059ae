"""Whoever aggregates trains again for those who were drawn, and names who says something else."""

from dataclasses import replace
from pathlib import Path

import trio.testing

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.learning.learner import NumpyLearner, make_learner
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, Plan, within
from ambientd.model.learning_effect import (
    AggregateWanted,
    Committed,
    GatherWanted,
    Model,
    Step,
    TrainWanted,
)
from ambientd.node.learning_event import Aggregated, Gathered, LearningFailed, Trained
from ambientd.ports.learning import Consent, Learner, TrainedUpdate
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import LearningHost
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

    def __init__(self, folder: Path, learner: Learner | None = None) -> None:
        files = BlobFiles(folder, quota_bytes=1 << 24)
        self.learner = make_learner()
        used = learner or self.learner
        self.blobs = Blobs(files, _nobody, list)
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
            1_000,
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

    def train_on(self, plan: Plan, model: bytes, rows: bytes, number: int) -> TrainedUpdate:
        self.asked += 1
        trio.from_thread.run(trio.sleep_forever)
        return super().train_on(plan, model, rows, number)


async def test_who_is_not_examined_in_time_is_not_named_and_the_model_is_said(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    slow = Slow()
    room = Classroom(tmp_path, slow)
    begun = trio.current_time()
    done = await room.host.carry_out(await room.round())
    assert isinstance(done, Aggregated)
    assert (done.faulty, slow.asked) == ((), 1)
    assert trio.current_time() - begun <= 62


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
