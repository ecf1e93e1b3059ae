"""The blocking client of the local socket; starts in milliseconds, so it imports almost nothing."""

import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

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
from ambientd.api.operation import DEADLINE_MS, Failure, Operation, OperationError
from ambientd.api.peer_user import check_daemon
from ambientd.config.places import check_runtime_dir
from ambientd.errors import RemoteProtocolError, UnreachableError

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

CONNECT_TIMEOUT_S = 5.0
SLOW_S = 3.0
"""After so long without an answer whoever waits is told; most answers take milliseconds."""
AGAIN_S = 9.0
_LEAST_S = 0.1
_GRACE_S = 5.0
_ROOM_AFTER_S = 0.02
START_S = 5.0
"""How long a daemon is waited for that holds its folder and does not answer yet."""

LOOK_AGAIN_S = 0.1
_CHUNK_BYTES = 256 * 1024


class Client:
    """One connection to a daemon's local socket, opened with the first call.

    `on_slow` is called now and then while an answer that should be there is not.
    """

    def __init__(
        self,
        path: Path,
        data_dir: Path | None = None,
        on_slow: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._data_dir = data_dir if data_dir is not None else path.parent
        self._on_slow = on_slow
        self.on_sent: Callable[[int, int], None] = lambda _sent, _size: None
        """Told of each part of a request that was taken: how much is sent by then, of how much."""
        self._socket: socket.socket | None = None
        self._calls = 0

    def call(self, operation: Operation[Q, R], request: Q, timeout_s: float | None = None) -> R:
        """Ask for one operation and give its answer.

        Raises:
            OperationError: the node refuses; its code and hint say why and what to do.
            UnreachableError: no daemon answers there, or not in time.
        """
        _, reply = self._ask(operation, request, timeout_s)
        return read(reply.body, operation.response)

    def stream(self, operation: Operation[Q, R], request: Q) -> Iterator[R]:
        """Give each item as it comes; waits without limit, `close` from elsewhere ends it."""
        connection, reply = self._ask(operation, request, None)
        while reply.kind is ReplyKind.ITEM:
            yield read(reply.body, operation.response)
            # Never a new connection, on which nothing was asked: whoever closed this one is done.
            reply = self._receive(connection)

    def close(self) -> None:
        """Leave; the daemon stops what it still does for this caller."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes a reader in another thread
            connection.close()

    def __enter__(self) -> "Client":
        """Use the connection for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.close()

    def _ask(
        self, operation: Operation[Any, Any], request: msgspec.Struct, timeout_s: float | None
    ) -> tuple[socket.socket, ReplyFrame]:
        self._calls += 1
        frame = RequestFrame(id=self._calls, op=operation.name, body=body_of(request))
        try:
            data = pack(frame)
        except RemoteProtocolError as error:
            raise OperationError(
                "too_large", str(error), "send a smaller module or input"
            ) from None
        connection = self._connected()
        patience_s = operation.deadline_ms / 1000 if timeout_s is None else timeout_s
        connection.settimeout(None if operation.streaming else patience_s + _GRACE_S)
        try:
            self._send(connection, memoryview(data))
        except ConnectionError:
            pass  # the daemon refused before it read everything: its reason waits to be read
        except OSError as error:
            raise self._lost(error) from error
        if self._on_slow is not None and _is_prompt(operation):
            self._await_first_byte(connection, self._on_slow)
        return connection, self._receive(connection)

    def _send(self, connection: socket.socket, data: memoryview) -> None:
        for start in range(0, len(data), _CHUNK_BYTES):
            connection.sendall(data[start : start + _CHUNK_BYTES])
            self.on_sent(min(start + _CHUNK_BYTES, len(data)), len(data))

    @staticmethod
    def _await_first_byte(connection: socket.socket, on_slow: Callable[[], None]) -> None:
        """Say that the answer is late; what goes wrong meanwhile is for `_receive` to tell."""
        patience_s = connection.gettimeout() or 0.0
        until, wait_s = time.monotonic() + patience_s, SLOW_S
        with suppress(OSError):
            while (left_s := until - time.monotonic()) > 0:
                connection.settimeout(min(wait_s, left_s))
                try:
                    connection.recv(1, socket.MSG_PEEK)
                    break
                except TimeoutError:
                    on_slow()
                wait_s = AGAIN_S
        connection.settimeout(max(until - time.monotonic(), _LEAST_S))

    def _receive(self, connection: socket.socket) -> ReplyFrame:
        try:
            size = frame_size(_exactly(connection, LENGTH_BYTES))
            reply = read(_exactly(connection, size), ReplyFrame)
        except RemoteProtocolError as error:
            self.close()
            msg = f"what answers at {self._path} is no ambientd of this version: {error}"
            raise UnreachableError(msg) from error
        except OSError as error:
            raise self._lost(error) from error
        if reply.kind is ReplyKind.ERROR:
            failure = read(reply.body, Failure)
            raise OperationError(failure.code, failure.message, failure.hint)
        if reply.id != self._calls:
            self.close()
            msg = f"the daemon at {self._path} answered another call; try again"
            raise UnreachableError(msg)
        return reply

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(CONNECT_TIMEOUT_S)
            try:
                self._reach(connection)
            except OSError as error:
                connection.close()
                raise self._unreachable(error) from error
            except UnreachableError:
                connection.close()
                raise
            self._socket = connection
        return self._socket

    def _reach(self, connection: socket.socket) -> None:
        """Connect; wait for room where many others ask at once, and for a daemon that starts."""
        begun = time.monotonic()
        while True:
            try:
                connection.connect(str(self._path))
                check_runtime_dir(self._path)
                check_daemon(connection, self._path)
            except BlockingIOError:
                if time.monotonic() >= begun + CONNECT_TIMEOUT_S:
                    raise
                time.sleep(_ROOM_AFTER_S)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() >= begun + START_S or starter_of(self._data_dir) is None:
                    raise
                time.sleep(LOOK_AGAIN_S)
            else:
                return

    def _unreachable(self, error: OSError) -> UnreachableError:
        if isinstance(error, PermissionError):
            todo = "run as the daemon's user or as root"
        elif isinstance(error, BlockingIOError):
            todo = "too many others ask it at once: try again"
        else:
            todo = how_to_reach(self._data_dir, "--data-dir or AMBIENT_DATA_DIR")
        reason = "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return UnreachableError(f"no daemon answers at {self._path} ({reason}); {todo}")

    def _lost(self, error: OSError) -> UnreachableError:
        self.close()
        if isinstance(error, TimeoutError):
            msg = f"the daemon at {self._path} did not answer in time; its log may say why"
        else:
            msg = f"the daemon at {self._path} went away ({error}); its log may say why"
        return UnreachableError(msg)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(_CHUNK_BYTES, size - len(data)))
        if not chunk:
            raise ConnectionResetError("the daemon closed the connection")
        data += chunk
    return bytes(data)


