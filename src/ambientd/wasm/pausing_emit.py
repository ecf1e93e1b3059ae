"""Writing a function that can be left at its points and entered again (protocols/08 §3).

    block                       ;; leaving arrives at its end
      if gas <= next: rewinding: take locals back, or normal: leave at point 1
      the prepared body; where it has points, each body begins with a dispatch:
        block block …           ;; one for each direct point but the first of a loop
          r != 0: branch to the end of the block in front of point r
        end
        operands put away; end  ;; a function entered again arrives here
        operands taken out, the call or the construct with the point
    end
    locals and r handed to the host, zeros as results

A point inside a construct is reached by entering the construct again: `r` stays set until the
point itself, and each body on the way dispatches on it. Operands that lie on the stack at a point
are put away in locals, one for each (height, type), so the branch takes none along.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ambientd.wasm.leb import encode_signed, encode_unsigned
from ambientd.wasm.opcodes import Role
from ambientd.wasm.pausing_scan import (
    ENTRY_POINT,
    SPLIT,
    Body,
    Branch,
    Call,
    Else,
    Item,
    Opening,
)
from ambientd.wasm.refusal import RefusalError

NORMAL, LEAVING, ENTERING = 0, 1, 2
# What engines must keep track of; compiling takes their time and memory with it.
LIVE_MAX = 2_000_000
NEXT_NEVER, NEXT_AT_ONCE = -(1 << 63), (1 << 63) - 1

_BLOCK_VOID, _IF_VOID, _ELSE, _END = b"\x02\x40", b"\x04\x40", b"\x05", b"\x0b"
_BR, _BR_IF, _CALL, _SELECT = b"\x0c", b"\x0d", b"\x10", b"\x1b"
_LOCAL_GET, _LOCAL_SET, _GLOBAL_GET, _GLOBAL_SET = b"\x20", b"\x21", b"\x23", b"\x24"
_I32_CONST, _I64_CONST = b"\x41", b"\x42"
_I32_EQZ, _I32_EQ, _I32_LT_U, _I32_SUB, _I64_LE_S = b"\x45", b"\x46", b"\x49", b"\x6b", b"\x57"
_BR_TABLE_CODE = 0x0E

_NAN_F32, _NAN_F64 = b"\x43\x00\x00\xc0\x7f", b"\x44\x00\x00\x00\x00\x00\x00\xf8\x7f"
_WRAP, _EXTEND_U, _F32_BITS, _F64_BITS = b"\xa7", b"\xad", b"\xbc", b"\xbd"
_LANE, _SPLAT, _REPLACE_LANE_0 = b"\xfd\x1d", b"\xfd\x12", b"\xfd\x1e\x00"
_V128, _F32, _F64 = 0x7B, 0x7D, 0x7C
# from the i64 that the host gave back
_FROM_I64 = {0x7F: _WRAP, 0x7E: b"", _F32: _WRAP + b"\xbe", _F64: b"\xbf"}
_ZEROS = {
    0x7F: _I32_CONST + b"\0", 0x7E: _I64_CONST + b"\0", _F32: b"\x43" + bytes(4),
    _F64: b"\x44" + bytes(8), _V128: b"\xfd\x0c" + bytes(16), 0x70: b"\xd0\x70", 0x6F: b"\xd0\x6f",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """Where the rewritten module keeps what the added code needs."""

    gas: int
    state: int
    next: int
    pop: int
    push: int

    def hand_over(self, get: bytes, kind: int) -> bytes:
        """Give a variable to the host as one or two i64, NaNs made canonical."""
        push = _CALL + encode_unsigned(self.push)
        if kind == _V128:
            return get + _LANE + b"\0" + push + get + _LANE + b"\1" + push
        canonical = {
            0x7F: _EXTEND_U,
            0x7E: b"",
            _F32: _NAN_F32 + get + get + b"\x5b" + _SELECT + _F32_BITS + _EXTEND_U,
            _F64: _NAN_F64 + get + get + b"\x61" + _SELECT + _F64_BITS,
        }
        return get + canonical[kind] + push

    def take_back(self, put: bytes, kind: int) -> bytes:
        """Set a variable from what `hand_over` gave, which comes back in reverse."""
        pop = _CALL + encode_unsigned(self.pop)
        if kind == _V128:
            # the upper lane comes first: make both lanes that, then replace the lower one
            return pop + _SPLAT + pop + _REPLACE_LANE_0 + put
        return pop + _FROM_I64[kind] + put

    def set_state(self, state: int) -> bytes:
        """Write the state global."""
        return _I32_CONST + encode_signed(state) + _GLOBAL_SET + encode_unsigned(self.state)

    def set_next(self, value: bytes) -> bytes:
        """Write the global that says when to pause, from an instruction that gives an i64."""
        return value + _GLOBAL_SET + encode_unsigned(self.next)

    def entered(self) -> bytes:
        """End the re-entry: what the host gives last is the gas left at which to pause next."""
        return self.set_state(NORMAL) + self.set_next(_CALL + encode_unsigned(self.pop))


@dataclass(frozen=True, slots=True)
class Frame:
    """The locals of a prepared function: its own, its depth, gas, more scratch."""

    groups: bytes
    group_count: int
    types: bytes
    own: int

    @property
    def gas(self) -> int:
        """Return the local that holds gas."""
        return self.own + 1

    @property
    def kept(self) -> bytes:
        """Return the types of the locals that outlive a pause: gas does so in its global."""
        return self.types[: self.own + 1]


class FunctionWriter:
    """Writes one function; `depth` counts the labels open in what is written."""

    def __init__(self, names: Names, frame: Frame, results: bytes, bytes_max: int) -> None:
        self._names = names
        self._frame = frame
        self._results = results
        self._bytes_max = bytes_max
        self._point = encode_unsigned(len(frame.types))  # the local r
        self._slots: dict[tuple[int, int], int] = {}
        self._out: list[bytes] = []
        self._size = 0
        self._points = 0
        self._depth = 1  # the outer block is open
        self._scopes: list[tuple[int, Body]] = []  # label depth, body
        gas = encode_unsigned(frame.gas)
        gas_global = encode_unsigned(names.gas)
        self._state_get = _GLOBAL_GET + encode_unsigned(names.state)
        self._next_get = _GLOBAL_GET + encode_unsigned(names.next)
        self._gas_get = _LOCAL_GET + gas
        self._flush = self._gas_get + _GLOBAL_SET + gas_global
        self._gas_global_get = _GLOBAL_GET + gas_global
        self._reload = self._gas_global_get + _LOCAL_SET + gas
        self._point_get = _LOCAL_GET + self._point

    def write(self, function: Body, items: list[Item]) -> bytes:
        """Return the rewritten function, its size in front."""
        self._begin(0, function, is_loop=False)
        for item in items:
            if isinstance(item, bytes):
                self._out.append(item)
                continue
            match item:
                case Call():
                    self._on_call(item)
                case Opening():
                    self._on_opening(item)
                case Branch():
                    self._on_branch(item)
                case Else():
                    self._emit(_ELSE)
                    label_depth, _ = self._scopes.pop()
                    self._begin(label_depth, item.body, is_loop=False)
                case _:
                    self._emit(_END)
                    self._scopes.pop()
                    self._depth -= 1
        saved = self._saved()
        if len(saved) * self._points > LIVE_MAX:
            raise RefusalError(
                f"{len(saved)} values are alive at {self._points} calls and loops, "
                f"and {LIVE_MAX} is the most for their product",
                SPLIT,
            )
        self._emit(
            _END,
            *(self._names.hand_over(_LOCAL_GET + local, kind) for local, kind in saved),
            *(_ZEROS[kind] for kind in self._results),
            _END,
        )
        groups = self._locals()
        body = groups + _BLOCK_VOID + self._entry(saved) + b"".join(self._out)
        self._check_size(len(body))
        return encode_unsigned(len(body)) + body

    def _emit(self, *pieces: bytes) -> None:
        """Write what is added to the prepared code, which may be far more than that."""
        self._out += pieces
        self._size += sum(map(len, pieces))
        self._check_size(self._size)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            raise RefusalError(
                f"the pausable function has more than {self._bytes_max} bytes", SPLIT
            )

    def _saved(self) -> list[tuple[bytes, int]]:
        """Return each local that a frame keeps: those of preparation, those put away, last r."""
        own = [(encode_unsigned(index), kind) for index, kind in enumerate(self._frame.kept)]
        slots = [(encode_unsigned(index), kind) for (_, kind), index in self._slots.items()]
        return [*own, *slots, (self._point, 0x7F)]

    def _locals(self) -> bytes:
        added = b"\x01\x7f" + b"".join(b"\x01" + bytes((kind,)) for _, kind in self._slots)
        count = self._frame.group_count + 1 + len(self._slots)
        return encode_unsigned(count) + self._frame.groups + added

    def _slot(self, height: int, kind: int) -> bytes:
        index = self._slots.setdefault(
            (height, kind), len(self._frame.types) + 1 + len(self._slots)
        )
        return encode_unsigned(index)

    def _put_away(self, operands: bytes, height: int) -> list[bytes]:
        """Move operands into their slots, the topmost first."""
        return [
            _LOCAL_SET + self._slot(height + above, operands[above])
            for above in reversed(range(len(operands)))
        ]

    def _take_out(self, operands: bytes, height: int) -> list[bytes]:
        return [
            _LOCAL_GET + self._slot(height + above, kind) for above, kind in enumerate(operands)
        ]

    def _set_point(self, number: int) -> bytes:
        return _I32_CONST + encode_signed(number) + _LOCAL_SET + self._point

    def _leave(self, number: int, blocks: int) -> bytes:
        """Leave at a checkpoint; `blocks` are open here besides those counted in `depth`."""
        label = encode_unsigned(self._depth + blocks - 1)
        return self._names.set_state(LEAVING) + self._set_point(number) + _BR + label

    def _entry(self, saved: list[tuple[bytes, int]]) -> bytes:
        """Return what stands before the body: the checkpoint at entry, and entering again."""
        self._depth = 1
        take_back = b"".join(
            self._names.take_back(_LOCAL_SET + local, kind) for local, kind in reversed(saved)
        )
        here = self._point_get + _I32_CONST + encode_signed(ENTRY_POINT) + _I32_EQ
        return (
            self._gas_global_get + self._next_get + _I64_LE_S + _IF_VOID
            + self._state_get + _IF_VOID + take_back
            + here + _IF_VOID + self._names.entered() + self._set_point(0) + _END
            + _ELSE + self._leave(ENTRY_POINT, 2) + _END + _END
        )  # fmt: skip

    def _begin(self, label_depth: int, body: Body, *, is_loop: bool) -> None:
        """Write the dispatch with which a body begins, if it has points."""
        self._scopes.append((label_depth, body))
        self._points += len(body.points)
        if not body.needs_dispatch():
            return
        starts = body.points[is_loop:]
        params = self._put_away(body.params, body.height)
        self._emit(*params, _BLOCK_VOID * len(starts))
        self._depth += len(starts)
        if is_loop:
            self._emit(
                self._gas_get + self._next_get + _I64_LE_S + _IF_VOID
                + self._point_get + _I32_EQZ + _IF_VOID
                + self._flush + self._leave(body.points[0], 2) + _END
            )  # fmt: skip
            resume = self._names.entered() + self._set_point(0) + self._reload
            if starts:
                here = self._point_get + _I32_CONST + encode_signed(body.points[0]) + _I32_EQ
                self._emit(here + _IF_VOID + resume + _BR + b"\x01" + _END, *self._chain(starts))
            else:
                self._emit(resume)
            self._emit(_END)
        elif len(starts) == 1:
            self._emit(self._point_get + _BR_IF + b"\0")
        else:
            self._emit(self._point_get + _IF_VOID, *self._chain(starts), _END)
        self._emit(*self._take_out(body.params, body.height))

    def _chain(self, starts: list[int]) -> Iterable[bytes]:
        """Branch to the block in front of the point that r lies in, from inside an `if`."""
        for label, following in enumerate(starts[1:], 1):
            below = self._point_get + _I32_CONST + encode_signed(following) + _I32_LT_U
            yield below + _BR_IF + encode_unsigned(label)
        yield _BR + encode_unsigned(len(starts))

    def _arrive(self, operands: bytes, height: int) -> None:
        """Write the end of the block in front of a point, operands put away across it."""
        self._emit(*self._put_away(operands, height), _END)
        self._depth -= 1

    def _on_call(self, call: Call) -> None:
        self._arrive(call.operands, call.operands_height)
        self._emit(*self._take_out(call.operands, call.operands_height))
        self._emit(
            self._set_point(call.number) + call.token
            + self._state_get + _BR_IF + encode_unsigned(self._depth - 1)
            + self._set_point(0)
        )  # fmt: skip

    def _on_opening(self, opening: Opening) -> None:
        if opening.numbers and self._scopes[-1][1].needs_dispatch():
            self._arrive(opening.operands, opening.operands_height)
            operands = self._take_out(opening.operands, opening.operands_height)
            *taken, last = [b"", *operands]
            self._emit(*taken, self._which_arm(opening, last) if opening.role is Role.IF else last)
        self._emit(opening.token)
        self._depth += 1
        self._begin(self._depth, opening.body, is_loop=opening.role is Role.LOOP)

    def _which_arm(self, opening: Opening, condition: bytes) -> bytes:
        """Give an `if` its condition, or when entered again whether r lies in the first arm."""
        inside = self._point_get + _I32_CONST + encode_signed(opening.first) + _I32_SUB
        first = _I32_CONST + encode_signed(opening.numbers_then or 0) + _I32_LT_U
        return inside + first + condition + self._point_get + _SELECT

    def _on_branch(self, branch: Branch) -> None:
        labels = [
            encode_unsigned(self._depth - self._scopes[-1 - label][0]) for label in branch.labels
        ]
        count = encode_unsigned(len(labels) - 1) if branch.code == _BR_TABLE_CODE else b""
        self._emit(bytes((branch.code,)) + count + b"".join(labels))
