"""Answer the daemon's requests, one at a time, over two pipes, until the daemon closes them."""

import mmap
import os
import signal
from collections import OrderedDict
from dataclasses import dataclass, field

from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.execution import AbortCause, Aborted, ExecutionLimits
from ambientd.ports.engine import (
    CompiledModule,
    Engine,
    EngineFailureError,
    ModuleInvalidError,
)
from ambientd.ports.worker_protocol import (
    COMPILED_BYTES_MAX,
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    SEED_BYTES,
    Executed,
    ExecuteItems,
    ExecuteModule,
    ExecutionAborted,
    GiveCompiled,
    ItemsExecuted,
    LoadModule,
    ModuleCompiled,
    ModuleLoaded,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    NotRestored,
    PrepareModule,
    Reply,
    Request,
    RestoreModule,
)
from ambientd.wasm.prepare import Refused, prepare
from ambientd.worker.bundles import execute_items
from ambientd.worker.execution import execute
from ambientd.worker.lockdown import memory_is_there

MODULES_KEPT_MAX = 32
MODULE_BYTES_KEPT_MAX = 64 << 20

INVALID_REASON = (
    "the module does not validate: its types do not fit. "
    "Check that the file is a complete WebAssembly module and build it again."
)


class DaemonGoneError(Exception):
    """The daemon closed the pipe."""


def read_frame(descriptor: int) -> bytes:
    """Read one frame; raise DaemonGoneError at the end, RemoteProtocolError if it is too long."""
    size_bytes = int.from_bytes(_read_exactly(descriptor, LENGTH_BYTES), "little")
    if size_bytes > FRAME_BYTES_MAX:
        msg = f"frame of {size_bytes} bytes, at most {FRAME_BYTES_MAX} are allowed"
        raise RemoteProtocolError(msg)
    return bytes(_read_exactly(descriptor, size_bytes))


def _read_exactly(descriptor: int, size_bytes: int) -> bytearray:
    buffer = bytearray(size_bytes)
    view, filled = memoryview(buffer), 0
    while filled < size_bytes:
        count = os.readv(descriptor, [view[filled:]])
        if count == 0:
            raise DaemonGoneError
        filled += count
    return buffer


