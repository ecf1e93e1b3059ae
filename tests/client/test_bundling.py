"""Many inputs as fewer tasks: what each came to is what it would have come to alone."""

from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.api.requests import SubmitTask
from ambientd.client import (
    AsyncMesh,
    ItemFailedError,
    Mesh,
    NoOutcomesError,
    TaskFailedError,
)
from ambientd.client.bundling import (
    BYTES_A_BUNDLE,
    GAS_A_BUNDLE,
    GAS_A_BUNDLE_MAX,
    LATE_S,
    OUTCOME_BYTES,
    SOON_S,
    TIMES_MAX,
    Bundling,
    _part,
    _Sizes,
)
from ambientd.client.links import LocalLink
from ambientd.codec.canonical import encode
from ambientd.model.bundle import ITEMS_MAX, ItemOutcome
from tests.fakes.desk_node import DeskNode, served

pytestmark = pytest.mark.net
MODULE = b"\0asm a module"
INPUTS = [b"%d" % number for number in range(200)]


def submitted(desk: DeskNode) -> list[SubmitTask]:
    return [each for each in desk.requests if isinstance(each, SubmitTask)]


def sizes(desk: DeskNode) -> list[int]:
    return [len(each.items) or 1 for each in submitted(desk)]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_short_inputs_travel_together_once_the_first_ones_have_told(
    loop: str, tmp_path: Path
) -> None:
    desk = DeskNode()

    async def test() -> None:
        async with AsyncMesh(link=LocalLink(tmp_path / "s")) as mesh:
            assert await mesh.map(MODULE, INPUTS, at_once=4, gas_max=10**9) == INPUTS

    with served(tmp_path / "s", desk.handlers()):
        anyio.run(test, backend=loop)
    assert sizes(desk)[:4] == [1, 1, 1, 1]
    assert sum(sizes(desk)) == len(INPUTS)
    assert max(sizes(desk)) == 49  # a quarter of what is left, so that all have work
    bundles = [each for each in submitted(desk) if each.items]
    assert all(each.gas_max < 10**9 and each.wall_ms_max >= 1 for each in bundles)


def test_a_program_says_how_many_travel_together_and_on_which_terms(tmp_path: Path) -> None:
    desk = DeskNode()
    with served(tmp_path / "s", desk.handlers()), Mesh(link=LocalLink(tmp_path / "s")) as mesh:
        assert mesh.map(MODULE, iter(INPUTS), bundle=64, gas_max=5_000) == INPUTS
        assert sizes(desk) == [64, 64, 64, 8]
        assert {each.gas_max for each in submitted(desk)} == {5_000}
        assert mesh.map(MODULE, INPUTS[:3], bundle=1) == INPUTS[:3]
        assert sizes(desk)[4:] == [1, 1, 1]
        for bundle in (0, ITEMS_MAX + 1):
            with pytest.raises(ValueError, match="a task has 1 to 256 inputs"):
                mesh.map(MODULE, INPUTS, bundle=bundle)


def test_an_input_that_fails_is_said_in_its_place_and_the_others_have_their_outputs(
    tmp_path: Path,
) -> None:
    desk = DeskNode()
    inputs = [b"a", b"b", b"bad", b"c"]
    with served(tmp_path / "s", desk.handlers()), Mesh(link=LocalLink(tmp_path / "s")) as mesh:
        told: list[int] = []
        found = mesh.outcomes(MODULE, inputs, bundle=4, told=lambda place, _: told.append(place))
        failed = found.pop(2)
        assert (found, told) == ([b"a", b"b", b"c"], [0, 1, 2, 3])
        assert isinstance(failed, ItemFailedError)
        assert (failed.item, failed.outcome.reason) == (2, "unreachable")
        assert "item 2 of task" in str(failed)
        with pytest.raises(ItemFailedError, match="ended as trapped: unreachable"):
            mesh.map(MODULE, inputs, bundle=4)


def test_what_fails_with_others_is_executed_again_alone_unless_bundles_were_asked_for(
    tmp_path: Path,
) -> None:
    desk = DeskNode()
    inputs = [*INPUTS[:60], b"bad", *INPUTS[60:80], b"huge", *INPUTS[80:100]]
    with served(tmp_path / "s", desk.handlers()), Mesh(link=LocalLink(tmp_path / "s")) as mesh:
        found = mesh.outcomes(MODULE, inputs, at_once=2)
    failed = found[60]
    assert isinstance(failed, TaskFailedError)
    assert not isinstance(failed, ItemFailedError)
    assert [each for each in found if each is not failed] == [x for x in inputs if x != b"bad"]
    assert max(sizes(desk)) > 1
    alone = [each.input for each in submitted(desk) if not each.items]
    assert {b"bad", b"huge"} <= set(alone)


def test_inputs_that_cost_much_never_travel_together() -> None:
    wanted = Bundling(at_once=16, bundle=None, terms={})
    known = _Sizes(wanted, 10_000)
    assert known.next() == 1
    known.note(43, 10)
    assert known.next() == ITEMS_MAX
    known.note(1_000_000, 10)
    assert known.next() == 20
    known.note(10**9, 10)
    assert known.next() == 1
    roomy = _Sizes(Bundling(at_once=16, bundle=None, terms={"output_bytes_max": 10_000}), 10_000)
    roomy.note(43, 68)
    assert roomy.next() == 100  # outputs are too large together beyond what one may have alone
    roomy.note(43, 10_000)
    assert roomy.next() == 1
    without_end = _Sizes(wanted, None)
    without_end.note(43, 10)
    assert without_end.next() == 1


