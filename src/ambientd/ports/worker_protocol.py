"""What the daemon and its locked-down worker processes say to each other over two pipes.

A frame is a little-endian u32 length and one canonical message. The daemon asks, the worker
answers once; only `Hello` comes unasked, after the lock-down. Compiled code is handed over in
memory that the daemon writes and the worker can only read. Neither side trusts the other's lengths
or shapes.

A process that was started for pausing also answers the requests about pausable modules
(protocols/08). A state may be larger than a frame, so it travels in pieces: the process keeps one,
taken from the daemon or made by a pause, and gives it back, as the daemon asks.

A process that executes modules is never asked for compiled code, and one that is asked for
compiled code never executes any: what hostile code could touch is never kept.
"""

import signal
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta

from ambientd.model.base import DIGEST_BYTES, Value
from ambientd.model.bundle import ITEMS_MAX, Items
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import (
    INPUT_BYTES_CEILING,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.wasm.limits import PrepareLimits

LENGTH_BYTES = 4
FRAME_BYTES_MAX = INPUT_BYTES_CEILING + (2 << 20)
COMPILED_BYTES_MAX = 64 << 20
SEED_BYTES = 32
REASON_CHARACTERS_MAX = 4_000
# Processor time decides, so that a loaded machine refuses no module that an idle one takes; wall
# time only ends a process that does not work at all.
PREPARE_CPU_MS_MAX = 30_000
PREPARE_WALL_MS_MAX = 300_000
STATE_PIECE_BYTES = 16 << 20
TRACE_POINTS_MAX = 1 << 16
TARGETS_MAX = 64
_LIMITS = PrepareLimits()
_ITEM_BYTES = REASON_CHARACTERS_MAX  # what each outcome of a bundle has besides its output
HELLO_BYTES_MAX = _OTHER_BYTES = 64 << 10  # what a reply has besides the bytes that were asked for


class Protection(StrEnum):
    """One thing that holds a worker process; the text is what people read."""

    NO_NEW_PRIVILEGES = "no new privileges"
    SYSTEM_CALLS = "system call allow-list (seccomp)"
    FILES = "no files, no TCP (Landlock)"
    RESOURCES = "resource limits"
    DIES_WITH_PARENT = "dies with the daemon"
    EMPTY_ENVIRONMENT = "empty environment"
    MEMORY_PROMISED = "memory limit granted ahead"
    FIRST_VICTIM = "ended before the daemon when memory runs out"
    CONTROL_GROUP = "memory and processes capped by the kernel (cgroup v2)"


# What a platform may lack without becoming unfit to run strangers' modules: both only decide
# who suffers when the host is short of memory, and outcomes never depend on that.
OPTIONAL_PROTECTIONS = frozenset({Protection.FIRST_VICTIM, Protection.CONTROL_GROUP})
REQUIRED_PROTECTIONS = frozenset(Protection) - OPTIONAL_PROTECTIONS


class Hello(Value, frozen=True, tag=0):
    """The worker is locked down, as far as `protections` says, and ready."""

    protections: Annotated[tuple[Protection, ...], Meta(max_length=len(Protection))]
    engine: str
    engine_version: str
    rewriter_version: int


class PrepareModule(Value, frozen=True, tag=1):
    """Rewrite a submitted module and have the engine validate it."""

    module: bytes
    cpu_ms_max: int


class LoadModule(Value, frozen=True, tag=2):
    """Compile and keep a prepared module."""

    prepared: bytes
    cpu_ms_max: int


class ExecuteModule(Value, frozen=True, tag=3):
    """Execute a loaded module, named by the SHA-256 of its prepared bytes."""

    prepared: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes


class ExecuteItems(Value, frozen=True, tag=29):
    """Execute a loaded module on each item of a bundle; the limits are those of one item.

    The wall clock and the size of the output are for all of them together.
    """

    prepared: bytes
    items: Items
    limits: ExecutionLimits
    seed: bytes


class GiveCompiled(Value, frozen=True, tag=10):
    """Give the compiled code of a loaded module, named by the SHA-256 of its prepared bytes."""

    prepared: bytes


class RestoreModule(Value, frozen=True, tag=11):
    """Keep a module from code that this device compiled; it lies in the shared memory."""

    prepared: bytes
    size_bytes: int


class PreparePausable(Value, frozen=True, tag=14):
    """Rewrite a submitted module so that it can be paused, and have the engine validate it."""

    module: bytes
    cpu_ms_max: int


class TakeState(Value, frozen=True, tag=15):
    """Keep a piece of an encoded state; one at offset 0 begins another state."""

    offset: int
    data: bytes


class GiveState(Value, frozen=True, tag=16):
    """Give the piece of the kept state at an offset; with the last piece the state is forgotten."""

    offset: int


class ExecutePausable(Value, frozen=True, tag=17):
    """Execute a loaded pausable module to its end, or to the first checkpoint from `pause_at` on.

    With a root it goes on from the kept state, which must have that root and is used up by this.
    """

    prepared: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes
    pause_at: int | None
    root: bytes | None


class TraceExecution(Value, frozen=True, tag=18):
    """Execute a loaded pausable module to its end; root of the state each `gas_step` of gas."""

    prepared: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes
    gas_step: int


class TraceTargets(Value, frozen=True, tag=24):
    """Execute a loaded pausable module; root at the first checkpoint not before each target.

    Targets ascend; what follows the last one is not executed. With a root it goes on from the
    kept state, as `ExecutePausable` does.
    """

    prepared: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes
    targets: Annotated[tuple[int, ...], Meta(min_length=1, max_length=TARGETS_MAX)]
    root: bytes | None


class ReplayStretch(Value, frozen=True, tag=26):
    """Execute a loaded pausable module from the kept state, which may have pages left out.

    To the first checkpoint from `pause_at` on, or to its end; without a root from the beginning.
    """

    prepared: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes
    pause_at: int
    root: bytes | None


class ModulePrepared(Value, frozen=True, tag=4):
    """The prepared module; it is also loaded.

    Of a pausable one, `beneath` is the SHA-256 of the prepared module that it was made of.
    """

    module: bytes
    interface: str
    beneath: bytes = b""
    imports: Annotated[tuple[str, ...], Meta(max_length=_LIMITS.imports_max)] = ()


class ModuleRefused(Value, frozen=True, tag=5):
    """The module is not acceptable, by its own bytes; `detail` is the engine's wording."""

    reason: str
    detail: str


class ModuleLoaded(Value, frozen=True, tag=6):
    """The module is ready for execution."""


class ModuleCompiled(Value, frozen=True, tag=12):
    """The compiled code; empty if the engine had rather compile again, or if it is too long."""

    code: bytes


class NotRestored(Value, frozen=True, tag=13):
    """The engine does not take the compiled code; `detail` is its wording."""

    detail: str


class ModuleUnknown(Value, frozen=True, tag=7):
    """No module of that hash is loaded, or not any more."""


class Executed(Value, frozen=True, tag=8):
    """The deterministic outcome."""

    result: ExecutionResult


class ItemsExecuted(Value, frozen=True, tag=30):
    """The outcomes of the items in order; fewer than items when they grew too large together."""

    results: Annotated[tuple[ExecutionResult, ...], Meta(max_length=ITEMS_MAX)]


class ExecutionAborted(Value, frozen=True, tag=9):
    """No outcome: this process could not finish."""

    aborted: Aborted


class StateTaken(Value, frozen=True, tag=19):
    """The piece is kept."""


class StatePiece(Value, frozen=True, tag=20):
    """A piece of the kept state, shorter than `STATE_PIECE_BYTES` only at its end."""

    data: bytes


class StateRefused(Value, frozen=True, tag=21):
    """The state is not one that this module, input, limits and root belong to."""

    reason: str


class ExecutionPaused(Value, frozen=True, tag=22):
    """The execution stands at a gas index; its state, of that root, is kept."""

    gas_index: int
    root: bytes
    size_bytes: int


class ExecutionTraced(Value, frozen=True, tag=23):
    """The outcome, and the states before it.

    `gas_reached` is the gas taken before the end, also where a trap costs the whole limit.
    """

    result: ExecutionResult
    gas_reached: int
    trace: Annotated[tuple[TracePoint, ...], Meta(max_length=TRACE_POINTS_MAX)]


class TargetsTraced(Value, frozen=True, tag=25):
    """A point for each target that was reached; the outcome, too, if it came before the last one.

    Targets that one checkpoint is the first behind have the same point.
    """

    points: Annotated[tuple[TracePoint, ...], Meta(max_length=TARGETS_MAX)]
    result: ExecutionResult | None
    gas_reached: int


class StretchReplayed(Value, frozen=True, tag=27):
    """Where the execution stands."""

    point: TracePoint


class PageLeftOut(Value, frozen=True, tag=28):
    """The stretch touches memory that is left out: this page, if it can be told which."""

    page: int | None


PausingRequest: TypeAlias = (
    PreparePausable
    | TakeState
    | GiveState
    | ExecutePausable
    | TraceExecution
    | TraceTargets
    | ReplayStretch
)
Request: TypeAlias = (
    PrepareModule
    | LoadModule
    | ExecuteModule
    | ExecuteItems
    | GiveCompiled
    | RestoreModule
    | PausingRequest
)
Reply: TypeAlias = (
    Hello
    | ModulePrepared
    | ModuleRefused
    | ModuleLoaded
    | ModuleCompiled
    | NotRestored
    | ModuleUnknown
    | Executed
    | ItemsExecuted
    | ExecutionAborted
    | StateTaken
    | StatePiece
    | StateRefused
    | ExecutionPaused
    | ExecutionTraced
    | TargetsTraced
    | StretchReplayed
    | PageLeftOut
)


def reply_bytes_max(request: Request) -> int:
    """Give the most that an honest answer has; a list in it is bounded by its type."""
    match request:
        case PrepareModule() | PreparePausable():
            asked = 2 * _LIMITS.prepared_bytes_max + _LIMITS.module_bytes_max
        case GiveCompiled():
            asked = COMPILED_BYTES_MAX
        case ExecuteModule() | ExecutePausable() | TraceTargets() | ReplayStretch():
            asked = request.limits.output_bytes_max + request.limits.log_bytes_max
        case ExecuteItems():
            asked = request.limits.output_bytes_max + ITEMS_MAX * _ITEM_BYTES
        case TraceExecution():
            asked = FRAME_BYTES_MAX
        case GiveState():
            asked = STATE_PIECE_BYTES
        case _:
            asked = 0
    return min(asked + _OTHER_BYTES, FRAME_BYTES_MAX)


def how_it_ended(status: int, what: str) -> str:
    """Say how a worker process ended and during what; a negative status is a signal."""
    if status == -signal.SIGPROF:
        return f"{what} took more processor time than is allowed"
    died = f"by signal {-status}" if status < 0 else f"with status {status}"
    return f"the worker process ended {died} during {what}"


def is_plausible(result: ExecutionResult, limits: ExecutionLimits) -> bool:
    """Tell whether an outcome lies within the limits that were asked for."""
    return (
        len(result.output) <= limits.output_bytes_max
        and len(result.log) <= limits.log_bytes_max
        and 0 <= result.gas <= limits.gas_max
        and len(result.reason) <= REASON_CHARACTERS_MAX
        and (result.kind is OutcomeKind.COMPLETED or not result.output)
    )


def are_plausible(results: Sequence[ExecutionResult], asked: ExecuteItems) -> bool:
    """Tell whether the outcomes of a bundle's items lie within the limits of each and of all."""
    outputs_bytes = sum(len(each.output) for each in results)
    return (
        len(results) <= len(asked.items)
        and outputs_bytes <= asked.limits.output_bytes_max
        and all(is_plausible(each, asked.limits) for each in results)
    )


def is_plausible_trace(traced: ExecutionTraced, limits: ExecutionLimits) -> bool:
    """Tell whether a trace is in order and lies within the limits that were asked for."""
    indices = [point.gas_index for point in traced.trace]
    return (
        is_plausible(traced.result, limits)
        and len(indices) <= TRACE_POINTS_MAX
        and indices == sorted(set(indices))
        and all(0 <= index <= limits.gas_max for index in (*indices, traced.gas_reached))
        and all(len(point.root) == DIGEST_BYTES for point in traced.trace)
    )


def is_plausible_answer(traced: TargetsTraced, asked: TraceTargets) -> bool:
    """Tell whether the points are those of the first targets, in order and within the limits."""
    ended, gas_max = traced.result is not None, asked.limits.gas_max
    fit = all(
        target <= point.gas_index <= gas_max and len(point.root) == DIGEST_BYTES
        for target, point in zip(asked.targets, traced.points, strict=False)
    )
    indices = [point.gas_index for point in traced.points]
    return (
        fit
        and indices == sorted(indices)
        and 0 <= traced.gas_reached <= gas_max
        and (len(indices) < len(asked.targets) if ended else len(indices) == len(asked.targets))
        and (traced.result is None or is_plausible(traced.result, asked.limits))
    )
