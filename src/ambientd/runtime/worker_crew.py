"""So many worker processes of one kind kept ready, lent one at a time, replaced when lost or worn.

A process is worn when it has been lent often enough, when it has grown, or when it lies idle with
much memory; a fresh one carries nothing that a module may have left behind. In a crew that rests,
whoever lies idle ends, and whoever is lent its place waits for a start.
"""

import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable

import structlog
import trio

from ambientd.errors import ConfigError
from ambientd.model.execution import AbortCause, Aborted
from ambientd.ports.worker_protocol import (
    REASON_CHARACTERS_MAX,
    REQUIRED_PROTECTIONS,
    ExecutionAborted,
    Hello,
    Protection,
    Reply,
    how_it_ended,
)
from ambientd.runtime.control_groups import ControlGroups, GroupLimits
from ambientd.runtime.worker_options import MEMORY_NEED_BYTES_MAX, Sandbox, WorkerPoolOptions
from ambientd.runtime.worker_process import WorkerLostError, WorkerProcess
from ambientd.wasm.prepare import REWRITER_VERSION

log = structlog.get_logger("ambientd.workers")

_RESTART_DELAY_MS_MAX = 5_000
# Besides what an execution is lent: the interpreter, the engine, and the modules that are loaded.
_PROCESS_BYTES = 512 << 20


