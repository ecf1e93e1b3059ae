"""Reading a prepared function: its constructs, its points, and the operands alive at each.

A *point* is a place where the function can be left and entered again: the checkpoint at its
entry, the checkpoint at the head of each loop, and each call of a function that may itself be
left. Points are numbered in the order in which they stand, from 1, so those inside a construct
are a range. Code that cannot be reached is dropped: it has no operands to speak of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ambientd.wasm.leb import decode_unsigned, encode_unsigned
from ambientd.wasm.opcodes import Opcode, Role
from ambientd.wasm.refusal import REBUILD, RefusalError
from ambientd.wasm.sections import REFERENCE_TYPES, Module, Signature
from ambientd.wasm.signatures import EFFECTS, I32
from ambientd.wasm.tokens import block_type_of, labels_of, opcode_of

ENTRY_POINT = 1
ADDED_IMPORTS = 2  # `pop` and `push` follow the module's own imports
# More operands than this would make the code that keeps them grow with the square.
OPERANDS_MAX = 1_024
OPERANDS_KEPT_MAX = 1_000_000  # over all points of a function
POINTS_MAX = 16_384  # of a function; each is a block of its own in what is written

SPLIT = "Split the function."

_CALL, _REF_FUNC = b"\x10", b"\xd2"
_TABLE_CHANGES = frozenset(
    ["table.set", "table.grow", "table.fill", "table.copy", "table.init", "elem.drop", "data.drop"]
)
_OPENING = (Role.BLOCK, Role.LOOP, Role.IF)


@dataclass(slots=True)
class Body:
    """What stands between a construct's label and its `end` or `else`."""

    height: int  # of the operand stack below its parameters
    params: bytes
    points: list[int] = field(default_factory=list)  # where each direct point's numbers begin
    begins_with_construct: bool = False

    def needs_dispatch(self) -> bool:
        """Tell whether a function that is entered again must look here where to go on."""
        return bool(self.points) and not (self.begins_with_construct and len(self.points) == 1)


@dataclass(slots=True)
class Opening:
    """A `block`, `loop` or `if`; `operands` are those of the enclosing body, bottom first."""

    token: bytes
    role: Role
    results: bytes
    operands_height: int
    is_first: bool  # in the enclosing body
    first: int  # the number of its first point
    body: Body
    operands: bytes = b""  # known at the end, if there are points inside
    numbers: int = 0  # of points inside
    numbers_then: int | None = None  # of those in the first arm of an `if`


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may not come back yet."""

    token: bytes
    number: int
    operands: bytes
    operands_height: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch with its labels as they were."""

    code: int
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Else:
    """Where the second arm of an `if` begins."""

    body: Body


@dataclass(frozen=True, slots=True)
class Close:
    """The end of a construct, or of the function."""


Item = bytes | Opening | Call | Branch | Else | Close


@dataclass(frozen=True, slots=True)
class Typing:
    """What the types of instructions depend on outside their function."""

    module: Module
    global_types: bytes
    brief: frozenset[int]  # functions that are never left half way

    def renumbered(self, function: int) -> int:
        """Return a function's index behind the added imports."""
        return function + ADDED_IMPORTS * (function >= len(self.module.imports))


def ill_typed() -> RefusalError:
    """Say that an engine would not take the module either."""
    return RefusalError("its types do not fit", REBUILD)


def refuse_table_changes(opcode: Opcode) -> None:
    """Refuse instructions that change what is kept neither in memory nor in globals."""
    if opcode.name in _TABLE_CHANGES:
        raise RefusalError(
            f"{opcode.name} changes tables or segments, which are not part of a state",
            "Build without it.",
        )


_Handler = Callable[[bytes, Opcode], None]
# A handler or None, types popped and pushed, and the instruction as it is written out.
_Known = tuple[_Handler | None, bytes, bytes, bytes, Opcode]


