"""A real daemon hands out a large blob over HTTP without holding it in memory."""

import hashlib
import http.client
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.config.places import Places
from tests.fuzz.rest import switch_on
from tests.mesh.cluster import Cluster
from tests.own_ports import own_port

pytestmark = [pytest.mark.slow, pytest.mark.mesh, pytest.mark.net]

MIB = 1 << 20
SIZE_BYTES = 400 * MIB + 12_345
MORE_BYTES_MAX = 48 * MIB
"""What downloads of one blob may add to a daemon's memory: far less than it has."""
RAW = {"Accept": "application/octet-stream"}


def blob_on(folder: Path) -> str:
    """Put a blob where a node keeps them, as if its peers had brought it by chunks."""
    block, hasher = os.urandom(MIB), hashlib.sha256()
    draft = folder / "draft.bin"
    with draft.open("wb") as file:
        for number in range(SIZE_BYTES // MIB + 1):
            piece = (number.to_bytes(8, "big") + block[8:])[: SIZE_BYTES - number * MIB]
            hasher.update(piece)
            file.write(piece)
    name = hasher.hexdigest()
    place = Places(folder).blob(name)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft.rename(place)
    return name


def resident_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def pieces_of(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read(MIB):
        yield piece


def test_a_blob_of_hundreds_of_megabytes_is_sent_within_bounded_memory(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    [daemon] = cluster.daemons
    port = own_port() + 10
    switch_on(daemon.data_dir, port)
    name = blob_on(daemon.data_dir)
    tokens = Places(daemon.data_dir).http_file("http.tokens")
    told = {"Authorization": f"Bearer {create_token(tokens, 'test', Scope.READ, 0, 0)[1]}", **RAW}
    open_until_the_end = ExitStack()
    try:
        cluster.start()
        assert daemon.process is not None
        pid = daemon.process.pid
        before = resident_bytes(pid, "VmRSS")

        def asked(**headers: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            open_until_the_end.enter_context(closing(connection))
            connection.request("GET", f"{BASE_PATH}/blobs/{name}", headers={**told, **headers})
            return open_until_the_end.enter_context(connection.getresponse())

        answers = [asked() for _ in range(3)]
        for answer in answers:
            assert (answer.status, int(answer.headers["content-length"])) == (200, SIZE_BYTES)
        hasher = hashlib.sha256()
        for piece in pieces_of(answers[0]):
            hasher.update(piece)
        assert hasher.hexdigest() == name
        for answer in answers:
            answer.close()

        start = SIZE_BYTES - 3 * MIB - 7
        part = asked(Range=f"bytes={start}-{SIZE_BYTES - 8}")
        place = f"bytes {start}-{SIZE_BYTES - 8}/{SIZE_BYTES}"
        assert (part.status, part.headers["content-range"]) == (206, place)
        data = part.read()
        with Places(daemon.data_dir).blob(name).open("rb") as file:
            file.seek(start)
            assert data == file.read(3 * MIB)
        assert asked(Range=f"bytes={SIZE_BYTES}-").status == 416
        whole = asked(Accept="application/json")
        assert whole.status == 413
        assert b"application/octet-stream" in whole.read()
        most = resident_bytes(pid, "VmHWM")
        assert most - before < MORE_BYTES_MAX, f"{(most - before) / MIB:.0f} MiB more"
    finally:
        open_until_the_end.close()
        cluster.stop()
