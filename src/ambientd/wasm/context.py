"""What the bodies of one module share: its indices, and each distinct instruction understood."""

from dataclasses import dataclass, field

from ambientd.wasm.emit import NO_RESULT, Globals
from ambientd.wasm.leb import decode_unsigned, encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import Immediate, Role
from ambientd.wasm.refusal import REBUILD, RefusalError
from ambientd.wasm.sections import Module, Signature
from ambientd.wasm.tokens import block_type_of, labels_of, opcode_of

# role, gas, net effect on the stack, encoding, then an index or a block's parameters and results
Step = tuple[int, int, int, bytes, int, int]


@dataclass(slots=True)
class BodyContext:
    """Checks every index: the rewriter's own globals, locals and types lie just behind."""

    data: bytes
    module: Module
    limits: PrepareLimits
    globals: Globals
    steps: dict[bytes, Step] = field(default_factory=dict)
    added_types: list[bytes] = field(default_factory=list)
    _result_types: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, signature in enumerate(self.module.types):
            if not signature.params:
                self._result_types.setdefault(signature.results, index)

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

    def step(self, token: bytes) -> Step | None:
        """Understand an instruction; None if it is not an allowed one."""
        known = opcode_of(token)
        if known is None:
            return None
        opcode, position = known
        role, net, first, second = opcode.role, opcode.net, 0, 0
        if role in (Role.LOCAL, Role.BRANCH, Role.BRANCH_IF):
            first = decode_unsigned(token, position)[0]
        elif role is Role.BRANCH_TABLE:
            first = max(labels_of(token))
        elif role is Role.GLOBAL:
            first = decode_unsigned(token, position)[0]
            _check_exists("global", first, self.module.globals_count)
        elif role is Role.CALL:
            first = decode_unsigned(token, position)[0]
            _check_exists("function", first, self.module.function_count())
            net += _net(self.module.signature(first))
            role = Role.CALL_HOST if first < len(self.module.imports) else role
        elif role is Role.CALL_INDIRECT:
            net += _net(self._type(decode_unsigned(token, position)[0]))
        elif opcode.immediate is Immediate.BLOCK_TYPE:
            kind = block_type_of(token)
            signature = Signature(b"", kind) if isinstance(kind, bytes) else self._type(kind)
            first, second = len(signature.params), len(signature.results)
        return int(role), opcode.gas, net, token, first, second

    def _type(self, index: int) -> Signature:
        _check_exists("type", index, len(self.module.types))
        return self.module.types[index]


def _net(signature: Signature) -> int:
    return len(signature.results) - len(signature.params)


def _check_exists(what: str, index: int, count: int) -> None:
    if index >= count:
        raise RefusalError(f"{what} {index} does not exist", REBUILD)
