"""One prepared function in C (protocols/18 §4): the operand stack becomes variables.

The body must be valid. A value at height 3 lives in `i3`, `l3`, `v3` or `r3` by its type, so a
branch copies what it carries to where its label expects it. What cannot be reached is left out.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from ambientd.wasm.c_operations import EXPRESSIONS, LANE_LOADS, LANE_STORES, LOADS, STORES
from ambientd.wasm.leb import decode_unsigned
from ambientd.wasm.opcodes import Opcode, Role
from ambientd.wasm.refusal import RefusalError
from ambientd.wasm.sections import Module, Signature
from ambientd.wasm.signatures import EFFECTS
from ambientd.wasm.tokens import block_type_of, labels_of, opcode_of

LETTERS = {0x7F: "i", 0x7E: "l", 0x7B: "v", 0x70: "r", 0x6F: "r"}
C_TYPES = {"i": "u32", "l": "u64", "v": "v128", "r": "u32"}
NO_FLOATS = "Compute with integers: floating point cannot be proven yet."
_OPENING = (Role.BLOCK, Role.LOOP, Role.IF)


def letters(types: bytes) -> str:
    """Name types by one letter each, or refuse floats."""
    if not set(types) <= LETTERS.keys():
        raise RefusalError("it has values of floating point", NO_FLOATS)
    return "".join(LETTERS[kind] for kind in types)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a body refers to outside itself."""

    module: Module
    global_types: bytes
    type_numbers: tuple[int, ...]  # equal for equal signatures


@dataclass(slots=True)
class _Frame:
    number: int
    role: Role
    height: int
    params: str
    results: str
    has_else: bool = False

    def carried(self) -> str:
        """Give the types of what a branch to this label carries."""
        return self.params if self.role is Role.LOOP else self.results


