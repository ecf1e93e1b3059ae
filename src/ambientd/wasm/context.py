"""What the bodies of one module share: its indices, and each distinct instruction understood."""

from dataclasses import dataclass, field

from ambientd.wasm.emit import NO_RESULT, Emitter, Globals
from ambientd.wasm.leb import decode_unsigned, encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import Immediate, Role
from ambientd.wasm.refusal import REBUILD, TARGET, RefusalError
from ambientd.wasm.sections import Module, Signature
from ambientd.wasm.tokens import block_type_of, labels_of, opcode_of

# mark, gas, net effect on the stack, then a label or a block's parameters and results
Step = tuple[int, int, int, int, int]

# The mark is a local's index, or WORK + role where the rewriter has something to do: one
# comparison with the number of locals tells both that and a local that does not exist.
WORK = 1 << 24
_UNMARKED = -1

_STEPS_MAX = 1 << 17  # remembered at once; a hostile module has millions of distinct instructions


class Steps(dict[bytes, Step]):
    """The instructions understood so far; looking one up understands it when it is new."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, token: bytes) -> Step:
        """Understand a new instruction, or raise `RefusalError` without a place."""
        if len(self) >= _STEPS_MAX:
            self.clear()
        step = self[token] = self._understand(token)
        return step

    def _understand(self, token: bytes) -> Step:
        known = opcode_of(token)
        if known is None:
            raise RefusalError("the instruction is not allowed", TARGET)
        opcode, position = known
        role, net = opcode.role, opcode.net
        if role is Role.PLAIN:
            return _UNMARKED, opcode.gas, net, 0, 0
        mark, first, second = WORK + role, 0, 0
        if role is Role.LOCAL:
            mark = decode_unsigned(token, position)[0]
            _check_exists("local", mark, WORK)
        elif role is Role.GLOBAL:
            index = decode_unsigned(token, position)[0]
            _check_exists("global", index, self._module.globals_count)
            mark = _UNMARKED
        elif role in (Role.BRANCH, Role.BRANCH_IF):
            first = decode_unsigned(token, position)[0]
        elif role is Role.BRANCH_TABLE:
            first = max(labels_of(token))
        elif role is Role.CALL:
            index = decode_unsigned(token, position)[0]
            _check_exists("function", index, self._module.function_count())
            net += _net(self._module.signature(index))
            if index < len(self._module.imports):
                mark = WORK + Role.CALL_HOST
        elif role is Role.CALL_INDIRECT:
            net += _net(self._type(decode_unsigned(token, position)[0]))
        elif opcode.immediate is Immediate.BLOCK_TYPE:
            kind = block_type_of(token)
            signature = Signature(b"", kind) if isinstance(kind, bytes) else self._type(kind)
            first, second = len(signature.params), len(signature.results)
        return mark, opcode.gas, net, first, second

    def _type(self, index: int) -> Signature:
        _check_exists("type", index, len(self._module.types))
        return self._module.types[index]


@dataclass(slots=True)
class BodyContext:
    """Checks every index: the rewriter's own globals, locals and types lie just behind."""

    data: bytes
    module: Module
    limits: PrepareLimits
    globals: Globals
    steps: Steps = field(init=False)
    added_types: list[bytes] = field(default_factory=list)
    _widest: int = field(init=False)
    _branch_table_bytes: int = 0
    _result_types: dict[bytes, int] = field(default_factory=dict)
    _emitters: dict[int, Emitter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps = Steps(self.module)
        types = self.module.types
        self._widest = max((max(len(each.params), len(each.results)) for each in types), default=0)
        for index, signature in enumerate(types):
            if not signature.params:
                self._result_types.setdefault(signature.results, index)

    def emitter(self, local_count: int) -> Emitter:
        """Return the sequences for a function with so many locals."""
        emitter = self._emitters.get(local_count)
        if emitter is None:
            emitter = self._emitters[local_count] = Emitter(self.globals, local_count)
        return emitter

    def branch_table_values(self, size_bytes: int) -> int:
        """Count what validators compare for the br_tables so far, with those of one more body."""
        self._branch_table_bytes += size_bytes
        return self._branch_table_bytes * self._widest

    def result_type(self, results: bytes) -> bytes:
        """Encode a block type without parameters, adding a type if the module has none."""
        if len(results) < 2:
            return results or NO_RESULT
        index = self._result_types.get(results)
        if index is None:
            index = self._result_types[results] = len(self.module.types) + len(self.added_types)
            self.added_types.append(results)
        encoded = encode_unsigned(index)
        if encoded[-1] & 0x40:  # a block type is signed, an index must stay positive
            return encoded[:-1] + bytes((encoded[-1] | 0x80, 0))
        return encoded


def _net(signature: Signature) -> int:
    return len(signature.results) - len(signature.params)


def _check_exists(what: str, index: int, count: int) -> None:
    if index >= count:
        raise RefusalError(f"{what} {index} does not exist", REBUILD)
