"""Execute a prepared module once, the same way on every engine (protocols/04).

Order: start function, then by interface. Ambient ABI v1: pay for the input, `alloc(len) -> ptr`,
copy, `run(ptr, len) -> ptr << 32 | len`, pay for the output, copy. WASI command: `_start`, the
streams are served by the host. Out of gas is recognised by a negative gas counter, excessive call
depth by the depth counter; both come before whatever trap they made the engine report.
"""

from dataclasses import dataclass

from ambientd.model.execution import (
    PAGE_BYTES,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
    TrapReason,
)
from ambientd.ports.engine import (
    CompiledModule,
    EngineFailureError,
    Instance,
    ModuleShape,
    TrapError,
)
from ambientd.wasm.host import (
    ExitError,
    Host,
    HostTrapError,
    OutOfGasError,
    charge,
    transfer_gas,
)
from ambientd.wasm.imports import WASI_MODULE
from ambientd.wasm.interface import DEPTH_EXPORT, GAS_EXPORT, START_EXPORT, Interface
from ambientd.wasm.limits import PrepareLimits

CALL_DEPTH_WEIGHT_MAX = PrepareLimits().call_depth_weight_max


@dataclass(frozen=True, slots=True)
class _End:
    """How the calls ended, before gas is settled."""

    kind: OutcomeKind
    reason: str = ""
    output: bytes = b""
    pays_all: bool = False
    detail: str = ""


def interface_of(shape: ModuleShape) -> Interface | None:
    """Tell a prepared module's interface by its exports; None if no rewriter made it."""
    counters = {GAS_EXPORT, DEPTH_EXPORT}
    if shape.memory_pages_min is None or not counters <= shape.integer_globals:
        return None
    functions = shape.functions
    if (
        WASI_MODULE not in shape.imported_modules
        and functions.get("alloc") == "i->i"
        and functions.get("run") == "ii->l"
    ):
        return Interface.AMBIENT
    return Interface.WASI if functions.get("_start") == "->" else None


def execute(
    module: CompiledModule, data: bytes, limits: ExecutionLimits, seed: bytes
) -> ExecutionResult | Aborted:
    """Give the outcome of one execution in a fresh instance."""
    interface = interface_of(module.shape)
    pages_min = module.shape.memory_pages_min
    if interface is None or pages_min is None:
        return _refused("the module was not prepared; submit it through preparation")
    if pages_min * PAGE_BYTES > limits.memory_bytes_max:
        return _refused(
            f"the module starts with {pages_min * PAGE_BYTES} bytes of memory, the task allows "
            f"{limits.memory_bytes_max}. Raise the task's memory limit"
        )
    host = Host(data, seed, limits.output_bytes_max, limits.log_bytes_max)
    try:
        instance = module.instantiate(limits.memory_bytes_max, host)
    except TrapError as trap:
        return _settle(_trapped(trap), limits, limits.gas_max, host)
    except EngineFailureError as failure:
        return Aborted(reason=str(failure))
    try:
        host.guest = instance
        instance.set_global(GAS_EXPORT, limits.gas_max)
        end = _run(module.shape, instance, interface, data, limits, host)
        return _settle(end, limits, instance.global_value(GAS_EXPORT), host)
    except EngineFailureError as failure:
        return Aborted(reason=str(failure))
    finally:
        instance.close()


def _run(
    shape: ModuleShape,
    instance: Instance,
    interface: Interface,
    data: bytes,
    limits: ExecutionLimits,
    host: Host,
) -> _End:
    try:
        if START_EXPORT in shape.functions:
            instance.call(START_EXPORT)
        if interface is Interface.AMBIENT:
            return _run_ambient(instance, data, limits)
        instance.call("_start")
        return _End(OutcomeKind.COMPLETED, output=host.output)
    except ExitError as exit_:
        if exit_.code == 0:
            return _End(OutcomeKind.COMPLETED, output=host.output)
        return _End(OutcomeKind.TRAPPED, f"{TrapReason.EXIT_CODE}:{exit_.code}")
    except OutOfGasError:
        return _End(OutcomeKind.OUT_OF_GAS, pays_all=True)
    except HostTrapError as trap:
        return _End(OutcomeKind.TRAPPED, trap.reason.value, pays_all=True)
    except (TrapError, EngineFailureError) as trap:
        if instance.global_value(GAS_EXPORT) < 0:
            return _End(OutcomeKind.OUT_OF_GAS, pays_all=True)
        if instance.global_value(DEPTH_EXPORT) > CALL_DEPTH_WEIGHT_MAX:
            return _End(OutcomeKind.TRAPPED, TrapReason.CALL_DEPTH.value, pays_all=True)
        if isinstance(trap, EngineFailureError):
            raise
        return _trapped(trap)


def _run_ambient(instance: Instance, data: bytes, limits: ExecutionLimits) -> _End:
    bad_range = _End(OutcomeKind.TRAPPED, TrapReason.BAD_OUTPUT.value, pays_all=True)
    charge(instance, transfer_gas(len(data)))
    address = _word(instance.call("alloc", _signed(len(data))))
    if address + len(data) > instance.memory_bytes():
        return bad_range
    instance.write(address, data)
    packed = instance.call("run", _signed(address), _signed(len(data)))
    assert packed is not None
    start, size_bytes = (packed >> 32) & 0xFFFFFFFF, packed & 0xFFFFFFFF
    if start + size_bytes > instance.memory_bytes():
        return bad_range
    if size_bytes > limits.output_bytes_max:
        return _End(OutcomeKind.TRAPPED, TrapReason.OUTPUT_TOO_LARGE.value, pays_all=True)
    charge(instance, transfer_gas(size_bytes))
    return _End(OutcomeKind.COMPLETED, output=instance.read(start, size_bytes))


def _settle(end: _End, limits: ExecutionLimits, gas_left: int, host: Host) -> ExecutionResult:
    """Apply the gas rule; straight-line code may overdraw after its last check."""
    if gas_left < 0 and not end.pays_all:
        end = _End(OutcomeKind.OUT_OF_GAS, pays_all=True)
    log = host.log + end.detail.encode("utf-8", "replace")
    return ExecutionResult(
        kind=end.kind,
        reason=end.reason,
        output=end.output,
        gas=limits.gas_max if end.pays_all else limits.gas_max - gas_left,
        log=log[: limits.log_bytes_max],
    )


def _trapped(trap: TrapError) -> _End:
    return _End(OutcomeKind.TRAPPED, trap.reason.value, pays_all=True, detail=trap.detail)


def _refused(reason: str) -> ExecutionResult:
    return ExecutionResult(kind=OutcomeKind.REFUSED, reason=reason, output=b"", gas=0, log=b"")


def _word(value: int | None) -> int:
    assert value is not None
    return value & 0xFFFFFFFF


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
