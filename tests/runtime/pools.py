"""Pools of worker processes that tests drive, and processes that say what a test wants."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.ports.module_cache import ModuleCache, ReadyModule
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import WorkerPool, open_worker_pool
from ambientd.wasm.interface import Interface
from ambientd.wasm.prepare import Refused
from tests.modules.compiled import prepared

SEED = bytes(32)
LIMITS = ExecutionLimits(gas_max=100_000_000)
ENDLESS = ExecutionLimits(gas_max=1 << 62, wall_ms_max=300)


@asynccontextmanager
async def pool_of(
    size: int = 1, *, cache: ModuleCache | None = None, **options: object
) -> AsyncIterator[WorkerPool]:
    chosen = WorkerPoolOptions(size=size, **options)  # type: ignore[arg-type]
    async with open_worker_pool(chosen, cache) as pool:
        yield pool


def as_ready(code: bytes) -> ReadyModule:
    """Prepared bytes, to be compiled where they are executed."""
    return ReadyModule(
        source=bytes(32),
        prepared=sha256(code),
        interface=Interface.AMBIENT,
        imports=(),
        code=code,
        is_compiled=False,
    )


def ready(name: str) -> ReadyModule:
    return as_ready(prepared(name))


async def prepare(pool: WorkerPool, data: bytes) -> ReadyModule | Refused | Aborted:
    return await pool.prepare(sha256(data), data)


async def echo_works(pool: WorkerPool, data: bytes = b"still here") -> None:
    result = await pool.execute(ready("echo"), data, LIMITS, SEED)
    assert isinstance(result, ExecutionResult), result
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, data)


def has_ended(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat").read_text("ascii")
    return status.rsplit(")", 1)[1].split()[0] == "Z"


def scripted(text: str) -> tuple[str, ...]:
    """A worker process that says what the text says instead of serving."""
    head = (
        "import os, sys\n"
        "from ambientd.codec import canonical\n"
        "from ambientd.model.execution import *\n"
        "from ambientd.ports.worker_protocol import *\n"
        "from ambientd.wasm.prepare import REWRITER_VERSION\n"
        "from ambientd.worker.serve import *\n"
        "def say(message): write_frame(1, message)\n"
        "def hello(*protections, version=REWRITER_VERSION): say(Hello("
        "protections=protections, engine='wasmtime', engine_version='1', rewriter_version=version"
        "))\n"
    )
    return (sys.executable, "-I", "-c", head + text)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def config_error(group: BaseExceptionGroup) -> str:
    (error,) = group.exceptions
    assert isinstance(error, ConfigError)
    return str(error)
