"""One HTTP/1.1 connection by h11 over trio; whoever is at the other end is taken as hostile.

Heads are bounded by size and deadline, bodies by the reader's cap and a least rate, answers by a
deadline a piece: what stands still ends the connection, never the node.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import h11
import trio

from ambientd.ports.http import BodyTooLargeError, CallerGoneError, HttpAnswer

Stream = trio.SocketStream | trio.SSLStream

_READ_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024
_DRAIN_BYTES = 1024 * 1024
_DRAIN_S = 1.0
_TELLS_OF_A_BODY = frozenset({b"content-length", b"transfer-encoding"})
_CRUMBS_MAX = 128
_CHUNK_BYTES_LEAST = 64
"""A body's chunks have as many bytes at the mean, beside some: to take one costs as much as 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one caller, and all of them together, may take."""

    connections_max: int = 256
    connections_per_address_max: int = 64
    head_bytes_max: int = 16 * 1024
    handshake_s: float = 10.0
    head_s: float = 30.0
    """From an answer, or the connection's start, to the end of the next request's head."""
    body_grace_s: float = 15.0
    body_bytes_a_second: int = 16 * 1024
    """A body must be there after the grace, and its size at this rate."""
    piece_s: float = 20.0
    """To take in one piece of an answer."""


class Connection:
    """One connection's state machine; it is the body of the request that is being answered."""

    def __init__(self, stream: Stream, limits: ServerLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes_max)
        self.head = h11.Request(method="GET", target="/", headers=[("host", "")])

    async def next_request(self) -> bool:
        """Read the next head; nothing when the caller leaves, or cannot go on."""
        if self._h11.our_state is h11.DONE:
            if self._h11.their_state is not h11.DONE:
                await self._drain()
                return False
            self._h11.start_next_cycle()
        elif self._h11.our_state is not h11.IDLE:
            await self._drain()
            return False
        try:
            with within(self._limits.head_s):
                event = await self._next_event()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            raise
        if not isinstance(event, h11.Request):
            return False
        told = {name for name, _ in event.headers} & _TELLS_OF_A_BODY
        if len(told) > 1:  # whoever stands between may believe the one, and we the other
            await self._refuse(400)
            return False
        self.head = event
        if not told:
            self._h11.next_event()  # its end, which is there at once
        return True

    async def _refuse(self, status: int) -> None:
        """Say that a head cannot be read."""
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._write(
                h11.Response(
                    status_code=status, headers=[("connection", "close"), ("content-length", "0")]
                )
            )
            await self._write(h11.EndOfMessage())
            await self._drain()

    async def _next_event(self) -> object:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._stream.receive_some(_READ_BYTES))

    async def chunks(self, size_bytes_max: int) -> AsyncGenerator[bytes, None]:
        """Give the body as it comes, within its cap and its least rate."""
        declared = next((v for n, v in self.head.headers if n == b"content-length"), b"0")
        if int(declared) > size_bytes_max:
            raise BodyTooLargeError
        begun_s, size, pieces = trio.current_time(), 0, 0
        while self._h11.their_state is h11.SEND_BODY:
            late_s = begun_s + self._limits.body_grace_s + size / self._limits.body_bytes_a_second
            try:
                with within(late_s - trio.current_time()):
                    event = await self._next_event()
            except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
                raise CallerGoneError from error
            if not isinstance(event, h11.Data):
                if isinstance(event, h11.EndOfMessage):
                    return
                raise CallerGoneError
            size += len(event.data)
            if size > size_bytes_max:
                raise BodyTooLargeError
            pieces += event.chunk_end
            if pieces > _CRUMBS_MAX + size // _CHUNK_BYTES_LEAST:
                raise CallerGoneError
            yield bytes(event.data)
            await trio.lowlevel.checkpoint()  # thousands of chunks may be here already

    @asynccontextmanager
    async def caller_stays(self) -> AsyncIterator[None]:
        """Cancel the block when the caller leaves."""
        is_done = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                yield
                is_done = True
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:  # the nursery's wrapping is nobody's affair
                raise group.exceptions[0] from None
            raise
        if not is_done:
            raise CallerGoneError

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Cancel a scope when nobody is there; bytes that come early are kept for later."""
        with suppress(h11.RemoteProtocolError, trio.BrokenResourceError):
            while self._h11.their_state is h11.SEND_BODY:
                await self._next_event()
            if self._h11.trailing_data[0]:
                return
            early = await self._stream.receive_some(_READ_BYTES)
            self._h11.receive_data(early)
            if early:
                return
        scope.cancel()

    async def send(self, answer: HttpAnswer) -> None:
        """Send an answer; one that comes in pieces ends when the caller leaves."""
        headers = list(answer.headers)
        whole = answer.body if isinstance(answer.body, bytes) else None
        if whole is not None:
            headers.append(("content-length", str(len(whole))))
        if self._h11.their_state is h11.SEND_BODY:  # what is left of the request is not read
            headers.append(("connection", "close"))
        head = h11.Response(status_code=answer.status, headers=headers)
        if whole is not None and len(whole) <= _PIECE_BYTES:  # one packet instead of two
            parts = [head, h11.Data(data=whole), h11.EndOfMessage()]
            if self.head.method == b"HEAD":
                del parts[1]
            await self._write(*parts)
            return
        await self._write(head)
        if self.head.method != b"HEAD":
            await self._send_pieces(answer.body)
        await self._write(h11.EndOfMessage())

    async def _send_pieces(self, body: bytes | AsyncGenerator[bytes, None]) -> None:
        if isinstance(body, bytes):
            view = memoryview(body)
            for start in range(0, len(view), _PIECE_BYTES):
                await self._write(h11.Data(data=bytes(view[start : start + _PIECE_BYTES])))
            return
        async with aclosing(body), self.caller_stays():
            async for piece in body:
                await self._write(h11.Data(data=piece))

    async def _write(self, *events: h11.Event) -> None:
        data = b"".join(self._h11.send(event) or b"" for event in events)
        if not data:
            return
        with within(self._limits.piece_s):
            await self._stream.send_all(data)

    async def _drain(self) -> None:
        """Let a caller that still sends read its answer: closing at once would take it away."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            with trio.move_on_after(_DRAIN_S):
                if isinstance(self._stream, trio.SocketStream):
                    await self._stream.send_eof()
                size = 0
                while size < _DRAIN_BYTES and (
                    data := await self._stream.receive_some(_READ_BYTES)
                ):
                    size += len(data)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give up on a caller that is too slow."""
    with trio.move_on_after(max(0.0, seconds)) as scope:
        yield
    if scope.cancelled_caught:
        raise CallerGoneError
