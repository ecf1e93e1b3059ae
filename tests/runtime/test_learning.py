"""What rounds ask of a device is brought, worked out and kept; what it cannot do is told."""

import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.consent_file import ConsentFile
from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import (
    Contributed,
    Plan,
    RoundReceipt,
    RoundState,
    Score,
    StudyId,
)
from ambientd.model.learning_effect import (
    AggregateWanted,
    BringUpdate,
    GatherWanted,
    Model,
    Place,
    ScoreWanted,
    Step,
    TrainWanted,
)
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningFailed,
    ScoreMade,
    Trained,
)
from ambientd.ports.learning import Consent, Learner, TrainedUpdate
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import HELD_BYTES_MAX, LearningHost
from sim.learners import PARAMETERS, RememberedConsents, WholeNumbers, bytes_of, numbers_of
from tests.ledger.studies import GUESTS, OPEN, Studied

STUDY = StudyId(sha256(b"study"))
HERE = NodeId(b"h" * 32)
START = bytes_of([0] * PARAMETERS)


def place(step: Step) -> Place:
    return Place(STUDY, 1, step)


@asynccontextmanager
async def host(
    folder: Path, data: str | None = "1000"
) -> AsyncIterator[tuple[LearningHost, Blobs]]:
    files = BlobFiles(folder, quota_bytes=1 << 20)

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(files, nobody, list)
    consents = RememberedConsents({} if data is None else {STUDY: Consent(data)})
    yield LearningHost(WholeNumbers, consents, blobs, files), blobs


async def model(blobs: Blobs, data: bytes = START) -> Model:
    return Model(await blobs.put(data), len(data), (HERE,))


async def test_training_leaves_an_update_as_a_blob(tmp_path: Path) -> None:
    async with host(tmp_path) as (learning, blobs):
        wanted = TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 1_000)
        done = await learning.carry_out(wanted)
        assert isinstance(done, Trained)
        update = await blobs.get(done.update)
        assert update is not None
        assert list(numbers_of(update)) == [500] * PARAMETERS


async def test_without_an_owners_consent_nothing_is_trained(tmp_path: Path) -> None:
    async with host(tmp_path, data=None) as (learning, blobs):
        done = await learning.carry_out(
            TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 1_000)
        )
        assert isinstance(done, LearningFailed)
        assert done.declined


