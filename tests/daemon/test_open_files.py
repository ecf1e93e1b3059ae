"""A process may open many files; callers get a part of them, and workers none."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

import ambientd.cli
from ambientd.config.http_options import HttpOptions
from ambientd.config.options import ApiOptions, Config
from ambientd.daemon import open_files
from ambientd.daemon.files_needed import files_short, warn_of_files
from ambientd.daemon.open_files import (
    CALLERS_LEAST,
    HTTP_PART,
    LOCAL_PART,
    OPEN_FILES,
    callers_max,
)
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import open_worker_pool


def limits_after(before: int, hard: int) -> tuple[int, int]:
    """Give both limits of a process that has raised them from these."""
    program = (
        "import resource\n"
        "from ambientd.daemon.open_files import raise_open_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({before}, {hard}))\n"
        "raise_open_files()\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    said = subprocess.check_output([sys.executable, "-I", "-c", program], text=True)
    soft, unchanged = map(int, said.split())
    return soft, unchanged


def test_a_process_raises_what_it_may_open_as_far_as_the_system_lets_it() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(hard, OPEN_FILES) if hard != resource.RLIM_INFINITY else OPEN_FILES
    assert limits_after(256, hard) == (most, hard)
    assert limits_after(256, 2_048) == (2_048, 2_048)
    assert limits_after(most, hard) == (most, hard)


def test_the_service_asks_for_as_many() -> None:
    unit = Path(ambientd.cli.__path__[0]) / "service_data" / "ambientd.service"
    assert f"\nLimitNOFILE={OPEN_FILES}\n" in unit.read_text("ascii")


def held_to(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))


@given(limit=st.integers(1_024, 1 << 20), nodes=st.integers(1, 16))
def test_callers_never_take_more_than_three_eighths_however_many_are_allowed(
    limit: int, nodes: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        held_to(patched, limit)
        served = callers_max(10_000, HTTP_PART, nodes) + callers_max(1_024, LOCAL_PART, nodes)
    assert nodes * served * 2 <= limit * 3 / 8


def test_a_node_serves_what_its_owner_chose_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_to(monkeypatch, OPEN_FILES)
    for part, chosen in ((HTTP_PART, HttpOptions()), (LOCAL_PART, ApiOptions())):
        assert callers_max(chosen.connections_max, part, 1) == chosen.connections_max
    held_to(monkeypatch, 1_024)
    assert callers_max(HttpOptions().connections_max, HTTP_PART, 1) == 128
    assert callers_max(ApiOptions().connections_max, LOCAL_PART, 1) == 64
    assert callers_max(64, LOCAL_PART, 1_000) == CALLERS_LEAST
    held_to(monkeypatch, resource.RLIM_INFINITY)
    assert callers_max(10_000, HTTP_PART, 1) == 10_000


def test_a_node_is_warned_of_whose_peers_callers_and_workers_need_more_than_may_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = Config()
    many = replace(usual, limits=replace(usual.limits, peers_max=400))
    more = replace(usual, limits=replace(usual.limits, peers_max=286))
    served = replace(usual, http=replace(usual.http, enabled=True))
    held_to(monkeypatch, 1_024)
    # 256, 572 and 800 connections; 64 callers with a file each, over HTTP 128 more; two workers;
    # 256 handshakes and 64 files of a store.
    assert files_short(usual, 1) == 0
    assert files_short(more, 1) == 0
    assert files_short(replace(more, limits=replace(usual.limits, peers_max=287)), 1) == 2
    assert files_short(many, 2) == 2 * (800 + 64 + 4 + 320) - 1_024
    assert files_short(replace(many, http=served.http), 1) == 800 + 384 + 4 + 320 - 1_024
    with capture_logs() as said:
        warn_of_files(usual, 1)
        assert not said
        warn_of_files(replace(many, http=served.http), 1)
    assert [(each["log_level"], each["short"]) for each in said] == [("warning", 484)]
    held_to(monkeypatch, OPEN_FILES)
    assert files_short(replace(many, http=served.http), 1) == 0
    held_to(monkeypatch, resource.RLIM_INFINITY)
    assert files_short(many, 1_000) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the lock-down is Linux's")
async def test_workers_open_no_more_than_their_pipes_whatever_the_daemon_may() -> None:
    open_files.raise_open_files()
    async with open_worker_pool(WorkerPoolOptions(size=1)) as pool:
        for pid in (*pool.pids, *pool.preparer_pids):
            told = Path(f"/proc/{pid}/limits").read_text("ascii")
            (line,) = (each for each in told.splitlines() if each.startswith("Max open files"))
            assert line.split()[3:5] == ["3", "3"]
