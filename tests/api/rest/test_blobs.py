"""Blobs over HTTP: kept under the name that their bytes have, or not at all."""

import hashlib
from pathlib import Path

import h11
import msgspec
import pytest
import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.trail_files import read_trail
from ambientd.api import berths
from ambientd.api.rest.downloads import AT_ONCE
from ambientd.api.rest.problems import Problem
from ambientd.api.rest.ranges import bytes_answer
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.codec.chunks import Outline
from ambientd.model.chunk import CHUNK_BYTES
from tests.api.rest import support
from tests.api.rest.support import Answer, site
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net

DATA = b"0123456789" * 20_000
NAME = hashlib.sha256(DATA).hexdigest()
RAW = {"accept": "application/octet-stream"}


async def test_a_blob_is_brought_and_taken_away_whole_or_in_part(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        kept = await it.ask("PUT", f"/blobs/{NAME}", token, DATA)
        assert (kept.status, kept.value) == (201, {"sha256": NAME, "size_bytes": len(DATA)})
        assert (await it.ask("PUT", f"/blobs/{NAME}", token, DATA)).status == 201
        whole = await it.get(f"/blobs/{NAME}", {**token, **RAW})
        assert whole.body == DATA
        part = await it.get(f"/blobs/{NAME}", {**token, **RAW, "range": "bytes=199995-"})
        assert (part.status, part.body) == (206, b"56789")
        assert part.headers["content-range"] == "bytes 199995-199999/200000"
        for _ in range(AT_ONCE + 1):  # a refusal gives its place back
            none = await it.get(f"/blobs/{NAME}", {**token, **RAW, "range": "bytes=200000-"})
            assert (none.status, none.value["code"]) == (416, "no_such_range")
            assert none.headers["content-range"] == "bytes */200000"
        assert (await it.get(f"/blobs/{'0' * 64}", token)).status == 404


async def test_of_a_blob_that_was_checked_only_what_is_asked_for_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(n.to_bytes(4, "big") for n in range(3 * CHUNK_BYTES // 4)) + b"end"
    name = hashlib.sha256(data).hexdigest()
    read: list[tuple[int, int]] = []
    outlines: list[bytes] = []

    class Counted(BlobFiles):
        def outline(self, digest: bytes) -> Outline | None:
            outlines.append(digest)
            return super().outline(digest)

        def piece(self, digest: bytes, start: int, count: int) -> bytes | None:
            read.append((start, count))
            return super().piece(digest, start, count)

    monkeypatch.setattr(support, "BlobFiles", Counted)
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        await it.ask("PUT", f"/blobs/{name}", token, data)
        outlines.clear()  # bringing it twice would compare

        async def part(wanted: str) -> Answer:
            return await it.get(f"/blobs/{name}", {**token, **RAW, "range": f"bytes={wanted}"})

        edge = CHUNK_BYTES
        assert (await part("0-3")).body == data[:4]
        assert (await part(f"{edge - 2}-{edge + 1}")).body == data[edge - 2 : edge + 2]
        assert (await part("-2")).body == b"nd"
        assert len(outlines) == 1, "the whole was read once"
        assert [start // edge for start, _ in read] == [0, 0, 1, 3]

        place = tmp_path / "blobs" / name[:2] / name[2:]
        place.write_bytes(data[:edge] + bytes(len(data) - edge))
        assert (await part("0-3")).body == data[:4], "what it touches is whole"
        with pytest.raises(h11.RemoteProtocolError):
            await part(f"{edge}-")
        assert (await part("0-3")).status == 404, "the damage was found, and the blob set aside"


async def test_other_bytes_or_too_many_leave_nothing_behind(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        other = await it.ask("PUT", f"/blobs/{NAME}", token, DATA[1:])
        assert (other.status, other.value["code"]) == (422, "invalid")
        large = await it.ask("PUT", f"/blobs/{NAME}", token, b"x" * 1_000_001)
        assert large.status in {413, 422}
        stream = await it.connect()
        head = f"PUT {BASE_PATH}/blobs/{NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000"
        told = f"{head}\r\nAuthorization: {token['authorization']}\r\n\r\n".encode()
        async with stream:
            await stream.send_all(told + DATA[:1000])
        assert (await it.get(f"/blobs/{NAME}", token)).status == 404
        for _ in range(5):  # what failed takes no room of the quota
            big = b"y" * 900_000
            name = hashlib.sha256(big).hexdigest()
            assert (await it.ask("PUT", f"/blobs/{name}", token, big)).status == 201
    files = [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()]
    assert [each.stat().st_size for each in files] == [900_000]


async def test_blobs_that_are_brought_leave_lines_in_the_audit_trail(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.SUBMIT)
        await it.ask("PUT", f"/blobs/{NAME}", token, DATA)
        await it.ask("PUT", f"/blobs/{NAME}", token, DATA[1:])
    told = list(read_trail(tmp_path / "trail"))
    assert [(each.operation, each.outcome) for each in told] == [
        ("blob.put", "done"),
        ("blob.put", "invalid"),
    ]
    assert {each.caller.split()[0] for each in told} == {"token"}
    assert told[0].arguments == {"sha256": NAME}


async def test_a_slow_upload_loses_its_place_to_whoever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(berths, "GRACE_S", 0.05)
    async with site(tmp_path, DeskNode().handlers(), bodies_at_once_max=1) as it:
        token = it.token(Scope.SUBMIT)
        head = f"PUT {BASE_PATH}/blobs/{NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000"
        told = f"{head}\r\nAuthorization: {token['authorization']}\r\n\r\n".encode()
        async with await it.connect() as slow:
            await slow.send_all(told + DATA[:1000])
            answer, statuses = b"", []
            while not answer:
                statuses.append((await it.ask("PUT", f"/blobs/{NAME}", token, DATA)).status)
                with trio.move_on_after(0.02):
                    answer = bytes(await slow.receive_some(65_536))
    assert statuses[-1] == 201
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"too slowly to keep its place" in answer


async def test_only_who_may_submit_brings_blobs_and_names_are_hashes(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        assert (await it.ask("PUT", f"/blobs/{NAME}", it.token(Scope.READ), DATA)).status == 403
        token = it.token(Scope.SUBMIT)
        for name in ("x", NAME.upper(), NAME[1:], "..%2f..%2fnode.key"):
            assert (await it.ask("PUT", f"/blobs/{name}", token, DATA)).status == 400
            assert (await it.get(f"/blobs/{name}", token)).status == 400


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("", 200, b"abcdef"),
        ("bytes=0-", 206, b"abcdef"),
        ("bytes=0-0", 206, b"a"),
        ("bytes=2-3", 206, b"cd"),
        ("bytes=4-99", 206, b"ef"),
        ("bytes=-2", 206, b"ef"),
        ("bytes=-99", 206, b"abcdef"),
        ("bytes=0-1,3-4", 200, b"abcdef"),
        ("bytes=-", 200, b"abcdef"),
        ("lines=1-2", 200, b"abcdef"),
        ("bytes=" + "9" * 40 + "-", 200, b"abcdef"),
    ],
)
def test_a_range_is_what_it_names(wanted: str, status: int, body: bytes) -> None:
    answer = bytes_answer(b"abcdef", wanted)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("wanted", ["bytes=6-", "bytes=-0", "bytes=3-2"])
def test_a_range_of_nothing_is_a_problem_that_says_how_much_there_is(wanted: str) -> None:
    answer = bytes_answer(b"abcdef", wanted)
    assert answer.status == 416
    assert dict(answer.headers) == {
        "content-type": "application/problem+json",
        "accept-ranges": "bytes",
        "content-range": "bytes */6",
    }
    assert isinstance(answer.body, bytes)
    problem = msgspec.json.decode(answer.body, type=Problem)
    assert (problem.status, problem.code) == (416, "no_such_range")
    assert "6 bytes" in problem.detail
