"""Real daemons are replaced by those of another version, one after another.

The version before becomes this one, and this one a version to come, which knows another state
version (ADR 73).
"""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ambientd import __version__
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import MEMBER_LIST, STATUS
from ambientd.api.replies import Status, TroubleKind
from ambientd.api.requests import GetStatus, ListMembers
from ambientd.ledger.versions import KNOWN_VERSION
from tests.before import (
    NEXT_VERSION,
    ROOT,
    VERSION,
    environment_after,
    environment_before,
    environment_first,
)
from tests.mesh.cluster import Cluster, Daemon
from tests.own_ports import own_port

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.mesh]

NOW = Path(sys.executable)
HELLO = ROOT / "examples" / "hello-compute" / "hello.wasm"


def ctl(python: Path, *words: object) -> str:
    """Say something in the words of one version; give what it answers."""
    command = [str(python), "-m", "ambientd.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Founded(Cluster):
    """A cluster that the version before has founded."""

    def __init__(self, root: Path, python: Path) -> None:
        options = ("--members", 4, "--base-port", own_port(), "--bitcoin", "off")
        ctl(python, "cluster", "create", root, *options)
        self.root = root
        self.daemons = [Daemon(root / f"node{number}") for number in (1, 2, 3, 4)]
        for daemon in self.daemons:
            daemon.python = python


def versions_of(cluster: Cluster) -> list[str]:
    return [each.ask(STATUS, GetStatus()).version for each in cluster.daemons]


def tasks_of(daemon: Daemon) -> tuple[str, ...]:
    """Give the states of all tasks, as a node tells them."""
    told = ctl(daemon.python, "--data-dir", daemon.data_dir, "task", "list", "--json")
    return tuple(task["state"] for task in msgspec.json.decode(told)["tasks"])


def work_done_by(daemon: Daemon, folder: Path) -> Path:
    """Have a task done for a node, and give where its receipt lies."""
    receipt = folder / f"{len(list(folder.glob('*.receipt')))}.receipt"
    word = folder / "word"
    word.write_bytes(b"ambient")
    words = (HELLO, "--input", word, "--receipt", receipt, "--quiet")
    assert ctl(daemon.python, "--data-dir", daemon.data_dir, "run", *words) == "AMBIENT"
    return receipt


def test_a_mesh_is_updated_one_daemon_after_another_while_it_works(tmp_path: Path) -> None:
    before = environment_before(tmp_path / "before")
    cluster = Founded(tmp_path / "mesh", before)
    receipts: list[Path] = []

    try:
        cluster.start()
        assert versions_of(cluster) == [VERSION] * 4
        receipts.append(work_done_by(cluster.daemons[0], tmp_path))
        copy = tmp_path / "before.backup"
        ctl(before, "--data-dir", cluster.daemons[0].data_dir, "backup", "create", copy)
        for daemon in cluster.daemons:
            daemon.stop()
            daemon.python = NOW
            daemon.start()
            cluster.until(
                lambda d=daemon: cluster._is_ready(d, 3),  # type: ignore[misc]
                f"{daemon.data_dir.name} is back",
            )
            receipts.append(work_done_by(daemon, tmp_path))
        assert versions_of(cluster) == [__version__] * 4
        told = {tasks_of(each) for each in cluster.daemons}
        assert told == {("final",) * len(receipts)}
        cluster.check_alive()
    finally:
        cluster.stop()
    assert "valid" in ctl(NOW, "receipt", "verify", receipts[0])
    assert "valid" in ctl(before, "receipt", "verify", receipts[-1])
    whole = ctl(NOW, "--data-dir", cluster.daemons[0].data_dir, "backup", "verify", copy)
    assert ": whole, block " in whole


def state_versions(daemons: list[Daemon]) -> list[int]:
    return [each.ask(STATUS, GetStatus()).state_version for each in daemons]


def test_a_cluster_founded_today_begins_in_the_newest_version_and_older_programs_refuse_it(
    tmp_path: Path,
) -> None:
    before, first = environment_before(tmp_path / "before"), environment_first(tmp_path / "first")
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off"))
    daemon = cluster.daemons[0]
    for python, said in (
        (before, f"has version {KNOWN_VERSION}, this program knows 1"),
        (first, f"founded in state version {KNOWN_VERSION}, this program knows 1: update it"),
    ):
        started = [python, "-m", "ambientd.daemon", "--data-dir", daemon.data_dir]
        ended = subprocess.run(started, capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0
        assert said in ended.stderr
    try:
        cluster.start()
        receipt = work_done_by(daemon, tmp_path)
        assert state_versions(cluster.daemons) == [KNOWN_VERSION] * 4
        assert daemon.ask(MEMBER_LIST, ListMembers()).epoch == 1
        told = ctl(NOW, "--data-dir", daemon.data_dir, "status")
        assert f", state version {KNOWN_VERSION}\n" in told
        daemon.stop()
        daemon.start()
        cluster.until(lambda: cluster._is_ready(daemon, 3), "it is back")
        assert state_versions(cluster.daemons) == [KNOWN_VERSION] * 4
    finally:
        cluster.stop()
    verified = ctl(NOW, "receipt", "verify", receipt)
    assert f"4 founding members, state version {KNOWN_VERSION})" in verified


def known_versions(daemon: Daemon) -> list[int]:
    return sorted(each.known_version for each in daemon.ask(MEMBER_LIST, ListMembers()).seats)


def lets_speak(daemon: Daemon) -> None:
    """Let a node say which state version its program knows."""
    place = daemon.data_dir / "config.toml"
    before, section, rest = place.read_text().partition("\n[log]\n")
    assert section
    place.write_text(f"{before}{section}says_next_version = true\n{rest}")


def test_a_mesh_goes_over_to_the_next_state_version_and_who_is_late_stands_aside(
    tmp_path: Path,
) -> None:
    first, after = environment_first(tmp_path / "first"), environment_after(tmp_path / "after")
    cluster = Founded(tmp_path / "mesh", first)
    for daemon in cluster.daemons:
        lets_speak(daemon)
    receipts: list[Path] = []

    def replace(daemon: Daemon) -> None:
        daemon.stop()
        daemon.python = after
        daemon.start()

    try:
        cluster.start()
        *early, late = cluster.daemons
        receipts.append(work_done_by(late, tmp_path))
        for daemon in early[:2]:
            replace(daemon)
            cluster.until(
                lambda d=daemon: cluster._is_ready(d, 3),  # type: ignore[misc]
                f"{daemon.data_dir.name} is back",
            )
            receipts.append(work_done_by(daemon, tmp_path))
        cluster.until(lambda: known_versions(late) == [1, 1, 2, 2], "two say that they know it")
        assert state_versions(cluster.daemons) == [1] * 4
        listed = ctl(first, "--data-dir", late.data_dir, "member", "list")
        assert "state version 1; 2 of them know version 2" in listed

        replace(early[2])
        cluster.until(
            lambda: [d.status() and state_versions([d]) for d in early] == [[2]] * 3,
            "the three that know it go over",
        )
        receipts.append(work_done_by(early[0], tmp_path))
        begun = early[0].ask(MEMBER_LIST, ListMembers()).since_height

        def stood_aside() -> Status | None:
            status = late.ask(STATUS, GetStatus())
            is_told = any(each.kind is TroubleKind.OUTDATED for each in status.troubles)
            return status if is_told and status.committed_height >= begun else None

        status = cluster.until(stood_aside, "the late one has come as far as it can")
        assert status is not None
        assert (status.version, status.state_version, status.known_version) == (__version__, 1, 1)
        [trouble] = [each for each in status.troubles if each.kind is TroubleKind.OUTDATED]
        assert f"of state version 2 since block {begun + 1}, this program knows 1" in trouble.text
        assert status.committed_height == begun
        refused = subprocess.run(
            [first, "-m", "ambientd.cli.main", "--data-dir", late.data_dir, "run", HELLO],
            input=b"ambient",
            capture_output=True,
        )
        assert refused.returncode != 0
        assert b"this program knows 1: update it" in refused.stderr

        replace(late)
        cluster.until(lambda: late.status() is not None, "the late one is back")
        cluster.until(lambda: state_versions(cluster.daemons) == [2] * 4, "all have gone over")
        receipts.append(work_done_by(late, tmp_path))
        assert versions_of(cluster) == [NEXT_VERSION] * 4
        cluster.until(
            lambda: {tasks_of(each) for each in cluster.daemons} == {("final",) * len(receipts)},
            "all tell the same tasks",
        )
        late.stop()
        late.python = first
        late.start()
        assert late.process is not None
        assert late.process.wait(60) != 0
        said = (late.data_dir / "log").read_text()
        assert "the ledger's rows are of version 2, this program knows 1" in said
    finally:
        cluster.stop()
    assert "valid" in ctl(NOW, "receipt", "verify", receipts[0])
    # The program that does not know the version still tells whose rules a task was settled by.
    assert "settled by the rules of state version 2" in ctl(NOW, "receipt", "verify", receipts[-1])
