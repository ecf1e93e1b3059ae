"""The server of the local socket: one request at a time a connection.

Whoever may connect is this user or root; still every size, count and time is bounded, and hostile
input ends at most its own connection, so that a broken script cannot take the node down.
"""

import socket
from collections.abc import Awaitable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import structlog
import trio

from ambientd import __version__
from ambientd.api.answering import Handler, failed_inside, failure_of, only_cause, within
from ambientd.api.callers import CALLER
from ambientd.api.frames import (
    LENGTH_BYTES,
    ReplyFrame,
    ReplyKind,
    RequestFrame,
    body_of,
    frame_size,
    pack,
    read,
)
from ambientd.api.misfits import misfit_of
from ambientd.api.operations import OPERATIONS, Failure, Operation, OperationError
from ambientd.api.peer_user import is_root_or_own, peer_user
from ambientd.api.socket_file import SocketFile
from ambientd.api.under_key import KEYED, Keyed, request_hash
from ambientd.codec.digest import sha256
from ambientd.errors import (
    AmbientError,
    RemoteProtocolError,
)

log = structlog.get_logger("ambientd.local_socket")

_BACKLOG = 32
_READ_CHUNK_BYTES = 256 * 1024
_LARGE_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 4


class TaskStatus(Protocol):
    """Where `nursery.start` hears that a service is up."""

    def started(self) -> None:
        """Tell it."""
        ...


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller, and all of them together, may take."""

    connections_max: int = 64
    frame_deadline_s: float = 30.0
    idle_deadline_s: float = 120.0


class _CallerGoneError(Exception):
    """Nobody is there to read what a handler answers."""


class _Caller:
    """One connection; a byte that came while an answer was under way is kept for the next call."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._early = b""

    async def receive_some(self, size: int) -> bytes:
        """Give what is there, at most `size` bytes; nothing when the caller has left."""
        early, self._early = self._early, b""
        return early or bytes(await self.stream.receive_some(size))

    async def receive(self, size: int) -> bytes:
        """Give exactly `size` bytes; memory grows with what really arrives."""
        data = bytearray()
        while len(data) < size:
            chunk = await self.receive_some(min(_READ_CHUNK_BYTES, size - len(data)))
            if not chunk:
                msg = f"the caller left in the middle of a frame ({len(data)} of {size} bytes)"
                raise RemoteProtocolError(msg)
            data += chunk
        return bytes(data)

    async def cancel_when_it_leaves(self, scope: trio.CancelScope) -> None:
        """Cancel an answer that nobody waits for any more."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._early = await self.receive_some(1)
        if not self._early:
            await self.stream.aclose()
            scope.cancel()


class LocalSocket:
    """Answers operations of a table of handlers on a Unix socket."""

    def __init__(self, handlers: Mapping[str, Handler], limits: SocketLimits) -> None:
        unknown = sorted(set(handlers) - set(OPERATIONS))
        if unknown:
            msg = f"handlers for operations that the table does not have: {', '.join(unknown)}"
            raise ValueError(msg)
        self._handlers = handlers
        self._limits = limits
        self._connections = 0
        self._large = trio.Semaphore(_LARGE_AT_ONCE)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer one caller until it leaves, breaks the protocol or is idle for too long."""
        async with stream:
            try:
                self._check_caller(stream)
                CALLER.set(f"user {peer_user(stream.socket)}")
                self._connections += 1
                try:
                    await self._converse(_Caller(stream))
                finally:
                    self._connections -= 1
            except OperationError as error:
                await self._refuse(stream, error)
            except RemoteProtocolError as error:
                log.warning("local caller dropped", reason=str(error))
                await self._refuse(stream, error)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            except Exception:  # supervision: one caller must not end the node
                log.exception("local caller's connection failed")

    def _check_caller(self, stream: trio.SocketStream) -> None:
        user = peer_user(stream.socket)
        if user is not None and not is_root_or_own(user):
            msg = f"user {user} may not drive this node"
            raise OperationError("forbidden", msg, "run as the daemon's user or as root")
        if self._connections >= self._limits.connections_max:
            msg = f"this node already serves {self._connections} local connections"
            raise OperationError("busy", msg, "try again, or raise [api] connections_max")

    async def _refuse(self, stream: trio.SocketStream, error: AmbientError) -> None:
        frame = ReplyFrame(id=0, kind=ReplyKind.ERROR, body=body_of(failure_of(error)))
        with trio.move_on_after(1.0):
            try:
                await stream.send_all(pack(frame))
            except trio.BrokenResourceError:
                return

    async def _converse(self, caller: _Caller) -> None:
        while True:
            first = b""
            with trio.move_on_after(self._limits.idle_deadline_s):
                first = await caller.receive_some(LENGTH_BYTES)
            if not first:
                return
            await self._answer(caller, await self._receive_frame(caller, first))

    async def _receive_frame(self, caller: _Caller, first: bytes) -> RequestFrame:
        with trio.move_on_after(self._limits.frame_deadline_s):
            prefix = first + await caller.receive(LENGTH_BYTES - len(first))
            size = frame_size(prefix)
            if size <= _LARGE_BYTES:
                return read(await caller.receive(size), RequestFrame)
            async with self._large:
                return read(await caller.receive(size), RequestFrame)
        msg = f"a frame did not arrive within {self._limits.frame_deadline_s:g} s"
        raise RemoteProtocolError(msg)

    async def _answer(self, caller: _Caller, frame: RequestFrame) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.cancel_when_it_leaves, nursery.cancel_scope)
            try:
                failure = await self._try(caller, frame)
                if failure is not None:
                    await self._send(caller, frame.id, ReplyKind.ERROR, failure)
            except _CallerGoneError:
                await caller.stream.aclose()
            nursery.cancel_scope.cancel()

    async def _try(self, caller: _Caller, frame: RequestFrame) -> Failure | None:
        try:
            await self._perform(caller, frame)
        except AmbientError as error:
            return failure_of(error)
        except _CallerGoneError:
            raise
        except Exception as error:  # supervision: a bug in one answer, not of the node
            cause = only_cause(error)
            if isinstance(cause, AmbientError):
                return failure_of(cause)
            log.exception("operation failed", operation=frame.op)
            return failed_inside(frame.op)
        return None

    async def _perform(self, caller: _Caller, frame: RequestFrame) -> None:
        operation = OPERATIONS.get(frame.op)
        handler = self._handlers.get(frame.op)
        if operation is None or handler is None:
            known = ", ".join(sorted(self._handlers))
            msg = f"this node knows no operation {frame.op[:64]!r}"
            raise OperationError("unknown_operation", msg, f"it knows {known}")
        request = _fitting(frame.body, operation)
        KEYED.set(await _keyed(frame, request) if frame.key else None)
        answer = handler(request)
        if operation.streaming:
            await self._stream(caller, frame.id, cast("Any", answer))
            return
        response = await within(operation, cast("Awaitable[msgspec.Struct]", answer))
        await self._send(caller, frame.id, ReplyKind.DONE, response)

    async def _stream(self, caller: _Caller, call: int, items: Any) -> None:  # noqa: ANN401
        async with aclosing(items):
            async for item in items:
                await self._send(caller, call, ReplyKind.ITEM, item)
        await self._send(caller, call, ReplyKind.DONE, None)

    async def _send(
        self, caller: _Caller, call: int, kind: ReplyKind, body: msgspec.Struct | None
    ) -> None:
        data = pack(ReplyFrame(id=call, kind=kind, body=body_of(body)))
        with trio.move_on_after(self._limits.frame_deadline_s):
            try:
                await caller.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _CallerGoneError from error
            return
        raise _CallerGoneError


