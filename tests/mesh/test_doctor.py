"""`ambientctl doctor` finds what is really wrong with a device, and says what to do about it."""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.doctor_values import Checkup, Finding, Grade
from tests.chaos.mesh import build_shim
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.test_full_disk import disk as disk  # noqa: PLC0414  (a fixture)
from tests.mesh.test_full_disk import fill
from tests.missing import missing
from tests.own_ports import fresh_port

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh]

SKEW_S = -60
LANDLOCK_OF = {"x86_64": 444, "aarch64": 444}
# As on a kernel without Landlock: whoever asks for it hears that there is no such call.
WITHOUT_LANDLOCK = f"""
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, {LANDLOCK_OF["x86_64"]}), (0x06, 0, 0, 0x50000 | 38),
         (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"""


class Skewed(Daemon):
    """A daemon on a device whose clock is wrong."""

    def __init__(self, data_dir: Path, shim: Path) -> None:
        super().__init__(data_dir)
        self._environment = {"LD_PRELOAD": str(shim), "CHAOS_SKEW_MS": str(SKEW_S * 1_000)}

    def start(self) -> None:
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "ambientd.daemon", "--data-dir", str(self.data_dir)],
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
            )


def say(daemon: Daemon, section: str, *lines: str) -> None:
    """Set options of a daemon that is not running."""
    config = daemon.data_dir / "config.toml"
    names = {line.partition(" =")[0] for line in lines}
    text = config.read_text(encoding="utf-8")
    head, mark, tail = text.partition(f"[{section}]\n")
    here, _, others = tail.partition("\n[")
    kept = [line for line in here.splitlines() if line.partition(" =")[0] not in names]
    config.write_text("\n".join([head + mark.rstrip(), *lines, *kept, f"\n[{others}"]))


def doctor(data_dir: Path, *before: str) -> tuple[int, dict[str, Finding]]:
    """Ask the doctor; give its code and what it found, by name."""
    words = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(data_dir)]
    done = subprocess.run([*before, *words, "doctor", "--json"], capture_output=True, check=False)
    assert done.stderr == b""
    checkup = msgspec.json.decode(done.stdout, type=Checkup)
    for each in checkup.findings:
        assert bool(each.advice) == (each.grade is not Grade.OK), each
    return done.returncode, {each.name: each for each in checkup.findings}


def until_found(
    mesh: Cluster, number: int, holds: Callable[[int, dict[str, Finding]], bool]
) -> tuple[int, dict[str, Finding]]:
    """Ask until it is found: peers look around and answer as they have a processor for it."""
    last: list[tuple[int, dict[str, Finding]]] = []

    def told() -> bool:
        last[:] = [doctor(mesh.daemons[number].data_dir)]
        return holds(*last[0])

    try:
        mesh.until(told, "the doctor finds it")
    except AssertionError as error:
        raise AssertionError(last) from error
    return last[0]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A healthy node, one that nobody can dial, one whose clock is wrong, one without its chain."""
    root = tmp_path_factory.mktemp("mesh")
    shim = build_shim(root)
    if shim is None:
        missing("no C compiler to build what makes a clock wrong with")
    cluster = Cluster(root / "mesh", 4, ClusterPlan(block_interval_ms=200))
    _, unseen, late, unchained = cluster.daemons
    say(unseen, "transport", f'advertise = "127.0.0.1:{fresh_port()}"')
    cluster.daemons[2] = Skewed(late.data_dir, shim)
    (unchained.data_dir / "login").write_text("user:password")
    (unchained.data_dir / "login").chmod(0o600)
    say(
        unchained,
        "bitcoin",
        'chain = "rpc"',
        f'rpc_url = "http://127.0.0.1:{fresh_port()}"',
        'rpc_login = "login"',
    )
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def test_a_healthy_node_among_them_fails_in_nothing(mesh: Cluster) -> None:
    seen = ("clock", "reachable", "chain")
    _, found = until_found(
        mesh,
        0,
        lambda code, found: code == 0 and all(found[name].grade is Grade.OK for name in seen),
    )
    assert not [each for each in found.values() if each.grade is Grade.FAIL]
    for name in (*seen, "sandbox", "disk", "writing", "committee"):
        assert name in found


def test_a_node_that_nobody_can_dial_is_fine_but_invisible(mesh: Cluster) -> None:
    code, found = until_found(
        mesh,
        1,
        lambda _, found: (found["reachable"].grade, found["clock"].grade) == (Grade.FAIL, Grade.OK),
    )
    assert code == 1
    assert found["reachable"].text.startswith("fine but invisible: 0 of ")
    assert "in this device's firewall" in found["reachable"].advice


def test_a_clock_that_is_a_minute_late_is_found_by_the_peers_clocks(mesh: Cluster) -> None:
    code, found = until_found(
        mesh, 2, lambda _, found: "s behind the median of 3 peers" in found["clock"].text
    )
    assert (code, found["clock"].grade) == (1, Grade.FAIL)
    assert "timedatectl set-ntp true" in found["clock"].advice
    assert 55 < float(found["clock"].text.split()[0]) < 65


def test_a_chain_that_does_not_answer_is_told_with_where_to_look(mesh: Cluster) -> None:
    def is_known() -> bool:
        status = mesh.daemons[3].status()
        return status is not None and status.chain.state != "ready"

    mesh.until(is_known, "the daemon has asked its chain, though nothing is to be anchored")
    _, found = doctor(mesh.daemons[3].data_dir)
    assert found["chain"].grade is Grade.WARN
    assert found["chain"].text.startswith("rpc: ")
    assert "see [bitcoin] in config.toml" in found["chain"].advice


def test_a_kernel_without_landlock_is_no_place_for_others_modules(mesh: Cluster) -> None:
    if platform.machine() not in LANDLOCK_OF:
        missing(f"the number of Landlock's call on {platform.machine()}")
    code, found = doctor(mesh.daemons[0].data_dir, sys.executable, "-c", WITHOUT_LANDLOCK)
    assert (code, found["sandbox"].grade) == (1, Grade.FAIL)
    assert "missing" in found["sandbox"].text
    assert "Landlock" in found["sandbox"].text
    assert "use a newer Linux kernel" in found["sandbox"].advice


def test_a_disk_that_is_nearly_full_and_one_without_a_byte_are_told_apart(
    tmp_path: Path, disk: Path
) -> None:
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    cluster.daemons[0].data_dir.rename(tmp_path / "moved")
    home = disk / "node1"
    subprocess.run(["cp", "-a", str(tmp_path / "moved"), str(home)], check=True)
    _, found = doctor(home)
    assert found["disk"].grade is Grade.FAIL
    assert "the store will soon take nothing more" in found["disk"].text
    assert found["writing"].grade is not Grade.FAIL
    fill(disk)
    _, found = doctor(home)
    assert found["writing"].grade is Grade.FAIL
    assert "free space" in found["writing"].advice


def test_another_program_at_the_port_is_why_no_daemon_starts(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    home = cluster.daemons[0].data_dir
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        say(cluster.daemons[0], "transport", f'listen = "127.0.0.1:{other.getsockname()[1]}"')
        code, found = doctor(home)
    assert (code, found["port"].grade) == (1, Grade.FAIL)
    assert "is in use by another program" in found["port"].text
    assert found["port"].advice.startswith("stop that, or set another")