def write_frame(descriptor: int, message: Reply) -> None:
    """Write one reply."""
    data = canonical.encode(message)
    view = memoryview(len(data).to_bytes(LENGTH_BYTES, "little") + data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError as error:
        raise DaemonGoneError from error


@dataclass(slots=True)
class Session:
    """The modules that this process has ready, least recently used first."""

    engine: Engine
    code: mmap.mmap | None = None  # shared memory in which the daemon hands over compiled code
    _modules: OrderedDict[bytes, tuple[CompiledModule, int]] = field(default_factory=OrderedDict)

    def answer(self, request: Request) -> Reply:
        """Serve one request; running out of memory is the host's failure, not an outcome."""
        try:
            return self._answer(request)
        except MemoryError:
            return _short_of_memory("the worker process ran out of memory")

    def _answer(self, request: Request) -> Reply:
        match request:
            case PrepareModule():
                return self._prepare(request)
            case LoadModule():
                return self._load(request.prepared, request.cpu_ms_max)
            case ExecuteModule():
                return self._execute(request)
            case ExecuteItems():
                return self._execute_items(request)
            case GiveCompiled():
                return self._give_compiled(request.prepared)
            case RestoreModule():
                return self._restore(request)
            case _:  # worker/serve_pausing.py
                msg = f"{type(request).__name__}: this process was not started for pausing"
                raise RemoteProtocolError(msg)

    def _prepare(self, request: PrepareModule) -> Reply:
        with CpuLimit(request.cpu_ms_max):
            prepared = prepare(request.module)
            if isinstance(prepared, Refused):
                return ModuleRefused(reason=prepared.reason, detail="")
            refused = self._keep(prepared.module)
        return refused or ModulePrepared(
            module=prepared.module, interface=prepared.interface.value, imports=prepared.imports
        )

    def _load(self, prepared: bytes, cpu_ms_max: int) -> Reply:
        with CpuLimit(cpu_ms_max):
            # Asked for, so what is here under this digest is not to be used.
            self._modules.pop(sha256(prepared), None)
            return self._keep(prepared) or ModuleLoaded()

    def _keep(self, prepared: bytes) -> ModuleRefused | None:
        digest = sha256(prepared)
        if digest not in self._modules:
            try:
                compiled = self.engine.compile(prepared)
            except ModuleInvalidError as error:
                # Engines word this differently; the outcome must not.
                return ModuleRefused(reason=INVALID_REASON, detail=str(error)[:2_000])
            self._remember(digest, compiled, len(prepared))
        self._modules.move_to_end(digest)
        return None

    def _restore(self, request: RestoreModule) -> Reply:
        if self.code is None or not 0 < request.size_bytes <= len(self.code):
            return NotRestored(detail=f"no {request.size_bytes} bytes of memory are shared")
        try:
            with memoryview(self.code) as view, view[: request.size_bytes] as code:
                compiled = self.engine.restore(code)
        except EngineFailureError as error:
            return NotRestored(detail=str(error)[:2_000])
        self._remember(request.prepared, compiled, request.size_bytes)
        return ModuleLoaded()

    def _give_compiled(self, digest: bytes) -> Reply:
        found = self._modules.get(digest)
        if found is None:
            return ModuleUnknown()
        code = found[0].serialize() or b""
        return ModuleCompiled(code=code if len(code) <= COMPILED_BYTES_MAX else b"")

    def _remember(self, digest: bytes, compiled: CompiledModule, size_bytes: int) -> None:
        self._modules[digest] = (compiled, size_bytes)
        while len(self._modules) > 1 and (
            len(self._modules) > MODULES_KEPT_MAX
            or sum(size for _, size in self._modules.values()) > MODULE_BYTES_KEPT_MAX
        ):
            self._modules.popitem(last=False)

    def _execute(self, request: ExecuteModule) -> Reply:
        module = self._ready(request.prepared, request.seed, request.limits)
        if isinstance(module, ModuleUnknown | ExecutionAborted):
            return module
        result = execute(module, request.input, request.limits, request.seed)
        if isinstance(result, Aborted):
            return ExecutionAborted(aborted=result)
        return Executed(result=result)

    def _execute_items(self, request: ExecuteItems) -> Reply:
        module = self._ready(request.prepared, request.seed, request.limits)
        if isinstance(module, ModuleUnknown | ExecutionAborted):
            return module
        results = execute_items(module, request.items, request.limits, request.seed)
        if isinstance(results, Aborted):
            return ExecutionAborted(aborted=results)
        return ItemsExecuted(results=results)

    def _ready(
        self, prepared: bytes, seed: bytes, limits: ExecutionLimits
    ) -> CompiledModule | ModuleUnknown | ExecutionAborted:
        """Find the module of an execution, and the memory that it may take."""
        found = self._modules.get(prepared)
        if found is None:
            return ModuleUnknown()
        if len(seed) != SEED_BYTES:
            msg = f"seed of {len(seed)} bytes, {SEED_BYTES} are needed"
            raise RemoteProtocolError(msg)
        self._modules.move_to_end(prepared)
        if not memory_is_there(limits.memory_bytes_max):
            # Otherwise `memory.grow` could fail below its limit, and this host decide an outcome.
            return _short_of_memory("the host has no memory for the limit")
        return found[0]


def _short_of_memory(reason: str) -> ExecutionAborted:
    return ExecutionAborted(aborted=Aborted(reason=reason, cause=AbortCause.MEMORY))


class CpuLimit:
    """Ends this process by SIGPROF when a hostile module takes too much CPU time."""

    def __init__(self, cpu_ms_max: int) -> None:
        self._seconds = cpu_ms_max / 1000

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)


def serve(session: Session, requests: int, replies: int) -> None:
    """Answer frames from one descriptor on the other until the daemon is gone."""
    try:
        while True:
            request: Request = canonical.decode(read_frame(requests), Request, FRAME_BYTES_MAX)
            write_frame(replies, session.answer(request))
    except DaemonGoneError:
        return
