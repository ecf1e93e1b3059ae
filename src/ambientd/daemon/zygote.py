"""Forks daemons out of one process that has imported everything, so that they share its memory.

What is imported lies in pages that no child changes, but for counts of references: the collector
of garbage leaves it alone, and nothing else writes there. The process that forks has one thread,
no event loop, no key and no file of a node; but it has the passphrase that opens their keys.
"""

import gc
import importlib
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ambientd.adapters.slim_standard import keep_one_arena

LOG_NAME = "daemon.log"
EVERYTHING = (
    "ambientd.daemon.composition",
    "ambientd.daemon.together",
    "ambientd.daemon.front_desk",
    # What comes with the first execution, in any daemon.
    "cryptography.hazmat.primitives.ciphers",
)
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = 0, 1, 2
_FAILED = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Zygote:
    """The process that forks; `notify` is where its children say that they are ready."""

    def __init__(self, notify: str) -> None:
        self._notify = notify
        # Whoever forks holds the other end: its children end with it, also when it is killed.
        self._leash, self._held = os.pipe()

    def warm_up(self) -> None:
        """Import what a child will need, and let it lie where it is."""
        keep_one_arena()  # before any thread: each would have an arena of its own in every child
        gc.disable()  # else it frees what children would fill, page by page
        for name in EVERYTHING:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()

    def fork(self, data_dir: Path, run: Callable[[], int], inherited: tuple[int, ...]) -> int:
        """Start a daemon in a process of its own; give its id. `inherited` is closed there."""
        assert threading.active_count() == 1, "a fork takes one thread along, whatever others hold"
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal amid this waits until the child has handlers of its own: the fleet's lose it.
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            child = os.fork()
            if not child:
                self._live(data_dir, run, inherited, held_back)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
        return child

    def _live(
        self,
        data_dir: Path,
        run: Callable[[], int],
        inherited: tuple[int, ...],
        held_back: set[int | signal.Signals],
    ) -> NoReturn:
        status = _FAILED
        try:
            self._become(data_dir, inherited)
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
            status = run()
        except BaseException:  # the last place that can say it  # noqa: BLE001
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:  # a full disk must not let a child return and be a second fleet
                os._exit(status)

    def _become(self, data_dir: Path, inherited: tuple[int, ...]) -> None:
        """Be a process of one's own: session, signals, log, leash, randomness."""
        os.setsid()  # an interrupt at the terminal is for the fleet alone
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log = os.open(data_dir / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(self._leash, _STANDARD_INPUT)
        os.dup2(log, _STANDARD_OUTPUT)
        os.dup2(log, _STANDARD_ERROR)
        for each in (log, self._leash, self._held, *inherited):
            os.close(each)
        os.environ["NOTIFY_SOCKET"] = self._notify
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)
        random.seed()  # the state was the same in all of them
        gc.enable()
