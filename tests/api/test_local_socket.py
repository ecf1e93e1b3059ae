"""The local socket against real connections, friendly and hostile."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from ambientd.api import frames, operations, replies, requests
from ambientd.api.answering import Handler
from ambientd.api.local_socket import LocalSocket, SocketLimits, serve_local_socket
from ambientd.api.socket_file import open_socket
from ambientd.errors import ConfigError, StoreError
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net


@asynccontextmanager
async def serving(
    path: Path, handlers: Mapping[str, Handler], limits: SocketLimits | None = None
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_local_socket, path, handlers, limits)
        yield
        nursery.cancel_scope.cancel()


def frame(op: str, body: msgspec.Struct | None = None, call: int = 1) -> bytes:
    return frames.pack(frames.RequestFrame(id=call, op=op, body=frames.body_of(body)))


async def receive(stream: trio.SocketStream) -> frames.ReplyFrame | None:
    data = b""
    size = 4
    while len(data) < size:
        chunk = await stream.receive_some(size - len(data))
        if not chunk:
            return None
        data += chunk
        if len(data) == 4:
            size += int.from_bytes(data, "big")
    return frames.read(data[4:], frames.ReplyFrame)


async def ask(path: Path, data: bytes) -> frames.ReplyFrame | None:
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(data)
        return await receive(stream)


def failure(reply: frames.ReplyFrame | None) -> operations.Failure:
    assert reply is not None
    assert reply.kind is frames.ReplyKind.ERROR
    return frames.read(reply.body, operations.Failure)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_a_call_gets_the_answer_of_its_handler(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        reply = await ask(path, frame("status", requests.GetStatus(), call=7))
        assert reply is not None
        assert (reply.id, reply.kind) == (7, frames.ReplyKind.DONE)
        assert frames.read(reply.body, replies.Status).committed_height == 41


async def test_one_connection_serves_many_calls(path: Path) -> None:
    async with (
        serving(path, DeskNode().handlers()),
        await trio.open_unix_socket(str(path)) as stream,
    ):
        for call in range(5):
            await stream.send_all(frame("ping", requests.Ping(), call))
            reply = await receive(stream)
            assert reply is not None
            assert reply.id == call


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\5hello",
        b"\0\0\0\1\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\3\x93\1\2",
        (10).to_bytes(4, "big") + msgspec.msgpack.encode(["x"] * 9),
        (2).to_bytes(4, "big") + b"\x91" * 2,
        (60_000).to_bytes(4, "big") + b"\x91" * 60_000,
    ],
)
async def test_garbage_ends_its_own_connection_and_nothing_else(path: Path, data: bytes) -> None:
    async with serving(path, DeskNode().handlers()):
        assert failure(await ask(path, data)).code == "protocol"
        reply = await ask(path, frame("ping"))
        assert reply is not None
        assert reply.kind is frames.ReplyKind.DONE


async def test_a_frame_cut_short_is_no_harm(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        for cut in (1, 3, 4, 6, 10):
            async with await trio.open_unix_socket(str(path)) as stream:
                await stream.send_all(frame("ping")[:cut])
        assert (await ask(path, frame("ping"))) is not None


async def test_a_slow_writer_is_dropped_at_the_deadline(path: Path) -> None:
    limits = SocketLimits(frame_deadline_s=0.05)
    async with serving(path, DeskNode().handlers(), limits):
        complaint = failure(await ask(path, frame("ping")[:6]))
        assert "did not arrive within" in complaint.message


async def test_a_silent_caller_is_dropped_at_the_deadline(path: Path) -> None:
    async with (
        serving(path, DeskNode().handlers(), SocketLimits(idle_deadline_s=0.05)),
        await trio.open_unix_socket(str(path)) as stream,
    ):
        assert await receive(stream) is None


async def test_a_caller_that_does_not_read_is_dropped(path: Path) -> None:
    ended = trio.Event()

    async def flood(request: requests.FollowEvents) -> AsyncIterator[replies.Event]:
        try:
            while True:
                yield replies.Event(time_ms=0, kind="x", text="y" * 60_000, fields={})
        finally:
            ended.set()

    async with (
        serving(path, {"events": flood}, SocketLimits(frame_deadline_s=0.1)),
        await trio.open_unix_socket(str(path)) as stream,
    ):
        await stream.send_all(frame("events", requests.FollowEvents()))
        with trio.fail_after(60):
            await ended.wait()


async def test_more_connections_than_allowed_are_refused_with_a_reason(path: Path) -> None:
    async with serving(path, DeskNode().handlers(), SocketLimits(connections_max=1)):
        async with await trio.open_unix_socket(str(path)) as first:
            await first.send_all(frame("ping"))
            await receive(first)
            assert failure(await ask(path, frame("ping"))).code == "busy"
            await first.send_all(frame("ping"))
            assert (await receive(first)) is not None
        with trio.fail_after(60):  # the place is free again
            while (await _kind(path)) is not frames.ReplyKind.DONE:
                pass


async def _kind(path: Path) -> frames.ReplyKind:
    reply = await ask(path, frame("ping"))
    assert reply is not None
    return reply.kind


async def test_a_call_sent_before_the_answer_is_kept_for_later(path: Path) -> None:
    async with serving(path, DeskNode().handlers()), await trio.open_unix_socket(str(path)) as both:
        await both.send_all(b"".join(frame("ping", call=call) for call in range(20)))
        for call in range(20):
            reply = await receive(both)
            assert reply is not None
            assert reply.id == call


async def test_an_unknown_operation_is_refused_and_the_connection_goes_on(path: Path) -> None:
    async with (
        serving(path, DeskNode().handlers()),
        await trio.open_unix_socket(str(path)) as stream,
    ):
        await stream.send_all(frame("task.explode"))
        assert failure(await receive(stream)).code == "unknown_operation"
        await stream.send_all(frame("ping"))
        reply = await receive(stream)
        assert reply is not None
        assert reply.kind is frames.ReplyKind.DONE


async def test_a_request_with_wrong_fields_is_refused(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        wrong = requests.WaitForTask(task="ab", timeout_ms=-1)
        assert "timeout_ms" in failure(await ask(path, frame("task.wait", wrong))).message
        extra = replies.Pong(version="0", now_ms=0)
        assert failure(await ask(path, frame("ping", extra))).code == "malformed"


async def test_errors_of_a_handler_reach_the_caller_by_their_kind(path: Path) -> None:
    async def full(request: requests.Ping) -> replies.Pong:
        raise StoreError("the disk is full")

    async def wrapped(request: requests.GetStatus) -> replies.Status:
        raise ExceptionGroup("nursery", [operations.OperationError("busy", "later", "wait")])

    async def bug(request: requests.ListNodes) -> replies.Nodes:
        raise KeyError("secret detail")

    async with serving(path, {"ping": full, "status": wrapped, "nodes": bug}):
        assert failure(await ask(path, frame("ping"))).code == "store"
        assert failure(await ask(path, frame("status"))).hint == "wait"
        complaint = failure(await ask(path, frame("nodes")))
        assert complaint.code == "internal"
        assert "secret" not in complaint.message
        assert failure(await ask(path, frame("ping"))).code == "store"


async def test_a_stream_gives_items_and_an_end(path: Path) -> None:
    async with (
        serving(path, DeskNode().handlers()),
        await trio.open_unix_socket(str(path)) as stream,
    ):
        await stream.send_all(frame("events", requests.FollowEvents()))
        first, last = await receive(stream), await receive(stream)
        assert first is not None
        assert last is not None
        assert (first.kind, last.kind) == (frames.ReplyKind.ITEM, frames.ReplyKind.DONE)


async def test_an_answer_nobody_waits_for_is_cancelled(path: Path) -> None:
    node = DeskNode()
    async with serving(path, node.handlers()):
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(frame("events", requests.FollowEvents(tasks=("ab",))))
            await receive(stream)
            await node.entered.wait()
        with trio.fail_after(60):
            await node.cancelled.wait()


async def test_a_reply_too_large_for_a_frame_is_an_error_not_a_crash(path: Path) -> None:
    async def huge(request: requests.GetOutput) -> replies.Output:
        return replies.Output(task_id="", data=bytes(frames.FRAME_BYTES_MAX), sha256="")

    async with serving(path, {"task.output": huge}):
        complaint = failure(await ask(path, frame("task.output", requests.GetOutput(task="ab"))))
        assert "a frame holds at most" in complaint.message


async def test_the_socket_is_for_its_owner_alone_and_goes_away(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not path.exists()


async def test_the_socket_of_a_dead_daemon_is_taken_over(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with serving(path, DeskNode().handlers()):
        assert (await ask(path, frame("ping"))) is not None


async def test_a_live_daemon_keeps_its_socket(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        with pytest.raises(ConfigError, match="another ambientd answers there"):
            open_socket(path)
        assert (await ask(path, frame("ping"))) is not None


def test_a_file_that_is_no_socket_is_never_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="in the way"):
        open_socket(path)
    assert path.read_text() == "precious"


def test_a_socket_in_a_missing_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot open the local socket"):
        open_socket(tmp_path / "no" / "s")


async def test_a_successors_socket_is_left_alone(path: Path) -> None:
    async with serving(path, DeskNode().handlers()):
        path.unlink()
        successor = open_socket(path)
    assert path.exists()
    successor.close()


def test_handlers_outside_the_table_are_a_bug() -> None:
    with pytest.raises(ValueError, match=r"task\.explode"):
        LocalSocket({"task.explode": DeskNode().ping}, SocketLimits())
