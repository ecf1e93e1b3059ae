"""The HTTP server against callers that are slow, greedy, silent or strangers."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from ambientd.adapters.http_connection import ServerLimits
from ambientd.adapters.http_listening import serve_http, tls_context
from ambientd.adapters.http_server import HttpServer
from ambientd.ports.http import BodyTooLargeError, HttpAnswer, HttpRequest
from tests.adapters.certificates import certify

pytestmark = pytest.mark.net

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: x\r\n"
PIECE = b"y" * 65_536


class Site:
    """What is answered: a body's size, a caller's certificate, a stream without an end."""

    def __init__(self) -> None:
        self.ended = trio.Event()

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        match request.path:
            case "/body":
                size = 0
                try:
                    async with aclosing(request.upload.chunks(100_000)) as pieces:
                        async for piece in pieces:
                            size += len(piece)
                except BodyTooLargeError:
                    return HttpAnswer(413)
                return HttpAnswer(200, str(size).encode())
            case "/stream":
                return HttpAnswer(200, self._stream())
            case "/large":
                return HttpAnswer(200, PIECE * 400)
            case "/bug":
                raise RuntimeError("a bug")
            case _:
                return HttpAnswer(200, str(request.caller.certificate).encode())

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield PIECE
                await trio.sleep(0)
        finally:
            self.ended.set()


@asynccontextmanager
async def serving(
    limits: ServerLimits, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Site, int]]:
    site = Site()
    async with trio.open_nursery() as nursery:
        server = HttpServer(site.answer, limits)
        with trio.fail_after(60):
            port = await nursery.start(partial(serve_http, server, "127.0.0.1", 0, context))
            yield site, port
        nursery.cancel_scope.cancel()


async def said(port: int, data: bytes) -> bytes:
    """Send bytes, and give all that comes until the other side closes."""
    found = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)
        async for piece in stream:
            found += piece
    return found


QUICK = ServerLimits(
    head_s=0.7, body_grace_s=0.7, piece_s=0.7, body_bytes_a_second=1_000_000, handshake_s=30.0
)


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", POST + b"Content-Length: 9\r\n\r\nabc"],
)
async def test_a_request_that_does_not_end_ends_its_connection(data: bytes) -> None:
    async with serving(QUICK) as (_, port):
        assert await said(port, data) == b""
        assert (await said(port, GET % b"")).startswith(b"HTTP/1.1 200")


async def test_a_body_of_two_lengths_is_refused_before_any_of_it_is_read() -> None:
    both = POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(ServerLimits()) as (_, port):
        told = await said(port, both + b"5\r\nhello\r\n0\r\n\r\n" + GET % b"next")
        assert told.startswith(b"HTTP/1.1 400")
        assert told.count(b"HTTP/1.1") == 1


async def test_a_body_in_crumbs_ends_its_connection_and_one_in_chunks_is_read() -> None:
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(ServerLimits()) as (_, port):
        assert await said(port, head + b"1\r\nx\r\n" * 400) == b""
        few = await said(port, head + b"1\r\nx\r\n" * 100 + b"0\r\n\r\n")
        assert few.endswith(b"\r\n\r\n100")
        lines = await said(port, head + (b"50\r\n" + b"x" * 80 + b"\r\n") * 1000 + b"0\r\n\r\n")
        assert lines.endswith(b"\r\n\r\n80000")


async def test_other_tasks_come_in_between_the_chunks_of_a_body() -> None:
    turns = 0
    most: list[tuple[int, int]] = []

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    class Looking(Site):
        async def answer(self, request: HttpRequest) -> HttpAnswer:
            before, chunks = turns, 0
            async with aclosing(request.upload.chunks(1_000_000)) as pieces:
                async for _ in pieces:
                    chunks += 1
            most.append((chunks, turns - before))
            return HttpAnswer(200)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        server = HttpServer(Looking().answer, ServerLimits())
        port = await nursery.start(partial(serve_http, server, "127.0.0.1", 0, None))
        head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        with trio.fail_after(60):
            await said(port, head + (b"50\r\n" + b"x" * 80 + b"\r\n") * 1000 + b"0\r\n\r\n")
        nursery.cancel_scope.cancel()
    [(chunks, between)] = most
    assert chunks >= 1000
    assert between >= chunks


async def test_a_caller_that_reads_nothing_is_let_go_and_the_server_still_stops() -> None:
    async with serving(QUICK) as (site, port):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(GET % b"stream")
            await site.ended.wait()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(GET % b"large")
            await trio.sleep(0.05)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        POST + b"Content-Length: -3\r\n\r\nabc",
        POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    ],
)
async def test_a_head_that_is_none_is_refused(data: bytes) -> None:
    async with serving(QUICK) as (_, port):
        status = (await said(port, data)).partition(b" ")[2][:3]
        assert status in {b"400", b"413", b"431", b"501"}


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"ffff\r\n" + b"z" * 65_535 + b"\r\n") * 2,
    ],
)
async def test_a_body_above_its_cap_is_refused_however_it_comes(body: bytes) -> None:
    async with serving(QUICK) as (_, port):
        assert (await said(port, POST + body)).startswith(b"HTTP/1.1 413")


async def test_an_unread_body_ends_its_connection_with_a_word_and_is_no_request() -> None:
    inside = GET % b"inside"
    async with serving(QUICK) as (_, port):
        unread = b"POST /else HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inside)
        answer = await said(port, unread + inside)
        assert (answer.count(b"HTTP/1.1 "), b"connection: close" in answer.lower()) == (1, True)
        read = POST + b"Content-Length: 2\r\n\r\nab"
        answer = await said(port, read + GET % b"next")
        assert (answer.count(b"HTTP/1.1 "), b"connection: close" in answer.lower()) == (2, False)


async def test_requests_sent_at_once_are_answered_in_turn() -> None:
    async with serving(QUICK) as (_, port):
        data = POST + b"Content-Length: 3\r\n\r\nabc" + GET % b"" + POST
        found = await said(port, data + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
        assert found.count(b"HTTP/1.1 200") == 3
        assert found.endswith(b"2")


async def test_connections_are_counted_in_all_and_by_address() -> None:
    for limits in (ServerLimits(connections_max=2), ServerLimits(connections_per_address_max=2)):
        async with serving(limits) as (_, port):
            streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
            for stream in streams:  # an answer shows that they are counted
                await stream.send_all(GET % b"")
                await stream.receive_some()
            assert (await said(port, b"")).startswith(b"HTTP/1.1 503")
            for stream in streams:
                await stream.aclose()


async def test_a_bug_in_an_answer_ends_one_connection() -> None:
    async with serving(QUICK) as (_, port):
        assert await said(port, GET % b"bug") == b""
        assert (await said(port, GET % b"")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("name", "is_let_in"), [("friend", True), ("stranger", False), ("", False)]
)
async def test_over_tls_only_callers_with_a_certificate_of_the_authority_are_served(
    tmp_path: Path, name: str, is_let_in: bool
) -> None:
    authority, other = (certify(tmp_path, each, None) for each in ("authority", "other"))
    certify(tmp_path, "node", authority)
    certify(tmp_path, "friend", authority)
    certify(tmp_path, "stranger", other)
    files = [tmp_path / each for each in ("node.pem", "node.key", "authority.pem")]
    caller = ssl.create_default_context(cafile=str(files[2]))
    caller.verify_flags |= ssl.VERIFY_X509_STRICT
    if name:
        caller.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    async with serving(QUICK, tls_context(*files)) as (_, port):
        found = b""
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(
            plain, caller, server_hostname="localhost", https_compatible=True
        ) as stream:
            try:
                await stream.send_all(GET % b"")
                async for piece in stream:
                    found += piece
            except trio.BrokenResourceError:
                pass
        assert found.endswith(b"friend") == is_let_in
        assert await said(port, GET % b"") == b"", "nor is plain HTTP answered there"
