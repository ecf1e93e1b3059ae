"""The blocking client against a real socket, and what it costs to start it."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ambientd.adapters.data_dir import DataDir
from ambientd.api import frames, naming, operations, replies, requests
from ambientd.api.client import Client
from ambientd.errors import UnreachableError
from tests.fakes.desk_node import NODE, DeskNode, served

pytestmark = pytest.mark.net


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def answering(path: Path, data: bytes) -> threading.Thread:
    """Answer one connection with fixed bytes, whatever it asks."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def answer() -> None:
        with listening, listening.accept()[0] as caller:
            caller.recv(65536)
            caller.sendall(data)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_calls_give_typed_answers(path: Path) -> None:
    with served(path, DeskNode().handlers()), Client(path) as client:
        assert client.call(operations.STATUS, requests.GetStatus()).node == NODE
        assert client.call(operations.PING, requests.Ping()).version == "0"


def test_a_refusal_carries_code_and_hint(path: Path) -> None:
    with served(path, DeskNode().handlers()), Client(path) as client:
        with pytest.raises(operations.OperationError) as refusal:
            client.call(operations.TASK_SHOW, requests.ShowTask(task="abcd"))
        assert refusal.value.code == "not_found"
        assert "task list" in str(refusal.value)
        assert client.call(operations.PING, requests.Ping()).version == "0"


def test_a_stream_ends_with_its_last_item(path: Path) -> None:
    with served(path, DeskNode().handlers()), Client(path) as client:
        events = list(client.stream(operations.EVENTS, requests.FollowEvents()))
        assert [event.kind for event in events] == ["task_assigned"]
        assert client.call(operations.PING, requests.Ping()).version == "0"


def test_closing_from_another_thread_ends_a_stream(path: Path) -> None:
    with served(path, DeskNode().handlers()):
        client = Client(path)
        stream = client.stream(operations.EVENTS, requests.FollowEvents(tasks=("ab",)))
        next(stream)
        threading.Timer(0.05, client.close).start()
        with pytest.raises(UnreachableError):
            next(stream)


def test_closing_between_two_items_ends_a_stream(path: Path) -> None:
    with served(path, DeskNode().handlers()):
        client = Client(path)
        stream = client.stream(operations.EVENTS, requests.FollowEvents(tasks=("ab",)))
        next(stream)
        client.close()
        with pytest.raises(UnreachableError):
            next(stream)


def test_no_daemon_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    client = Client(tmp_path / "s", tmp_path)
    with pytest.raises(UnreachableError, match="is ambientd running") as error:
        client.call(operations.PING, requests.Ping())
    assert f"ambientd --data-dir {tmp_path}" in str(error.value)


def test_a_daemon_that_starts_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with DataDir(tmp_path), ExitStack() as stack:
        later = threading.Timer(
            0.3, lambda: stack.enter_context(served(path, DeskNode().handlers()))
        )
        later.start()
        with Client(path) as client:
            assert client.call(operations.PING, requests.Ping()).version == "0"
        later.join()


def test_who_holds_the_folder_and_does_not_answer_is_named_and_no_second_start_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambientd.api.client.START_S", 0.0)
    (tmp_path / "config.toml").touch()
    with DataDir(tmp_path), pytest.raises(UnreachableError) as error:
        Client(tmp_path / "s", tmp_path).call(operations.PING, requests.Ping())
    assert f"process {os.getpid()} holds {tmp_path}" in str(error.value)
    assert "start no other" in str(error.value)
    assert "start it with" not in str(error.value)


def test_a_folder_whose_daemon_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    with DataDir(tmp_path):
        pass  # its number stays in the lock
    (tmp_path / "config.toml").touch()
    with pytest.raises(UnreachableError, match="start it with"):
        Client(tmp_path / "s", tmp_path).call(operations.PING, requests.Ping())


def test_a_clusters_folder_names_a_nodes_folder_in_it(tmp_path: Path) -> None:
    for name in ("node2", "node1", "proofs"):
        (tmp_path / name).mkdir()
    (tmp_path / "node1/config.toml").touch()
    (tmp_path / "node2/config.toml").touch()
    with pytest.raises(UnreachableError, match="is no node's folder") as error:
        Client(tmp_path / "s", tmp_path).call(operations.PING, requests.Ping())
    assert str(error.value).endswith(f"such as {tmp_path / 'node1'}")


