"""The library for programs without an event loop, and the executor."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.api import replies, requests
from ambientd.client import Mesh, TaskFailedError
from ambientd.client.links import LocalLink
from tests.fakes.desk_node import NODE, DeskNode, served

pytestmark = pytest.mark.net
MODULE = b"\0asm a module"
TRAPPING = b"\0asm trap"
SLOW = b"\0asm slow"


@pytest.fixture
def desk() -> DeskNode:
    return DeskNode()


@pytest.fixture
def mesh(tmp_path: Path, desk: DeskNode) -> Iterator[Mesh]:
    path = tmp_path / "s"
    with served(path, desk.handlers()), Mesh(link=LocalLink(path)) as mesh:
        yield mesh


def test_a_module_runs_in_one_line(mesh: Mesh) -> None:
    assert mesh.run(MODULE, b"hello").output() == b"hello"
    assert mesh.status().node == NODE


def test_failures_come_as_themselves(mesh: Mesh) -> None:
    with pytest.raises(TaskFailedError):
        mesh.run(TRAPPING).output()


def test_many_inputs_give_their_outputs_in_order(mesh: Mesh) -> None:
    inputs = [b"%d" % number for number in range(20)]
    assert mesh.map(MODULE, inputs, at_once=4) == inputs


@pytest.mark.parametrize("at_once", [0, -1])
def test_room_for_no_task_is_refused_instead_of_waited_for(mesh: Mesh, at_once: int) -> None:
    with pytest.raises(ValueError, match=f"at_once is {at_once}"):
        mesh.map(MODULE, [b""], at_once=at_once)
    with pytest.raises(ValueError, match=f"at_once is {at_once}"):
        mesh.executor(at_once=at_once)


def test_several_threads_share_a_mesh(mesh: Mesh) -> None:
    outputs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda each=each: outputs.append(mesh.run(MODULE, each).output()))
        for each in (b"a", b"b", b"c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outputs) == [b"a", b"b", b"c"]


def test_an_executor_takes_modules_where_others_take_functions(mesh: Mesh) -> None:
    with mesh.executor(at_once=3) as executor:
        assert list(executor.map(MODULE, [b"1", b"2", b"3"])) == [b"1", b"2", b"3"]
        futures = [executor.submit(MODULE, b"%d" % number) for number in range(5)]
        assert sorted(future.result(60) for future in as_completed(futures, 60)) == [
            b"%d" % number for number in range(5)
        ]
        assert isinstance(executor.submit(TRAPPING).exception(60), TaskFailedError)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(MODULE, b"")


def test_an_executor_says_at_once_that_it_takes_no_functions(mesh: Mesh) -> None:
    with mesh.executor() as executor:
        with pytest.raises(TypeError, match="executes WebAssembly, not Python"):
            executor.submit(len, b"")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="one input, these are 2"):
            executor.submit(MODULE, b"a", b"b")


def test_leaving_with_an_error_waits_for_nothing(mesh: Mesh, desk: DeskNode) -> None:
    def wait() -> None:
        with suppress(CancelledError, RuntimeError):
            mesh.run(SLOW).output()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    while not desk.tasks:
        mesh.status()
    with pytest.raises(KeyboardInterrupt), mesh:
        raise KeyboardInterrupt
    waiting.join(60)
    assert not waiting.is_alive()


def test_an_executor_left_with_an_error_waits_for_nothing(mesh: Mesh, desk: DeskNode) -> None:
    executor = mesh.executor()
    future = executor.submit(SLOW)
    while not desk.tasks:
        mesh.status()
    with pytest.raises(KeyboardInterrupt), mesh, executor:
        raise KeyboardInterrupt
    with pytest.raises(CancelledError):
        future.result(60)


def test_a_program_that_forgets_to_leave_ends(tmp_path: Path, desk: DeskNode) -> None:
    path = tmp_path / "s"
    program = (
        "from pathlib import Path; from ambientd.client import Mesh; "
        "from ambientd.client.links import LocalLink; "
        f"mesh = Mesh(link=LocalLink(Path({str(path)!r}))); print(mesh.status().node)"
    )
    with served(path, desk.handlers()):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, NODE, "")


def test_a_future_that_is_cancelled_takes_its_task_back(mesh: Mesh, desk: DeskNode) -> None:
    executor = mesh.executor()
    future = executor.submit(SLOW)
    while not desk.tasks:
        mesh.status()
    executor.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        future.result(60)
    mesh.close()
    [(task, _)] = desk.tasks.values()
    assert task.state == "cancelled"


def test_a_future_that_is_cancelled_on_its_way_takes_its_task_back(
    tmp_path: Path, desk: DeskNode
) -> None:
    handlers, entered, left = desk.handlers(), threading.Event(), threading.Event()
    submit: Any = handlers["task.submit"]

    async def slow(request: requests.SubmitTask) -> replies.Submitted:
        answer: replies.Submitted = await submit(request)
        entered.set()
        await trio.to_thread.run_sync(left.wait, 60)
        return answer

    path = tmp_path / "slow"
    with served(path, {**handlers, "task.submit": slow}), Mesh(link=LocalLink(path)) as mesh:
        executor = mesh.executor()
        future = executor.submit(SLOW)
        assert entered.wait(60)
        future.cancel()
        mesh.status()  # the library's loop has heard of it
        left.set()
        executor.shutdown()
    [(task, _)] = desk.tasks.values()
    assert task.state == "cancelled"