class Unready(WholeNumbers):
    """Holds training up until it is let go, or fails in a way of the library's own."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.trained = 0
        self._fault = fault

    def train(self, plan: Plan, model: bytes, data: str, number: int) -> TrainedUpdate:
        self.trained += 1
        self.begun.set()
        if self._fault is not None:
            raise self._fault
        assert self.go_on.wait(60)
        return super().train(plan, model, data, number)


def host_of(learner: Unready, folder: Path) -> tuple[LearningHost, Blobs]:
    files = BlobFiles(folder, quota_bytes=1 << 20)

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(files, nobody, list)
    consents = RememberedConsents({STUDY: Consent("1000")})
    return LearningHost(lambda: learner, consents, blobs, files), blobs


@pytest.mark.parametrize("fault", [MemoryError(), OverflowError("too large"), TypeError("no")])
async def test_whatever_a_library_raises_is_told_and_not_tried_again(
    tmp_path: Path, fault: Exception
) -> None:
    learning, blobs = host_of(Unready(fault), tmp_path)
    wanted = TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 1_000)
    done = await learning.carry_out(wanted)
    assert isinstance(done, LearningFailed)
    assert done.declined


async def test_an_update_whose_consent_was_withdrawn_meanwhile_is_not_shown(
    tmp_path: Path,
) -> None:
    learner = Unready()
    learning, blobs = host_of(learner, tmp_path)
    wanted = TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 1_000)
    found: list[object] = []

    async def train() -> None:
        found.append(await learning.carry_out(wanted))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trio.to_thread.run_sync(learner.begun.wait)
        learning.consents.keep({})
        learner.go_on.set()
    [done] = found
    assert isinstance(done, LearningFailed)
    assert await blobs.get(sha256(bytes_of([500] * PARAMETERS))) is None


async def test_what_waits_for_its_turn_is_left_alone_once_its_round_is_over(
    tmp_path: Path,
) -> None:
    learner = Unready()
    learning, blobs = host_of(learner, tmp_path)
    first = await model(blobs)
    found: list[object] = []

    async def train(number: int) -> None:
        at = Place(STUDY, number, Step.TRAIN)
        found.append(await learning.carry_out(TrainWanted(at, OPEN, first, 1_000)))

    receipt = RoundReceipt(
        study=STUDY, round=2, plan=first.digest, state=RoundState.FAILED, before=first.digest,
        after=first.digest, contributed=(), survivors=(), left_out=(), aggregators=(),
        score=Score(correct=0, total=0, loss_micro=0), began_ms=1, ended_ms=2,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        nursery.start_soon(train, 1)
        await trio.to_thread.run_sync(learner.begun.wait)
        nursery.start_soon(train, 2)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await learning.hear(RoundEnded(receipt, 1, "nobody came"))
        learner.go_on.set()
    assert learner.trained == 1
    [failed] = [each for each in found if isinstance(each, LearningFailed)]
    assert failed.place.round == 2


async def test_no_update_is_said_to_be_of_more_samples_than_the_study_takes(
    tmp_path: Path,
) -> None:
    async with host(tmp_path) as (learning, blobs):
        wanted = TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 3)
        done = await learning.carry_out(wanted)
        assert isinstance(done, Trained)
        assert done.samples == 3


async def test_a_model_that_nobody_has_is_looked_for_again(tmp_path: Path) -> None:
    async with host(tmp_path) as (learning, _):
        gone = Model(Digest(sha256(b"gone")), 40, (HERE,))
        done = await learning.carry_out(ScoreWanted(place(Step.SCORE), OPEN, gone, 1_000))
        assert isinstance(done, LearningFailed)
        assert not done.declined


async def test_a_device_without_the_libraries_says_so(tmp_path: Path) -> None:
    def nothing() -> Learner:
        raise ConfigError("numpy is not installed here")

    files = BlobFiles(tmp_path, quota_bytes=1 << 20)

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(files, nobody, list)
    learning = LearningHost(nothing, RememberedConsents({STUDY: Consent("1")}), blobs, files)
    done = await learning.carry_out(TrainWanted(place(Step.TRAIN), OPEN, await model(blobs), 1_000))
    assert done == LearningFailed(place(Step.TRAIN), "numpy is not installed here", declined=True)


async def test_updates_are_gathered_and_make_the_next_model(tmp_path: Path) -> None:
    async with host(tmp_path) as (learning, blobs):
        nodes = [NodeId(bytes([number]) * 32) for number in range(3)]
        updates = [bytes_of([100 * number] * PARAMETERS) for number in range(2)]
        contributed = [
            Contributed(node=node, update=await blobs.put(update), samples=1)
            for node, update in zip(nodes[:2], updates, strict=True)
        ]
        lost = Contributed(node=nodes[2], update=Digest(sha256(b"lost")), samples=1)
        short = Contributed(node=nodes[2], update=await blobs.put(b"short"), samples=1)
        for other in (lost, short):
            every = (*contributed, other)
            gathered = await learning.carry_out(
                GatherWanted(place(Step.GATHER), every, len(START), 3_000)
            )
            assert gathered == Gathered(place(Step.GATHER), tuple(nodes[:2]))
        wanted = AggregateWanted(
            place(Step.AGGREGATE), OPEN, await model(blobs), tuple(contributed), len(START), 3_000
        )
        done = await learning.carry_out(wanted)
        assert isinstance(done, Aggregated)
        assert await blobs.get(done.after) == bytes_of([50] * PARAMETERS)
        missing = replace(wanted, contributed=(lost,))
        assert isinstance(await learning.carry_out(missing), LearningFailed)


LARGE = 40_000


class CountingFiles(BlobFiles):
    """Counts how often a blob's bytes are asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, quota_bytes=1 << 24)
        self.reads: Counter[bytes] = Counter()

    def get(self, name: bytes) -> bytes | None:
        self.reads[name] += 1
        return super().get(name)


async def test_updates_that_are_here_and_the_model_are_read_once_each(tmp_path: Path) -> None:
    files = CountingFiles(tmp_path)

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(files, nobody, list)
    learning = LearningHost(WholeNumbers, RememberedConsents({}), blobs, files)
    start = bytes(4 * LARGE)
    before = await model(blobs, start)
    said = []
    for number in range(5):
        update = await blobs.put(bytes_of([1 << number] * LARGE))
        said.append(Contributed(node=NodeId(bytes([number]) * 32), update=update, samples=1))
    files.reads.clear()
    gather = GatherWanted(place(Step.GATHER), tuple(said), len(start), 3_000)
    assert isinstance(await learning.carry_out(gather), Gathered)
    assert files.reads.total() == 0, "whether a blob is here is known without its bytes"
    wanted = AggregateWanted(place(Step.AGGREGATE), OPEN, before, tuple(said), len(start), 3_000)
    done = await learning.carry_out(wanted)
    assert isinstance(done, Aggregated)
    del files.reads[done.after]
    assert files.reads == Counter([before.digest, *(each.update for each in said)])


