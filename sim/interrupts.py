"""What a signal does to a command: its workers end, and it says in a line how far it was."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Besides Ctrl-C."""
STATUS_OF_SIGNALS = 128


class Workers(ProcessPoolExecutor):
    """Processes that run worlds, and outlast neither an interrupt nor whoever gave up on them."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, multiprocessing.get_context("spawn"))

    def submit(
        self, run: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Let a worker run something; a process that is begun for it leaves Ctrl-C to this one."""
        with _held():  # a process whose start is broken off is in nobody's list
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return super().submit(run, *args, **kwargs)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what runs; after an error nobody wants it any more, and its processes end."""
        with _held():
            if kind is not None:
                for worker in multiprocessing.active_children():
                    worker.kill()
            self.shutdown(cancel_futures=kind is not None)


@contextmanager
def telling(far: Callable[[], str]) -> Iterator[None]:
    """Have an interrupt say how far something was."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(far()) from None


def answering(command: Callable[[], int]) -> int:
    """Run a command; one that a signal ends says so in a line, and gives 128 and its number."""
    ended_by = signal.SIGINT

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended_by
        ended_by = signal.Signals(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)  # trio has its own, which spares its own code

    before = {
        number: signal.signal(number, end)
        for number in ENDING
        if signal.getsignal(number) is signal.SIG_DFL  # nohup wants some ignored
    }
    try:
        return command()
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(": ".join(("interrupted", *map(str, interrupt.args))) + "\n")
        return STATUS_OF_SIGNALS + ended_by
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _held() -> Iterator[None]:
    """Let signals wait until this is done."""
    waiting: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        waiting.append(number)

    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, *ENDING)
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
