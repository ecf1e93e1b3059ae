"""A protection that this machine really lacks is noticed, said, and stops the daemon if it must."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from ambientd.config.places import socket_path_for
from ambientd.ports.worker_protocol import (
    OPTIONAL_PROTECTIONS,
    REQUIRED_PROTECTIONS,
    Protection,
)
from ambientd.runtime.control_groups import ControlGroups, GroupLimits, delegated_groups
from tests.own_ports import own_port
from tests.runtime.pools import config_error, echo_works, pool_of

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux's protections")

# Becomes the program named behind it, on a kernel that does not know Landlock (ENOSYS).
WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("=HBBI", *step) for step in steps)
buffer = ctypes.create_string_buffer(program, len(program))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
described = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
assert libc.prctl(22, 2, described, 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def without_landlock(*command: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", WITHOUT_LANDLOCK, *command)


def test_every_protection_is_either_required_or_not() -> None:
    assert {*REQUIRED_PROTECTIONS, *OPTIONAL_PROTECTIONS} == set(Protection)
    assert not REQUIRED_PROTECTIONS & OPTIONAL_PROTECTIONS


@linux_only
async def test_a_pool_without_landlock_does_not_start_unless_the_owner_allows_it() -> None:
    command = without_landlock("-I", "-m", "ambientd.worker")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with pool_of(command=command):
            pytest.fail("the pool started")
    said = config_error(caught.value)
    assert "missing no files, no TCP (Landlock)" in said
    assert 'sandbox = "best-effort"' in said
    async with pool_of(command=command, sandbox="best-effort") as pool:
        assert REQUIRED_PROTECTIONS - pool.protections == {Protection.FILES}
        await echo_works(pool)


@linux_only
async def test_a_worker_goes_first_when_the_host_runs_out_of_memory() -> None:
    async with pool_of() as pool:
        assert Protection.FIRST_VICTIM in pool.protections
        for pid in (*pool.pids, *pool.preparer_pids):
            assert Path(f"/proc/{pid}/oom_score_adj").read_text("ascii").strip() == "1000"


def missing_in_status(data_dir: Path) -> tuple[str, ...]:
    with Client(socket_path_for(data_dir)) as client:
        return client.call(STATUS, GetStatus()).sandbox.missing


@linux_only
@pytest.mark.mesh
@pytest.mark.net
@pytest.mark.slow
def test_a_daemon_without_landlock_says_so_at_its_start_and_in_status(tmp_path: Path) -> None:
    create_cluster(tmp_path / "alone", 1, ClusterPlan(bitcoin="off", base_port=own_port()))
    data_dir = tmp_path / "alone" / "node1"
    command = without_landlock("-m", "ambientd.daemon", "--data-dir", str(data_dir))
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "missing no files, no TCP (Landlock)" in refused.stderr
    assert "Traceback" not in refused.stderr

    config = data_dir / "config.toml"
    default = '# sandbox = "required"'
    text = config.read_text("utf-8")
    assert default in text
    config.write_text(text.replace(default, 'sandbox = "best-effort"'), "utf-8")
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not socket_path_for(data_dir).exists() and time.monotonic() < deadline:
            assert daemon.poll() is None, (tmp_path / "log").read_text("utf-8")
            time.sleep(0.05)
        assert Protection.FILES in missing_in_status(data_dir)
    finally:
        daemon.terminate()
        daemon.wait(60)
    said = (tmp_path / "log").read_text("utf-8")
    assert "WORKERS ARE NOT FULLY LOCKED DOWN" in said
    assert "no files, no TCP (Landlock)" in said


def unified_mount() -> Path | None:
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


@linux_only
def test_a_group_is_used_only_if_it_is_delegated_and_can_limit_memory() -> None:
    mounted = unified_mount()
    if mounted is None:
        pytest.skip("no writable cgroup v2 here")
    root = mounted / f"ambient-test-{os.getpid()}"
    root.mkdir()
    try:
        if "memory" not in (root / "cgroup.controllers").read_text("ascii").split():
            with pytest.raises(OSError, match="No such file"):
                ControlGroups(root)
            return
        groups = ControlGroups(root)
        child = subprocess.Popen(["sleep", "60"])
        assert groups.adopt(child.pid, GroupLimits(memory_bytes_max=1 << 20, cpu_percent_max=50))
        own = root / f"worker-{child.pid}"
        assert (own / "memory.max").read_text("ascii").strip() == str(1 << 20)
        assert (own / "pids.max").read_text("ascii").strip() == "1"
        assert (own / "cgroup.procs").read_text("ascii").split() == [str(child.pid)]
        child.kill()
        child.wait()
        groups.release(child.pid)
        assert not own.exists()
    finally:
        for group in (*root.glob("*/"), root):
            group.rmdir()


@linux_only
async def test_a_machine_without_a_delegated_group_says_so() -> None:
    """Being root on a writable hierarchy is no delegation."""
    if delegated_groups() is not None:
        pytest.skip("this process has a group of its own")
    async with pool_of() as pool:
        assert Protection.CONTROL_GROUP not in pool.protections


def test_the_limits_of_a_group_are_written_as_the_kernel_reads_them(tmp_path: Path) -> None:
    """The same calls on plain files: what is written where."""
    (tmp_path / "cgroup.procs").write_text("", "ascii")
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids", "ascii")
    groups = ControlGroups(tmp_path)
    assert groups.adopt(77, GroupLimits(memory_bytes_max=4096, cpu_percent_max=150))
    written = {file.name: file.read_text("ascii") for file in (tmp_path / "worker-77").iterdir()}
    assert written == {
        "memory.max": "4096",
        "pids.max": "1",
        "cpu.max": "150000 100000",
        "cgroup.procs": "77",
    }
    assert not groups.adopt(77, GroupLimits(memory_bytes_max=4096))  # there is one already
