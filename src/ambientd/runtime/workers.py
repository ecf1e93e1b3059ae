"""The pool of locked-down worker processes: started ahead, killed at the wall limit, replaced.

A worker process is never trusted: its replies are decoded as hostile and bounded by the limits
that were asked for. Whatever goes wrong with a process becomes `Aborted`, and the pool goes on.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from fcntl import fcntl

import structlog
import trio

from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from ambientd.model.execution import (
    INPUT_BYTES_CEILING,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    SEED_BYTES,
    Executed,
    ExecuteModule,
    ExecutionAborted,
    Hello,
    LoadModule,
    ModuleLoaded,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    PrepareModule,
    Protection,
    Reply,
    Request,
)
from ambientd.wasm.interface import Interface
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, Refused

log = structlog.get_logger("ambientd.workers")

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, Linux only
_PIPE_BYTES = 1 << 20
_REASON_CHARACTERS_MAX = 4_000
_RESTART_DELAY_MS_MAX = 5_000
_MODULE_BYTES_MAX = PrepareLimits().module_bytes_max


class Sandbox(StrEnum):
    """Whether a platform that lacks a protection may run workers all the same."""

    REQUIRED = "required"
    BEST_EFFORT = "best-effort"


@dataclass(frozen=True, slots=True)
class WorkerPoolOptions:
    """How many processes, how they are held, and how long they may take."""

    size: int = 2
    engine: str = "wasmtime"
    sandbox: Sandbox | str = Sandbox.REQUIRED
    waiting_max: int = 64
    start_ms_max: int = 20_000
    prepare_ms_max: int = 30_000
    command: tuple[str, ...] = (sys.executable, "-I", "-m", "ambientd.worker")

    def __post_init__(self) -> None:
        if self.size < 1:
            msg = f"the worker pool has size {self.size}; it needs at least one process"
            raise ConfigError(msg)
        if self.sandbox not in tuple(Sandbox):
            msg = f"sandbox is {self.sandbox!r}; say one of {', '.join(Sandbox)}"
            raise ConfigError(msg)


class _WorkerLostError(Exception):
    """The process died or stopped making sense."""


@dataclass(eq=False, slots=True)
class _Process:
    """One worker process and its two pipes."""

    process: subprocess.Popen[bytes]
    requests: trio.lowlevel.FdStream
    replies: trio.lowlevel.FdStream
    loaded: set[bytes] = field(default_factory=set)
    received: bytearray = field(default_factory=bytearray)

    @property
    def pid(self) -> int:
        return self.process.pid

    @classmethod
    def start(cls, command: tuple[str, ...]) -> "_Process":
        # From this thread, not a pool thread: the process dies with the thread that started it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is for the daemon alone
            bufsize=0,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        streams: list[trio.lowlevel.FdStream] = []
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # only larger pipes, only where they exist
                fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)
            streams.append(trio.lowlevel.FdStream(os.dup(pipe.fileno())))
            pipe.close()
        requests, replies = streams
        return cls(process, requests, replies)

    async def ask(self, request: Request) -> Reply:
        """Send one request and wait for its reply."""
        data = canonical.encode(request)
        try:
            await self.requests.send_all(len(data).to_bytes(LENGTH_BYTES, "little") + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _WorkerLostError from error
        return await self.receive()

    async def receive(self) -> Reply:
        """Wait for one frame; it may be anything, the process has run hostile code."""
        size_bytes = int.from_bytes(await self._take(LENGTH_BYTES), "little")
        if size_bytes > FRAME_BYTES_MAX:
            raise _WorkerLostError
        data = await self._take(size_bytes)
        try:
            reply: Reply = canonical.decode(data, Reply, FRAME_BYTES_MAX)
        except RemoteProtocolError as error:
            raise _WorkerLostError from error
        return reply

    async def _take(self, size_bytes: int) -> bytes:
        while len(self.received) < size_bytes:
            try:
                piece = await self.replies.receive_some(_PIPE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _WorkerLostError from error
            if not piece:
                raise _WorkerLostError
            self.received += piece
        data = bytes(self.received[:size_bytes])
        del self.received[:size_bytes]
        return data

    async def end(self) -> int:
        """Kill the process, close the pipes, and return its exit status."""
        with trio.CancelScope(shield=True):
            self.process.kill()
            status = await trio.to_thread.run_sync(self.process.wait)
            await self.requests.aclose()
            await self.replies.aclose()
        return status


class WorkerPool:
    """Prepares and executes modules in whichever process is free."""

    def __init__(self, options: WorkerPoolOptions, nursery: trio.Nursery) -> None:
        self.engine = ""
        self.engine_version = ""
        self.protections: frozenset[Protection] = frozenset()
        self._options = options
        self._nursery = nursery
        self._all: set[_Process] = set()
        self._idle: list[_Process] = []
        self._free = trio.Semaphore(0)
        self._calls = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids, for supervision."""
        return tuple(sorted(process.pid for process in self._all))

    async def prepare(self, module: bytes) -> Prepared | Refused | Aborted:
        """Rewrite and validate a submitted module; the module is as hostile as can be."""
        if len(module) > _MODULE_BYTES_MAX:
            return Refused(
                f"the module has {len(module)} bytes, at most {_MODULE_BYTES_MAX} are allowed. "
                "Make the module smaller or split it."
            )
        limit_ms = self._options.prepare_ms_max
        async with self._process() as process:
            if process is None:
                return self._busy()
            request = PrepareModule(module=module, cpu_ms_max=limit_ms)
            reply = await self._ask(process, request, limit_ms, "preparing the module")
            match reply:
                case ModulePrepared():
                    if reply.interface not in {kind.value for kind in Interface}:
                        return await self._nonsense(process)
                    process.loaded.add(sha256(reply.module))
                    return Prepared(
                        module=reply.module,
                        interface=Interface(reply.interface),
                        imports=reply.imports,
                    )
                case ModuleRefused():
                    if reply.detail:
                        log.info("module does not validate", engine_says=reply.detail)
                    return Refused(reply.reason[:_REASON_CHARACTERS_MAX])
                case Aborted():
                    return reply
                case ExecutionAborted():
                    return reply.aborted
                case _:
                    return await self._nonsense(process)

    async def execute(
        self, prepared: bytes, data: bytes, limits: ExecutionLimits, seed: bytes
    ) -> ExecutionResult | Aborted:
        """Execute a prepared module once; `seed` feeds its random numbers."""
        if len(seed) != SEED_BYTES:
            msg = f"the seed has {len(seed)} bytes, it needs {SEED_BYTES}"
            raise LocalProtocolError(msg)
        if len(data) > INPUT_BYTES_CEILING:
            return Aborted(reason=f"input of {len(data)} bytes, at most {INPUT_BYTES_CEILING}")
        digest = sha256(prepared)
        async with self._process(digest) as process:
            if process is None:
                return self._busy()
            request = ExecuteModule(prepared=digest, input=data, limits=limits, seed=seed)
            if digest not in process.loaded:
                refused = await self._load(process, digest, prepared)
                if refused is not None:
                    return refused
            reply = await self._execute(process, request)
            if isinstance(reply, ModuleUnknown):  # evicted there in the meantime
                process.loaded.discard(digest)
                refused = await self._load(process, digest, prepared)
                if refused is not None:
                    return refused
                reply = await self._execute(process, request)
            match reply:
                case Executed():
                    if not _plausible(reply.result, limits):
                        return await self._nonsense(process)
                    return reply.result
                case Aborted():
                    return reply
                case ExecutionAborted():
                    return reply.aborted
                case _:
                    return await self._nonsense(process)

    async def _execute(self, process: _Process, request: ExecuteModule) -> Reply | Aborted:
        return await self._ask(process, request, request.limits.wall_ms_max, "the execution")

    async def _load(
        self, process: _Process, digest: bytes, prepared: bytes
    ) -> ExecutionResult | Aborted | None:
        limit_ms = self._options.prepare_ms_max
        request = LoadModule(prepared=prepared, cpu_ms_max=limit_ms)
        match reply := await self._ask(process, request, limit_ms, "loading the module"):
            case ModuleLoaded():
                process.loaded.add(digest)
                return None
            case ModuleRefused():
                return ExecutionResult(
                    kind=OutcomeKind.REFUSED,
                    reason=reply.reason[:_REASON_CHARACTERS_MAX],
                    output=b"",
                    gas=0,
                    log=reply.detail.encode(),
                )
            case Aborted():
                return reply
            case ExecutionAborted():
                return reply.aborted
            case _:
                return await self._nonsense(process)

    async def _ask(
        self, process: _Process, request: Request, limit_ms: int, what: str
    ) -> Reply | Aborted:
        """Ask within a wall-clock limit; a process that fails is ended at once."""
        try:
            with trio.fail_after(limit_ms / 1000):
                return await process.ask(request)
        except trio.TooSlowError:
            await self._end(process)
            return Aborted(reason=f"{what} took longer than {limit_ms} ms of wall time")
        except _WorkerLostError:
            status = await self._end(process)
            died = f"by signal {-status}" if status < 0 else f"with status {status}"
            return Aborted(reason=f"the worker process ended {died} during {what}")

    async def _nonsense(self, process: _Process) -> Aborted:
        await self._end(process)
        return Aborted(reason="the worker process gave an answer that makes no sense")

    def _busy(self) -> Aborted:
        return Aborted(
            reason=f"every worker process is busy and {self._options.waiting_max} calls wait "
            "already. Lower the number of slots or raise the pool's size"
        )

    @contextlib.asynccontextmanager
    async def _process(self, digest: bytes = b"") -> AsyncIterator[_Process | None]:
        """Lend a free process, best one that has the module; None when too many wait."""
        if self._calls >= self._options.size + self._options.waiting_max:
            yield None
            return
        self._calls += 1
        try:
            await self._free.acquire()
            async with self._lend(digest) as process:
                yield process
        finally:
            self._calls -= 1

    @contextlib.asynccontextmanager
    async def _lend(self, digest: bytes) -> AsyncIterator[_Process]:
        knows = (process for process in self._idle if digest in process.loaded)
        process = next(knows, self._idle[-1])
        self._idle.remove(process)
        try:
            yield process
        except BaseException:
            # Cancelled half way: what the process does now is anyone's guess.
            await self._end(process)
            raise
        finally:
            if process in self._all:
                self._give_back(process)
            else:
                self._nursery.start_soon(self._replace)

    def _give_back(self, process: _Process) -> None:
        self._idle.append(process)
        self._free.release()

    async def _end(self, process: _Process) -> int:
        self._all.discard(process)
        return await process.end()

    async def _replace(self) -> None:
        """Start a process in the place of a lost one, ever more patiently while that fails."""
        delay_ms = 50
        while True:
            try:
                self._give_back(await self.start_one())
            except ConfigError as error:
                log.error("worker process does not start", error=str(error), retry_ms=delay_ms)
                await trio.sleep(delay_ms / 1000)
                delay_ms = min(2 * delay_ms, _RESTART_DELAY_MS_MAX)
            else:
                return

    async def start_one(self) -> _Process:
        """Start a process, wait for its hello, and check that it is locked down."""
        try:
            process = _Process.start((*self._options.command, self._options.engine))
        except OSError as error:
            msg = f"cannot start {self._options.command[0]} as a worker process: {error.strerror}"
            raise ConfigError(msg) from error
        self._all.add(process)
        try:
            with trio.fail_after(self._options.start_ms_max / 1000):
                hello = await process.receive()
            if not isinstance(hello, Hello):
                raise _WorkerLostError
            self._check(hello)
        except trio.TooSlowError:
            await self._end(process)
            msg = f"the worker process said nothing for {self._options.start_ms_max} ms"
            raise ConfigError(msg) from None
        except _WorkerLostError:
            status = await self._end(process)
            msg = (
                f"the worker process ended with status {status} at its start. "
                f"Run `{' '.join(self._options.command)}` by hand to see why"
            )
            raise ConfigError(msg) from None
        except BaseException:
            await self._end(process)
            raise
        self.engine, self.engine_version = hello.engine, hello.engine_version
        self.protections = frozenset(hello.protections)
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
        missing = sorted(set(Protection) - set(hello.protections))
        if missing and self._options.sandbox != Sandbox.BEST_EFFORT:
            msg = (
                f"this platform cannot lock worker processes down: missing {', '.join(missing)}. "
                'Use a newer Linux kernel, or set sandbox = "best-effort" and run only modules '
                "you trust"
            )
            raise ConfigError(msg)

    async def open(self) -> None:
        """Start all processes at once; raise ConfigError if one does not come up."""
        failures: list[ConfigError] = []

        async def start() -> None:
            try:
                self._give_back(await self.start_one())
            except ConfigError as error:
                failures.append(error)

        async with trio.open_nursery() as starting:
            for _ in range(self._options.size):
                starting.start_soon(start)
        if failures:
            raise failures[0]

    async def close(self) -> None:
        """End every process."""
        for process in tuple(self._all):
            await self._end(process)


def _plausible(result: ExecutionResult, limits: ExecutionLimits) -> bool:
    return (
        len(result.output) <= limits.output_bytes_max
        and len(result.log) <= limits.log_bytes_max
        and 0 <= result.gas <= limits.gas_max
        and len(result.reason) <= _REASON_CHARACTERS_MAX
        and (result.kind is OutcomeKind.COMPLETED or not result.output)
    )


@contextlib.asynccontextmanager
async def open_worker_pool(options: WorkerPoolOptions) -> AsyncIterator[WorkerPool]:
    """Run a pool for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        pool = WorkerPool(options, nursery)
        try:
            await pool.open()
            yield pool
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await pool.close()