class Scanner:
    """One pass over one function's instructions with the types on its operand stack."""

    def __init__(self, typing: Typing, local_types: bytes) -> None:
        self._typing = typing
        self._local_types = local_types
        self._stack = bytearray()
        self._items: list[Item] = []
        self._bodies = [Body(0, b"")]  # the function's and those around the present place
        self._open: list[Opening] = []
        self._floor = 0  # height below the operands of the present body
        self._begun_at = 0  # items before the present body, as long as it is empty
        self._next = ENTRY_POINT + 1
        self._dead = self._closed = False
        self._kept_count = 0
        self._known: dict[bytes, _Known] = {}

    def scan(self, tokens: list[bytes]) -> tuple[Body, list[Item]]:
        """Give the function's body and what of it can be reached."""
        stack, items, known = self._stack, self._items, self._known
        function = self._bodies[0]
        skipped = 0  # constructs that opened where nothing is reached
        for token in tokens:
            handler, pops, pushes, written, opcode = known.get(token) or self._look_up(token)
            if self._dead:
                if skipped or opcode.role in _OPENING:
                    skipped += (opcode.role in _OPENING) - (opcode.role is Role.END)
                    continue
                if opcode.role not in (Role.END, Role.ELSE):
                    continue
            if handler is not None:
                handler(written, opcode)
                continue
            if pops:
                self._pop(pops)
            stack += pushes
            items.append(written)
        if not self._closed:
            raise ill_typed()
        return function, items

    def _look_up(self, token: bytes) -> _Known:
        found = opcode_of(token)
        if found is None:
            raise ill_typed()
        opcode, position = found
        refuse_table_changes(opcode)
        handler = _HANDLERS.get(opcode.name)
        bound: _Handler | None = partial(handler, self) if handler else None
        pops, pushes, written = b"", b"", token
        if opcode.role in (Role.LOCAL, Role.GLOBAL):
            pops, pushes = self._variable(opcode, decode_unsigned(token, position)[0])
        elif opcode.role in (Role.CALL, Role.CALL_INDIRECT):
            bound, pops, pushes, written = self._call(token, decode_unsigned(token, position)[0])
        elif opcode.name == "ref.func":
            pushes = EFFECTS[opcode.code][1]
            written = _REF_FUNC + self._function(decode_unsigned(token, position)[0])
        elif opcode.name == "ref.null":
            pushes = token[position:]
        elif opcode.name == "table.get":
            index = decode_unsigned(token, position)[0]
            if index >= len(self._typing.module.tables):
                raise ill_typed()
            pops, pushes = I32, bytes((self._typing.module.tables[index][0],))
        elif bound is None:
            pops, pushes = EFFECTS[opcode.code]
        entry = self._known[token] = bound, pops, pushes, written, opcode
        return entry

    def _variable(self, opcode: Opcode, index: int) -> tuple[bytes, bytes]:
        types = self._local_types if opcode.role is Role.LOCAL else self._typing.global_types
        if index >= len(types):
            raise ill_typed()
        kind, operation = types[index : index + 1], opcode.name[-3:]
        return (b"" if operation == "get" else kind), (b"" if operation == "set" else kind)

    def _call(self, token: bytes, index: int) -> tuple[_Handler | None, bytes, bytes, bytes]:
        module = self._typing.module
        if token[:1] != _CALL:
            signature = module.types[index]
            return self._kept_call(signature.params + I32, signature.results), b"", b"", token
        signature = module.signature(index)
        written = _CALL + self._function(index)
        if index < len(module.imports) or index in self._typing.brief:
            return None, signature.params, signature.results, written
        return self._kept_call(signature.params, signature.results), b"", b"", written

    def _function(self, index: int) -> bytes:
        return encode_unsigned(self._typing.renumbered(index))

    def _kept_call(self, pops: bytes, pushes: bytes) -> _Handler:
        def handle(written: bytes, _opcode: Opcode) -> None:
            operands = self._kept(bytes(self._stack[self._floor :]))
            self._pop(pops)
            self._stack += pushes
            number = self._numbered(self._bodies[-1])
            self._items.append(Call(written, number, operands, self._floor))

        return handle

    def _pop(self, types: bytes) -> None:
        rest = len(self._stack) - len(types)
        if rest < self._floor or not self._stack.endswith(types):
            raise ill_typed()
        del self._stack[rest:]

    def _pop_any(self) -> int:
        if len(self._stack) <= self._floor:
            raise ill_typed()
        return self._stack.pop()

    def _numbered(self, body: Body) -> int:
        """Add a point to a body; returns its number."""
        number, self._next = self._next, self._next + 1
        if number > POINTS_MAX:
            raise RefusalError(f"it has more than {POINTS_MAX} calls and loops", SPLIT)
        body.points.append(number)
        return number

    def _kept(self, operands: bytes) -> bytes:
        """Return the operands to keep at a point, or refuse."""
        self._kept_count += len(operands)
        if len(operands) > OPERANDS_MAX or self._kept_count > OPERANDS_KEPT_MAX:
            raise RefusalError(
                f"more than {OPERANDS_MAX} operands are alive at a call or loop, "
                f"or {OPERANDS_KEPT_MAX} at all of them",
                SPLIT,
            )
        if not REFERENCE_TYPES.isdisjoint(operands):
            raise RefusalError("a reference is alive at a call or loop", "Keep it in a table.")
        return operands

    def _on_drop(self, written: bytes, _opcode: Opcode) -> None:
        self._pop_any()
        self._items.append(written)

    def _on_is_null(self, written: bytes, _opcode: Opcode) -> None:
        if self._pop_any() not in REFERENCE_TYPES:
            raise ill_typed()
        self._stack += I32
        self._items.append(written)

    def _on_select(self, written: bytes, _opcode: Opcode) -> None:
        self._pop(I32)
        kind = self._pop_any()
        if self._pop_any() != kind:
            raise ill_typed()
        self._stack.append(kind)
        self._items.append(written)

    def _on_open(self, written: bytes, opcode: Opcode) -> None:
        kind = block_type_of(written)
        signature = Signature(b"", kind) if isinstance(kind, bytes) else self._type(kind)
        if opcode.role is Role.IF:
            self._pop(I32)
        self._pop(signature.params)
        body = Body(len(self._stack), signature.params)
        is_first = len(self._items) == self._begun_at
        opening = Opening(
            written, opcode.role, signature.results, self._floor, is_first, self._next, body
        )
        if opcode.role is Role.LOOP:
            self._numbered(body)
        self._items.append(opening)
        self._open.append(opening)
        self._bodies.append(body)
        self._enter(body)

    def _type(self, index: int) -> Signature:
        return self._typing.module.types[index]

    def _enter(self, body: Body) -> None:
        self._floor, self._dead, self._begun_at = body.height, False, len(self._items)
        self._stack += body.params

    def _leave(self, results: bytes) -> None:
        """Forget the operands of the present body, which must be its results."""
        if not self._dead and self._stack[self._floor :] != results:
            raise ill_typed()
        del self._stack[self._floor :]
        self._dead = False

    def _on_else(self, _written: bytes, _opcode: Opcode) -> None:
        if not self._open or self._open[-1].role is not Role.IF:
            raise ill_typed()
        opening = self._open[-1]
        self._leave(opening.results)
        opening.numbers_then = self._next - opening.first
        body = self._bodies[-1] = Body(self._floor, opening.body.params)
        self._items.append(Else(body))
        self._enter(body)

    def _on_end(self, _written: bytes, _opcode: Opcode) -> None:
        if not self._open:
            self._leave(b"")  # a prepared function never falls off its end
            self._closed = self._dead = True
            return
        opening = self._open.pop()
        self._leave(opening.results)
        self._bodies.pop()
        self._items.append(Close())
        opening.numbers = self._next - opening.first
        if opening.numbers_then is None:
            opening.numbers_then = opening.numbers
        parent = self._bodies[-1]
        if opening.numbers:
            below = bytes(self._stack[parent.height :])
            condition = I32 if opening.role is Role.IF else b""
            opening.operands = self._kept(below + opening.body.params + condition)
            parent.points.append(opening.first)
            parent.begins_with_construct |= opening.is_first and not parent.params
        self._floor = parent.height
        self._stack += opening.results

    def _on_branch(self, written: bytes, opcode: Opcode) -> None:
        table = opcode.role is Role.BRANCH_TABLE
        labels = labels_of(written) if table else [decode_unsigned(written, 1)[0]]
        if max(labels) >= len(self._open):
            raise ill_typed()
        if opcode.role is not Role.BRANCH:
            self._pop(I32)
        self._items.append(Branch(opcode.code, labels))
        self._dead = opcode.role is not Role.BRANCH_IF

    def _on_leave(self, written: bytes, _opcode: Opcode) -> None:
        self._items.append(written)
        self._dead = True


_HANDLERS: dict[str, Callable[[Scanner, bytes, Opcode], None]] = {
    "drop": Scanner._on_drop,
    "select": Scanner._on_select,
    "select_t": Scanner._on_select,
    "ref.is_null": Scanner._on_is_null,
    "block": Scanner._on_open,
    "loop": Scanner._on_open,
    "if": Scanner._on_open,
    "else": Scanner._on_else,
    "end": Scanner._on_end,
    "br": Scanner._on_branch,
    "br_if": Scanner._on_branch,
    "br_table": Scanner._on_branch,
    "return": Scanner._on_leave,
    "unreachable": Scanner._on_leave,
}
