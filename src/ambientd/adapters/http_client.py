"""HTTP for talking to servers that are not ours: one kept connection, bounded answers, a deadline.

Blocking, for a thread; redirects are not followed.
"""

import http.client
import socket
import threading
import time
from collections.abc import Mapping
from typing import Final

from ambientd.config.urls import Url
from ambientd.errors import RemoteProtocolError, UnreachableError

_CHUNK_BYTES: Final = 65_536


class HttpClient:
    """One request at a time; `cut` ends the one that is under way, from another thread."""

    def __init__(self, url: Url, timeout_s: float) -> None:
        """Connect at the first request; `timeout_s` is for a whole answer."""
        self._url = url
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

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
            deadline_s = time.monotonic() + self._timeout_s
            told = {"User-Agent": "ambient", **(headers or {})}
            was_kept = self._connection is not None
            try:
                return self._send(method, path, size_max, body, told, deadline_s)
            except (http.client.HTTPException, OSError) as error:
                self._disconnect()
                if not was_kept or time.monotonic() >= deadline_s:
                    raise self._unreachable(error) from None
            try:  # the server has closed a connection that was kept
                return self._send(method, path, size_max, body, told, deadline_s)
            except (http.client.HTTPException, OSError) as error:
                self._disconnect()
                raise self._unreachable(error) from None

    def _send(
        self,
        method: str,
        path: str,
        size_max: int,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[int, bytes]:
        connection = self._connect()
        connection.request(method, self._url.path + path, body, dict(headers))
        with connection.getresponse() as reply:
            chunks: list[bytes] = []
            room = size_max + 1
            while room > 0 and (chunk := reply.read1(min(room, _CHUNK_BYTES))):
                chunks.append(chunk)
                room -= len(chunk)
                if time.monotonic() > deadline_s:
                    raise TimeoutError("its answer trickles")
            if room <= 0:
                self._disconnect()
                msg = f"{self._url} answered with more than {size_max} bytes"
                raise RemoteProtocolError(msg)
            if reply.length:
                raise http.client.IncompleteRead(b"", reply.length)
            if reply.will_close:
                self._disconnect()
            return reply.status, b"".join(chunks)

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            url = self._url
            is_tls = url.scheme == "https"
            kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
            self._connection = kind(url.host, url.port, timeout=self._timeout_s)
        return self._connection

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = str(error) or type(error).__name__
        msg = (
            f"the server at {self._url} does not answer ({reason}): check the connection, "
            "or correct its address in the configuration"
        )
        return UnreachableError(msg)

    def cut(self) -> None:
        """End the request under way: its thread must not wait for a server that trickles."""
        connection = self._connection
        if connection is None or connection.sock is None:
            return
        try:
            # Of the plain socket: TLS must not be touched from another thread.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        with self._lock:
            self._disconnect()
