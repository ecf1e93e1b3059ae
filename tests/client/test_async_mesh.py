"""The library against a real socket, under both event loops that it promises."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from ambientd.adapters.data_dir import DataDir
from ambientd.api import operations, requests
from ambientd.api.local_socket import SocketLimits
from ambientd.client import (
    AsyncMesh,
    OperationError,
    TaskFailedError,
    TaskUnfinishedError,
    UnreachableError,
)
from ambientd.client.links import LocalLink
from tests.fakes.desk_node import NODE, DeskNode, served

pytestmark = pytest.mark.net
MODULE = b"\0asm a module"
TRAPPING = b"\0asm trap"
SLOW = b"\0asm slow"

Test = Callable[[AsyncMesh], Awaitable[None]]


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def desk() -> DeskNode:
    return DeskNode()


@pytest.fixture
def path(tmp_path: Path, desk: DeskNode) -> Iterator[Path]:
    with served(tmp_path / "s", desk.handlers()):
        yield tmp_path / "s"


def within(loop: str, path: Path, test: Test) -> None:
    """Run a test in an event loop of this kind."""

    async def run() -> None:
        async with AsyncMesh(link=LocalLink(path)) as mesh:
            await test(mesh)

    anyio.run(run, backend=loop)


def test_a_module_runs_and_gives_its_output(loop: str, path: Path) -> None:
    async def test(mesh: AsyncMesh) -> None:
        task = await mesh.run(MODULE, b"hello", assurance="quorum", replicas=3)
        assert await task.output() == b"hello"
        assert (await task.show()).replicas == 3
        assert (await task.why()).text
        assert await mesh.task(task.task_id).receipt() == b"rcpt"
        assert (await mesh.status()).node == NODE

    within(loop, path, test)


def test_a_module_may_be_named_by_its_file(loop: str, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.wasm"
    file.write_bytes(MODULE)

    async def test(mesh: AsyncMesh) -> None:
        assert await (await mesh.run(str(file), b"1")).output() == b"1"
        assert await (await mesh.run(file, b"2")).output() == b"2"

    within(loop, path, test)


def test_the_same_input_twice_is_two_tasks(loop: str, path: Path, desk: DeskNode) -> None:
    async def test(mesh: AsyncMesh) -> None:
        first, second = await mesh.run(MODULE, b"x"), await mesh.run(MODULE, b"x")
        assert first.task_id != second.task_id

    within(loop, path, test)
    assert len(desk.tasks) == 2


def test_a_task_that_traps_has_no_output_and_says_why(loop: str, path: Path) -> None:
    async def test(mesh: AsyncMesh) -> None:
        task = await mesh.run(TRAPPING)
        with pytest.raises(TaskFailedError, match="trapped: unreachable") as failed:
            await task.output()
        assert failed.value.task.outcome == "trapped"

    within(loop, path, test)


def test_waiting_ends_when_it_was_asked_to_and_the_task_goes_on(loop: str, path: Path) -> None:
    async def test(mesh: AsyncMesh) -> None:
        task = await mesh.run(SLOW)
        with pytest.raises(TaskUnfinishedError, match=r"is assigned after 0\.05 s and goes on"):
            await task.output(timeout_s=0.05)
        assert (await task.cancel()).state == "cancelled"

    within(loop, path, test)


def test_many_inputs_give_their_outputs_in_order(loop: str, path: Path) -> None:
    inputs = [b"%d" % number for number in range(40)]
    told: list[int] = []

    async def test(mesh: AsyncMesh) -> None:
        assert await mesh.map(MODULE, inputs, at_once=7, progress=told.append) == inputs
        assert await mesh.map(MODULE, []) == []

    within(loop, path, test)
    assert told == list(range(1, 41))


def test_the_first_failure_ends_a_map_as_itself(loop: str, path: Path) -> None:
    async def test(mesh: AsyncMesh) -> None:
        with pytest.raises(TaskFailedError):
            await mesh.map(TRAPPING, [b"a", b"b", b"c"], at_once=2)

    within(loop, path, test)


def test_a_failure_takes_the_other_tasks_of_a_map_back(
    loop: str, path: Path, desk: DeskNode
) -> None:
    async def test(mesh: AsyncMesh) -> None:
        with pytest.raises(TypeError, match="this is a str"):
            await mesh.map(SLOW, [b"a", b"b", "c"])  # type: ignore[list-item]

    within(loop, path, test)
    assert [task.state for task, _ in desk.tasks.values()] == ["cancelled", "cancelled"]


def test_what_is_of_a_wrong_kind_is_said_with_what_to_give(loop: str, path: Path) -> None:
    async def test(mesh: AsyncMesh) -> None:
        with pytest.raises(TypeError, match=r"bytes, and this is a str: say data\.encode"):
            await mesh.run(MODULE, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="an input is bytes, not list"):
            await mesh.run(MODULE, [1])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="executes WebAssembly, not Python"):
            await mesh.run(len)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a module is its bytes, or its file's path, not int"):
            await mesh.run(7)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="replicas: expected `int`, got `str`"):
            await mesh.run(MODULE, replicas="two")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'replica' is no term of a task; there are assurance"):
            await mesh.run(MODULE, replica=2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="inputs is one bytes: give a list"):
            await mesh.map(MODULE, b"abc")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="named by its id, a str in hex, not by int"):
            mesh.task(7)  # type: ignore[arg-type]

    within(loop, path, test)


def test_a_refusal_is_not_asked_again(loop: str, path: Path, desk: DeskNode) -> None:
    async def test(mesh: AsyncMesh) -> None:
        with pytest.raises(OperationError, match="no task"):
            await mesh.task("abcd").show()

    within(loop, path, test)
    assert desk.requests == []


def test_a_folder_without_a_node_is_told_with_what_to_do(loop: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with AsyncMesh(tmp_path / "nowhere") as mesh:
            with pytest.raises(UnreachableError, match="is no node's folder: name one with"):
                await mesh.status()

    anyio.run(test, backend=loop)


def test_a_daemon_that_comes_back_is_found_again_and_the_task_is_one(
    loop: str, tmp_path: Path, desk: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambientd.client.async_mesh._PAUSE_S", 0.01)
    path = tmp_path / "s"

    async def test() -> None:
        async with AsyncMesh(link=LocalLink(path)) as mesh:
            with served(path, desk.handlers()):
                assert await (await mesh.run(MODULE, b"1")).output() == b"1"
            with pytest.raises(UnreachableError, match="is ambientd running"):
                await mesh.run(MODULE, b"2")
            with served(path, desk.handlers()):
                assert await (await mesh.run(MODULE, b"3")).output() == b"3"

    anyio.run(test, backend=loop)
    submitted = [each for each in desk.requests if isinstance(each, requests.SubmitTask)]
    assert [each.input for each in submitted] == [b"1", b"3"]


def test_a_daemon_that_starts_is_waited_for(loop: str, tmp_path: Path, desk: DeskNode) -> None:
    async def test() -> None:
        async with AsyncMesh(link=LocalLink(tmp_path / "s", tmp_path)) as mesh:
            assert (await mesh.call(operations.STATUS, requests.GetStatus())).node == NODE

    with DataDir(tmp_path), ExitStack() as stack:
        later = threading.Timer(
            0.3, lambda: stack.enter_context(served(tmp_path / "s", desk.handlers()))
        )
        later.start()
        anyio.run(test, backend=loop)
        later.join()


def test_many_connections_to_a_daemon_that_is_no_more_cost_one_attempt(
    loop: str, tmp_path: Path, desk: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambientd.client.async_mesh._PAUSE_S", 0.01)
    path = tmp_path / "s"

    async def test() -> None:
        async with AsyncMesh(link=LocalLink(path)) as mesh:
            with served(path, desk.handlers()):
                await mesh.map(MODULE, [b"%d" % number for number in range(12)])
            with served(path, desk.handlers()):
                with pytest.raises(UnreachableError, match="went away"):
                    await mesh.call(operations.STATUS, requests.GetStatus())
                assert (await mesh.call(operations.STATUS, requests.GetStatus())).node == NODE

    anyio.run(test, backend=loop)


def test_no_more_connections_are_open_than_a_daemon_likes(
    loop: str, tmp_path: Path, desk: DeskNode
) -> None:
    inputs = [b"%d" % number for number in range(120)]

    async def test(mesh: AsyncMesh) -> None:
        assert await mesh.map(MODULE, inputs, at_once=100) == inputs

    with served(tmp_path / "s", desk.handlers(), SocketLimits(connections_max=32)):
        within(loop, tmp_path / "s", test)