@dataclass(slots=True)
class Body:
    """Translates one function's instructions into statements."""

    around: Surroundings
    signature: Signature
    local_types: str
    lines: list[str] = field(default_factory=list)
    _stack: list[str] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)
    _frames: list[_Frame] = field(default_factory=list)
    _labels: int = 0
    _dead: bool = False

    def translate(self, tokens: list[bytes]) -> str:
        """Give the statements between the function's braces."""
        self._frames.append(_Frame(0, Role.BLOCK, 0, "", letters(self.signature.results)))
        skipped = 0
        for token in tokens:
            found = opcode_of(token)
            assert found is not None
            opcode, position = found
            if self._dead:
                if skipped or opcode.role in _OPENING:
                    skipped += (opcode.role in _OPENING) - (opcode.role is Role.END)
                    continue
                if opcode.role not in (Role.END, Role.ELSE):
                    continue
            try:
                self._instruction(token, opcode, position)
            except RefusalError as refusal:
                refusal.instruction = refusal.instruction or opcode.name
                raise
        first = len(self.signature.params)
        locals_ = [
            f"  {C_TYPES[kind]} p{first + n} = {'{0}' if kind == 'v' else '0'};"
            for n, kind in enumerate(self.local_types[first:])
        ]
        slots = [f"  {C_TYPES[name[0]]} {name};" for name in sorted(self._used)]
        return "\n".join(locals_ + slots + self.lines)

    # ---- the operand stack ----
    def _push(self, kind: str) -> str:
        name = f"{kind}{len(self._stack)}"
        self._stack.append(kind)
        self._used.add(name)
        return name

    def _pop(self) -> str:
        kind = self._stack.pop()
        return f"{kind}{len(self._stack)}"

    def _pop_many(self, count: int) -> list[str]:
        return [self._pop() for _ in range(count)][::-1]

    def _emit(self, line: str) -> None:
        self.lines.append(f"  {line}")

    # ---- instructions ----
    def _instruction(self, token: bytes, opcode: Opcode, position: int) -> None:
        name = opcode.name
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, token, position)
        elif opcode.role in (Role.LOCAL, Role.GLOBAL):
            self._variable(name, decode_unsigned(token, position)[0])
        elif name in EXPRESSIONS:
            lane = str(token[-1]) if token[position:] else ""
            self._assign(opcode, EXPRESSIONS[name].replace("#", lane))
        elif name in LOADS or name in STORES:
            offset = decode_unsigned(token, position + 1)[0]
            template = (LOADS.get(name) or STORES[name]).replace("#", f"{offset}u")
            self._assign(opcode, template)
        elif name in LANE_LOADS or name in LANE_STORES:
            self._lane(opcode, token, position)
        else:
            raise RefusalError("it cannot be proven yet", NO_FLOATS)

    def _assign(self, opcode: Opcode, template: str) -> None:
        pops, pushes = EFFECTS[opcode.code]
        operands = self._pop_many(len(pops))
        for number, operand in enumerate(operands):
            template = template.replace(f"${number}", operand)
        self._emit(f"{self._push(letters(pushes))} = {template};" if pushes else f"{template};")

    def _lane(self, opcode: Opcode, token: bytes, position: int) -> None:
        offset = f"{decode_unsigned(token, position + 1)[0]}u"
        if opcode.name in LANE_STORES:
            self._assign(
                opcode, LANE_STORES[opcode.name].replace("#", offset).replace("@", str(token[-1]))
            )
            return
        bits = opcode.name.removeprefix("v128.load").removesuffix("_lane")
        value = LANE_LOADS[opcode.name].replace("@", str(token[-1]))
        self._assign(opcode, f"({{ u64 x_ = load{bits}($0, {offset}); {value}; }})")

    def _variable(self, name: str, index: int) -> None:
        scope, _, action = name.partition(".")
        if scope == "local":
            kind, variable = self.local_types[index], f"p{index}"
        else:
            kind = letters(self.around.global_types[index : index + 1])
            variable = f"g{index}"
        if action == "get":
            self._emit(f"{self._push(kind)} = {variable};")
        else:
            value = self._pop()
            self._emit(f"{variable} = {value};")
            if action == "tee":
                self._push(kind)

    def _constant_32(self, token: bytes, position: int) -> None:
        self._emit(f"{self._push('i')} = {signed(token, position) & 0xFFFFFFFF}u;")

    def _constant_64(self, token: bytes, position: int) -> None:
        self._emit(f"{self._push('l')} = {signed(token, position) & (1 << 64) - 1}ull;")

    def _constant_128(self, token: bytes, position: int) -> None:
        low, high = struct.unpack("<QQ", token[position:])
        self._emit(f"{self._push('v')} = (v128){{{low}ull, {high}ull}};")

    def _shuffle(self, token: bytes, position: int) -> None:
        left, right = self._pop_many(2)
        lanes = ", ".join(str(lane) for lane in token[position:])
        taken = f"__builtin_shufflevector((u8v){left}, (u8v){right}, {lanes})"
        self._emit(f"{self._push('v')} = (v128){taken};")

    def _nothing(self, _token: bytes, _position: int) -> None:
        pass

    def _drop(self, _token: bytes, _position: int) -> None:
        self._pop()

    def _select(self, _token: bytes, _position: int) -> None:
        condition, other = self._pop(), self._pop()
        kind = self._stack[-1]
        first = self._pop()
        self._emit(f"{self._push(kind)} = {condition} ? {first} : {other};")

    # ---- control ----
    def _open(self, token: bytes, _position: int) -> None:
        found = opcode_of(token)
        assert found is not None
        role = found[0].role
        kind = block_type_of(token)
        signature = (
            Signature(b"", kind) if isinstance(kind, bytes) else self.around.module.types[kind]
        )
        condition = self._pop() if role is Role.IF else ""
        self._labels += 1
        params, results = letters(signature.params), letters(signature.results)
        height = len(self._stack) - len(params)
        self._frames.append(_Frame(self._labels, role, height, params, results))
        if role is Role.LOOP:
            self._emit(f"L{self._labels}:;")
        elif role is Role.IF:
            self._emit(f"if (!{condition}) goto E{self._labels};")

    def _else(self, _token: bytes, _position: int) -> None:
        frame = self._frames[-1]
        frame.has_else = True
        if not self._dead:
            self._emit(f"goto L{frame.number};")
        self._emit(f"E{frame.number}:;")
        self._set_stack(frame, frame.params)

    def _end(self, _token: bytes, _position: int) -> None:
        frame = self._frames.pop()
        if not self._frames:
            if not self._dead:
                self._return(b"", 0)
            return
        if frame.role is Role.IF and not frame.has_else:
            self._emit(f"E{frame.number}:;")
        if frame.role is not Role.LOOP:
            self._emit(f"L{frame.number}:;")
        self._set_stack(frame, frame.results)

    def _set_stack(self, frame: _Frame, kinds: str) -> None:
        del self._stack[frame.height :]
        for kind in kinds:
            self._push(kind)
        self._dead = False

    def _way_to(self, label: int) -> str:
        frame = self._frames[-1 - label]
        if frame.number == 0:
            return self._leaving()
        kinds = frame.carried()
        base = len(self._stack) - len(kinds)
        copies = [
            f"{kind}{frame.height + n} = {kind}{base + n}; "
            for n, kind in enumerate(kinds)
            if frame.height != base
        ]
        self._used.update(f"{kind}{frame.height + n}" for n, kind in enumerate(kinds))
        return f"{''.join(copies)}goto L{frame.number};"

    def _leaving(self) -> str:
        kinds = letters(self.signature.results)
        base = len(self._stack) - len(kinds)
        more = "".join(f"more{n}{kinds[n]} = {kinds[n]}{base + n}; " for n in range(1, len(kinds)))
        return f"{more}return {kinds[0]}{base};" if kinds else "return;"

    def _return(self, _token: bytes, _position: int) -> None:
        self._emit(self._leaving())
        self._dead = True

    def _branch(self, token: bytes, position: int) -> None:
        self._emit(self._way_to(decode_unsigned(token, position)[0]))
        self._dead = True

    def _branch_if(self, token: bytes, position: int) -> None:
        condition = self._pop()
        self._emit(f"if ({condition}) {{ {self._way_to(decode_unsigned(token, position)[0])} }}")

    def _branch_table(self, token: bytes, _position: int) -> None:
        *labels, default = labels_of(token)
        self._emit(f"switch ({self._pop()}) {{")
        for number, label in enumerate(labels):
            if label != default:
                self._emit(f"case {number}u: {self._way_to(label)}")
        self._emit(f"default: {self._way_to(default)} }}")
        self._dead = True

    def _unreachable(self, _token: bytes, _position: int) -> None:
        self._emit("trap(UNREACHABLE);")
        self._dead = True

    # ---- calls ----
    def _call(self, token: bytes, position: int) -> None:
        index = decode_unsigned(token, position)[0]
        signature = self.around.module.signature(index)
        self._called(f"f{index}", signature)

    def _call_indirect(self, token: bytes, position: int) -> None:
        kind, position = decode_unsigned(token, position)
        table = decode_unsigned(token, position)[0]
        signature = self.around.module.types[kind]
        number, at = self.around.type_numbers[kind], self._pop()
        code = f"callee(functions, t{table}, t{table}_now, {at}, {number}u)"
        self._called(f"(({pointer_type(signature)}){code})", signature)

    def _called(self, callee: str, signature: Signature) -> None:
        operands = self._pop_many(len(signature.params))
        call = f"{callee}({', '.join(operands)});"
        results = letters(signature.results)
        slots = [self._push(kind) for kind in results]
        self._emit(f"{slots[0]} = {call}" if slots else call)
        for number in range(1, len(slots)):
            self._emit(f"{slots[number]} = more{number}{results[number]};")

    # ---- memory, tables, references ----
    def _runtime(self, call: str, token: bytes, position: int) -> None:
        """Emit a call of the runtime, `#` and `@` being the immediates."""
        found = opcode_of(token)
        assert found is not None
        for mark in "#@":
            if mark in call:
                index, position = decode_unsigned(token, position)
                call = call.replace(mark, str(index))
        takes = sum(f"${n}" in call for n in range(3))
        for number, operand in enumerate(self._pop_many(takes)):
            call = call.replace(f"${number}", operand)
        gives = found[0].net + takes
        if gives:
            kind = "i"
            if found[0].name == "table.get":
                kind = "r"
            call = f"{self._push(kind)} = {call}"
        self._emit(f"{call};")

    def _reference_null(self, _token: bytes, _position: int) -> None:
        self._emit(f"{self._push('r')} = 0;")

    def _reference_function(self, token: bytes, position: int) -> None:
        self._emit(f"{self._push('r')} = {decode_unsigned(token, position)[0] + 1}u;")

    def _is_null(self, _token: bytes, _position: int) -> None:
        value = self._pop()
        self._emit(f"{self._push('i')} = {value} == 0;")


