"""What a stranger's check of a blame certificate costs: signatures and quorum, then the replay."""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.blame_slim import slimmed
from ambientd.api.module_pausing import PausingProcess
from ambientd.codec import ed25519
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.node.stops import culprit_of, follow_epochs
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import ModulePrepared
from ambientd.rules.blame_check import check_blame_file
from ambientd.rules.executions import limits_of, seed_of
from benchmarks.mesh import machine, report
from tests.rules import blames

AIM_MS = 50
READY_S = 1.0  # longer than any process takes to start


def timed(call: Callable[[], object]) -> float:
    """Give how many milliseconds a call takes."""
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1000


def check_once(data: bytes) -> None:
    """Check everything but the execution, as if nothing had ever been verified here."""
    ed25519.verify.cache_clear()
    done = check_blame_file(data, pinned=blames.CLUSTER.id, follow=follow_epochs, judge=culprit_of)
    if not done.valid:
        raise SystemExit("the certificate does not hold")


def parts_of_replay(file: BlameFile) -> tuple[float, float, float]:
    """Give the times to start a process, to make the module pausable there, and of the stretch."""
    step = file.evidence
    assert isinstance(step, WrongStep)
    begin = time.perf_counter()
    with PausingProcess("wasmtime") as process:
        started = time.perf_counter()
        made = process.prepare_pausable(blames.SUM)
        assert isinstance(made, ModulePrepared)
        prepared = time.perf_counter()
        start = PausedState(root=step.verdicts[0].start.root, data=step.state)
        state = process.execute_until(
            sha256(made.module),
            blames.DATA,
            limits_of(blames.SPEC),
            seed_of(blames.TASK),
            pause_at=step.verdicts[0].until_gas,
            state=start,
        )
        ended = time.perf_counter()
    assert isinstance(state, PausedState)
    return (started - begin) * 1000, (prepared - started) * 1000, (ended - prepared) * 1000


def judged_ahead(data: bytes) -> float:
    """Give the time from a certificate's bytes to the judgement, in a process that is ready."""
    replay = Replay(PausingProcess("wasmtime"))
    time.sleep(READY_S)
    begin = time.perf_counter()
    report = check_blame(data, None, replay)
    spent_ms = (time.perf_counter() - begin) * 1000
    if not report.valid or report.checks[-1].name != "replay":
        raise SystemExit("the step was not judged")
    return spent_ms


def command(path: Path) -> tuple[float, float]:
    """Give the wall and processor time of the command that checks and replays a file."""
    words = (str(Path(sys.executable).parent / "ambientctl"), "blame", "verify", str(path))
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    wall_ms = (time.perf_counter() - begin) * 1000
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_ms, spent_s * 1000


def slim(runs: int) -> None:
    """Print what leaving pages out saves, and what it takes."""
    with blames.about(bytes(wasmtime.wat2wasm(blames.WIDE))):
        file = blames.with_blobs(blames.wrong_step())
        made = slimmed(file, Replay(PausingProcess("wasmtime")))
        print(f"twelve pages, of which one is touched: {len(encode(file)):,} bytes")
        print(f"  the same without the others: {len(made):,} bytes")
        for name, data in (("whole", encode(file)), ("slim", made)):
            ahead = [judged_ahead(data) for _ in range(runs)]
            report(f"  {name}, from its bytes to the judgement, a process at hand", ahead, "ms")
        took = []
        for _ in range(runs):
            replay = Replay(PausingProcess("wasmtime"))
            time.sleep(READY_S)
            took.append(timed(lambda replay=replay: slimmed(file, replay)))
    report("  leaving them out, a process at hand", took, "ms")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blame", description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    print(machine())
    for name, file in blames.scenes()[:3]:
        data = encode(file)
        checks = [timed(lambda data=data: check_once(data)) for _ in range(runs)]
        print(f"{name}: {len(data):,} bytes")
        report("  all checks but the replay", checks, "ms")
    parts = [parts_of_replay(blames.wrong_step()) for _ in range(runs)]
    for name, values in zip(
        ("  locked-down process", "  module made pausable", "  the stretch"),
        zip(*parts, strict=True),
        strict=True,
    ):
        report(name, list(values), "ms")
    data = encode(blames.with_blobs(blames.wrong_step()))
    ahead = [judged_ahead(data) for _ in range(runs)]
    report("a wrong step, from its bytes to the judgement, a process at hand", ahead, "ms")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.blame"
        path.write_bytes(data)
        walls, cpus = zip(*(command(path) for _ in range(runs)), strict=True)
    report("ambientctl blame verify", list(walls), "ms")
    report("  of processor time", list(cpus), "ms")
    slim(runs)
    stretch = statistics.median(part[2] for part in parts)
    rest = statistics.median(ahead) - stretch
    print(f"beside the stretch: {rest:.0f} ms, aim {AIM_MS} ms")


if __name__ == "__main__":
    main()