def test_a_dead_daemons_socket_is_unreachable(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(UnreachableError, match="refused"):
        Client(path).call(operations.PING, requests.Ping())


def test_a_daemon_that_many_ask_at_once_is_waited_for(path: Path) -> None:
    waiting = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with suppress(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(path))

        def serve() -> None:
            for _ in waiting:  # the last of them is the client's: it came to no place before
                busy.accept()[0].close()

        later = threading.Timer(0.1, serve)
        later.start()
        with pytest.raises(UnreachableError, match="went away"):
            Client(path).call(operations.PING, requests.Ping())
        later.join()
    for each in waiting:
        each.close()


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\3abc"])
def test_what_is_no_daemon_is_unreachable_not_a_traceback(path: Path, data: bytes) -> None:
    thread = answering(path, data)
    with pytest.raises(UnreachableError):
        Client(path).call(operations.PING, requests.Ping())
    thread.join()


def test_an_answer_to_another_call_is_not_taken(path: Path) -> None:
    pong = frames.body_of(replies.Pong(version="0", now_ms=0))
    answer = frames.ReplyFrame(id=9, kind=frames.ReplyKind.DONE, body=pong)
    thread = answering(path, frames.pack(answer))
    with pytest.raises(UnreachableError, match="another call"):
        Client(path).call(operations.PING, requests.Ping())
    thread.join()


def test_a_request_too_large_is_refused_here(path: Path) -> None:
    with served(path, DeskNode().handlers()), Client(path) as client:
        huge = requests.SubmitTask(module=bytes(frames.FRAME_BYTES_MAX))
        with pytest.raises(operations.OperationError, match="at most"):
            client.call(operations.TASK_SUBMIT, huge)


def test_a_large_request_and_answer_pass(path: Path) -> None:
    with served(path, DeskNode().handlers()), Client(path) as client:
        data = bytes(range(256)) * 40_000
        request = requests.SubmitTask(module=b"\0asm\1\0\0\0", input=data)
        task = client.call(operations.TASK_SUBMIT, request).task_id
        assert client.call(operations.TASK_OUTPUT, requests.GetOutput(task=task)).data == data


def test_starting_the_client_imports_no_heavy_library() -> None:
    code = (
        "import sys; import ambientd.api.client, ambientd.cli.dispatch, ambientd.cli.node_commands;"
        "print([m for m in ('trio', 'libp2p', 'wasmtime', 'nacl', 'structlog', 'rich', 'tomllib',"
        " 'asyncio', 'json', 'logging', 'dataclasses', 'embit') if m in sys.modules])"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("prefix", "found"), [("aaaa", "aaaa11"), ("AAAA1", "aaaa11"), ("aaab", "aaab22")]
)
def test_an_unambiguous_start_of_an_id_is_enough(prefix: str, found: str) -> None:
    assert naming.match_id(prefix, ["aaaa11", "aaab22", "aaab22"]) == found


@pytest.mark.parametrize(
    ("prefix", "code"), [("aaa", "invalid"), ("zzzz", "invalid"), ("abcd", "ambiguous")]
)
def test_an_unclear_id_is_refused(prefix: str, code: str) -> None:
    with pytest.raises(operations.OperationError) as refusal:
        naming.match_id(prefix, ["abcd1", "abcd2"])
    assert refusal.value.code == code


NAMED = {"aaaa11": "attic", "aaab22": "cellar", "bbbb33": "aaaa"} | dict.fromkeys(
    ("cccc44", "dddd55"), "twin"
)


@pytest.mark.parametrize(
    ("text", "found"),
    [("attic", "aaaa11"), ("AAAB", "aaab22"), ("bbbb33", "bbbb33"), ("cccc", "cccc44")],
)
def test_a_node_is_named_as_its_owner_does_or_by_the_start_of_its_id(text: str, found: str) -> None:
    assert naming.match_node(text, NAMED) == found


@pytest.mark.parametrize(
    ("text", "code"),
    [("twin", "ambiguous"), ("aaaa", "ambiguous"), ("aaa", "not_found"), ("", "not_found")],
)
def test_a_node_is_never_guessed(text: str, code: str) -> None:
    with pytest.raises(operations.OperationError) as refusal:
        naming.match_node(text, NAMED)
    assert refusal.value.code == code
    if code == "ambiguous" and text == "twin":
        assert "twin cccc44, twin dddd55" in str(refusal.value)
