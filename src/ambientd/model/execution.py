"""What an execution may use, and how it can end (protocols/04).

Outcomes are deterministic: every honest engine gives the same one for the same module, input and
limits. `Aborted` is what a host could not finish; it is never an outcome and never committed.
"""

from enum import IntEnum, StrEnum

from ambientd.model.base import Value

PAGE_BYTES = 65_536
MEMORY_BYTES_CEILING = 8_192 * PAGE_BYTES
INPUT_BYTES_CEILING = 64 << 20
OUTPUT_BYTES_CEILING = 64 << 20
LOG_BYTES_CEILING = 1 << 20
WALL_MS_CEILING = 3_600_000
GAS_CEILING = 1 << 62


class EngineCode(IntEnum):
    """The engines by the number that telemetry and the ledger know them by."""

    UNKNOWN = 0
    WASMTIME = 1
    WASMER = 2
    WASMI = 3

    @classmethod
    def of(cls, name: str) -> "EngineCode":
        """Give the code of an engine by its name."""
        return cls.__members__.get(name.upper(), cls.UNKNOWN)


class OutcomeKind(IntEnum):
    """The four ways an execution can end."""

    COMPLETED = 0
    TRAPPED = 1
    OUT_OF_GAS = 2
    REFUSED = 3


class TrapReason(StrEnum):
    """Why an execution trapped, in words that every engine's adapter maps its own onto."""

    UNREACHABLE = "unreachable"
    MEMORY_OUT_OF_BOUNDS = "memory_out_of_bounds"
    TABLE_OUT_OF_BOUNDS = "table_out_of_bounds"
    INDIRECT_CALL_TO_NULL = "indirect_call_to_null"
    INDIRECT_CALL_TYPE_MISMATCH = "indirect_call_type_mismatch"
    INTEGER_DIVIDE_BY_ZERO = "integer_divide_by_zero"
    INTEGER_OVERFLOW = "integer_overflow"
    BAD_CONVERSION_TO_INTEGER = "bad_conversion_to_integer"
    CALL_DEPTH = "call_depth"
    EXIT_CODE = "exit_code"  # followed by ":" and the code
    OUTPUT_TOO_LARGE = "output_too_large"
    BAD_OUTPUT = "bad_output"  # the ambient ABI named a range outside the memory
    HOST_CALL = "host_call"  # a host call was given a range outside the memory


class ExecutionLimits(Value, frozen=True):
    """What one execution may use; part of what a submitter signs."""

    memory_bytes_max: int = 512 << 20
    wall_ms_max: int = 30_000
    gas_max: int = 10_000_000_000
    output_bytes_max: int = 16 << 20
    log_bytes_max: int = 64 << 10

    def __post_init__(self) -> None:
        for name, value, lowest, highest in (
            ("memory_bytes_max", self.memory_bytes_max, PAGE_BYTES, MEMORY_BYTES_CEILING),
            ("wall_ms_max", self.wall_ms_max, 1, WALL_MS_CEILING),
            ("gas_max", self.gas_max, 1, GAS_CEILING),
            ("output_bytes_max", self.output_bytes_max, 0, OUTPUT_BYTES_CEILING),
            ("log_bytes_max", self.log_bytes_max, 0, LOG_BYTES_CEILING),
        ):
            if not lowest <= value <= highest:
                msg = f"{name} is {value}; it must lie between {lowest} and {highest}"
                raise ValueError(msg)


class ExecutionResult(Value, frozen=True):
    """A deterministic outcome; `log` alone may differ between engines and is never agreed on.

    Gas: completed, and exit codes, cost what was used; trapped and out of gas cost the whole
    limit, because gas since the last flush cannot be observed; refused costs nothing.
    """

    kind: OutcomeKind
    reason: str
    output: bytes
    gas: int
    log: bytes


class AbortCause(IntEnum):
    """Why a host could not finish, in a number that others are told; the reason stays with it."""

    OTHER = 0
    NOT_ALLOWED = 1  # more than this device's owner allows
    NOT_FETCHED = 2
    PREPARATION = 3  # the module took too much time or memory to prepare
    WALL_TIME = 4
    WORKER_LOST = 5
    MEMORY = 6
    BUSY = 7
    NOT_PAUSABLE = 8  # the module runs, but cannot be paused (protocols/08)
    NOT_PROVABLE = 9  # it runs, but no proof of it was made within the bounds (protocols/18)


class Aborted(Value, frozen=True):
    """This host could not finish: wall limit, memory, a killed worker. Assign the slot again."""

    reason: str
    cause: AbortCause = AbortCause.OTHER
