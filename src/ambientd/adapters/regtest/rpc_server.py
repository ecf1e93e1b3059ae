"""HTTP on the loopback interface: JSON-RPC with Bitcoin Core's cookie, and Esplora's paths.

The paths below `/esplora` are for tests and development; like Esplora's they ask for no login.
"""

import base64
import hmac
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ambientd.adapters.regtest.esplora_paths import PREFIX, Answer, EsploraPaths
from ambientd.adapters.regtest.rpc_methods import INVALID_REQUEST, RpcFault, RpcMethods

REQUEST_SIZE_MAX = 9_000_000  # a full Bitcoin block in hex
CONNECTIONS_MAX = 64
IDLE_S_MAX = 30.0
CONNECTION_S_MAX = 300.0
COOKIE_USER = "__cookie__"
PARSE_ERROR = -32700


class RpcServer(ThreadingHTTPServer):
    """Serves the methods; at most `CONNECTIONS_MAX` connections, each of a bounded life."""

    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, port: int, methods: RpcMethods, paths: EsploraPaths, password: str) -> None:
        """Listen on a port of 127.0.0.1; 0 picks a free one."""
        self.methods = methods
        self.paths = paths
        token = base64.b64encode(f"{COOKIE_USER}:{password}".encode())
        self.authorization = b"Basic " + token
        self.called_at_s = time.monotonic()
        self._connections: dict[socket.socket, float] = {}
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), RpcHandler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002
        """Admit a connection unless there are too many."""
        with self._connections_lock:
            if len(self._connections) >= CONNECTIONS_MAX:
                return False
            self._connections[request] = time.monotonic()
            return True

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Forget a connection that ends."""
        with self._connections_lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def close_expired(self) -> None:
        """Cut connections that have lived too long; a keen client simply connects again."""
        oldest_s = time.monotonic() - CONNECTION_S_MAX
        with self._connections_lock:
            for connection, since_s in self._connections.items():
                if since_s < oldest_s:
                    _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Report a bug of ours; a client that went away is none."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone already


class RpcHandler(BaseHTTPRequestHandler):
    """One connection: calls one after the other."""

    server: RpcServer  # type: ignore[mutable-override]
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S_MAX  # type: ignore[mutable-override]
    wbufsize = -1
    disable_nagle_algorithm = True  # else each call waits 40 ms for a delayed acknowledgement

    def version_string(self) -> str:
        """Name the program without its version."""
        return "ambient-regtest"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Write no access log."""

    def do_GET(self) -> None:
        """Answer one of Esplora's paths."""
        if not self.path.startswith(PREFIX):
            self._refuse(405, "JSON-RPC takes a POST; Esplora's paths are below /esplora")
        elif "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            self._refuse(400, "a GET has no body")
        else:
            self.server.called_at_s = time.monotonic()
            self._reply(self.server.paths.get(self.path.removeprefix(PREFIX)))

    def do_POST(self) -> None:
        """Answer one call, or take a transaction at Esplora's path."""
        if self.path.startswith(PREFIX):
            body = self._read_body()
            if body is not None:
                self._reply(self.server.paths.post(self.path.removeprefix(PREFIX), body))
            return
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self.server.authorization):
            self._refuse(401, "wrong or missing cookie: read the file .cookie again")
            return
        body = self._read_body()
        if body is None:
            return
        request_id, result, error, status = None, None, None, 200
        try:
            request_id, method, params = _decode_request(body)
            result = self.server.methods.call(method, params)
        except RpcFault as fault:
            error = {"code": fault.code, "message": fault.message}
            status = {PARSE_ERROR: 400, INVALID_REQUEST: 400, -32601: 404}.get(fault.code, 500)
        reply = json.dumps({"result": result, "error": error, "id": request_id}).encode()
        self._answer(status, "application/json", reply)

    def _read_body(self) -> bytes | None:
        """Give the body of a request; None, with the refusal sent, when it may not be read."""
        size = self.headers.get("Content-Length", "")
        if not size.isascii() or not size.isdigit() or "Transfer-Encoding" in self.headers:
            self._refuse(411, "a Content-Length is needed")
            return None
        if len(size) > 10 or int(size) > REQUEST_SIZE_MAX:
            self._refuse(413, f"a request has at most {REQUEST_SIZE_MAX} bytes")
            return None
        body = self.rfile.read(int(size))
        self.server.called_at_s = time.monotonic()
        return body

    def _reply(self, answer: Answer) -> None:
        self._answer(answer.status, answer.content_type, answer.body)

    def _refuse(self, status: int, text: str) -> None:
        """Answer without having read the body, so the connection cannot go on."""
        self.close_connection = True
        self._answer(status, "text/plain; charset=utf-8", text.encode() + b"\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="jsonrpc"')
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _decode_request(body: bytes) -> tuple[object, str, list[object]]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise RpcFault(PARSE_ERROR, "Parse error: the body is not JSON") from None
    if not isinstance(request, dict):
        raise RpcFault(INVALID_REQUEST, "a request is an object; batches are not known here")
    method, params = request.get("method"), request.get("params", [])
    if not isinstance(method, str) or not isinstance(params, list):
        raise RpcFault(INVALID_REQUEST, "method must be a string and params a list")
    request_id = request.get("id")
    if not isinstance(request_id, str | int | None):
        request_id = None
    return request_id, method, params
