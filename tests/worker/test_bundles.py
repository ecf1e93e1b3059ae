"""Each item of a bundle is executed as if it were alone, whatever became of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.adapters.engines import ENGINE_NAMES, open_engine
from ambientd.codec.bundles import bundle_of_items, decode_outcomes, encode_items
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.model.bundle import Bundle
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.model.task import TaskSpec
from ambientd.rules.bundles import (
    NOT_BUNDLED,
    bundle_result,
    extent_fits,
    item_limits_of,
    item_seed_of,
    items_of,
)
from ambientd.rules.executions import plain_reason, result_of
from ambientd.worker.bundles import execute_items
from ambientd.worker.execution import execute
from tests.ledger.cluster import spec
from tests.modules.compiled import prepared

SEED = bytes(range(32))
ITEMS = (b"hello", b"", b"world" * 50, b"x")
PREPARED = bytes(32)


def bundle_spec(items: tuple[bytes, ...] = ITEMS, **changes: object) -> TaskSpec:
    data = encode_items(items)
    bundle = bundle_of_items(items, len(data))
    return spec(input=sha256(data), input_size_bytes=bundle, **changes)


def run(
    name: str, wanted: TaskSpec, items: tuple[bytes, ...] = ITEMS
) -> tuple[ExecutionResult, ...]:
    engine = open_engine("wasmtime")
    found = execute_items(engine.compile(prepared(name)), items, item_limits_of(wanted), SEED)
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_an_item_ends_as_it_would_alone_on_every_engine(engine: str) -> None:
    module, limits = open_engine(engine).compile(prepared("echo")), item_limits_of(bundle_spec())
    together = execute_items(module, ITEMS, limits, SEED)
    alone = [
        execute(module, item, limits, item_seed_of(SEED, place)) for place, item in enumerate(ITEMS)
    ]
    assert together == tuple(alone)
    assert [each.output for each in alone if isinstance(each, ExecutionResult)] == list(ITEMS)


def test_an_item_that_traps_or_loops_leaves_the_others_alone() -> None:
    wanted = bundle_spec(gas_max=200)  # 50 each: the long item cannot be paid for
    results = run("echo", wanted)
    kinds = [each.kind for each in results]
    done = OutcomeKind.COMPLETED
    assert kinds == [done, done, OutcomeKind.OUT_OF_GAS, done]
    result, data = bundle_result(results, wanted, PREPARED)
    assert isinstance(result.output_size_bytes, Bundle)
    outcomes = decode_outcomes(data, result.output_size_bytes)
    assert result.gas == sum(each.gas for each in outcomes) <= wanted.gas_max
    assert outcomes[2].gas == 50
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, sha256(data))
    assert extent_fits(result, wanted)


def test_outputs_that_are_too_large_together_end_the_whole_in_one_way() -> None:
    wanted = bundle_spec(output_bytes_max=260)
    results = run("echo", wanted)
    assert len(results) < len(ITEMS)
    result, data = bundle_result(results, wanted, PREPARED)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "output_too_large")
    assert (result.gas, data) == (wanted.gas_max, b"")
    everything = run("echo", bundle_spec())
    assert bundle_result(everything, wanted, PREPARED)[0] == result
    assert extent_fits(result, wanted)


def test_a_bundle_just_as_large_as_is_allowed_has_its_outcomes_and_one_byte_less_has_none() -> None:
    _, data = bundle_result(run("echo", bundle_spec()), bundle_spec(), PREPARED)
    for allowed, kind in ((len(data), 0), (len(data) - 1, 1)):
        wanted = bundle_spec(output_bytes_max=allowed)
        assert bundle_result(run("echo", wanted), wanted, PREPARED)[0].kind == kind


class Scripted:
    """Gives the outcomes that a test has drawn, one after the other, in the place of executions."""

    def __init__(self, outcomes: list[ExecutionResult]) -> None:
        self.left = list(outcomes)

    def __call__(self, *_: object) -> ExecutionResult:
        return self.left.pop(0)


@given(
    st.lists(
        st.builds(
            ExecutionResult,
            kind=st.sampled_from(OutcomeKind),
            reason=st.text(max_size=300),
            output=st.binary(max_size=300),
            gas=st.integers(0, 1 << 62),
            log=st.binary(max_size=3),
        ).map(lambda each: each if each.kind == 0 else replace(each, output=b"")),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 4_000),
)
def test_a_process_that_stops_early_and_one_that_does_not_give_the_same_answer(
    outcomes: list[ExecutionResult], allowed: int
) -> None:
    items = (b"",) * len(outcomes)
    wanted = bundle_spec(items, output_bytes_max=allowed, gas_max=1 << 62)
    limits = item_limits_of(wanted)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ambientd.worker.bundles.execute", Scripted(outcomes))
        early = execute_items(
            open_engine("wasmtime").compile(prepared("echo")), items, limits, SEED
        )
    assert isinstance(early, tuple)
    answer = bundle_result(early, wanted, PREPARED)
    assert answer == bundle_result(outcomes, wanted, PREPARED)
    result, data = answer
    is_whole = result.kind == OutcomeKind.COMPLETED
    assert is_whole == (len(encode_outcomes_of(outcomes)) <= allowed)
    assert extent_fits(result, wanted)
    if is_whole:
        assert isinstance(result.output_size_bytes, Bundle)
        assert len(decode_outcomes(data, result.output_size_bytes)) == len(items)


def encode_outcomes_of(outcomes: list[ExecutionResult]) -> bytes:
    """Write the outcomes as protocols/19 section 2 has them, by hand."""
    return encode(
        [[int(each.kind), plain_reason(each.reason), each.gas, each.output] for each in outcomes]
    )


def test_random_numbers_differ_from_item_to_item_and_not_from_run_to_run() -> None:
    seeds = {item_seed_of(SEED, place) for place in range(256)}
    assert len(seeds | {SEED}) == 257
    wanted = bundle_spec()
    assert run("wasi", wanted) == run("wasi", wanted)


def test_other_bytes_than_the_named_bundle_hold_no_items() -> None:
    wanted = bundle_spec()
    assert items_of(wanted, encode_items(ITEMS)) == ITEMS
    for data in (b"", b"\xc1", encode_items(ITEMS[::-1]), encode_items(ITEMS[1:])):
        assert items_of(wanted, data) is None
    assert NOT_BUNDLED.isascii()


def test_a_result_is_a_bundle_exactly_where_the_task_is_one_and_completed() -> None:
    wanted, alone = bundle_spec(output_bytes_max=10_000), spec(output_bytes_max=10_000)
    result, _ = bundle_result(run("echo", wanted), wanted, PREPARED)
    single = result_of(run("echo", wanted)[0], PREPARED)
    assert extent_fits(result, wanted)
    assert extent_fits(single, alone)
    assert not extent_fits(result, alone)
    assert not extent_fits(single, wanted)
    assert not extent_fits(result, bundle_spec(ITEMS[1:], output_bytes_max=10_000))
    assert not extent_fits(result, bundle_spec(output_bytes_max=10))


def test_an_item_has_its_share_of_the_gas_and_all_of_the_memory() -> None:
    wanted = bundle_spec(gas_max=403, memory_bytes_max=1 << 20)
    limits = item_limits_of(wanted)
    assert limits == ExecutionLimits(
        gas_max=100,
        memory_bytes_max=1 << 20,
        wall_ms_max=wanted.wall_ms_max,
        output_bytes_max=wanted.output_bytes_max,
        log_bytes_max=0,
    )