async def test_a_model_that_was_tried_is_trained_next_without_being_read_again(
    tmp_path: Path,
) -> None:
    start = bytes_of([5] * LARGE)

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return start

    files = CountingFiles(tmp_path)
    consents = RememberedConsents({STUDY: Consent("1000")})
    learning = LearningHost(WholeNumbers, consents, Blobs(files, request, list), files)
    there = Model(Digest(sha256(start)), len(start), (HERE,))
    scored = await learning.carry_out(ScoreWanted(place(Step.SCORE), OPEN, there, 1_000))
    assert isinstance(scored, ScoreMade)
    assert files.has(there.digest), "others may ask this node for it"
    files.reads.clear()
    trained = await learning.carry_out(TrainWanted(place(Step.TRAIN), OPEN, there, 1_000))
    assert isinstance(trained, Trained)
    assert files.reads[there.digest] == 0
    longer = replace(there, size_bytes=there.size_bytes + 4)
    wanted = TrainWanted(place(Step.TRAIN), OPEN, longer, 1_000)
    assert isinstance(await learning.carry_out(wanted), LearningFailed)


async def test_an_update_that_comes_early_is_not_asked_for_again(tmp_path: Path) -> None:
    update = bytes_of([7] * LARGE)
    said = Contributed(node=HERE, update=Digest(sha256(update)), samples=1)
    asked: list[NodeId] = []

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        asked.append(peer)
        return update

    files = BlobFiles(tmp_path, quota_bytes=1 << 24)
    learning = LearningHost(
        WholeNumbers, RememberedConsents({}), Blobs(files, request, list), files
    )
    await learning.bring_early(BringUpdate(HERE, said.update, len(update)))
    assert files.is_unsynced(said.update), "whoever made it keeps it"
    gather = GatherWanted(place(Step.GATHER), (said,), len(update), 3_000)
    assert await learning.carry_out(gather) == Gathered(place(Step.GATHER), (HERE,))
    assert asked == [HERE]


async def test_an_update_that_does_not_come_early_stops_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    updates = [bytes_of([number] * LARGE) for number in range(6)]
    silent = {sha256(each) for each in updates[:5]}

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        if digest in silent:
            await trio.sleep_forever()
        return updates[5]

    files = BlobFiles(tmp_path, quota_bytes=1 << 24)
    learning = LearningHost(
        WholeNumbers, RememberedConsents({}), Blobs(files, request, list), files
    )
    async with trio.open_nursery() as nursery:
        for each in updates:
            wanted = BringUpdate(HERE, Digest(sha256(each)), len(each))
            nursery.start_soon(learning.bring_early, wanted)
    assert files.has(sha256(updates[5]))
    assert not any(map(files.has, silent))


async def test_what_others_keep_durably_is_not_forced_to_disk_here(tmp_path: Path) -> None:
    start, update = bytes_of([5] * LARGE), bytes_of([1] * LARGE)
    there = {sha256(each): each for each in (start, update)}

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return there.get(digest)

    files = BlobFiles(tmp_path, quota_bytes=1 << 24)
    blobs = Blobs(files, request, list)
    consents = RememberedConsents({STUDY: Consent("1000")})
    learning = LearningHost(WholeNumbers, consents, blobs, files)
    before = Model(Digest(sha256(start)), len(start), (HERE,))
    trained = await learning.carry_out(TrainWanted(place(Step.TRAIN), OPEN, before, 1_000))
    assert isinstance(trained, Trained)
    assert files.is_unsynced(before.digest)
    assert not files.is_unsynced(trained.update), "its own word needs its own bytes"
    said = Contributed(node=HERE, update=Digest(sha256(update)), samples=1)
    gather = GatherWanted(place(Step.GATHER), (said,), len(update), 3_000)
    assert await learning.carry_out(gather) == Gathered(place(Step.GATHER), (HERE,))
    wanted = AggregateWanted(place(Step.AGGREGATE), OPEN, before, (said,), len(update), 3_000)
    done = await learning.carry_out(wanted)
    assert isinstance(done, Aggregated)
    assert files.is_unsynced(said.update)
    assert not files.is_unsynced(done.after)


@pytest.mark.parametrize("held_bytes_max", [HELD_BYTES_MAX, 0])
async def test_a_model_whose_copy_a_power_cut_spoiled_is_brought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes_max: int
) -> None:
    monkeypatch.setattr("ambientd.runtime.learning.HELD_BYTES_MAX", held_bytes_max)
    start = bytes(4 * LARGE)

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return start

    files = BlobFiles(tmp_path, quota_bytes=1 << 24)
    blobs = Blobs(files, request, list)
    consents = RememberedConsents({STUDY: Consent("1000")})
    learning = LearningHost(WholeNumbers, consents, blobs, files)
    before = Model(Digest(sha256(start)), len(start), (HERE,))
    await blobs.bring(before.digest, before.size_bytes, before.holders, is_synced=False)
    [kept] = [each for each in tmp_path.rglob("*") if each.is_file()]
    kept.write_bytes(b"x" * len(start))
    wanted = TrainWanted(place(Step.TRAIN), OPEN, before, 1_000)
    if held_bytes_max < len(start):  # what is large is read when its turn has come
        failed = await learning.carry_out(wanted)
        assert isinstance(failed, LearningFailed)
        assert not failed.declined, "it is tried again"
    assert isinstance(await learning.carry_out(wanted), Trained)


