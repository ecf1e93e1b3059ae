"""From where a device goes on with a slot: from marks whose states can be had and are theirs."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs

from ambientd.adapters.blob_files import BlobFiles
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.mark import Mark
from ambientd.node.event import StateKept, StateReached
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.handed_states import FETCH_S, HandedStates
from ambientd.runtime.long_executions import Marking
from ambientd.runtime.marking import IN_VAIN_MAX, STARTS_S, Markings
from ambientd.wasm.state import encode_state
from tests.roles.test_marks import Stage
from tests.runtime.test_marking import MARK
from tests.wasm.test_state import state as state_of

ONE = state_of([1, 2])
DATA = encode_state(ONE)
GOOD = structs.replace(
    MARK,
    point=TracePoint(ONE.gas_index, ONE.root()),
    state=Digest(sha256(DATA)),
    state_size_bytes=len(DATA),
)
KEPT = KnownState(GOOD.point, GOOD.state, GOOD.state_size_bytes)
EXECUTE = Stage().execute


class Device:
    """A device that is given a slot with marks, and has the states that are put on its disk."""

    def __init__(self, folder: Path, quota_bytes: int = 1 << 30) -> None:
        self.gives: bytes | None = None
        self.told: list[StateReached | StateKept] = []
        self.hears = True
        self.silence: trio.testing.MockClock | None = None
        self.asked: set[bytes] = set()
        self.files = BlobFiles(folder, quota_bytes=quota_bytes, memory_bytes=0, makes_way=False)
        self.states = HandedStates(self.files, Blobs(self.files, self._ask, tuple))
        self.markings = Markings(self.states)

    async def _ask(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        if self.silence is not None:
            if digest not in self.asked:
                self.silence.jump(FETCH_S)  # by itself it would also pass while files are read
            self.asked.add(digest)
            await trio.sleep_forever()
        return self.gives

    async def tell(self, event: StateReached | StateKept) -> None:
        if not self.hears:
            await trio.sleep_forever()
        self.told.append(event)

    async def begin(self, *marks: Mark) -> Marking:
        marking = await self.markings.begin(replace(EXECUTE, marks=marks), self.tell)
        assert marking is not None
        return marking


async def test_an_execution_goes_on_from_the_first_mark_whose_state_is_here_and_its_own(
    tmp_path: Path,
) -> None:
    device = Device(tmp_path)
    await device.states.put(DATA)
    none = await device.states.put(b"none")
    for bad in (
        structs.replace(GOOD, state=Digest(sha256(b"unheard"))),
        structs.replace(GOOD, point=TracePoint(7, ONE.root())),
        structs.replace(GOOD, point=TracePoint(ONE.gas_index, bytes(32))),
        structs.replace(GOOD, state=none, state_size_bytes=4),
    ):
        marking = await device.begin(bad, GOOD)
        assert marking.mark == GOOD
        assert await marking.another() is None
    assert StateKept(KEPT) in device.told, "who keeps states hears that it is here"


async def test_a_state_that_came_and_was_not_kept_is_gone_on_from_and_not_taken_for_here(
    tmp_path: Path,
) -> None:
    """Else an earlier state would go for it, and nobody had any then."""
    device = Device(tmp_path, quota_bytes=4_096)
    device.gives = DATA
    marking = await device.begin(GOOD)
    assert marking.mark == GOOD
    assert device.told == []
    assert device.files.names() == []


async def test_where_no_state_can_be_had_all_begins_anew(tmp_path: Path) -> None:
    marking = await Device(tmp_path).begin(GOOD)
    assert marking.mark is None


SILENT = tuple(
    structs.replace(GOOD, state=Digest(sha256(b"silent %d" % n)), point=TracePoint(n, bytes(32)))
    for n in range(20)
)


async def test_states_are_waited_for_a_minute_all_in_all_also_after_one_was_refused(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """So much a liar's marks cost a slot, of which one has a state of another module, no more."""
    device = Device(tmp_path)
    await device.states.put(DATA)
    device.silence = mock_clock
    begun_s = trio.current_time()
    marking = await device.begin(*SILENT[:3], GOOD, *SILENT[3:])
    assert marking.mark == GOOD
    assert trio.current_time() - begun_s == pytest.approx(3 * FETCH_S)
    for _ in range(3):
        assert await marking.another() is None
    assert trio.current_time() - begun_s == pytest.approx(STARTS_S)


async def test_after_an_abort_no_start_is_tried_that_was_refused_or_not_given(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    device = Device(tmp_path)
    await device.states.put(DATA)
    refused = structs.replace(GOOD, follows=Digest(bytes([1]) * 32))
    device.silence = mock_clock
    marking = await device.begin(SILENT[0], refused, GOOD)
    assert marking.mark == refused
    marking.start = await marking.another()
    assert marking.mark == GOOD
    device.markings.aborted(EXECUTE.assignment)
    device.markings.forget(EXECUTE.assignment)
    device.asked.clear()
    again = await device.begin(SILENT[0], refused, GOOD)
    assert again.mark == GOOD, "what it went on from is none of these"
    assert await again.another() is None
    device.markings.aborted(EXECUTE.assignment)
    last = await device.begin(SILENT[0], refused, GOOD)
    assert last.mark is None, "each try knows what those before have found"
    assert not device.asked


async def test_of_a_bounded_number_of_aborted_executions_it_is_known_what_was_in_vain(
    tmp_path: Path,
) -> None:
    device = Device(tmp_path)
    for number in range(IN_VAIN_MAX + 1):
        execute = replace(EXECUTE, assignment=replace(EXECUTE.assignment, attempt=number))
        await device.markings.begin(execute, device.tell)
        device.markings.aborted(execute.assignment)
    assert len(device.markings._in_vain) == IN_VAIN_MAX
    assert EXECUTE.assignment not in device.markings._in_vain


async def test_a_state_that_the_node_never_heard_of_is_told_of_at_the_end_and_not_taken_away(
    tmp_path: Path,
) -> None:
    """Another task's mark may name it as well: whether it stays, who knows of all of them says."""
    for is_heard in (True, False):
        device = Device(tmp_path / str(is_heard))
        marking = await device.begin()
        device.hears = is_heard
        with trio.move_on_after(0.1) as scope:
            await marking.tell(PausedState(root=ONE.root(), data=DATA))
        assert scope.cancelled_caught is not is_heard
        untold = device.markings.forget(EXECUTE.assignment)
        assert untold == (None if is_heard else StateKept(KEPT))
        assert device.files.names() == [GOOD.state]
