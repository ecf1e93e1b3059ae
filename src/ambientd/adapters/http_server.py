"""An HTTP server: connections by number, in all and an address; each is supervised."""

import ipaddress
from collections import Counter
from contextlib import suppress
from typing import Any

import h11
import structlog
import trio

from ambientd.adapters.http_connection import (
    Connection,
    ServerLimits,
    Stream,
    within,
)
from ambientd.ports.http import Answering, Caller, CallerGoneError, HttpRequest

log = structlog.get_logger("ambientd.http")

_TURN_AWAY_S = 1.0
_FULL = b"HTTP/1.1 503 \r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"


class HttpServer:
    """Serves connections; all of them share its limits."""

    def __init__(self, answer: Answering, limits: ServerLimits) -> None:
        self._answer = answer
        self._limits = limits
        self._connections = 0
        self._addresses: Counter[str] = Counter()

    async def serve_connection(self, stream: Stream) -> None:
        """Answer one caller until it leaves, breaks the protocol or is too slow."""
        address = _address_of(stream)
        is_full = (
            self._connections >= self._limits.connections_max
            or self._addresses[address] >= self._limits.connections_per_address_max
        )
        if is_full:
            await self._turn_away(stream)
            return
        self._connections += 1
        self._addresses[address] += 1
        try:
            await self._converse(stream, address)
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

    async def _converse(self, stream: Stream, address: str) -> None:
        certificate = None
        if isinstance(stream, trio.SSLStream):
            with within(self._limits.handshake_s):
                await stream.do_handshake()
            certificate = _name_in_certificate(stream)
        connection = Connection(stream, self._limits)
        caller = Caller(address, certificate)
        while await connection.next_request():
            await self._serve(connection, caller)

    async def _serve(self, connection: "Connection", caller: Caller) -> None:
        head = connection.head
        path, _, query = head.target.decode("ascii").partition("?")
        request = HttpRequest(
            method=head.method.decode("ascii"),
            path=path,
            query=query,
            headers=[
                (name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers
            ],
            caller=caller,
            upload=connection,
        )
        answer = await self._answer(request)
        try:
            await connection.send(answer)
        finally:
            answer.sent()


def _address_of(stream: Stream) -> str:
    """Give what limits count: an IPv4 address, or the /64 that an IPv6 host can choose from."""
    plain = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
    assert isinstance(plain, trio.SocketStream), "TLS runs over a socket here"
    try:
        address = ipaddress.ip_address(plain.socket.getpeername()[0].partition("%")[0])
    except (OSError, ValueError):
        return "gone"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _name_in_certificate(stream: trio.SSLStream) -> str | None:
    """Give the common name of a caller's certificate, which its authority has vouched for."""
    shown = stream.getpeercert()
    subject: Any = shown.get("subject", ()) if isinstance(shown, dict) else ()
    names = (value for part in subject for key, value in part if key == "commonName")
    return next(names, None)