class WorkerCrew:
    """The processes that execute, those that prepare, or those that pause."""

    def __init__(
        self,
        options: WorkerPoolOptions,
        nursery: trio.Nursery,
        groups: ControlGroups | None,
        *,
        size: int,
        uses_max: int,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.hello: Hello | None = None
        self.protections = frozenset(Protection)  # that every process so far had
        self._options = options
        self._nursery = nursery
        self._groups = groups
        self._size = size
        self._uses_max = uses_max
        self._command = (*options.command, options.engine, *arguments)
        self._all: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._resting = 0  # places whose process starts when it is lent
        self._free = trio.Semaphore(0)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids, for supervision."""
        return tuple(sorted(process.pid for process in self._all))

    @property
    def pids_at_work(self) -> tuple[int, ...]:
        """The ids of the processes that have started, and may have something to do."""
        return tuple(sorted(process.pid for process in self._all if process.has_started))

    async def open(self, *, is_known: bool = False) -> ConfigError | None:
        """Start all processes at once; tell why if one does not come up.

        A crew that rests starts one, to learn what it is like, unless another crew shows that.
        """
        count = min(0 if is_known else 1, self._size) if self._options.rests else self._size
        failures: list[ConfigError] = []

        async def start() -> None:
            try:
                self._give_back(await self._start_one())
            except ConfigError as error:
                failures.append(error)

        async with trio.open_nursery() as starting:
            for _ in range(count):
                starting.start_soon(start)
        if failures:
            return failures[0]
        for _ in range(self._size - count):
            self._rest()
        self._nursery.start_soon(self._look_now_and_then)
        return None

    async def close(self) -> None:
        """End every process."""
        while self._all:
            await self.end(next(iter(self._all)))

    @contextlib.asynccontextmanager
    async def lend(self, digest: bytes = b"") -> AsyncIterator[WorkerProcess]:
        """Lend a free process, best one that has the module of this digest."""
        process = await self._free_process(digest)
        process.uses += 1
        process.lent_since_look = True
        try:
            yield process
        except BaseException:
            # Cancelled half way: what the process does now is anyone's guess.
            await self.end(process)
            raise
        finally:
            if process not in self._all:
                self._nursery.start_soon(self._replace)
            elif self._is_worn(process):
                self._nursery.start_soon(self._renew, process)
            else:
                self._give_back(process)

    async def _free_process(self, digest: bytes) -> WorkerProcess:
        while True:
            try:
                self._free.acquire_nowait()
            except trio.WouldBlock:
                await self._free.acquire()
            if not self._idle:
                woken = await self._wake()
                if woken is None:
                    continue
                return woken
            knows = (process for process in self._idle if digest in process.loaded)
            process = next(knows, self._idle[-1])
            self._idle.remove(process)
            if process.is_quiet():
                return process
            log.warning("worker process died or spoke while idle", pid=process.pid)
            await self.end(process)
            self._nursery.start_soon(self._replace)

    def _rest(self) -> None:
        """Leave a place empty until somebody wants it."""
        self._resting += 1
        self._free.release()

    async def _wake(self) -> WorkerProcess | None:
        """Start the process of a resting place; None if it does not start yet."""
        self._resting -= 1
        try:
            return await self._start_one()
        except ConfigError as error:
            log.error("worker process does not start", error=str(error))
            self._nursery.start_soon(self._replace)
        except BaseException:
            self._rest()
            raise
        return None

    def _is_worn(self, process: WorkerProcess) -> bool:
        return (
            process.uses >= self._uses_max
            or process.resident_bytes() > self._options.resident_bytes_max
        )

    def _give_back(self, process: WorkerProcess) -> None:
        self._idle.append(process)
        self._free.release()

    async def end(self, process: WorkerProcess) -> int:
        """End a process and give its exit status; its place is filled when it is given back."""
        self._all.discard(process)
        status = await process.end()
        if self._groups is not None:
            self._groups.release(process.pid)
        return status

    async def reply_within(
        self, process: WorkerProcess, asking: Awaitable[Reply], limit_ms: int, what: str
    ) -> Reply | Aborted:
        """Wait for a reply within a wall-clock limit; a process that fails is ended at once."""
        try:
            with trio.fail_after(limit_ms / 1000):
                return await asking
        except trio.TooSlowError:
            await self.end(process)
            reason = f"{what} took longer than {limit_ms} ms of wall time"
            return Aborted(reason=reason, cause=AbortCause.WALL_TIME)
        except WorkerLostError:
            status = await self.end(process)
            return Aborted(reason=how_it_ended(status, what), cause=AbortCause.WORKER_LOST)

    async def no_answer(self, process: WorkerProcess, reply: Reply | Aborted) -> Aborted:
        """Make an abort of what is no answer; a process that talks nonsense ends."""
        match reply:
            case Aborted():
                return reply
            case ExecutionAborted():
                aborted = reply.aborted
                return Aborted(reason=aborted.reason[:REASON_CHARACTERS_MAX], cause=aborted.cause)
            case _:
                await self.end(process)
                return Aborted(reason="the worker process gave an answer that makes no sense")

    async def _look_now_and_then(self) -> None:
        while True:
            await trio.sleep(self._options.idle_ms / 1000)
            self.look_after_idle()

    def look_after_idle(self) -> None:
        """Replace processes that have lain idle with much memory since the last look."""
        for process in tuple(self._idle):
            if self._free.value == 0:
                return  # what is idle is promised to those who wait, and will not be for long
            if process.lent_since_look:
                process.lent_since_look = False
            elif self._options.rests:
                self._free.acquire_nowait()
                self._idle.remove(process)
                self._nursery.start_soon(self.end, process)
                self._rest()
            elif process.resident_bytes() > self._options.idle_bytes_max:
                self._free.acquire_nowait()
                self._idle.remove(process)
                self._nursery.start_soon(self._renew, process)

    async def _renew(self, process: WorkerProcess) -> None:
        await self.end(process)
        await self._replace()

    async def _replace(self) -> None:
        """Start a process in the place of a lost one, ever more patiently while that fails."""
        delay_ms = 50
        while True:
            try:
                self._give_back(await self._start_one())
            except ConfigError as error:
                log.error("worker process does not start", error=str(error), retry_ms=delay_ms)
                await trio.sleep(delay_ms / 1000)
                delay_ms = min(2 * delay_ms, _RESTART_DELAY_MS_MAX)
            else:
                return

    async def _start_one(self) -> WorkerProcess:
        """Start a process, wait for its hello, and check that it is locked down."""
        command = self._command
        try:
            process = WorkerProcess.start(command)
        except OSError as error:
            msg = f"cannot start {command[0]} as a worker process: {error.strerror}"
            raise ConfigError(msg) from error
        self._all.add(process)
        try:
            limits = GroupLimits(
                memory_bytes_max=MEMORY_NEED_BYTES_MAX + _PROCESS_BYTES,
                cpu_percent_max=self._options.cpu_percent_max,
            )
            in_group = self._groups is not None and self._groups.adopt(process.pid, limits)
            with trio.fail_after(self._options.start_ms_max / 1000):
                hello = await process.receive()
            if not isinstance(hello, Hello):
                raise WorkerLostError
            self._check(hello)
        except trio.TooSlowError:
            await self.end(process)
            msg = f"the worker process said nothing for {self._options.start_ms_max} ms"
            raise ConfigError(msg) from None
        except WorkerLostError:
            status = await self.end(process)
            advice = f"Run `{' '.join(command)}` by hand to see why"
            if status == -signal.SIGKILL:
                advice = (
                    "It was killed, most likely for want of memory: free some, or let fewer run"
                )
            msg = f"the worker process ended with status {status} at its start. {advice}"
            raise ConfigError(msg) from None
        except BaseException:
            await self.end(process)
            raise
        held = frozenset(hello.protections) - {Protection.CONTROL_GROUP}
        self.protections &= held | ({Protection.CONTROL_GROUP} if in_group else set())
        self.hello = hello
        process.has_started = True
        return process

    def _check(self, hello: Hello) -> None:
        if hello.engine != self._options.engine:
            msg = (
                f"the worker process runs {hello.engine!r}, not {self._options.engine!r}. "
                "Check the command that starts it"
            )
            raise ConfigError(msg)
        if hello.rewriter_version != REWRITER_VERSION:
            msg = (
                f"the worker process has rewriter version {hello.rewriter_version}, this daemon "
                f"{REWRITER_VERSION}. Install one version of ambientd and start again"
            )
            raise ConfigError(msg)
        missing = sorted(REQUIRED_PROTECTIONS - set(hello.protections))
        if missing and self._options.sandbox != Sandbox.BEST_EFFORT:
            msg = (
                f"this platform cannot lock worker processes down: missing {', '.join(missing)}. "
                'Use a newer Linux kernel, or set sandbox = "best-effort" and run only modules '
                "you trust"
            )
            raise ConfigError(msg)