def pointer_type(signature: Signature) -> str:
    """Write the C type of a pointer to a function."""
    results = letters(signature.results)
    params = ", ".join(C_TYPES[kind] for kind in letters(signature.params)) or "void"
    return f"{C_TYPES[results[0]] if results else 'void'} (*)({params})"


def signed(token: bytes, position: int) -> int:
    """Decode a signed integer known to be complete."""
    value, end = decode_unsigned(token, position)
    bits = 7 * (end - position)
    return value - (1 << bits) if value >> (bits - 1) else value


def _by_runtime(call: str) -> Callable[[Body, bytes, int], None]:
    return lambda body, token, position: body._runtime(call, token, position)


_SPECIAL: dict[str, Callable[[Body, bytes, int], None]] = {
    "i32.const": Body._constant_32,
    "i64.const": Body._constant_64,
    "v128.const": Body._constant_128,
    "i8x16.shuffle": Body._shuffle,
    "nop": Body._nothing,
    "drop": Body._drop,
    "select": Body._select,
    "select_t": Body._select,
    "block": Body._open,
    "loop": Body._open,
    "if": Body._open,
    "else": Body._else,
    "end": Body._end,
    "br": Body._branch,
    "br_if": Body._branch_if,
    "br_table": Body._branch_table,
    "return": Body._return,
    "unreachable": Body._unreachable,
    "call": Body._call,
    "call_indirect": Body._call_indirect,
    "ref.null": Body._reference_null,
    "ref.func": Body._reference_function,
    "ref.is_null": Body._is_null,
    "memory.size": _by_runtime("pages_now"),
    "memory.grow": _by_runtime("memory_grow($0)"),
    "memory.fill": _by_runtime("memory_fill($0, $1, $2)"),
    "memory.copy": _by_runtime("memory_copy($0, $1, $2)"),
    "memory.init": _by_runtime("memory_init(d#, d#_size, $0, $1, $2)"),
    "data.drop": _by_runtime("d#_size = 0"),
    "elem.drop": _by_runtime("e#_size = 0"),
    "table.get": _by_runtime("table_get(t#, t#_now, $0)"),
    "table.set": _by_runtime("table_set(t#, t#_now, $0, $1)"),
    "table.size": _by_runtime("t#_now"),
    "table.grow": _by_runtime("table_grow(t#, &t#_now, t#_max, $0, $1)"),
    "table.fill": _by_runtime("table_fill(t#, t#_now, $0, $1, $2)"),
    "table.copy": _by_runtime("table_copy(t#, t#_now, t@, t@_now, $0, $1, $2)"),
    "table.init": _by_runtime("table_copy(t@, t@_now, e#, e#_size, $0, $1, $2)"),
}
