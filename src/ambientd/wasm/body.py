"""Rewriting one function body: gas, call depth, canonical NaNs (§5 to §7).

The body keeps its labels: it moves into a block of its own, which takes the place of
the function's outermost label, inside a second block for giving up.

    block                      ;; out of gas or out of stack arrives at its end
      block (results)          ;; the function's own outermost label
        entry gas, call depth
        the body, `return` as a branch
      end
      check, flush, depth back, return
    end
    flush, unreachable
"""

from collections.abc import Iterator
from itertools import pairwise
from operator import length_hint

from ambientd.wasm.context import WORK, BodyContext, Step
from ambientd.wasm.emit import BR, Emitter, Scratch
from ambientd.wasm.leb import Reader, encode_unsigned
from ambientd.wasm.opcodes import (
    ENTRY_LOCALS_SHIFT,
    FUNCTION_ENTRY_GAS,
    LOOP_HEADER_GAS,
    Role,
)
from ambientd.wasm.refusal import REBUILD, SHRINK, TARGET, RefusalError
from ambientd.wasm.sections import VALUE_TYPES
from ambientd.wasm.tokens import not_allowed, opcode_of, tokenise

# A call weighs this, one for each eight bytes of parameters, locals and results, and two
# for each operand at the highest point of its stack.
FRAME_WEIGHT = 16
OPERAND_WEIGHT = 2
_V128 = 0x7B
# f32x4.demote_f64x2_zero and f64x2.promote_low_f32x4 read other lanes than they write.
_OTHER_LANES = (b"\xfd\x5e", b"\xfd\x5f")
_UNCHECKED, _ENTRY = -1, -2  # in place of the label to leave for at the start of a run

# Plain integers, because members of an enumeration are slow to reach in the hot loop.
_LANES_F32, _SIZED_PAGES = Role.LANES_F32.value, Role.SIZED_PAGES.value
_CALL, _CALL_HOST = Role.CALL.value, Role.CALL_HOST.value
_BLOCK, _LOOP, _IF, _ELSE = Role.BLOCK.value, Role.LOOP.value, Role.IF.value, Role.ELSE.value
_END, _RETURN = Role.END.value, Role.RETURN.value
_BRANCH_TABLE = Role.BRANCH_TABLE.value


def rewrite_body(context: BodyContext, function: int, start: int, end: int) -> bytes:
    """Return the prepared body of a function, its size in front."""
    signature = context.module.signature(function)
    groups, group_count, declared, vectors, position = _decode_locals(context, start, end)
    local_count = len(signature.params) + declared
    values = signature.params + signature.results
    frame_weight = FRAME_WEIGHT + len(values) + values.count(_V128) + declared + vectors
    if local_count > context.limits.locals_max:
        raise RefusalError(
            f"{local_count} locals, at most {context.limits.locals_max} are allowed", SHRINK, start
        )
    tokens = tokenise(context.data, position, end, context.limits.branch_targets_max)
    emitter = context.emitter(local_count)
    rewriter = _Rewriter(context, emitter, local_count)
    try:
        rewriter.run(tokens)
    except RefusalError as refusal:
        raise _located(refusal, context, position, end, rewriter.done) from None
    if not rewriter.closed:
        raise RefusalError("the function does not end with its last block", REBUILD, end)
    for count, limit, what in (
        (rewriter.peak, context.limits.operands_max, "operands on the stack at once"),
        (rewriter.runs, context.limits.runs_max, "branches and ends of blocks"),
        (
            rewriter.runs * local_count,
            context.limits.locals_times_runs_max,
            "locals times branches and ends of blocks",
        ),
        (
            context.branch_table_values(rewriter.branch_table_bytes),
            context.limits.branch_table_values_max,
            "values to compare at br_tables (their bytes, times the widest type)",
        ),
    ):
        if count > limit:
            problem = f"{count} {what}, at most {limit} are allowed"
            raise RefusalError(problem, "Split the function.", start)
    scratch = rewriter.canonicalise(tokens)
    weight = frame_weight + OPERAND_WEIGHT * rewriter.peak
    prologue = emitter.prologue(
        context.result_type(signature.results),
        FUNCTION_ENTRY_GAS + (declared >> ENTRY_LOCALS_SHIFT) + rewriter.entry_gas,
        weight,
        context.limits.call_depth_weight_max,
    )
    epilogue = emitter.epilogue(check=rewriter.has_unchecked, weight=weight)
    tokens[:0] = (encode_unsigned(group_count + scratch.groups), groups, scratch.locals, prologue)
    tokens.append(epilogue)
    body = b"".join(tokens)
    if len(body) > context.limits.prepared_body_bytes_max:
        raise RefusalError(
            f"the prepared function has {len(body)} bytes, "
            f"at most {context.limits.prepared_body_bytes_max} are allowed",
            "Split the function.",
            start,
        )
    return encode_unsigned(len(body)) + body


def _decode_locals(context: BodyContext, start: int, end: int) -> tuple[bytes, int, int, int, int]:
    """Return the groups of locals raw, their number, all locals, the v128s, where code begins."""
    reader = Reader(context.data, start, end)
    group_count = reader.count("groups of locals", context.limits.locals_max)
    first, declared, vectors = reader.position, 0, 0
    for _ in range(group_count):
        count, at = reader.unsigned(), reader.position
        kind = reader.byte()
        if kind not in VALUE_TYPES:
            raise RefusalError("a local has a type that is not allowed", TARGET, at)
        declared += count
        vectors += count * (kind == _V128)
    groups = context.data[first : reader.position]
    return groups, group_count, declared, vectors, reader.position


