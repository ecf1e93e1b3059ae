"""A server of S3 that others wrote, for the tests of whatever goes into buckets."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ambientd.adapters.copy_places import place_of
from ambientd.errors import StoreError
from tests.adapters.test_chains import cached
from tests.missing import missing
from tests.own_ports import fresh_port

ROOT = Path(__file__).parents[2]
BUCKET = "copies"
READY_S = 60.0


def server_program() -> Path:
    """Find the S3 server; a skip says how to build it."""
    (version,) = re.findall(
        r"^VERSITYGW_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    path = cached("programs") / version / "versitygw"
    if not path.exists():
        missing("versitygw is not built: run `make versitygw`")
    return path


@contextmanager
def serving(folder: Path, port: int | None = None) -> Iterator[dict[str, str]]:
    """Run a server of S3 with one bucket; give what a program's environment says of it."""
    port = port or fresh_port()
    buckets, sidecar = folder / "buckets", folder / "sidecar"
    (buckets / BUCKET).mkdir(parents=True, exist_ok=True)
    sidecar.mkdir(exist_ok=True)
    keys = ["--access", "an-access-key", "--secret", "a-secret-key-of-tests"]
    words = [*keys, "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", str(sidecar)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [server_program(), *words, str(buckets)], stdout=log, stderr=log, cwd=folder
        )
    told = {
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key-of-tests",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in told.items():
                patch.setenv(name, value)
            end = time.monotonic() + READY_S
            while True:
                try:
                    place_of(f"s3://{BUCKET}").names()
                    break
                except StoreError:
                    said = (folder / "log").read_text()
                    assert (process.poll(), time.monotonic() < end) == (None, True), said
        yield told
    finally:
        process.terminate()
        process.wait(60)
