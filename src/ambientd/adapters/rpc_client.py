"""JSON-RPC to a Bitcoin node, as Bitcoin Core speaks it: one kept connection, blocking calls."""

import base64
import http.client
import json
import threading
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ambientd.errors import RemoteProtocolError, UnreachableError

REPLY_SIZE_MAX = 32_000_000


@dataclass(frozen=True, slots=True)
class RpcEndpoint:
    """Where a node listens and how to log in: a cookie file, or a user and password."""

    port: int
    cookie_path: Path | None = None
    user: str = ""
    password: str = ""
    host: str = "127.0.0.1"
    timeout_s: float = 60.0

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"RpcEndpoint({self})"  # never the password

    def authorization(self) -> str:
        """Give the Authorization header; the cookie is read afresh, as a restart changes it."""
        credentials = f"{self.user}:{self.password}"
        if self.cookie_path is not None:
            try:
                credentials = self.cookie_path.read_text("utf-8").strip()
            except OSError as error:
                msg = (
                    f"the Bitcoin node at {self} is not running, or its cookie cannot be read "
                    f"({error}): start the node, let this user read the file, or name another as "
                    "rpc_login in [bitcoin] or with --login"
                )
                raise UnreachableError(msg) from None
        return "Basic " + base64.b64encode(credentials.encode()).decode("ascii")


class RpcError(Exception):
    """The node answered a call with an error."""

    def __init__(self, code: int, message: str) -> None:
        """Take Bitcoin Core's code and text."""
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class RpcClient:
    """Blocking calls over one kept connection; safe from several threads, one call at a time."""

    def __init__(self, endpoint: RpcEndpoint) -> None:
        """Connect at the first call."""
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._authorization = ""

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Run one call and give its result; floats come as Decimal.

        Raises:
            RpcError: when the node says no.
            UnreachableError: when it does not answer, or wants other credentials.
            RemoteProtocolError: when the answer is no JSON-RPC.
        """
        body = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": list(params)})
        with self._lock:
            status, raw = self._exchange(body)
            if status == 401:  # the node restarted and wrote a new cookie
                self._authorization = ""
                status, raw = self._exchange(body)
        if status in {401, 403}:
            msg = (
                f"the Bitcoin node at {self.endpoint} refuses our credentials: "
                "check the cookie file, or user and password, in the configuration"
            )
            raise UnreachableError(msg)
        return _result(method, status, raw, str(self.endpoint))

    def _exchange(self, body: str) -> tuple[int, bytes]:
        """Send one request; a kept connection that the node has closed is opened once more."""
        was_kept = self._connection is not None
        try:
            return self._send(body)
        except (http.client.HTTPException, OSError) as error:
            self._disconnect()
            if not was_kept or isinstance(error, TimeoutError):
                raise self._unreachable(error) from None
        try:
            return self._send(body)
        except (http.client.HTTPException, OSError) as error:
            self._disconnect()
            raise self._unreachable(error) from None

    def _send(self, body: str) -> tuple[int, bytes]:
        if not self._authorization:
            self._authorization = self.endpoint.authorization()
        if self._connection is None:
            endpoint = self.endpoint
            self._connection = http.client.HTTPConnection(
                endpoint.host, endpoint.port, timeout=endpoint.timeout_s
            )
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        self._connection.request("POST", "/", body, headers)
        with self._connection.getresponse() as reply:
            raw = reply.read(REPLY_SIZE_MAX + 1)
            if len(raw) > REPLY_SIZE_MAX or reply.will_close:
                self._disconnect()
            return reply.status, raw

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = str(error) or type(error).__name__
        msg = (
            f"the Bitcoin node at {self.endpoint} does not answer ({reason}): "
            "start it, or correct its address in the configuration"
        )
        return UnreachableError(msg)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._authorization = ""

    def redirect(self, endpoint: RpcEndpoint) -> None:
        """Speak to another place from now on."""
        with self._lock:
            self._disconnect()
            self.endpoint = endpoint

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _result(method: str, status: int, raw: bytes, endpoint: str) -> Any:  # noqa: ANN401
    if len(raw) > REPLY_SIZE_MAX:
        msg = f"{endpoint} answered {method} with more than {REPLY_SIZE_MAX} bytes"
        raise RemoteProtocolError(msg)
    try:
        reply = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or "result" not in reply:
        msg = f"{endpoint} answered {method} with HTTP {status} and no JSON-RPC reply"
        raise RemoteProtocolError(msg)
    error = reply.get("error")
    if error is None:
        return reply["result"]
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        msg = f"{endpoint} answered {method} with an error that is none of JSON-RPC"
        raise RemoteProtocolError(msg)
    raise RpcError(error["code"], str(error.get("message", ""))[:500])