def test_tasks_that_come_back_soon_let_the_next_ones_be_larger_and_late_ones_smaller() -> None:
    sizes = _Sizes(Bundling(1, None, {}), 10**6)
    sizes.note(GAS_A_BUNDLE, 0)
    assert sizes.next() == 1
    first = sizes.room
    sizes.took(first, SOON_S)
    sizes.took(first, SOON_S)  # one that was sent before the room grew says nothing new
    assert sizes.next() == 2
    for _ in range(20):
        sizes.took(sizes.room, SOON_S)
    assert sizes.next() == ITEMS_MAX
    sizes.took(sizes.room, (SOON_S + LATE_S) / 2)
    sizes.took(first, LATE_S)
    assert sizes.room == ITEMS_MAX * GAS_A_BUNDLE < GAS_A_BUNDLE_MAX
    for _ in range(20):
        sizes.took(sizes.room, LATE_S)
    assert sizes.room == GAS_A_BUNDLE


def test_three_tasks_that_come_back_at_once_fill_bundles_of_inputs_of_milliseconds() -> None:
    sizes = _Sizes(Bundling(16, None, {}), 10**6)
    sizes.note(68_400_091, 32)  # of SHA-256 eight thousand times, some 3 ms of a core
    found = [sizes.next()]
    for _ in range(3):
        sizes.took(sizes.room, 0.0)
        found.append(sizes.next())
    assert found == [1, TIMES_MAX, TIMES_MAX**2, ITEMS_MAX]


@given(st.integers(1, 10**12), st.lists(st.floats(0, 2 * LATE_S), max_size=30))
def test_the_room_of_a_bundle_stays_within_its_bounds_whatever_tasks_cost_and_take(
    gas: int, took_s: list[float]
) -> None:
    sizes = _Sizes(Bundling(16, None, {}), 10**6)
    sizes.note(gas, 32)
    for each_s in took_s:
        before = sizes.room
        sizes.took(before, each_s)
        assert GAS_A_BUNDLE <= sizes.room <= GAS_A_BUNDLE_MAX
        assert sizes.room <= TIMES_MAX * max(before, gas)
        assert 1 <= sizes.next() <= ITEMS_MAX


@given(st.lists(st.integers(0, 2 * BYTES_A_BUNDLE), max_size=20), st.integers(1, ITEMS_MAX))
def test_a_bundle_has_no_more_inputs_and_hardly_more_bytes_than_it_may(
    lengths: list[int], count: int
) -> None:
    waiting = enumerate(bytes(length) for length in lengths)
    seen: list[int] = []
    while part := _part(waiting, count):
        assert len(part) <= count
        assert sum(map(len, list(part.values())[:-1])) < BYTES_A_BUNDLE
        seen += part
    assert seen == list(range(len(lengths)))


@given(st.integers(0, 1 << 62), st.binary(max_size=1 << 17))
def test_an_outcome_that_ended_well_has_few_bytes_besides_its_output(
    gas: int, output: bytes
) -> None:
    outcome = ItemOutcome(kind=0, reason="", gas=gas, output=output)
    assert len(encode(outcome)) <= len(output) + OUTCOME_BYTES


def test_a_lone_worker_s_bytes_that_hold_no_outcomes_end_no_other_input(tmp_path: Path) -> None:
    desk, lies = DeskNode(), b"\0asm a liar"
    with served(tmp_path / "s", desk.handlers()), Mesh(link=LocalLink(tmp_path / "s")) as mesh:
        assert mesh.outcomes(lies, INPUTS, at_once=2) == INPUTS  # each of them again alone
        found = mesh.outcomes(lies, INPUTS[:5], bundle=4)
        assert [type(each) for each in found] == [NoOutcomesError] * 4 + [bytes]
        with pytest.raises(NoOutcomesError, match="ask for assurance replicated"):
            mesh.map(lies, INPUTS[:4], bundle=4)


def test_a_bundle_of_nothing_is_no_task_of_no_input(tmp_path: Path) -> None:
    desk = DeskNode()
    with (
        served(tmp_path / "s", desk.handlers()),
        Mesh(link=LocalLink(tmp_path / "s")) as mesh,
        pytest.raises(ValueError, match="1 to 256 items"),
    ):
        mesh.run_bundle(MODULE, [])
    assert submitted(desk) == []


def test_an_executor_s_chunks_are_bundles(tmp_path: Path) -> None:
    desk = DeskNode()
    with served(tmp_path / "s", desk.handlers()), Mesh(link=LocalLink(tmp_path / "s")) as mesh:
        with mesh.executor(gas_max=5_000) as executor:
            assert list(executor.map(MODULE, INPUTS, chunksize=80)) == INPUTS
            came = executor.map(MODULE, [b"a", b"bad", b"c"], chunksize=3, timeout=60)
            assert next(came) == b"a"
            with pytest.raises(ItemFailedError, match="item 1 of task"):
                next(came)
            for chunksize in (-1, 0, 300):
                with pytest.raises(ValueError, match="a task has 1 to 256 inputs"):
                    executor.map(MODULE, [b""] * 300, chunksize=chunksize)
        with pytest.raises(RuntimeError, match="is shut down"):
            executor.map(MODULE, INPUTS, chunksize=2)
    assert sorted(sizes(desk)) == [3, 40, 80, 80]


def test_the_first_late_task_makes_the_next_smaller_however_soon_those_before_were() -> None:
    sizes = _Sizes(Bundling(16, None, {}), 10**6)
    sizes.note(gas=1_000_000, output_bytes=8)
    for _ in range(5):  # such as inputs that fail at once
        sizes.took(sizes.room, 0.01)
    assert sizes.next() == ITEMS_MAX
    sizes.took(sizes.room, LATE_S)
    assert sizes.next() == ITEMS_MAX // 2
