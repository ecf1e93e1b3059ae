"""`python -m tests.fuzz --minutes N --seed S`: differential testing of all installed engines.

The engines run in child processes. One that dies or hangs is a find: its module is kept, and the
next child goes on behind it.
"""

import argparse
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ambientd.adapters.engines import installed, open_engine
from ambientd.wasm.prepare import REWRITER_VERSION
from tests.fuzz.campaign import MODULE_FILE, NUMBER_FILE, Part
from tests.fuzz.differential import INPUTS, Find
from tests.fuzz.finds import CORPUS, save
from tests.fuzz.report import Summary, written

MODULES_EACH = 5_000  # then a fresh process takes over
HANG_S = 120.0
REPORT_EVERY_S = 30.0
CRASHES_MAX = 50


@dataclass
class Child:
    """One child process and where it stands."""

    index: int
    next: int
    scratch: Path
    process: subprocess.Popen[str]
    heard_at: float
    errors: Path


class Campaign:
    """Keeps the children going and adds up what they say."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.seed: int = arguments.seed
        self.jobs: int = arguments.jobs
        self.engines: list[str] = arguments.engines
        self.inputs: int = arguments.inputs
        self.folder = folder
        self.finds: Path = arguments.finds
        self.lines: queue.Queue[tuple[int, int, str]] = queue.Queue()
        self.children: dict[int, Child] = {}
        self.summary = Summary(
            seed=self.seed,
            first=arguments.first,
            engines={name: open_engine(name).version for name in self.engines},
            rewriter_version=REWRITER_VERSION,
        )

    def start(self, index: int, number: int) -> None:
        """Start a child at a module number."""
        scratch = self.folder / f"child-{index}"
        scratch.mkdir(exist_ok=True)
        errors = scratch / "errors"
        part = Part(
            seed=self.seed, first=number, step=self.jobs, count=MODULES_EACH,
            engines=tuple(self.engines), inputs=self.inputs,
            scratch=str(scratch), finds=str(self.finds),
        )  # fmt: skip
        with errors.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.campaign", json.dumps(asdict(part))],
                stdout=subprocess.PIPE, stderr=sink, text=True,
            )  # fmt: skip
        child = Child(index, number, scratch, process, time.monotonic(), errors)
        self.children[index] = child
        threading.Thread(target=self._listen, args=(child,), daemon=True).start()

    def _listen(self, child: Child) -> None:
        assert child.process.stdout is not None
        for line in child.process.stdout:
            self.lines.put((child.index, child.process.pid, line))
        self.lines.put((child.index, child.process.pid, ""))

    def hear(self, timeout_s: float) -> None:
        """Take one line from any child; an empty one means that it has ended."""
        try:
            index, pid, line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            return
        child = self.children.get(index)
        if child is None or child.process.pid != pid:
            return
        child.heard_at = time.monotonic()
        if not line:
            status = child.process.wait()
            if status:
                self._bury(child, f"the process ended with status {status}")
            self.start(index, child.next)
            return
        report = json.loads(line)
        child.next = report["next"]
        self.summary.counts.update(report["counts"])
        for find in report["finds"]:
            self.summary.finds.append(find)
            print(f"FIND {json.dumps(find)}", flush=True)
        self.summary.numbers_end = max(self.summary.numbers_end, child.next)

    def _bury(self, child: Child, claim: str) -> None:
        number = int((child.scratch / NUMBER_FILE).read_text())
        module = (child.scratch / MODULE_FILE).read_bytes()
        errors = child.errors.read_text("utf-8", "replace")[-1500:]
        seen = {"process": errors or claim}
        save(Find(claim, module, seen), f"campaign {self.seed}, module {number}", self.finds)
        self.summary.finds.append({"number": number, "claim": claim, "seen": seen})
        print(f"FIND {claim} at module {number}\n{errors}", flush=True)
        child.next = number + self.jobs
        if sum("process ended" in find["claim"] for find in self.summary.finds) > CRASHES_MAX:
            sys.exit("too many crashes; look at the first ones")

    def end_the_hanging(self) -> None:
        """Kill what has not been heard of for too long; its end is a find."""
        for child in self.children.values():
            if time.monotonic() - child.heard_at > HANG_S:
                child.process.kill()
                child.heard_at = time.monotonic()

    def close(self) -> None:
        """End all children."""
        for child in self.children.values():
            child.process.kill()
            child.process.wait()


def main() -> int:
    """Run a campaign; fail if there was a find."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--executions", type=int, default=0, help="end after so many, if not 0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first module's number")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="of each module")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(installed()))
    parser.add_argument("--finds", type=Path, default=CORPUS, help="the folder for finds")
    parser.add_argument("--report", type=Path, help="where the summary is written, as Markdown")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the folder goes then, too
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ambient-fuzz-") as folder:
        campaign = Campaign(arguments, Path(folder))
        summary = campaign.summary
        shown = began
        try:
            for index in range(arguments.jobs):
                campaign.start(index, arguments.first + index)
            while (elapsed := time.monotonic() - began) < arguments.minutes * 60:
                campaign.hear(timeout_s=1.0)
                campaign.end_the_hanging()
                if time.monotonic() - shown > REPORT_EVERY_S:
                    shown = time.monotonic()
                    print(summary.line(elapsed), flush=True)
                    written(summary, elapsed, arguments.report)
                if 0 < arguments.executions <= summary.counts["executions"]:
                    break
        except KeyboardInterrupt:
            print("stopped", flush=True)
        finally:
            campaign.close()
    elapsed = time.monotonic() - began
    written(summary, elapsed, arguments.report)
    print(summary.markdown(elapsed))
    return bool(summary.finds)


if __name__ == "__main__":
    sys.exit(main())
