"""Each thing that can be wrong with a device is found, graded, and comes with what to do."""

import fcntl
import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd import __version__
from ambientd.api import doctor_folder
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.doctor_daemon import look_at_daemon
from ambientd.api.doctor_folder import look_at_folder
from ambientd.api.doctor_values import Checkup, Finding, Grade, LookedAt, Looks
from ambientd.api.owner_standing import OwnerStanding
from ambientd.api.replies import (
    ChainStatus,
    NodeInfo,
    Nodes,
    SafeMode,
    Sandbox,
    Status,
    Trouble,
    TroubleKind,
)
from ambientd.config.module_pins import Pin, encode_pins
from ambientd.config.options import (
    Config,
    EngineChoice,
    ExecutionOptions,
    HttpOptions,
    TransportOptions,
)
from ambientd.config.places import Places
from ambientd.ports.worker_protocol import REQUIRED_PROTECTIONS
from tests.own_ports import own_port

OWN, OTHER = "a1" * 32, "b2" * 32
STATUS = Status(
    node=OWN,
    name="node1",
    version=__version__,
    cluster="test",
    fingerprint="cd" * 32,
    uptime_ms=120_000,
    term=3,
    coordinator=OTHER,
    committed_height=7,
    committee=2,
    peers=(OTHER,),
    health_percent=50,
    safe_mode=SafeMode(active=False, reasons=()),
    tasks={},
    engine="wasmtime 50",
    engines_installed=("wasmtime",),
    sandbox=Sandbox(active=(), missing=()),
    chain=ChainStatus(kind="embedded", state="ready"),
    balance_msat=0,
)


def info(node: str) -> NodeInfo:
    return NodeInfo(
        id=node,
        name=node[:2],
        region="r",
        kind="compute",
        committee=True,
        connected=True,
        health_percent=50,
        reputation=0.5,
        safe_mode=False,
        engine="wasmtime",
        balance_msat=0,
        bond_msat=0,
        tombstoned=False,
        accepting=True,
    )


NODES = Nodes(self_id=OWN, nodes=(info(OWN), info(OTHER)))
LOOK = LookedAt(node=OTHER, reached=True, clock_ms=20, version=__version__)
LOOKS = Looks(port=4400, asked=1, peers=(LOOK,), clock_ms=20, block_ms=-3_000)


def graded(findings: list[Finding]) -> dict[str, Grade]:
    assert all(bool(each.advice) == (each.grade is not Grade.OK) for each in findings)
    return {each.name: each.grade for each in findings}


def test_a_healthy_node_is_fine_in_everything() -> None:
    grades = graded(look_at_daemon(STATUS, NODES, LOOKS))
    assert set(grades.values()) == {Grade.OK}
    assert {"peers", "reachable", "clock", "versions", "committee", "chain", "work"} <= set(grades)


