"""One locked-down worker process, asked from a plain program: no daemon, no event loop.

The file at hand may be hostile, so it is prepared, compiled and executed over there only. The
process is no more trusted than the file: every wait ends at its limit, every answer is decoded as
hostile and held against what was asked. Whatever goes wrong with it becomes `Aborted`.
"""

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ambientd.adapters.engines import ENGINE_NAMES, installed
from ambientd.codec import canonical
from ambientd.errors import ConfigError, RemoteProtocolError, UsageError
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.worker_protocol import (
    HELLO_BYTES_MAX,
    LENGTH_BYTES,
    PREPARE_CPU_MS_MAX,
    PREPARE_WALL_MS_MAX,
    REASON_CHARACTERS_MAX,
    REQUIRED_PROTECTIONS,
    Executed,
    ExecuteItems,
    ExecuteModule,
    ExecutionAborted,
    Hello,
    ItemsExecuted,
    LoadModule,
    ModuleLoaded,
    ModulePrepared,
    ModuleRefused,
    PrepareModule,
    Reply,
    Request,
    are_plausible,
    how_it_ended,
    is_plausible,
    reply_bytes_max,
)
from ambientd.wasm.interface import Interface

ALL_ENGINES = "all"
_START_MS_MAX = 20_000
_PIECE_BYTES = 1 << 20


def engines_named(name: str) -> tuple[str, ...]:
    """Give the engines that a person means; raise UsageError for one that is not to be had."""
    here = installed()
    if name == ALL_ENGINES:
        return here
    if name not in ENGINE_NAMES:
        msg = f"--engine {name}: no such engine; say {', '.join(ENGINE_NAMES)} or {ALL_ENGINES}"
        raise UsageError(msg)
    if name not in here:
        msg = (
            f"--engine {name}: is not installed; build it with `make engines` (needs Rust), or "
            f"choose one that is: {', '.join(here)}"
        )
        raise UsageError(msg)
    return (name,)


class _LostError(Exception):
    """The process ended or stopped making sense."""


