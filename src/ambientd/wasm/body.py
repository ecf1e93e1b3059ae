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

from collections.abc import Callable

from ambientd.wasm.context import BodyContext, Step
from ambientd.wasm.emit import BR, Emitter
from ambientd.wasm.leb import Reader, encode_unsigned
from ambientd.wasm.opcodes import (
    ENTRY_LOCALS_SHIFT,
    FUNCTION_ENTRY_GAS,
    LOOP_HEADER_GAS,
    Role,
)
from ambientd.wasm.refusal import REBUILD, SHRINK, TARGET, RefusalError
from ambientd.wasm.sections import VALUE_TYPES
from ambientd.wasm.tokens import not_allowed, tokenise

# A call weighs this, one for each eight bytes of parameters, locals and results, and two
# for each operand at the highest point of its stack.
FRAME_WEIGHT = 16
OPERAND_WEIGHT = 2
_V128 = 0x7B
_STRAIGHT = int(Role.GLOBAL)  # roles up to this one are copied as they are
_UNCHECKED = -1


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
    roles = _look_up(context, tokens, local_count, position)
    emitter = Emitter(context.globals, local_count, roles)
    rewriter = _Rewriter(context, emitter, tokens)
    entry_gas = FUNCTION_ENTRY_GAS + (declared >> ENTRY_LOCALS_SHIFT)
    code = rewriter.run(position, entry_gas, context.result_type(signature.results), frame_weight)
    body = encode_unsigned(group_count + emitter.local_groups) + groups + emitter.locals + code
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


def _look_up(
    context: BodyContext, tokens: list[bytes], local_count: int, position: int
) -> set[int]:
    """Understand each distinct instruction of a body; returns the roles that occur in it."""
    roles = set()
    steps = context.steps
    for token in dict.fromkeys(tokens):  # in order, so that the first problem is reported
        try:
            step = steps.get(token) or context.step(token)
            if step is None:
                raise not_allowed(context.data, position + _offset(tokens, token))
            steps[token] = step
            roles.add(step[0])
            if step[0] == Role.LOCAL and step[4] >= local_count:
                raise RefusalError(f"local {step[4]} does not exist", REBUILD)
        except RefusalError as refusal:
            refusal.offset = position + _offset(tokens, token)
            raise
    return roles


def _offset(tokens: list[bytes], token: bytes) -> int:
    return sum(map(len, tokens[: tokens.index(token)]))


