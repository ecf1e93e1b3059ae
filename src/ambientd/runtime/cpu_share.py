"""What worker processes may use of the processor together: who has used it up stands still.

Processor time flows into a purse at the owner's share of all cores, and what the workers use, by
the kernel's clock of each process, goes out. When the purse is empty they are stopped (SIGSTOP),
and go on when time has filled it again. A short burst is made up for later, so the mean holds.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import trio

_TICK_S = 0.05
_REST_S = 0.5
_BURST_NS = 100_000_000
_DEBT_NS_MAX = 5_000_000_000


def cpu_ns(pid: int) -> int | None:
    """Give the processor time that a process has used, with all its threads; None if not known."""
    if sys.platform != "linux":
        return None
    try:
        # The kernel's id of another process's clock: see clock_getcpuclockid(3).
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


class CpuSpent:
    """The processor time that work has taken; not known as a whole when part of it is not."""

    def __init__(self) -> None:
        self._ns = 0
        self._is_known = True

    @property
    def ns(self) -> int | None:
        """Give the sum so far."""
        return self._ns if self._is_known else None

    @contextlib.contextmanager
    def by(self, pid: int) -> Iterator[None]:
        """Add what a process uses meanwhile."""
        before_ns = cpu_ns(pid)
        try:
            yield
        finally:
            after_ns = cpu_ns(pid)
            if before_ns is None or after_ns is None or after_ns < before_ns:
                self._is_known = False
            else:
                self._ns += after_ns - before_ns


class CpuShare:
    """Holds processes to a share; `pids` gives those that work, and may differ each time."""

    def __init__(self, pids: Callable[[], Iterable[int]], cores: int | None = None) -> None:
        self._pids = pids
        self._cores = cores or os.cpu_count() or 1
        self._percent = 100
        self._changed = trio.Event()
        self._used: dict[int, int] = {}
        self._stopped: set[int] = set()
        self._purse_ns = 0

    @property
    def cores(self) -> int:
        """Give how many cores this device has."""
        return self._cores

    def set_percent(self, percent: int) -> None:
        """Hold the processes to so much of all cores from now on; 100 lets them be."""
        self._percent = percent
        self._changed.set()
        if percent >= 100:
            self._release()

    async def run(self) -> None:
        """Watch, for as long as there is a cap; leave nothing stopped behind."""
        try:
            while True:
                self._changed = trio.Event()
                if self._percent >= 100:
                    await self._changed.wait()
                else:
                    await self._hold()
        finally:
            self._release()

    async def _hold(self) -> None:
        self._used = {}
        self._purse_ns = 0
        seen_ns = time.monotonic_ns()
        while not self._changed.is_set():
            now_ns = time.monotonic_ns()
            is_busy = self._look(now_ns - seen_ns)
            seen_ns = now_ns
            with trio.move_on_after(_TICK_S if is_busy else _REST_S):
                await self._changed.wait()

    def _look(self, passed_ns: int) -> bool:
        """Fill the purse, take out what was used, and stop or continue; tell if any worked."""
        pids = tuple(self._pids())
        used_ns = sum(self._used_by(pid, passed_ns) for pid in pids)
        self._used = {pid: self._used[pid] for pid in pids if pid in self._used}
        share_ns = passed_ns * self._cores * self._percent // 100
        left_ns = min(self._purse_ns + share_ns, _BURST_NS) - used_ns
        self._purse_ns = max(left_ns, -_DEBT_NS_MAX)
        self._stopped &= set(pids)
        if self._purse_ns < 0:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            self._stopped = set(pids)
        elif self._stopped:
            self._release()
        return used_ns > 0 or bool(self._stopped)

    def _used_by(self, pid: int, passed_ns: int) -> int:
        now_ns = cpu_ns(pid)
        if now_ns is None:  # no such clock: a process that may run counts as one that does
            return 0 if pid in self._stopped else passed_ns
        before_ns = self._used.get(pid, now_ns)
        self._used[pid] = now_ns
        return max(0, now_ns - before_ns)

    def _release(self) -> None:
        for pid in self._stopped:
            _signal(pid, signal.SIGCONT)
        self._stopped = set()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and is being replaced
        os.kill(pid, number)
