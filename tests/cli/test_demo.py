"""The whole demonstration with real daemons, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

pytestmark = [pytest.mark.mesh, pytest.mark.slow, pytest.mark.net]
DEMO = [sys.executable, "-m", "ambientd.cli.main", "demo", "--json"]


def running_in(folder: Path) -> list[int]:
    """Give the processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in line:
                found.append(int(entry.name))
    return found


def left_in(folder: Path) -> list[int]:
    """Give the processes that stay: one begun as its daemon ended sees that, and ends at once."""
    end_s = time.monotonic() + 30
    while (found := running_in(folder)) and time.monotonic() < end_s:
        os.sched_yield()
    return found


def test_the_liar_is_named_and_the_receipt_holds(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    done = subprocess.run(
        [*DEMO, "--keep", "--dir", str(root)], capture_output=True, text=True, timeout=480
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    events = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    last = events[-1]
    assert last["event"] == "done"
    assert last["named"] == last["liars"]
    assert len(last["liars"]) == 1
    assert last["accuracy"] > 0.9
    assert Path(last["receipt"]).is_file()
    kinds = [event["event"] for event in events]
    for kind in ("mesh_formed", "task_disputed", "liar_named", "task_paid", "task_energy"):
        assert kind in kinds
    depths = [event["confirmations"] for event in events if event["event"] == "anchor_confirmed"]
    assert depths[-1] == 6
    sent = [event for event in events if event["event"] == "anchor_sent"]
    assert sent
    assert all(event["op_return"] == b"AMB1".hex() + event["root"] for event in sent)
    assert len({event["txid"] for event in sent}) == len(sent), "each is told once"
    assert left_in(root) == []
    check = [*DEMO[:-2], "receipt", "verify", last["receipt"], "--json"]
    verified = subprocess.run(check, capture_output=True, text=True)
    assert verified.returncode == 0
    assert set(msgspec.json.decode(verified.stdout)) == {"valid", "checks", "trust"}


def test_an_interrupted_demonstration_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    process = subprocess.Popen(
        [*DEMO, "--dir", str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if msgspec.json.decode(line)["event"] == "mesh_formed":
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert not root.exists()
    assert left_in(root) == []
