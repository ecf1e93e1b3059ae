"""Ways to a daemon: each asks for one operation of the table and gives its answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
import msgspec
from anyio.abc import SocketAttribute, SocketStream

from ambientd.api.client import LOOK_AGAIN_S, START_S, how_to_reach, starter_of
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
from ambientd.api.operations import Failure, Operation, OperationError
from ambientd.api.peer_user import check_daemon
from ambientd.config.places import check_runtime_dir
from ambientd.errors import RemoteProtocolError, UnreachableError

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

GRACE_S = 5.0
_PASSING = frozenset({"busy", "timeout", "unavailable", "under_way"})
CONNECTIONS_MAX = 32
"""A daemon serves 64 callers; a program leaves room for others."""


class Link(Protocol):
    """A way to one daemon, for many calls side by side."""

    async def call(self, operation: Operation[Q, R], request: Q, key: str = "") -> R:
        """Ask for one operation and give its answer; under a key it is done once.

        Raises:
            OperationError: the node refuses; its code and hint say why and what to do.
            UnreachableError: no daemon answers there, or not in time.
        """
        ...

    async def aclose(self) -> None:
        """Leave; the daemon stops what it still does for this caller."""
        ...


class LocalLink:
    """The daemon's local socket; a connection for each call under way, kept for the next one."""

    def __init__(self, path: Path, data_dir: Path | None = None) -> None:
        self._path = path
        self._data_dir = data_dir
        self._idle: list[SocketStream] = []
        self._room = anyio.Semaphore(CONNECTIONS_MAX)
        self._is_closed = False

    async def call(self, operation: Operation[Q, R], request: Q, key: str = "") -> R:
        """Ask over a connection that nobody else uses meanwhile."""
        frame = pack(RequestFrame(id=1, op=operation.name, body=body_of(request), key=key))
        async with self._connection() as stream:
            try:
                with anyio.fail_after(operation.deadline_ms / 1000 + GRACE_S):
                    reply = await self._exchanged(stream, frame)
            except TimeoutError as error:
                msg = f"the daemon at {self._path} did not answer in time; its log may say why"
                raise UnreachableError(msg) from error
        if reply.kind is ReplyKind.ERROR:
            failure = read(reply.body, Failure)
            raise OperationError(failure.code, failure.message, failure.hint)
        return read(reply.body, operation.response)

    async def aclose(self) -> None:
        """Close the connections that wait for a call, and the others after theirs."""
        self._is_closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[SocketStream]:
        """Give a connection; one whose call did not end as it should is not used again."""
        async with self._room:
            stream = self._idle.pop() if self._idle else await self._connected()
            try:
                yield stream
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
            if self._is_closed:
                await stream.aclose()
            else:
                self._idle.append(stream)

    async def _connected(self) -> SocketStream:
        try:
            return await self._reached()
        except OSError as error:
            reason = error.strerror or str(error)
            todo = "is ambientd running?"
            if self._data_dir is not None:
                todo = how_to_reach(self._data_dir, "`data_dir` or AMBIENT_DATA_DIR")
            msg = f"no daemon answers at {self._path} ({reason}); {todo}"
            raise UnreachableError(msg) from error

    async def _reached(self) -> SocketStream:
        """Connect; wait for a daemon that starts."""
        until_s = anyio.current_time() + START_S
        while True:
            try:
                stream = await anyio.connect_unix(self._path)
            except (FileNotFoundError, ConnectionRefusedError):
                is_over = self._data_dir is None or anyio.current_time() >= until_s
                if is_over or starter_of(self._data_dir or self._path.parent) is None:
                    raise
                await anyio.sleep(LOOK_AGAIN_S)
                continue
            try:
                check_runtime_dir(self._path)
                raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django
                check_daemon(raw, self._path)
            except (OSError, UnreachableError):
                await stream.aclose()
                raise
            return stream

    async def _exchanged(self, stream: SocketStream, frame: bytes) -> ReplyFrame:
        try:
            await stream.send(frame)
            size = frame_size(await _exactly(stream, LENGTH_BYTES))
            return read(await _exactly(stream, size), ReplyFrame)
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            await self._close_idle()  # they led to the same daemon, which another may follow
            msg = f"the daemon at {self._path} went away; its log may say why"
            raise UnreachableError(msg) from error
        except RemoteProtocolError as error:
            msg = f"what answers at {self._path} is no ambientd of this version: {error}"
            raise UnreachableError(msg) from error


async def _exactly(stream: SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return bytes(data)


def is_lost(error: Exception) -> bool:
    """Tell whether asking again, for the same thing, may help."""
    if isinstance(error, OperationError):
        return error.code in _PASSING
    return isinstance(error, UnreachableError)
