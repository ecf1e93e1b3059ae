"""How many worker processes, how they are held, and how long they may take."""

import sys
from dataclasses import dataclass
from enum import StrEnum

from ambientd.errors import ConfigError
from ambientd.model.execution import (
    INPUT_BYTES_CEILING,
    LOG_BYTES_CEILING,
    MEMORY_BYTES_CEILING,
    OUTPUT_BYTES_CEILING,
    ExecutionLimits,
)
from ambientd.ports.worker_protocol import PREPARE_CPU_MS_MAX, PREPARE_WALL_MS_MAX
from ambientd.rules.executions import memory_need_bytes


class Sandbox(StrEnum):
    """Whether a platform that lacks a protection may run workers all the same."""

    REQUIRED = "required"
    BEST_EFFORT = "best-effort"


# The most that one execution can be lent.
MEMORY_NEED_BYTES_MAX = memory_need_bytes(
    ExecutionLimits(
        memory_bytes_max=MEMORY_BYTES_CEILING,
        output_bytes_max=OUTPUT_BYTES_CEILING,
        log_bytes_max=LOG_BYTES_CEILING,
    ),
    INPUT_BYTES_CEILING,
)


@dataclass(frozen=True, slots=True)
class WorkerPoolOptions:
    """Options of a pool; a memory budget of 0 lets every process use all that a task may ask."""

    size: int = 2
    preparers: int = 1
    engine: str = "wasmtime"
    sandbox: Sandbox | str = Sandbox.REQUIRED
    waiting_max: int = 64
    memory_budget_bytes: int = 0
    preparation_bytes: int = 768 << 20  # what a compiler may take for one module
    start_ms_max: int = 20_000
    prepare_cpu_ms_max: int = PREPARE_CPU_MS_MAX
    prepare_wall_ms_max: int = PREPARE_WALL_MS_MAX
    executions_max: int = 200  # what one module may have broken, the next ones would run in
    preparations_max: int = 1  # one module's compiler never sees another module
    resident_bytes_max: int = 384 << 20
    idle_bytes_max: int = 128 << 20
    idle_ms: int = 60_000
    rests: bool = False  # whether a process that lies idle ends until it is wanted
    cpu_percent_max: int = 0
    command: tuple[str, ...] = (sys.executable, "-I", "-m", "ambientd.worker")

    def __post_init__(self) -> None:
        for name in ("size", "preparers", "executions_max", "preparations_max"):
            if getattr(self, name) < 1:
                msg = f"the worker pool has {name} {getattr(self, name)}; it must be at least 1"
                raise ConfigError(msg)
        if self.memory_budget_bytes < 0:
            msg = f"the workers' memory budget is {self.memory_budget_bytes} bytes; 0 or more"
            raise ConfigError(msg)
        if self.sandbox not in tuple(Sandbox):
            msg = f"sandbox is {self.sandbox!r}; say one of {', '.join(Sandbox)}"
            raise ConfigError(msg)

    @property
    def budget_bytes(self) -> int:
        """Give the memory that all processes together may be lent."""
        return self.memory_budget_bytes or (
            self.size * MEMORY_NEED_BYTES_MAX + self.preparers * self.preparation_bytes
        )