def starter_of(data_dir: Path) -> str | None:
    """Name the process that holds a folder, such as a daemon that starts; None when nobody does."""
    from ambientd.adapters.data_dir import living_holder_of

    return living_holder_of(data_dir)


def how_to_reach(data_dir: Path, named_with: str) -> str:
    """Say what to do where no daemon of this folder answers: start it, or name another folder."""
    try:
        is_nodes = (data_dir / "config.toml").is_file()
    except PermissionError:
        is_nodes = True  # only its daemon's user may tell
    if is_nodes and (starter := starter_of(data_dir)) is not None:
        return (
            f"{starter} holds {data_dir} and does not answer yet, as while a daemon starts: "
            "start no other, and try again soon"
        )
    if is_nodes:
        folder = shlex.quote(str(data_dir))
        return f"is ambientd running? start it with: ambientd --data-dir {folder}"
    below = min(data_dir.glob("*/config.toml"), default=None)
    if below is not None:
        todo = f"name a node's folder in it with {named_with}, such as {below.parent}"
    else:
        making = "`ambientctl cluster create`, `ambientctl join`"
        todo = f"name one with {named_with}, or make one: {making}"
    return f"{data_dir} is no node's folder: {todo}"


def _is_prompt(operation: Operation[Any, Any]) -> bool:
    """Tell whether an answer is due at once: not of what waits for something, or writes much."""
    return operation.deadline_ms <= DEADLINE_MS and not operation.streaming
