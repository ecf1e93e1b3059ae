"""What is applied once for all nodes changes no world, and hides no node that is different."""

from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from ambientd.ledger.apply import BlockContext, BlockResult, ProveFraud, apply_block
from ambientd.ledger.state import LedgerState
from ambientd.model.record import Record
from ambientd.node import applying
from sim.checkers import InvariantViolation
from sim.cluster import ClusterOptions, genesis_of, run
from sim.mutants.patch import Patch, replaced
from sim.shared import CHECKED_EVERY, PROVES_ITSELF, SharedBlocks

CALM = ClusterOptions(seed=3, members=3, faults=frozenset(), time_ms=32_000)
GENESIS = genesis_of(3)


def nobody_lied(_: object) -> bool:
    return False


class Counted:
    """The real thing, and how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self,
        state: LedgerState,
        context: BlockContext,
        records: Sequence[Record],
        prove_fraud: ProveFraud,
    ) -> BlockResult:
        self.calls += 1
        return apply_block(state, context, records, prove_fraud)


def contexts() -> Iterator[BlockContext]:
    for index in count(1):
        time_ms = GENESIS.created_ms + index
        yield BlockContext(index, 1, time_ms, b"b" * 32, hash=index.to_bytes(32, "big"))


def take(shared: SharedBlocks, state: LedgerState, context: BlockContext) -> BlockResult:
    result = shared(state, context, [], nobody_lied)
    state.commit(context.index, result.writes, result.tree)
    return result


@pytest.mark.slow
def test_a_world_is_the_same_when_every_node_applies_every_block() -> None:
    shared = run(CALM)
    with replaced(Patch(applying, "apply_block", lambda _: apply_block)):
        assert run(CALM) == shared


def test_who_came_the_same_way_applies_a_block_once_but_for_checks() -> None:
    real = Counted()
    shared, nodes = SharedBlocks(real), [LedgerState.from_genesis(GENESIS) for _ in range(5)]
    for _, context in zip(range(40), contexts(), strict=False):
        assert len({take(shared, node, context).root for node in nodes}) == 1
    assert (shared.shared, shared.checked) == (160, 160 // CHECKED_EVERY)
    assert real.calls == 40 + shared.checked


def test_a_node_that_began_from_its_store_applies_its_blocks_itself() -> None:
    real = Counted()
    shared, first = SharedBlocks(real), LedgerState.from_genesis(GENESIS)
    given, leapt = contexts(), LedgerState.from_genesis(GENESIS)
    begun = next(given)
    take(shared, first, begun)
    take(shared, leapt, begun)
    restarted = LedgerState.from_items(GENESIS, first.items(), first.applied_index)
    leapt.become(LedgerState.from_items(GENESIS, first.items(), first.applied_index))
    for _, context in zip(range(3), given, strict=False):
        roots = {take(shared, node, context).root for node in (first, restarted, leapt)}
        assert len(roots) == 1
    assert (shared.shared, real.calls) == (1, 10)


def restarted_of(node: LedgerState) -> LedgerState:
    return LedgerState.from_items(GENESIS, node.items(), node.applied_index)


def test_a_node_that_began_from_its_store_goes_along_once_it_has_proven_itself() -> None:
    real = Counted()
    shared, first = SharedBlocks(real), LedgerState.from_genesis(GENESIS)
    given = contexts()
    take(shared, first, next(given))
    restarted = restarted_of(first)
    for _, context in zip(range(PROVES_ITSELF + 10), given, strict=False):
        assert take(shared, first, context).root == take(shared, restarted, context).root
    assert (shared.shared, real.calls) == (10, 1 + 2 * PROVES_ITSELF + 10)
    assert restarted.tree is first.tree


def test_a_node_that_derived_something_else_never_goes_along() -> None:
    class Wrong:
        of: LedgerState | None = None

        def __call__(
            self,
            state: LedgerState,
            context: BlockContext,
            records: Sequence[Record],
            prove_fraud: ProveFraud,
        ) -> BlockResult:
            late_ms = context.index % 2 if state is self.of else 0
            time_ms = context.time_ms + late_ms
            own = BlockContext(context.index, 1, time_ms, context.beacon, hash=context.hash)
            return apply_block(state, own, records, prove_fraud)

    wrong, given = Wrong(), contexts()
    shared, first = SharedBlocks(wrong), LedgerState.from_genesis(GENESIS)
    take(shared, first, next(given))
    wrong.of = restarted_of(first)
    differed = 0
    for _, context in zip(range(2 * PROVES_ITSELF), given, strict=False):
        differed += take(shared, first, context).root != take(shared, wrong.of, context).root
    assert differed >= PROVES_ITSELF
    assert shared.shared == 0


def test_a_block_of_the_same_name_and_other_records_is_applied() -> None:
    real = Counted()
    shared, context = SharedBlocks(real), next(contexts())
    one, two = LedgerState.from_genesis(GENESIS), LedgerState.from_genesis(GENESIS)
    shared(one, context, [], nobody_lied)
    later = BlockContext(1, 1, context.time_ms + 1, context.beacon, hash=context.hash)
    assert shared(two, later, [], nobody_lied).root != shared(one, context, [], nobody_lied).root
    assert real.calls == 3


def test_a_result_that_is_no_function_of_the_state_is_found() -> None:
    ticks = count()

    def drifting(
        state: LedgerState,
        context: BlockContext,
        records: Sequence[Record],
        prove_fraud: ProveFraud,
    ) -> BlockResult:
        time_ms = context.time_ms + next(ticks) % 2
        own = BlockContext(context.index, 1, time_ms, context.beacon, hash=context.hash)
        return apply_block(state, own, records, prove_fraud)

    shared, nodes = SharedBlocks(drifting), [LedgerState.from_genesis(GENESIS) for _ in range(5)]

    def play() -> None:
        for _, context in zip(range(20), contexts(), strict=False):
            for node in nodes:
                take(shared, node, context)

    with pytest.raises(InvariantViolation, match="two nodes that are alike disagree"):
        play()
