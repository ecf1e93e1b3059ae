"""Nothing of a private round leaves a device before its book says so, wherever it crashes."""

from pathlib import Path

import pytest

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.private_book_file import PrivateBookFile
from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.ledger.learning_entries import NOTHING_SCORED
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Circle, Contributed, RoundReceipt, RoundState, Shown, StudyId
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    GatherWanted,
    KeysWanted,
    LearningEffect,
    Model,
    OpenWanted,
    Place,
    Step,
    SumWanted,
)
from ambientd.model.private_book import NOTHING_SHOWN, Book, OwnRound
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    GaveUp,
    KeysMade,
    LearningDone,
    LearningFailed,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.ports.learning import Consent
from ambientd.roles.learning import book as lines
from ambientd.rules.learning.secure import DEALT_BYTES
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.private_rounds import PrivateRounds
from sim.learners import PARAMETERS, RememberedConsents, WholeNumbers, bytes_of, numbers_of
from tests.ledger.studies import PRIVATE

STUDY = StudyId(sha256(b"study"))
PLAN = PRIVATE
START = bytes_of([0] * PARAMETERS)
LIMIT_MICRO = 50_000_000


class CrashingBook(PrivateBookFile):
    """A book on disk that loses power before or after one of its writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.crash: str | None = None
        self.writes = 0

    def keep(self, book: Book) -> None:
        self.writes += 1
        crash, self.crash = self.crash, None
        if crash == "before":
            raise StoreError("power lost before the write")
        super().keep(book)
        if crash == "after":
            raise StoreError("power lost after the write")


class Device:
    """One participant: a host with its own files, book and consent; all see one another's blobs."""

    def __init__(self, folder: Path, number: int, shelves: list[BlobFiles]) -> None:
        self.id = NodeId(bytes([number]) * 32)
        self.folder = folder / str(number)
        self.files = BlobFiles(self.folder, quota_bytes=1 << 20)
        shelves.append(self.files)

        async def ask(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
            found = (files.get(digest) for files in shelves)
            return next((data for data in found if data is not None), None)

        self.blobs = Blobs(self.files, ask, lambda: [self.id])
        self.book = CrashingBook(folder / f"{number}.book")
        self.book.keep(lines.allow(Book(), STUDY, LIMIT_MICRO))
        self.data = str(1_000 * number)
        self.start()

    def start(self) -> None:
        """Begin anew, as after a crash: what is not on disk is gone."""
        draws = iter(range(1, 1_000))
        private = PrivateRounds(
            self.id,
            self.book,
            lambda count: sha256(b"%s %d" % (self.id, next(draws)))[:count],
            self.blobs,
            self.files,
        )
        consents = RememberedConsents({STUDY: Consent(self.data)})
        self.host = LearningHost(WholeNumbers, consents, self.blobs, self.files, private=private)

    async def do(self, effect: LearningEffect) -> LearningDone:
        """Carry out an effect; after a failure the device starts anew and tries again."""
        return await self.host.carry_out(effect)

    @property
    def row(self) -> OwnRound:
        found = lines.own_round(self.book.load(), STUDY, 1)
        assert found is not None
        return found


def place(step: Step) -> Place:
    return Place(STUDY, 1, step)


@pytest.fixture
def devices(tmp_path: Path) -> list[Device]:
    shelves: list[BlobFiles] = []
    return [Device(tmp_path, number, shelves) for number in range(1, 5)]


class Play:
    """One round of four devices, step by step."""

    def __init__(self, devices: list[Device]) -> None:
        self.devices = devices
        self.circle = Circle(members=(), threshold=3, dealt=())

    async def key(self) -> None:
        keys = []
        for device in self.devices:
            done = await device.do(KeysWanted(place(Step.KEYS), PLAN))
            assert isinstance(done, KeysMade), done
            keys.append(done.keys)
        self.circle = Circle(members=tuple(keys), threshold=3, dealt=())

    async def deal(self) -> None:
        dealt = []
        for device in self.devices:
            done = await device.do(DealWanted(place(Step.DEAL), self.circle))
            assert isinstance(done, SharesDealt), done
            dealt.append(Shown(node=device.id, digest=done.digest, size_bytes=done.size_bytes))
        self.circle = Circle(members=self.circle.members, threshold=3, dealt=tuple(dealt))

    async def model(self, device: Device) -> Model:
        return Model(await device.blobs.put(START), len(START), ())

    async def conceal(self, device: Device) -> LearningDone:
        model = await self.model(device)
        return await device.do(ConcealWanted(place(Step.TRAIN), PLAN, model, self.circle))

    def opening(self, survivors: tuple[NodeId, ...]) -> OpenWanted:
        return OpenWanted(place(Step.OPEN), self.circle, survivors)


async def dealt(devices: list[Device]) -> Play:
    play = Play(devices)
    await play.key()
    await play.deal()
    return play


async def test_a_round_of_devices_comes_to_a_model_near_the_mean_though_one_drops_out(
    devices: list[Device],
) -> None:
    play = await dealt(devices)
    said = []
    for device in devices[:3]:
        done = await play.conceal(device)
        assert isinstance(done, Trained), done
        said.append(Contributed(node=device.id, update=done.update, samples=done.samples))
        upload = await device.blobs.get(done.update)
        assert upload is not None
        assert max(map(abs, numbers_of(upload))) > 1 << 24, "what is shown is masked"
    survivors = tuple(each.node for each in said)
    aggregator, size = devices[3], 4 * PARAMETERS
    gathered = await aggregator.do(
        GatherWanted(place(Step.GATHER), tuple(said), size, 5_000, (), (play.circle,))
    )
    assert gathered == Gathered(place(Step.GATHER), survivors)
    opened = []
    for device in devices[:3]:
        shown = await device.do(play.opening(survivors))
        assert isinstance(shown, SharesOpened), shown
        opened.append(Shown(node=device.id, digest=shown.digest, size_bytes=shown.size_bytes))
        assert device.row.opened_for == survivors
    wanted = SumWanted(
        place(Step.AGGREGATE),
        PLAN,
        await play.model(aggregator),
        (play.circle,),
        tuple(said),
        tuple(opened),
        6_000,
    )
    made = await aggregator.do(wanted)
    assert isinstance(made, Aggregated), made
    assert (made.left_out, made.faulty) == ((), ())
    again = await devices[0].do(wanted)
    assert again == made, "every aggregator comes to the same bytes"


async def test_dealings_that_liars_show_only_to_who_named_the_survivors_come_from_there(
    devices: list[Device], tmp_path: Path
) -> None:
    play = await dealt(devices)
    said, opened = [], []
    for device in devices:
        done = await play.conceal(device)
        assert isinstance(done, Trained), done
        said.append(Contributed(node=device.id, update=done.update, samples=done.samples))
    ids = tuple(each.id for each in devices)
    for device in devices:
        shown = await device.do(play.opening(ids))
        assert isinstance(shown, SharesOpened), shown
        opened.append(Shown(node=device.id, digest=shown.digest, size_bytes=shown.size_bytes))
    namer, start = NodeId(b"n" * 32), Model(Digest(sha256(START)), len(START), (NodeId(b"n" * 32),))

    async def ask(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        found = (device.files.get(digest) for device in devices)
        data = next((data for data in found if data is not None), None)
        return data if peer == namer else None

    await devices[0].blobs.put(START)
    files = BlobFiles(tmp_path / "other", quota_bytes=1 << 20)
    blobs, other = Blobs(files, ask, list), NodeId(b"o" * 32)
    private = PrivateRounds(other, CrashingBook(tmp_path / "other.book"), bytes, blobs, files)
    host = LearningHost(WholeNumbers, RememberedConsents({}), blobs, files, private=private)
    made = await host.carry_out(
        SumWanted(
            place(Step.AGGREGATE), PLAN, start, (play.circle,), tuple(said), tuple(opened), 6_000
        )
    )
    assert isinstance(made, Aggregated), made
    assert (made.left_out, made.faulty) == ((), ())


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_crash_at_the_write_of_a_release_shows_nothing_and_is_paid_for_once(
    devices: list[Device], crash: str
) -> None:
    play, device = await dealt(devices), devices[0]
    device.book.crash = crash
    failed = await play.conceal(device)
    assert isinstance(failed, LearningFailed)
    assert not failed.declined, "it is tried again"
    device.start()
    done = await play.conceal(device)
    assert isinstance(done, Trained), done
    assert device.row.shown == done.update
    own = device.book.load().of(STUDY)
    assert own is not None
    assert own.releases == 1
    assert await play.conceal(device) == done, "said again it is the same bytes, and costs nothing"
    assert device.book.load().of(STUDY) == own


async def test_nothing_is_kept_for_others_before_the_book_has_it(devices: list[Device]) -> None:
    play, device = await dealt(devices), devices[0]
    before = set(_digests(device))
    device.book.crash = "before"
    await play.conceal(device)
    assert device.row.shown == NOTHING_SHOWN
    assert set(_digests(device)) - before <= {sha256(START), *_dealt(play)}


def _digests(device: Device) -> list[bytes]:
    return [sha256(path.read_bytes()) for path in device.folder.rglob("*") if path.is_file()]


def _dealt(play: Play) -> set[bytes]:
    return {each.digest for each in play.circle.dealt}


async def test_changed_data_after_a_crash_show_no_second_update(devices: list[Device]) -> None:
    play, device = await dealt(devices), devices[0]
    device.book.crash = "after"
    await play.conceal(device)
    device.data = "77000"
    device.start()
    silent = await play.conceal(device)
    assert isinstance(silent, LearningFailed), "this round goes on without it, the study does not"
    assert silent.declined
    own = device.book.load().of(STUDY)
    assert own is not None
    assert own.releases == 1


async def test_what_was_kept_before_a_crash_is_said_again_though_the_data_changed(
    devices: list[Device],
) -> None:
    play, device = await dealt(devices), devices[0]
    done = await play.conceal(device)
    assert isinstance(done, Trained)
    before = device.book.load()
    device.data = "77000"
    device.start()
    assert await play.conceal(device) == done, "the kept blob, not another training's"
    assert device.book.load() == before
    device.host.consents.keep({})
    refused = await play.conceal(device)
    assert isinstance(refused, LearningFailed), "an owner who withdrew says nothing more"
    assert refused.declined


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_shares_are_opened_for_one_set_alone_across_a_crash(
    devices: list[Device], crash: str
) -> None:
    play, device = await dealt(devices), devices[0]
    ids = tuple(each.id for each in devices)
    device.book.crash = crash
    assert isinstance(await device.do(play.opening(ids)), LearningFailed)
    device.start()
    assert isinstance(await device.do(play.opening(ids)), SharesOpened)
    refused = await device.do(play.opening(ids[:3]))
    assert isinstance(refused, LearningFailed)
    assert refused.declined


async def test_a_dealer_whose_shares_do_not_open_costs_nobody_anything_that_sees_it(
    devices: list[Device],
) -> None:
    play, device = await dealt(devices), devices[0]
    bad = bytes(play.circle.dealt[2].size_bytes)
    broken = Shown(node=devices[2].id, digest=await devices[2].blobs.put(bad), size_bytes=len(bad))
    dealt_by = [broken if each.node == broken.node else each for each in play.circle.dealt]
    play.circle = Circle(members=play.circle.members, threshold=3, dealt=tuple(dealt_by))
    silent = await play.conceal(device)
    assert isinstance(silent, LearningFailed)
    assert silent.declined
    own = device.book.load().of(STUDY)
    assert own is not None
    assert own.releases == 0


async def test_a_dealer_that_cheats_some_alone_costs_the_others_a_release(
    devices: list[Device],
) -> None:
    """What protocols/16 section 9 says: nobody sees what others were dealt."""
    play = await dealt(devices)
    good = await devices[2].blobs.get(play.circle.dealt[2].digest)
    assert good is not None
    # What it dealt to the second alone, behind what the first was dealt.
    bad = good[:DEALT_BYTES] + bytes(DEALT_BYTES) + good[2 * DEALT_BYTES :]
    broken = Shown(node=devices[2].id, digest=await devices[2].blobs.put(bad), size_bytes=len(bad))
    dealt_by = [broken if each.node == broken.node else each for each in play.circle.dealt]
    play.circle = Circle(members=play.circle.members, threshold=3, dealt=tuple(dealt_by))
    assert isinstance(await play.conceal(devices[0]), Trained)
    assert isinstance(await play.conceal(devices[1]), LearningFailed)
    known = [device.book.load().of(STUDY) for device in devices[:2]]
    assert [each.releases for each in known if each is not None] == [1, 0]


async def test_without_consent_or_budget_a_device_says_no_keys(devices: list[Device]) -> None:
    device = devices[0]
    device.host.consents.keep({})
    silent = await device.do(KeysWanted(place(Step.KEYS), PLAN))
    assert isinstance(silent, LearningFailed)
    poor = devices[1]
    poor.book.keep(lines.allow(Book(), STUDY, 1))
    assert isinstance(await poor.do(KeysWanted(place(Step.KEYS), PLAN)), GaveUp)


async def test_the_end_of_a_round_drops_its_secret_and_keeps_its_cost(
    devices: list[Device],
) -> None:
    play, device = await dealt(devices), devices[0]
    await play.conceal(device)
    nothing = Digest(bytes(32))
    receipt = RoundReceipt(
        study=STUDY,
        round=1,
        plan=nothing,
        state=RoundState.FAILED,
        before=nothing,
        after=nothing,
        contributed=(),
        survivors=(),
        left_out=(),
        aggregators=(),
        score=NOTHING_SCORED,
        began_ms=0,
        ended_ms=0,
    )
    await device.host.hear(RoundEnded(receipt, 0, ""))
    own = device.book.load().of(STUDY)
    assert own is not None
    assert (own.rounds, own.releases, own.wasted) == ((), 1, 1)
    # A ledger older than the book, as after a restored backup, asks for the same round once more.
    again = await device.do(KeysWanted(place(Step.KEYS), PLAN))
    assert isinstance(again, LearningFailed), "another secret would make another update"
    assert again.declined
    assert "round 1 is over" in again.reason
    assert isinstance(await play.conceal(device), LearningFailed)
    assert device.book.load().of(STUDY) == own