async def test_an_update_that_was_damaged_on_disk_is_looked_for_again(tmp_path: Path) -> None:
    async with host(tmp_path) as (learning, blobs):
        update = bytes(200_000)
        digest = await blobs.put(update)
        [kept] = [each for each in tmp_path.rglob("*") if each.is_file()]
        kept.write_bytes(b"x" * len(update))
        said = Contributed(node=HERE, update=digest, samples=1)
        before = await model(blobs, bytes(len(update)))
        kept.write_bytes(b"x" * len(update))
        wanted = AggregateWanted(place(Step.AGGREGATE), OPEN, before, (said,), len(update), 300)
        assert isinstance(await learning.carry_out(wanted), LearningFailed)


async def test_who_answers_no_request_holds_up_nobody_elses_update(tmp_path: Path) -> None:
    updates = {bytes([number]) * 32: bytes_of([number] * PARAMETERS) for number in range(1, 7)}
    stalls = {bytes([number]) * 32 for number in range(100, 106)}

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        if peer in stalls:
            await trio.sleep(3_600)
        return updates.get(peer)

    files = BlobFiles(tmp_path, quota_bytes=1 << 20)
    blobs = Blobs(files, request, list)
    learning = LearningHost(WholeNumbers, RememberedConsents({}), blobs, files)
    liars = [Contributed(node=NodeId(each), update=Digest(each), samples=1) for each in stalls]
    others = [
        Contributed(node=NodeId(each), update=Digest(sha256(data)), samples=1)
        for each, data in updates.items()
    ]
    wanted = GatherWanted(place(Step.GATHER), (*liars, *others), len(START), 3_000)
    begun_s = trio.current_time()
    done = await learning.carry_out(wanted)
    assert trio.current_time() - begun_s < 60
    assert done == Gathered(place(Step.GATHER), tuple(sorted(each.node for each in others)))


async def test_an_update_shown_only_to_who_named_the_survivors_comes_from_there(
    tmp_path: Path,
) -> None:
    update = bytes_of([7] * PARAMETERS)
    namer = NodeId(b"n" * 32)
    asked: list[NodeId] = []

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        asked.append(peer)
        return update if peer == namer else None

    files = BlobFiles(tmp_path, quota_bytes=1 << 20)
    blobs = Blobs(files, request, list)
    learning = LearningHost(WholeNumbers, RememberedConsents({}), blobs, files)
    before = Model(await blobs.put(START), len(START), (namer,))
    liar = Contributed(node=NodeId(b"l" * 32), update=Digest(sha256(update)), samples=1)
    done = await learning.carry_out(
        AggregateWanted(place(Step.AGGREGATE), OPEN, before, (liar,), len(START), 3_000)
    )
    assert isinstance(done, Aggregated)
    assert asked == [namer]


async def test_a_model_is_tried_on_held_out_data(tmp_path: Path) -> None:
    async with host(tmp_path) as (learning, blobs):
        near = bytes_of([1000] * 3 + [0] * (PARAMETERS - 3))
        wanted = ScoreWanted(place(Step.SCORE), OPEN, await model(blobs, near), 1_000)
        done = await learning.carry_out(wanted)
        assert done == ScoreMade(
            place(Step.SCORE), Score(correct=3, total=PARAMETERS, loss_micro=0)
        )


async def test_a_rounds_receipt_is_kept_as_the_blob_that_the_ledger_names(tmp_path: Path) -> None:
    study = Studied()
    study.say(*GUESTS)
    study.name_survivors(*GUESTS)
    study.find()
    events = study.say(*GUESTS)
    [ended] = [event for event in events if isinstance(event, RoundEnded)]
    async with host(tmp_path) as (learning, blobs):
        await learning.hear(ended)
        kept = await blobs.get(study.round(1).receipt)
        assert kept is not None
        assert decode(kept, RoundReceipt) == ended.receipt


def test_consents_outlive_the_process_and_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "learning.json"
    file = ConsentFile(path)
    assert file.load() == {}
    file.keep({STUDY: Consent("digits:1/10")})
    assert ConsentFile(path).load() == {STUDY: Consent("digits:1/10")}
    path.write_text("{")
    with pytest.raises(ConfigError, match=path.name):
        file.load()