def _located(
    refusal: RefusalError, context: BodyContext, start: int, end: int, done: int
) -> RefusalError:
    """Add the place of the instruction behind `done` others, and its name."""
    # those before it may be rewritten already, so cut the body once more
    tokens = tokenise(context.data, start, end, context.limits.branch_targets_max)
    offset = start + sum(map(len, tokens[:done]))
    known = opcode_of(tokens[done])
    if known is None:
        return not_allowed(context.data, offset)
    refusal.offset, refusal.instruction = offset, known[0].name
    return refusal


class _Rewriter:
    """One pass over the instructions of a body, which are rewritten where they lie.

    A straight run ends wherever control may enter or leave. What it costs is written behind
    the instruction that ended the run before it, once it is known.
    """

    def __init__(self, context: BodyContext, emitter: Emitter, local_count: int) -> None:
        self._limits = context.limits
        self._steps = context.steps
        self._emitter = emitter
        self._local_count = local_count
        self._floats: list[tuple[int, int]] = []  # place, role
        self.done = 0
        self.closed = False
        self.peak = 0
        self.runs = 0
        self.branch_table_bytes = 0
        self.entry_gas = 0  # of the first straight run
        self.has_unchecked = False

    def run(self, tokens: list[bytes]) -> None:
        """Write gas and calls into the instructions; `done` says how far it came."""
        pending = iter(tokens)
        try:
            self._settle(tokens, map(self._steps.__getitem__, pending))
        finally:
            self.done = len(tokens) - length_hint(pending) - 1

    def _settle(self, tokens: list[bytes], steps: Iterator[Step]) -> None:
        charges, local_count = self._emitter.charges, self._local_count
        blocks = [(0, 0, 0)]  # height below, parameters, results; first the function itself
        cost = height = peak = unchecked = run_place = runs = 0
        run_label = _ENTRY
        for place, (mark, gas, net, first, second) in enumerate(steps):
            cost += gas
            height += net
            if height > peak:  # noqa: PLR1730  # max() is three times slower
                peak = height
            if mark < local_count:
                continue
            role = mark - WORK
            if role < _BLOCK:
                tokens[place] = self._around(role, place, tokens[place], len(blocks))
                continue
            if role == _END:
                below, _, results = blocks.pop()
                height = below + results
                if not blocks:
                    self._close(tokens, place)
            elif role <= _IF:
                self._check_nesting(len(blocks))
                blocks.append((height - first, first, second))
                if role == _BLOCK:
                    continue
            elif role == _ELSE:
                height = self._height_at_if(blocks)
            elif role == _RETURN:
                tokens[place] = BR + encode_unsigned(len(blocks) - 1)
            elif first >= len(blocks):  # 0 for what is not a branch
                raise RefusalError(f"a branch to label {first}, which does not exist", REBUILD)
            elif role == _BRANCH_TABLE:
                self.branch_table_bytes += len(tokens[place])
            if run_label == _UNCHECKED:
                tokens[run_place] += charges[cost]
                unchecked += cost
            elif run_label == _ENTRY:
                self.entry_gas = cost
            else:
                tokens[run_place] += self._emitter.charge_checked(cost, run_label)
            run_place, cost, run_label = place, 0, _UNCHECKED
            runs += 1
            if role == _LOOP:
                cost, run_label = LOOP_HEADER_GAS, len(blocks)
        self.peak, self.runs = peak, runs
        self.closed, self.has_unchecked = not blocks, unchecked > 0

    def _close(self, tokens: list[bytes], place: int) -> None:
        if place + 1 < len(tokens):
            raise RefusalError(
                "code follows the end of the function: it does not end with its last block", REBUILD
            )
        tokens[place] = b""  # the epilogue has it

    def _height_at_if(self, blocks: list[tuple[int, int, int]]) -> int:
        if len(blocks) == 1:
            raise RefusalError("an else without an if", REBUILD)
        below, params, _ = blocks[-1]
        return below + params

    def _check_nesting(self, depth: int) -> None:
        if depth > self._limits.nesting_max:
            raise RefusalError(
                f"blocks are nested more than {self._limits.nesting_max} deep",
                "Split the function.",
            )

    def _around(self, role: int, place: int, token: bytes, way_out: int) -> bytes:
        """Return an instruction with what belongs around it; `way_out` is the label to give up."""
        if role >= _CALL:
            called = self._emitter.flush + token + self._emitter.reload
            # the prepared functions look at gas themselves; the host acts, so look before it
            return called if role != _CALL_HOST else self._emitter.check(way_out) + called
        if role >= _SIZED_PAGES:
            return self._emitter.charge_size(role, way_out) + token
        if role < 0:
            raise RefusalError(f"local {role + WORK} does not exist", REBUILD)
        self._floats.append((place, role))
        return token

    def canonicalise(self, tokens: list[bytes]) -> Scratch:
        """Make NaNs canonical where they could be seen; returns the locals this needs."""
        scratch = self._emitter.scratch(frozenset(role for _, role in self._floats))
        passed_on = self._passed_on(tokens)
        for place, role in self._floats:
            canonical, token = scratch.canonical[role], tokens[place]
            if role < _LANES_F32:
                tokens[place] = canonical + token
            elif place not in passed_on:
                tokens[place] = token + canonical
        return scratch

    def _passed_on(self, tokens: list[bytes]) -> set[int]:
        """Find vectors that the next instruction turns into one made canonical itself."""
        return {
            place
            for (place, role), (next_place, next_role) in pairwise(self._floats)
            if next_place == place + 1
            and next_role == role
            and tokens[next_place] not in _OTHER_LANES
        }
