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
    HostCalls,
    Instance,
    ModuleShape,
    TrapError,
)
from ambientd.wasm.guest import (
    ExitError,
    HostTrapError,
    OutOfGasError,
    charge,
    transfer_gas,
)
from ambientd.wasm.host import Host
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
    execution = Execution(module, data, limits, seed)
    try:
        return execution.run()
    finally:
        execution.close()


class Execution:
    """One execution: an instance, its host, and the calls that the interface prescribes."""

    def __init__(
        self, module: CompiledModule, data: bytes, limits: ExecutionLimits, seed: bytes
    ) -> None:
        self.limits = limits
        self.host = Host(data, seed, limits.output_bytes_max, limits.log_bytes_max)
        self._data = data
        self._module = module
        self._instance: Instance | None = None

    @property
    def instance(self) -> Instance:
        """Return the instance, which `open` has made."""
        assert self._instance is not None
        return self._instance

    def close(self) -> None:
        """Give back the instance."""
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def run(self) -> ExecutionResult | Aborted:
        """Open an instance, pay it the gas, and run it to its end."""
        ended = self.open(self.host)
        if ended is not None:
            return ended
        self.instance.set_global(GAS_EXPORT, self.limits.gas_max)
        return self.finish(None)

    def open(self, calls: HostCalls) -> ExecutionResult | Aborted | None:
        """Make the instance, with `calls` behind its imports; or say how that ended it."""
        shape, limits = self._module.shape, self.limits
        pages_min = shape.memory_pages_min
        if interface_of(shape) is None or pages_min is None:
            return _refused("the module was not prepared; submit it through preparation")
        if pages_min * PAGE_BYTES > limits.memory_bytes_max:
            return _refused(
                f"the module starts with {pages_min * PAGE_BYTES} bytes of memory, the task allows "
                f"{limits.memory_bytes_max}. Raise the task's memory limit"
            )
        try:
            self._instance = self._module.instantiate(limits.memory_bytes_max, calls)
        except TrapError as trap:
            return _settle(_trapped(trap), limits, limits.gas_max, self.host)
        except EngineFailureError as failure:
            return Aborted(reason=str(failure))
        self.host.guest = self._instance
        return None

    def finish(self, entered: str | None) -> ExecutionResult | Aborted:
        """Make the calls that are left, beginning with `entered` if one is under way already."""
        try:
            end = self._end(entered)
            return _settle(end, self.limits, self.instance.global_value(GAS_EXPORT), self.host)
        except EngineFailureError as failure:
            return Aborted(reason=str(failure))

    def _call(self, export: str, *arguments: int) -> int | None:
        """Call an export; the one place where the module runs."""
        return self.instance.call(export, *arguments)

    def _end(self, entered: str | None) -> _End:
        try:
            if entered in (None, START_EXPORT) and START_EXPORT in self._module.shape.functions:
                self._call(START_EXPORT)
                entered = None
            if interface_of(self._module.shape) is Interface.AMBIENT:
                return self._end_ambient(entered)
            self._call("_start")
            return _End(OutcomeKind.COMPLETED, output=self.host.output)
        except ExitError as exit_:
            if exit_.code == 0:
                return _End(OutcomeKind.COMPLETED, output=self.host.output)
            return _End(OutcomeKind.TRAPPED, f"{TrapReason.EXIT_CODE}:{exit_.code}")
        except OutOfGasError:
            return _End(OutcomeKind.OUT_OF_GAS, pays_all=True)
        except HostTrapError as trap:
            return _End(OutcomeKind.TRAPPED, trap.reason.value, pays_all=True)
        except (TrapError, EngineFailureError) as trap:
            if self.instance.global_value(GAS_EXPORT) < 0:
                return _End(OutcomeKind.OUT_OF_GAS, pays_all=True)
            if isinstance(trap, EngineFailureError):
                raise  # before the depth is read: a false state sets it to what it likes
            if self.instance.global_value(DEPTH_EXPORT) > CALL_DEPTH_WEIGHT_MAX:
                return _End(OutcomeKind.TRAPPED, TrapReason.CALL_DEPTH.value, pays_all=True)
            return _trapped(trap)

    def _end_ambient(self, entered: str | None) -> _End:
        instance, data, address = self.instance, self._data, 0
        bad_range = _End(OutcomeKind.TRAPPED, TrapReason.BAD_OUTPUT.value, pays_all=True)
        if entered is None:
            charge(instance, transfer_gas(len(data)))
        if entered != "run":
            address = _word(self._call("alloc", _signed(len(data))))
            if address + len(data) > instance.memory_bytes():
                return bad_range
            instance.write(address, data)
        packed = self._call("run", _signed(address), _signed(len(data)))
        assert packed is not None
        start, size_bytes = (packed >> 32) & 0xFFFFFFFF, packed & 0xFFFFFFFF
        if start + size_bytes > instance.memory_bytes():
            return bad_range
        if size_bytes > self.limits.output_bytes_max:
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
