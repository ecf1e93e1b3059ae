"""HTTP for talking to servers that are not ours: one kept connection, bounded answers, a deadline.

Blocking, for a thread; redirects are not followed. What is written and read is h11's, so that each
step ends by the one deadline; to look a name up takes as long as this machine's resolver lets it.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Final

import h11

from ambientd.config.urls import Url
from ambientd.errors import RemoteProtocolError, UnreachableError

_CHUNK_BYTES: Final = 65_536
_HEAD_BYTES_MAX: Final = 65_536
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class HttpClient:
    """One request at a time; `cut` ends the one that is under way, from another thread."""

    def __init__(self, url: Url, timeout_s: float) -> None:
        """Connect at the first request; `timeout_s` is from a request to its whole answer."""
        self._url = url
        self._timeout_s = timeout_s
        self._deadline_s = 0.0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._h11 = h11.Connection(h11.CLIENT)

    def request(
        self,
        method: str,
        path: str,
        size_max: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Give status and body of an answer.

        Raises:
            UnreachableError: when there is none in time.
            RemoteProtocolError: when it has more than `size_max` bytes.
        """
        with self._lock:
            self._deadline_s = time.monotonic() + self._timeout_s
            head = self._head(method, path, body, headers or {})
            was_kept = self._socket is not None
            while True:
                try:
                    return self._exchange(head, body, size_max)
                except (h11.RemoteProtocolError, OSError, UnicodeError) as error:
                    self._disconnect()
                    if not was_kept or time.monotonic() >= self._deadline_s:
                        raise self._unreachable(error) from None
                was_kept = False  # the server has closed a connection that was kept

    def _head(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> h11.Request:
        host = f"[{self._url.host}]" if ":" in self._url.host else self._url.host
        if self._url.port != _DEFAULT_PORTS[self._url.scheme]:
            host = f"{host}:{self._url.port}"
        told = {"Host": host, "User-Agent": "ambient", "Accept-Encoding": "identity", **headers}
        if body is not None:
            told["Content-Length"] = str(len(body))
        return h11.Request(
            method=method, target=self._url.path + path or "/", headers=list(told.items())
        )

    def _exchange(self, head: h11.Request, body: bytes | None, size_max: int) -> tuple[int, bytes]:
        if self._socket is None:
            self._connect()
        parts = [head, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
        self._send(b"".join(self._h11.send(part) or b"" for part in parts))
        status, answer = 0, bytearray()
        while not isinstance(event := self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
            if len(answer) > size_max:
                self._disconnect()
                msg = f"{self._url} answered with more than {size_max} bytes"
                raise RemoteProtocolError(msg)
        if self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
        else:
            self._disconnect()
        return status, bytes(answer)

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._in_time().send(left[:_CHUNK_BYTES]) :]

    def _next_event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(self._in_time().recv(_CHUNK_BYTES))
        return event

    def _in_time(self, share: float = 1) -> socket.socket:
        """Give the connection, of which the next step takes a share of the time left at most."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("its answer takes too long")
        assert self._socket is not None, "what is connected stays so until it is closed"
        self._socket.settimeout(left_s * share)
        return self._socket

    def _connect(self) -> None:
        """Connect to the first of the server's addresses that takes it; each gets its share."""
        url = self._url
        places = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        for left in range(len(places), 0, -1):
            family, kind, protocol, _, address = places[-left]
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._in_time(1 / left).connect(address)
                break
            except OSError:
                self._disconnect()
                if left == 1:
                    raise
        assert self._socket is not None, "the last address either takes it or raises"
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            secure = context.wrap_socket(
                self._socket, server_hostname=url.host, do_handshake_on_connect=False
            )
            self._socket = secure
            self._in_time()
            secure.do_handshake()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = str(error) or type(error).__name__
        msg = (
            f"the server at {self._url} does not answer ({reason}): check the connection, "
            "or correct its address in the configuration"
        )
        return UnreachableError(msg)

    def cut(self) -> None:
        """End the request under way: its thread must not wait for a server that trickles."""
        self._deadline_s = -math.inf
        connection = self._socket
        if connection is None:
            return
        try:
            # Of the plain socket: TLS must not be touched from another thread.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        with self._lock:
            self._disconnect()