class ModuleProcess:
    """A worker process of one engine, for as long as a `with` block lasts.

    It starts when this is made, and is greeted where the block begins: whoever has something else
    to do meanwhile makes it early, and closes it if it comes to no block.
    """

    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, engine: str, *, sandbox_required: bool = True) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-m", "ambientd.worker", engine, *self.options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is for this side to act on
            bufsize=0,
        )
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._requests = self._process.stdin.fileno()
            self._replies = self._process.stdout.fileno()
            os.set_blocking(self._requests, False)
            os.set_blocking(self._replies, False)
        except BaseException:
            self.close()
            raise
        self._engine, self._sandbox_required = engine, sandbox_required

    def __enter__(self) -> Self:
        assert self._process.returncode is None, "a process serves one block"
        try:
            self.hello = self._greeting()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> int:
        """Kill the process and give its exit status."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return self._process.wait()

    def stop(self) -> None:
        """Kill the process, from another thread: whoever waits for it hears that it ended."""
        self._process.kill()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def prepare(self, module: bytes) -> ModulePrepared | ModuleRefused | Aborted:
        """Rewrite a module and have the engine validate and compile it."""
        return self._prepared(PrepareModule(module=module, cpu_ms_max=PREPARE_CPU_MS_MAX))

    def _prepared(self, request: Request) -> ModulePrepared | ModuleRefused | Aborted:
        reply = self._ask(request, PREPARE_WALL_MS_MAX, "preparing the module")
        if isinstance(reply, ModulePrepared):
            known = reply.interface in {kind.value for kind in Interface}
            return reply if known else self._nonsense()
        return self._sensible_refusal(reply)

    def load(self, prepared: bytes) -> ModuleLoaded | ModuleRefused | Aborted:
        """Compile a prepared module."""
        request = LoadModule(prepared=prepared, cpu_ms_max=PREPARE_CPU_MS_MAX)
        reply = self._ask(request, PREPARE_WALL_MS_MAX, "compiling the module")
        return reply if isinstance(reply, ModuleLoaded) else self._sensible_refusal(reply)

    def execute(
        self, prepared: bytes, data: bytes, limits: ExecutionLimits, seed: bytes
    ) -> ExecutionResult | Aborted:
        """Execute a module that this process has prepared or loaded; `prepared` is its digest."""
        request = ExecuteModule(prepared=prepared, input=data, limits=limits, seed=seed)
        return self._ended(self._ask(request, limits.wall_ms_max, "the execution"), limits)

    def execute_items(
        self, prepared: bytes, items: tuple[bytes, ...], limits: ExecutionLimits, seed: bytes
    ) -> tuple[ExecutionResult, ...] | Aborted:
        """Execute such a module on each item of a bundle, with the limits of one."""
        request = ExecuteItems(prepared=prepared, items=items, limits=limits, seed=seed)
        reply = self._ask(request, limits.wall_ms_max, "the execution")
        if isinstance(reply, ItemsExecuted) and are_plausible(reply.results, request):
            return reply.results
        ended = self._ended(reply, limits)
        return ended if isinstance(ended, Aborted) else self._nonsense()

    def _ended(self, reply: Reply | Aborted, limits: ExecutionLimits) -> ExecutionResult | Aborted:
        match reply:
            case Executed(result=result) if is_plausible(result, limits):
                return result
            case ExecutionAborted():
                return reply.aborted
            case Aborted():
                return reply
            case _:
                return self._nonsense()

    def memory_bytes(self) -> tuple[int, int] | None:
        """Return the process's memory now and at its highest, where the system tells (Linux)."""
        if self._process.returncode is not None:
            return None
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if not {"VmRSS", "VmHWM"} <= fields.keys():
            return None
        now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def _sensible_refusal(self, reply: Reply | Aborted) -> ModuleRefused | Aborted:
        match reply:
            case ModuleRefused():
                return ModuleRefused(
                    reason=reply.reason[:REASON_CHARACTERS_MAX],
                    detail=reply.detail[:REASON_CHARACTERS_MAX],
                )
            case ExecutionAborted():
                return reply.aborted
            case Aborted():
                return reply
            case _:
                return self._nonsense()

    def _greeting(self) -> Hello:
        engine = self._engine
        try:
            hello = self._receive(HELLO_BYTES_MAX, time.monotonic() + _START_MS_MAX / 1000)
        except (TimeoutError, _LostError) as error:
            msg = (
                f"the worker process for {engine} does not start; run `{sys.executable} -I -m "
                f"ambientd.worker {engine} < {os.devnull}` to see why"
            )
            raise ConfigError(msg) from error
        if not isinstance(hello, Hello):
            msg = f"the worker process for {engine} does not say hello; install ambientd anew"
            raise ConfigError(msg)
        missing = sorted(REQUIRED_PROTECTIONS - set(hello.protections))
        if missing and self._sandbox_required:
            msg = (
                f"this platform cannot lock worker processes down: missing {', '.join(missing)}; "
                "use a newer Linux kernel, or `--sandbox best-effort` for modules that you trust"
            )
            raise ConfigError(msg)
        return hello

    def _ask(self, request: Request, limit_ms: int, what: str) -> Reply | Aborted:
        """Ask within a wall-clock limit; a process that fails is ended at once."""
        if self._process.returncode is not None:
            return Aborted(reason=f"the worker process had ended before {what}")
        deadline_s = time.monotonic() + limit_ms / 1000
        try:
            self._send(canonical.encode(request), deadline_s)
            return self._receive(reply_bytes_max(request), deadline_s)
        except TimeoutError:
            self.close()
            return Aborted(reason=f"{what} took longer than {limit_ms} ms of wall time")
        except _LostError:
            status = self.close()
            return Aborted(reason=how_it_ended(status, what))

    def _nonsense(self) -> Aborted:
        self.close()
        return Aborted(reason="the worker process gave an answer that makes no sense")

    def _send(self, data: bytes, deadline_s: float) -> None:
        view = memoryview(len(data).to_bytes(LENGTH_BYTES, "little") + data)
        while view:
            _wait(self._requests, select.POLLOUT, deadline_s)
            try:
                view = view[os.write(self._requests, view) :]
            except BrokenPipeError as error:
                raise _LostError from error

    def _receive(self, size_bytes_max: int, deadline_s: float) -> Reply:
        size_bytes = int.from_bytes(self._take(LENGTH_BYTES, deadline_s), "little")
        if size_bytes > size_bytes_max:
            raise _LostError
        try:
            data = self._take(size_bytes, deadline_s)
            reply: Reply = canonical.decode(data, Reply, size_bytes_max)
        except RemoteProtocolError as error:
            raise _LostError from error
        return reply

    def _take(self, size_bytes: int, deadline_s: float) -> bytes:
        taken = bytearray()
        while len(taken) < size_bytes:
            _wait(self._replies, select.POLLIN, deadline_s)
            piece = os.read(self._replies, min(size_bytes - len(taken), _PIECE_BYTES))
            if not piece:
                raise _LostError
            taken += piece
        return bytes(taken)


def _wait(descriptor: int, event: int, deadline_s: float) -> None:
    """Wait until a pipe is ready, or has lost its other end; raise TimeoutError at the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, (deadline_s - time.monotonic()) * 1000)):
        raise TimeoutError
