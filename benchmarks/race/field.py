"""Who takes part in the race, and how one of them is started, ordered about and measured."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.memory import KIB, rolled_up

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ANSWER_DEADLINE_S = 540.0
STOP_DEADLINE_S = 60.0
WASM = ("wasm-noop", "wasm-digest")
KINDS = (*WASM, "native-noop", "native-digest")


@dataclass(frozen=True)
class Contestant:
    """One way to have tasks done; `keeps` says what outlives a crash."""

    name: str
    program: str
    arguments: tuple[str, ...]
    keeps: str
    kinds: tuple[str, ...] = KINDS

    @property
    def is_ours(self) -> bool:
        """Say whether it runs with the daemon's packages."""
        return self.program.startswith("benchmarks.")


MESH = "benchmarks.race.mesh_peer"
BUNDLE = 64
"""Inputs to a task of those that bundle, unless it is said otherwise."""
MESH_KEEPS = "each word, 3 of 4 disks"


def field_of(bundle: int = BUNDLE) -> tuple[Contestant, ...]:
    """Name all contestants, with so many inputs to a task of those that bundle."""
    alone, bundled = ("--bundle", "1"), ("--bundle", str(bundle))
    return (
        Contestant("process pool", "pool_peer.py", (), "nothing"),
        Contestant("Ray", "ray_peer.py", (), "nothing"),
        Contestant("Ray, twice and compared", "ray_peer.py", ("twice",), "nothing"),
        Contestant("Dask", "dask_peer.py", (), "nothing"),
        Contestant("Celery + Redis", "celery_peer.py", (), "a snapshot now and then"),
        Contestant("Celery + Redis, synced", "celery_peer.py", ("synced",), "each write, one disk"),
        *(
            Contestant(f"ambientd, {name}", MESH, (assurance, *how), MESH_KEEPS, WASM)
            for name, assurance, how in (
                ("none", "none", alone),
                ("replicated", "replicated", alone),
                ("none, map", "none", ()),
                ("replicated, map", "replicated", ()),
                ("none, bundles", "none", bundled),
                ("replicated, bundles", "replicated", bundled),
            )
        ),
    )


FIELD = field_of()


class LostError(Exception):
    """A contestant did not start, or gave up; the message says what it said last."""


@dataclass
class Heat:
    """What one start of one contestant has shown."""

    boot_s: float
    seconds: dict[str, float] = field(default_factory=dict)
    processor_s: dict[str, float] = field(default_factory=dict)
    wire_bytes: dict[str, int] = field(default_factory=dict)
    noop_ms: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    load: float = 0.0


class Running:
    """A contestant that has been started, with everything that it started."""

    def __init__(
        self, who: Contestant, peers: Path, modules: Mapping[str, str], *, alone: bool
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop
        python = sys.executable if who.is_ours else str(peers)
        what = ["-m", who.program] if who.is_ours else [str(HERE / who.program)]
        front = [sys.executable, str(HERE / "alone.py")] if alone else []
        self._begin_s = time.perf_counter()
        self._process = subprocess.Popen(
            [*front, python, *what, *who.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **modules, "PYTHONPATH": "" if who.is_ours else str(HERE)},
            text=True,
            cwd=ROOT,
        )
        self._has_own_wire = alone

    def await_ready(self) -> float:
        """Give the seconds from its start until its first task was done."""
        self._answer()
        return time.perf_counter() - self._begin_s

    def order(
        self, kind: str, tasks: int, *, begin: int = 0, one_by_one: bool = False
    ) -> dict[str, object]:
        """Have tasks done on the inputs from one on, and give what it says of them."""
        assert self._process.stdin is not None
        order = {"kind": kind, "tasks": tasks, "begin": begin, "one_by_one": one_by_one}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LostError(self._last_words()) from None
        return self._answer()

    def stop(self) -> None:
        """Let it end by itself, and what does not end with it by force."""
        family = self._family()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(STOP_DEADLINE_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        for each in family:
            if each.is_running():
                each.kill()
        self._process.stdout.close()
        self._errors.close()

    def processor_s(self) -> float:
        """Give the processor time of all its processes so far."""
        used = 0.0
        for each in self._family():
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system + times.children_user + times.children_system
        return used

    def wire_bytes(self) -> int | None:
        """Give what went over its own loopback interface so far, headers included."""
        if not self._has_own_wire:
            return None
        text = Path(f"/proc/{self._process.pid}/net/dev").read_text(encoding="ascii")
        (line,) = (each for each in text.splitlines() if each.strip().startswith("lo:"))
        return int(line.split(":")[1].split()[0])

    def memory_mib(self) -> float:
        """Give the memory of all its processes, what they share counted once."""
        found = 0
        for each in self._family():
            try:
                found += rolled_up(each.pid).get("Pss", 0)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found / KIB

    def _family(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _answer(self) -> dict[str, object]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_DEADLINE_S)[0]:
            raise LostError(f"no answer within {ANSWER_DEADLINE_S:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise LostError(self._last_words())
        answer: dict[str, object] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):  # what it has to say comes when it has tidied up
            self._process.wait(STOP_DEADLINE_S)
        self._errors.seek(0)
        said = [line.strip() for line in self._errors if line.strip()]
        return said[-1] if said else f"it ended with status {self._process.poll()}"
