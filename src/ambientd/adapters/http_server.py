"""An HTTP server: connections by number, in all and an address; each is supervised."""

from collections import Counter
from contextlib import suppress
from typing import Any

import h11
import structlog
import trio

from ambientd.adapters.http_addresses import Address, Proxies, address_in, counted
from ambientd.adapters.http_connection import (
    Connection,
    ServerLimits,
    Stream,
    within,
)
from ambientd.ports.http import Answering, Caller, CallerGoneError, Headers, HttpRequest

log = structlog.get_logger("ambientd.http")

FORWARDED_FOR = "x-forwarded-for"
FORWARDED_PROTO = "x-forwarded-proto"
NAME_CHARS_MAX = 64
SCHEMES = ("http", "https")
_TURN_AWAY_S = 1.0
_FULL = b"HTTP/1.1 503 \r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"


class HttpServer:
    """Serves connections; all of them share its limits.

    A trusted proxy may have as many as there are, and says for whom each request is.
    """

    def __init__(
        self, answer: Answering, limits: ServerLimits, proxies: Proxies | None = None
    ) -> None:
        self._answer = answer
        self._limits = limits
        self._proxies = proxies or Proxies(())
        self._connections = 0
        self._addresses: Counter[str] = Counter()

    async def serve_connection(self, stream: Stream) -> None:
        """Answer one caller until it leaves, breaks the protocol or is too slow."""
        peer = _peer_of(stream)
        if peer is None:
            await trio.aclose_forcefully(stream)
            return
        address = counted(peer)
        of_address = 0 if self._proxies.trusts(peer) else self._addresses[address]
        is_full = (
            self._connections >= self._limits.connections_max
            or of_address >= self._limits.connections_per_address_max
        )
        if is_full:
            await self._turn_away(stream)
            return
        self._connections += 1
        self._addresses[address] += 1
        try:
            await self._converse(stream, peer)
        except (h11.RemoteProtocolError, CallerGoneError, trio.BrokenResourceError):
            pass
        except Exception:  # supervision: one caller must not end the node
            log.exception("connection failed", address=address)
        finally:
            self._connections -= 1
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            await trio.aclose_forcefully(stream)

    async def _turn_away(self, stream: Stream) -> None:
        with trio.move_on_after(_TURN_AWAY_S), suppress(trio.BrokenResourceError):
            if isinstance(stream, trio.SocketStream):
                await stream.send_all(_FULL)
        await trio.aclose_forcefully(stream)

    async def _converse(self, stream: Stream, peer: Address) -> None:
        certificate = None
        if isinstance(stream, trio.SSLStream):
            with within(self._limits.handshake_s):
                await stream.do_handshake()
            certificate = _name_in_certificate(stream)
        connection = Connection(stream, self._limits)
        while await connection.next_request():
            await self._serve(connection, peer, certificate)

    async def _serve(
        self, connection: "Connection", peer: Address, certificate: str | None
    ) -> None:
        head = connection.head
        headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
        path, _, query = head.target.decode("ascii").partition("?")
        request = HttpRequest(
            method=head.method.decode("ascii"),
            path=path,
            query=query,
            headers=headers,
            caller=self._caller(peer, certificate, headers),
            upload=connection,
        )
        answer = await self._answer(request)
        try:
            await connection.send(answer)
        finally:
            answer.sent()

    def _caller(self, peer: Address, certificate: str | None, headers: Headers) -> Caller:
        if not self._proxies.trusts(peer):
            return Caller(counted(peer), certificate)
        told = [value for name, value in headers if name == FORWARDED_FOR]
        schemes = [value for name, value in headers if name == FORWARDED_PROTO]
        scheme = ",".join(schemes).rpartition(",")[2].strip().lower()
        address = counted(self._proxies.caller_of(peer, told))
        return Caller(address, certificate, scheme if scheme in SCHEMES else None)


def _peer_of(stream: Stream) -> Address | None:
    plain = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
    assert isinstance(plain, trio.SocketStream), "TLS runs over a socket here"
    try:
        return address_in(plain.socket.getpeername()[0])
    except OSError:
        return None


def _name_in_certificate(stream: trio.SSLStream) -> str | None:
    """Give the one common name of a caller's certificate, which its authority has vouched for."""
    shown = stream.getpeercert()
    subject: Any = shown.get("subject", ()) if isinstance(shown, dict) else ()
    names = [value for part in subject for key, value in part if key == "commonName"]
    is_name = len(names) == 1 and names[0].isprintable() and 0 < len(names[0]) <= NAME_CHARS_MAX
    return names[0] if is_name else None