@pytest.mark.parametrize(
    ("status", "nodes", "looks", "name", "grade", "text"),
    [
        ({"version": "9.9"}, {}, {}, "daemon", Grade.WARN, "the daemon is 9.9"),
        ({"peers": ()}, {}, {}, "peers", Grade.FAIL, "0 of 1 other node connected"),
        ({}, {"connected": False}, {}, "peers", Grade.WARN, "members away: b2"),
        (
            {},
            {},
            {"peers": (replace(LOOK, reached=False),)},
            "reachable",
            Grade.FAIL,
            "fine but invisible: 0 of 1 peer reached port 4400",
        ),
        (
            {},
            {},
            {"peers": (LOOK, replace(LOOK, reached=False))},
            "reachable",
            Grade.WARN,
            "1 of 2 peers",
        ),
        ({}, {}, {"peers": (), "clock_ms": None}, "reachable", Grade.WARN, "nobody tried"),
        ({}, {}, {"clock_ms": 4_000}, "clock", Grade.WARN, "4.0 s behind the median"),
        ({}, {}, {"clock_ms": -60_000}, "clock", Grade.FAIL, "60.0 s ahead of the median"),
        ({}, {}, {"clock_ms": None, "block_ms": 9_000}, "clock", Grade.FAIL, "9 s ahead of this"),
        ({}, {}, {"peers": (replace(LOOK, version="9"),)}, "versions", Grade.WARN, "1 run 9"),
        ({"coordinator": None}, {}, {}, "committee", Grade.FAIL, "nobody coordinates"),
        ({"silent_ms": 90_000}, {}, {}, "committee", Grade.WARN, "late: "),
        (
            {"chain": ChainStatus(kind="rpc", state="no coins", height=9)},
            {},
            {},
            "chain",
            Grade.WARN,
            "rpc: no coins, height 9",
        ),
        (
            {"chain": ChainStatus(kind="rpc", state="no answer")},
            {},
            {},
            "chain",
            Grade.WARN,
            "rpc: no answer",
        ),
        (
            {"safe_mode": SafeMode(active=True, reasons=("hot",))},
            {},
            {},
            "work",
            Grade.WARN,
            "in safe mode: hot",
        ),
        (
            {"owner": OwnerStanding(closed="paused", text="paused by owner")},
            {},
            {},
            "work",
            Grade.OK,
            "paused by owner",
        ),
        ({}, {"accepting": False}, {}, "work", Grade.WARN, "fine but invisible"),
        ({}, {"tombstoned": True}, {}, "work", Grade.FAIL, "convicted"),
        (
            {"troubles": (Trouble(kind=TroubleKind.NO_QUORUM, text="no quorum", hint="wait"),)},
            {},
            {},
            "no_quorum",
            Grade.FAIL,
            "no quorum",
        ),
    ],
)
def test_what_is_wrong_is_found_and_graded(
    status: dict[str, object],
    nodes: dict[str, object],
    looks: dict[str, object],
    name: str,
    grade: Grade,
    text: str,
) -> None:
    seen = tuple(replace(each, **nodes) for each in NODES.nodes)
    if "connected" in nodes:
        seen = (info(OWN), replace(info(OTHER), **nodes))
    findings = look_at_daemon(
        replace(STATUS, **status), replace(NODES, nodes=seen), replace(LOOKS, **looks)
    )
    assert graded(findings)[name] is grade
    assert any(text in each.text for each in findings if each.name == name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off", base_port=own_port()))
    return tmp_path / "mesh" / "node1"


def looked(folder: Path) -> dict[str, Finding]:
    findings = look_at_folder(folder, is_running=False)
    graded(findings)
    return {each.name: each for each in findings}


@pytest.mark.slow
def test_a_new_folder_lacks_nothing_but_its_daemon(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How fast a disk is says something of the machine and what else it does, not of the folder.
    monkeypatch.setattr(doctor_folder, "SYNC_BAD_MS", 3_600_000)
    found = looked(folder)
    failing = [name for name, each in found.items() if each.grade is Grade.FAIL]
    assert failing == ["daemon"]
    assert str(folder) in found["daemon"].advice


@pytest.mark.slow
def test_why_a_daemon_may_not_start_is_said(folder: Path) -> None:
    (folder / "node.key").chmod(0o644)
    config = folder / "config.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = config.read_text().splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith("listen = "))
        lines[at] = f'listen = "127.0.0.1:{port}"'
        config.write_text("\n".join(lines))
        found = looked(folder)
    assert found["keys"].advice == f"chmod 600 {folder / 'node.key'}"
    assert (found["port"].grade, found["keys"].grade) == (Grade.FAIL, Grade.FAIL)
    config.write_text("[nonsense]")
    (folder / "owner.json").write_text("{")
    (folder / "genesis.bin").write_bytes(b"no genesis")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("77")
        lock.flush()
        found = looked(folder)
    for name in ("config", "owner", "cluster", "daemon"):
        assert found[name].grade is Grade.FAIL, name
    assert "process 77 holds this folder" in found["daemon"].text


@pytest.mark.slow
def test_a_key_file_of_another_size_is_no_key(folder: Path) -> None:
    (folder / "node.key").write_bytes(bytes(10))
    key = looked(folder)["keys"]
    assert key.grade is Grade.FAIL
    assert "10 bytes, not 32" in key.text


@pytest.mark.slow
def test_a_damaged_store_is_found_and_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    (folder / "node.db").write_bytes(os.urandom(8192))
    assert looked(folder)["store"].grade is Grade.FAIL
    (only,) = look_at_folder(tmp_path / "nowhere", is_running=False)
    assert (only.name, only.grade) == ("folder", Grade.FAIL)


def test_a_disk_that_fills_up_or_is_slow_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = 1 << 80
    for least, few, grade in ((0, 0, Grade.OK), (0, plenty, Grade.WARN), (plenty, 0, Grade.FAIL)):
        monkeypatch.setattr(doctor_folder, "FREE_LEAST_BYTES", least)
        monkeypatch.setattr(doctor_folder, "FREE_FEW_BYTES", few)
        found = doctor_folder._disk(tmp_path)
        assert (found.grade, "GiB free" in found.text) == (grade, True)
    for bad_ms, slow_ms, grade in ((1e9, 1e9, Grade.OK), (1e9, 0, Grade.WARN), (0, 0, Grade.FAIL)):
        monkeypatch.setattr(doctor_folder, "SYNC_BAD_MS", bad_ms)
        monkeypatch.setattr(doctor_folder, "SYNC_SLOW_MS", slow_ms)
        assert doctor_folder._sync(tmp_path).grade is grade
    assert list(tmp_path.iterdir()) == []
    found = doctor_folder._sync(tmp_path / "nowhere")
    assert (found.grade, "cannot be written" in found.text) == (Grade.FAIL, True)


def test_an_engine_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(execution=ExecutionOptions(engine=EngineChoice.WASMTIME))
    assert doctor_folder._engines(config).grade is Grade.OK
    monkeypatch.setattr("ambientd.adapters.engines.installed", dict)
    found = doctor_folder._engines(config)
    assert (found.grade, "wasmtime" in found.text) == (Grade.FAIL, True)


@pytest.mark.slow
def test_a_protection_that_this_kernel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor_folder._sandbox(None).grade is Grade.OK
    wanted = REQUIRED_PROTECTIONS | {"a-later-one"}
    monkeypatch.setattr(doctor_folder, "REQUIRED_PROTECTIONS", wanted)
    found = doctor_folder._sandbox(None)
    assert (found.grade, found.text.endswith("missing a-later-one")) == (Grade.FAIL, True)


def test_an_address_that_is_not_this_devices_is_said() -> None:
    config = Config(transport=TransportOptions(listen="203.0.113.9:4400"))
    found = doctor_folder._port(config)
    assert (found.grade, found.text) == (Grade.FAIL, "203.0.113.9 is no address of this device")


def test_a_dashboard_that_was_not_built_is_missed_where_http_is_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on = Config(http=HttpOptions(enabled=True))
    assert doctor_folder._dashboard(Config()) == []
    for is_built, grade in ((True, Grade.OK), (False, Grade.WARN)):
        monkeypatch.setattr(doctor_folder, "is_built", lambda is_built=is_built: is_built)
        [found] = doctor_folder._dashboard(on)
        assert (found.grade, "make dashboard" in found.advice) == (grade, not is_built)


def test_the_worst_finding_decides() -> None:
    assert Checkup(running=True, findings=()).worst is Grade.OK
    findings = tuple(
        Finding(name="x", grade=grade, text="", advice="") for grade in (Grade.WARN, Grade.OK)
    )
    assert Checkup(running=True, findings=findings).worst is Grade.WARN


def test_pinned_modules_that_are_not_here_are_named(folder: Path) -> None:
    places = Places(folder)
    assert doctor_folder._pins(places) == []
    pin = Pin(
        written="acme",
        publisher="ab" * 32,
        name="sums",
        version="1.0.0",
        module="cd" * 32,
        manifest="ef" * 32,
    )
    places.module_pins.write_bytes(encode_pins((pin,)))
    for text in (pin.module, pin.manifest):
        [found] = doctor_folder._pins(places)
        assert found.grade is Grade.WARN
        assert found.advice.endswith("`ambientctl module pin acme/sums@1.0.0`")
        places.blob(text).parent.mkdir(parents=True)
        places.blob(text).write_bytes(b"x")
    [found] = doctor_folder._pins(places)
    assert found.grade is Grade.OK
    places.module_pins.write_text("[")
    [found] = doctor_folder._pins(places)
    assert found.grade is Grade.FAIL
