"""Servers that trickle wherever they can, hang up, or answer what is no HTTP."""

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ambientd.adapters.http_client import HttpClient
from ambientd.config.urls import parse_url
from ambientd.errors import RemoteProtocolError, UnreachableError
from tests.adapters.certificates import certify

pytestmark = pytest.mark.net

TIMEOUT_S = 0.5
LATE = r"too long|timed out"
CRUMB_S = 0.01
"""Between two bytes of a server that trickles: far less than the client waits for."""
CRUMBS_MAX = 1_000
"""It would take 10 s to hear them all."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def served(*plays: Serve) -> Iterator[str]:
    """Serve one connection after the other, each as it is told; give the address."""
    ended = threading.Event()

    def run() -> None:
        for play in plays:
            with suppress(OSError), listening.accept()[0] as connection:
                play(connection, ended)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def trickling(begin: bytes, crumbs: Iterable[bytes]) -> Serve:
    """Say how something begins, and then a little now and then until the client has gone."""

    def play(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(begin)
        for crumb in itertools.islice(crumbs, CRUMBS_MAX):
            if ended.wait(CRUMB_S):
                return
            connection.sendall(crumb)

    return play


def saying(*answers: bytes) -> Serve:
    """Answer as many requests, each with what is given, and hang up."""

    def play(connection: socket.socket, _: threading.Event) -> None:
        for answer in answers:
            connection.recv(65_536)
            connection.sendall(answer)

    return play


def client_of(url: str, timeout_s: float = 10.0) -> HttpClient:
    return HttpClient(parse_url(url), timeout_s)


def heard(url: str, size_max: int = 64) -> tuple[int, bytes]:
    client = client_of(url)
    try:
        return client.request("GET", "/", size_max)
    finally:
        client.close()


TRICKLES = {
    "the first line": (b"", itertools.repeat(b"H")),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", itertools.repeat(b"x")),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", itertools.repeat(b"X: x\r\n")),
    "promises of an answer": (b"", itertools.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", itertools.repeat(b"x")),
    "a body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", itertools.repeat(b"x")),
    "the size of a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        itertools.repeat(b"x"),
    ),
    "what follows the chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        itertools.repeat(b"X: x\r\n"),
    ),
}


@pytest.mark.parametrize("where", TRICKLES)
def test_whoever_trickles_holds_a_request_no_longer_than_its_deadline(where: str) -> None:
    with served(trickling(*TRICKLES[where])) as url:
        client = client_of(url, TIMEOUT_S)
        with pytest.raises(UnreachableError, match=LATE):
            client.request("GET", "/", 65_536)
        client.close()


def test_a_greeting_of_tls_that_trickles_ends_by_the_same_deadline() -> None:
    # A record that promises 16,000 bytes of a handshake, and gives one now and then.
    record = b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c"
    with served(trickling(record, itertools.repeat(b"\x03"))) as url:
        client = client_of(url.replace("http:", "https:"), TIMEOUT_S)
        with pytest.raises(UnreachableError, match="timed out"):
            client.request("GET", "/", 64)
        client.close()


def test_a_request_that_is_not_taken_ends_by_the_same_deadline() -> None:
    def play(connection: socket.socket, ended: threading.Event) -> None:
        while not ended.wait(CRUMB_S) and connection.recv(1):
            pass

    with served(play) as url:
        client = client_of(url, TIMEOUT_S)
        with pytest.raises(UnreachableError, match=LATE):
            client.request("POST", "/", 64, bytes(32 * 1024 * 1024))
        client.close()


def test_a_server_that_takes_no_connection_holds_a_request_no_longer_than_its_deadline() -> None:
    with socket.socket() as listening, socket.socket() as one, socket.socket() as other:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (one, other):  # as many as a queue of none holds
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        client = client_of(f"http://127.0.0.1:{listening.getsockname()[1]}", TIMEOUT_S)
        with pytest.raises(UnreachableError, match=LATE):
            client.request("GET", "/", 64)
        client.close()


def test_each_address_of_a_name_gets_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent, socket.socket() as one, socket.socket() as other:
        silent.bind(("127.0.0.2", 0))
        silent.listen(0)
        for waiting in (one, other):
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", silent.getsockname())] * 3
        with served(saying(ANSWER)) as url:
            answering = ("127.0.0.1", parse_url(url).port)
            places.append((socket.AF_INET, socket.SOCK_STREAM, 0, "", answering))
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
            client = client_of(url, 2.0)
            assert client.request("GET", "/", 64) == (200, b"ok")
            client.close()


def test_a_kept_connection_that_trickles_is_not_tried_again_beyond_the_deadline() -> None:
    def play(connection: socket.socket, ended: threading.Event) -> None:
        saying(ANSWER)(connection, ended)
        trickling(b"", itertools.repeat(b"H"))(connection, ended)

    with served(play) as url:
        client = client_of(url, 2.0)
        assert client.request("GET", "/", 64) == (200, b"ok")
        with pytest.raises(UnreachableError, match=LATE):
            client.request("GET", "/", 64)
        client.close()


def test_a_connection_is_kept_and_one_that_the_server_closed_is_opened_again() -> None:
    with served(saying(ANSWER, ANSWER), saying(ANSWER)) as url:
        client = client_of(url)
        assert [client.request("GET", "/", 64) for _ in range(3)] == [(200, b"ok")] * 3
        client.close()


def test_over_tls_a_connection_is_kept_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(tmp_path, "node", certify(tmp_path, "authority", None))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "node.pem", tmp_path / "node.key")

    def play(connection: socket.socket, ended: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as held:
            saying(ANSWER, ANSWER)(held, ended)

    with served(play) as url:
        client = client_of(url.replace("http://127.0.0.1", "https://localhost"))
        assert [client.request("GET", "/", 64) for _ in range(2)] == [(200, b"ok")] * 2
        client.close()


def test_what_is_cut_ends_at_once_and_is_not_tried_again() -> None:
    reached = threading.Event()

    def stall(connection: socket.socket, ended: threading.Event) -> None:
        saying(ANSWER)(connection, ended)
        connection.recv(65_536)
        reached.set()
        ended.wait(60)

    with served(stall, saying(ANSWER)) as url:
        client = client_of(url, 60.0)
        client.request("GET", "/", 64)

        def cut() -> None:
            reached.wait(60)
            client.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(UnreachableError):
            client.request("GET", "/", 64)
        cutter.join()
        client.close()


def test_a_body_goes_with_its_length_and_its_headers_to_the_named_host() -> None:
    seen: list[bytes] = []

    def play(connection: socket.socket, _: threading.Event) -> None:
        while not seen or not seen[-1].endswith(b"body"):
            seen.append(b"".join(seen) + connection.recv(65_536))
        connection.sendall(ANSWER)

    with served(play) as url:
        client = client_of(f"{url}/api")
        client.request("POST", "/x", 64, b"body", {"X-Sign": "y"})
        client.close()
    head, _, body = seen[-1].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert (lines[0], body) == (b"POST /api/x HTTP/1.1", b"body")
    host = url.removeprefix("http://").encode()
    assert {b"Host: " + host, b"Content-Length: 4", b"X-Sign: y"} <= set(lines)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (CHUNKED, (200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, (200, b"ok")),
        (b"HTTP/1.0 200 OK\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (ANSWER + ANSWER, (200, b"ok")),
    ],
    ids=["by chunks", "after a promise", "up to the end", "nothing", "one that nobody asked for"],
)
def test_answers_of_each_form_are_read(answer: bytes, expected: tuple[int, bytes]) -> None:
    with served(saying(answer)) as url:
        assert heard(url) == expected


def test_what_nobody_asked_for_answers_no_later_request() -> None:
    other = ANSWER.replace(b"ok", b"no")
    with served(saying(ANSWER + other), saying(ANSWER)) as url:
        client = client_of(url)
        assert [client.request("GET", "/", 64)[1] for _ in range(2)] == [b"ok", b"ok"]
        client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n0000",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["nothing", "no HTTP", "torn", "no length", "another protocol", "a head without end"],
)
def test_what_is_no_answer_is_named_as_none(answer: bytes) -> None:
    with served(saying(answer)) as url, pytest.raises(UnreachableError, match="does not answer"):
        heard(url)


def test_a_body_beyond_its_cap_is_refused() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000
    with served(saying(endless)) as url, pytest.raises(RemoteProtocolError, match="more than 64"):
        heard(url)