async def serve_local_socket(
    path: Path,
    handlers: Mapping[str, Handler],
    limits: SocketLimits | None = None,
    task_status: TaskStatus = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on a Unix socket until cancelled; raise ConfigError when it cannot be opened.

    `task_status` is told once callers can connect.
    """
    with SocketFile(path) as listening:
        task_status.started()
        await serve_listening(listening, handlers, limits or SocketLimits())


async def serve_listening(
    listening: socket.socket, handlers: Mapping[str, Handler], limits: SocketLimits
) -> None:
    """Answer whoever connects to an open socket, until cancelled."""
    server = LocalSocket(handlers, limits)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    await trio.serve_listeners(server.serve_connection, [listener])


async def _keyed(frame: RequestFrame, request: msgspec.Struct) -> Keyed:
    return Keyed(frame.key, await request_hash(request), sha256(frame.body))


def _fitting(body: msgspec.Raw, operation: Operation[Any, Any]) -> Any:  # noqa: ANN401
    """Decode a request; raise OperationError saying which field does not fit, and what would."""
    try:
        return msgspec.msgpack.decode(body, type=operation.request)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        msg = f"{operation.name} cannot be asked like this: {misfit_of(error)}"
        raise OperationError("malformed", msg, _older(msg)) from None


def _older(misfit: str) -> str:
    """Say what a field that is not known here may come from."""
    if "there is no field" not in misfit:
        return ""
    return f"this daemon is of version {__version__}: does a newer program ask an older daemon?"