class _Rewriter:
    """One pass over the instructions; `cost` and `height` are running totals.

    A straight run ends wherever control may enter or leave. Its gas is written where it
    began, once it is known: `_run_place` is that place in the output.
    """

    def __init__(self, context: BodyContext, emitter: Emitter, tokens: list[bytes]) -> None:
        self._limits = context.limits
        self._steps = context.steps
        self._emitter = emitter
        self._tokens = tokens
        self._out: list[bytes] = []
        self._charges: list[tuple[int, int, int]] = []
        self._blocks: list[tuple[int, int, int]] = []  # height below, parameters, results
        self._run_place = 0
        self._run_cost = 0
        self._run_label = _UNCHECKED
        self._closed_at = -1

    def run(self, position: int, entry_gas: int, result: bytes, frame_weight: int) -> bytes:
        """Return the code; `position` is only for messages."""
        out, steps = self._out, self._steps
        append, handlers = out.append, self._handlers()
        append(b"")  # the prologue's place
        cost = height = peak = 0
        remaining = map(steps.__getitem__, self._tokens)
        for role, gas, net, token, _, _ in remaining:
            cost += gas
            height += net
            if height > peak:  # noqa: PLR1730  # max() is three times slower, and this is the hot loop
                peak = height
            if role <= _STRAIGHT:
                append(token)
            else:
                try:
                    height = handlers[role](token, steps[token], cost, height)
                except RefusalError as refusal:
                    done = len(self._tokens) - len(list(remaining)) - 1
                    refusal.offset = position + sum(map(len, self._tokens[:done]))
                    raise
        if self._closed_at != len(out):
            raise RefusalError("the function does not end with its last block", REBUILD, position)
        self._end_run(cost, _UNCHECKED)
        weight = frame_weight + OPERAND_WEIGHT * peak
        entry, *charges = self._charges
        out[0] = self._emitter.prologue(
            result, entry_gas + entry[1], weight, self._limits.call_depth_weight_max
        )
        check = False
        for place, gas, label in charges:
            if label != _UNCHECKED:
                out[place] = self._emitter.charge_checked(gas, label)
            elif gas:
                out[place] = self._emitter.charge(gas)
                check = True
        return b"".join(out) + self._emitter.epilogue(check=check, weight=weight)

    def _handlers(self) -> dict[int, Callable[[bytes, Step, int, int], int]]:
        return {
            Role.OBSERVE_F32: self._on_observe,
            Role.OBSERVE_F64: self._on_observe,
            Role.LANES_F32: self._on_lanes,
            Role.LANES_F64: self._on_lanes,
            Role.SIZED_PAGES: self._on_sized,
            Role.SIZED_BYTES: self._on_sized,
            Role.SIZED_ELEMENTS: self._on_sized,
            Role.CALL_HOST: self._on_call_host,
            Role.CALL: self._on_call,
            Role.CALL_INDIRECT: self._on_call,
            Role.BLOCK: self._on_block,
            Role.LOOP: self._on_loop,
            Role.IF: self._on_if,
            Role.ELSE: self._on_else,
            Role.END: self._on_end,
            Role.BRANCH: self._on_branch,
            Role.BRANCH_IF: self._on_branch,
            Role.BRANCH_TABLE: self._on_branch,
            Role.RETURN: self._on_return,
            Role.UNREACHABLE: self._on_unreachable,
        }

    def _end_run(self, cost: int, next_label: int) -> None:
        """Note what the run that ends here costs, and begin the next one."""
        self._charges.append((self._run_place, cost - self._run_cost, self._run_label))
        self._run_place, self._run_cost, self._run_label = len(self._out), cost, next_label
        self._out.append(b"")

    def _way_out(self) -> int:
        """Return the label of the block that gives up, as seen from here."""
        return len(self._blocks) + 1

    def _open(self, step: Step, height: int) -> None:
        if len(self._blocks) >= self._limits.nesting_max:
            raise RefusalError(
                f"blocks are nested more than {self._limits.nesting_max} deep",
                "Split the function.",
            )
        self._blocks.append((height - step[4], step[4], step[5]))

    def _on_observe(self, token: bytes, step: Step, _cost: int, height: int) -> int:
        self._out.append(self._emitter.canonical[Role(step[0])] + token)
        return height

    def _on_lanes(self, token: bytes, step: Step, _cost: int, height: int) -> int:
        self._out.append(token + self._emitter.canonical[Role(step[0])])
        return height

    def _on_sized(self, token: bytes, step: Step, _cost: int, height: int) -> int:
        self._out.append(self._emitter.charge_size(Role(step[0]), self._way_out()) + token)
        return height

    def _on_call(self, token: bytes, _step: Step, _cost: int, height: int) -> int:
        self._out.append(self._emitter.flush + token + self._emitter.reload)
        return height

    def _on_call_host(self, token: bytes, step: Step, cost: int, height: int) -> int:
        # the prepared functions look at gas themselves; the host acts, so look before it
        self._out.append(self._emitter.check(self._way_out()))
        return self._on_call(token, step, cost, height)

    def _on_block(self, token: bytes, step: Step, _cost: int, height: int) -> int:
        self._open(step, height)
        self._out.append(token)
        return height

    def _on_loop(self, token: bytes, step: Step, cost: int, height: int) -> int:
        self._open(step, height)
        self._out.append(token)
        self._end_run(cost, self._way_out())
        self._run_cost -= LOOP_HEADER_GAS
        return height

    def _on_if(self, token: bytes, step: Step, cost: int, height: int) -> int:
        self._open(step, height)
        self._out.append(token)
        self._end_run(cost, _UNCHECKED)
        return height

    def _on_else(self, token: bytes, _step: Step, cost: int, _height: int) -> int:
        if not self._blocks:
            raise RefusalError("an else without an if", REBUILD)
        self._out.append(token)
        self._end_run(cost, _UNCHECKED)
        below, params, _ = self._blocks[-1]
        return below + params

    def _on_end(self, token: bytes, _step: Step, cost: int, _height: int) -> int:
        if not self._blocks:
            if self._closed_at >= 0:
                raise RefusalError("code follows the end of the function", REBUILD)
            self._closed_at = len(self._out)
            return 0
        self._out.append(token)
        self._end_run(cost, _UNCHECKED)
        below, _, results = self._blocks.pop()
        return below + results

    def _on_branch(self, token: bytes, step: Step, cost: int, height: int) -> int:
        if step[4] > len(self._blocks):
            raise RefusalError(f"a branch to label {step[4]}, which does not exist", REBUILD)
        self._out.append(token)
        self._end_run(cost, _UNCHECKED)
        return height

    def _on_return(self, _token: bytes, _step: Step, cost: int, height: int) -> int:
        self._out.append(BR + encode_unsigned(len(self._blocks)))
        self._end_run(cost, _UNCHECKED)
        return height

    def _on_unreachable(self, token: bytes, _step: Step, cost: int, height: int) -> int:
        self._out.append(token)
        self._end_run(cost, _UNCHECKED)
        return height
