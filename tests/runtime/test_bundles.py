"""Bundles in real locked-down processes, and what an executor makes of them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.codec.bundles import bundle_of_items, decode_outcomes, encode_items
from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId, TaskId
from ambientd.model.bundle import Bundle
from ambientd.model.dispute import AT_BEGINNING
from ambientd.model.effect import Assignment, Execute, Purpose, TraceWanted
from ambientd.model.execution import AbortCause, Aborted, ExecutionResult, OutcomeKind
from ambientd.model.task import Assurance, Result, TaskSpec
from ambientd.node.event import ExecutionEnded
from ambientd.ports.worker_protocol import ExecuteItems, are_plausible
from ambientd.rules.bundles import NOT_BUNDLED, item_seed_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import Executor, ExecutorOptions
from ambientd.runtime.lies import TRUTH, ExecutorLies
from ambientd.runtime.tracing import Tracer
from tests.ledger.cluster import spec
from tests.modules.compiled import module
from tests.runtime.pools import LIMITS, SEED, echo_works, pool_of, ready
from tests.runtime.test_execution import NoMeter

ITEMS = (b"one", b"", b"three" * 30)
DATA = encode_items(ITEMS)
TASK = TaskId(bytes(32))


def bundle_spec(name: str = "echo", **changes: object) -> TaskSpec:
    code = module(name)
    terms: dict[str, object] = {
        "module": sha256(code),
        "module_size_bytes": len(code),
        "input": sha256(DATA),
        "input_size_bytes": bundle_of_items(ITEMS, len(DATA)),
        "memory_bytes_max": 1 << 20,
        "wall_ms_max": 20_000,
        "assurance": Assurance.NONE,
        "replicas": 1,
    }
    return spec(**(terms | changes))


async def executed(
    folder: Path, wanted: TaskSpec, lies: ExecutorLies = TRUTH, **allowed: int
) -> tuple[ExecutionEnded, bytes | None]:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(BlobFiles(folder, quota_bytes=1 << 20), nobody, list)
    for name in ("echo", "trap", "forbidden_import"):
        await blobs.put(module(name))
    await blobs.put(DATA)
    limits = {"memory_bytes_max": 1 << 24, "wall_ms_max": 30_000, "gas_max": 10**10} | allowed
    async with pool_of() as pool:
        executor = Executor(pool, blobs, NoMeter(), ExecutorOptions(**limits, lies=lies))
        place = Assignment(Purpose.SLOT, TASK, 0, 0)
        ended = await executor.execute(Execute(place, wanted, ()), lambda: 1_000)
    output = None if ended.report is None else await blobs.get(ended.report.result.output)
    return ended, output


def result_of(ended: ExecutionEnded) -> Result:
    assert ended.report is not None, ended
    return ended.report.result


async def test_a_locked_process_executes_each_item_as_if_it_were_alone() -> None:
    async with pool_of() as pool:
        together = await pool.execute_items(ready("echo"), ITEMS, LIMITS, SEED)
        assert isinstance(together, tuple)
        for place, item in enumerate(ITEMS):
            alone = await pool.execute(ready("echo"), item, LIMITS, item_seed_of(SEED, place))
            assert isinstance(alone, ExecutionResult)
            assert (together[place].output, together[place].gas) == (item, alone.gas)
        await echo_works(pool)


async def test_an_endless_item_ends_the_whole_at_the_wall_limit_and_the_pool_goes_on() -> None:
    async with pool_of() as pool:
        limits = type(LIMITS)(gas_max=1 << 62, wall_ms_max=300)
        found = await pool.execute_items(ready("loop"), ITEMS, limits, SEED)
        assert isinstance(found, Aborted)
        assert found.cause is AbortCause.WALL_TIME
        await echo_works(pool)


@pytest.mark.parametrize(("count", "more_gas"), [(4, 0), (3, 1)])
def test_more_outcomes_than_items_or_outside_their_limits_are_no_answer(
    count: int, more_gas: int
) -> None:
    one = ExecutionResult(
        kind=OutcomeKind.COMPLETED, reason="", output=b"", gas=LIMITS.gas_max + more_gas, log=b""
    )
    asked = ExecuteItems(prepared=bytes(32), items=ITEMS, limits=LIMITS, seed=SEED)
    assert not are_plausible((one,) * count, asked)
    assert are_plausible((replace(one, gas=1),) * 3, asked)


async def test_a_device_answers_a_bundle_with_the_bundle_of_its_outcomes(tmp_path: Path) -> None:
    ended, output = await executed(tmp_path, bundle_spec())
    found = result_of(ended)
    assert output is not None
    assert isinstance(found.output_size_bytes, Bundle)
    outcomes = decode_outcomes(output, found.output_size_bytes)
    assert [each.output for each in outcomes] == list(ITEMS)
    assert found.gas == sum(each.gas for each in outcomes)


async def test_a_liar_s_bundle_is_well_formed_and_another_one(tmp_path: Path) -> None:
    truth, _ = await executed(tmp_path / "a", bundle_spec())
    lie, output = await executed(tmp_path / "b", bundle_spec(), ExecutorLies(corrupt_output=True))
    said = result_of(lie)
    assert said != result_of(truth)
    assert isinstance(said.output_size_bytes, Bundle)
    assert output is not None
    told = [each.output for each in decode_outcomes(output, said.output_size_bytes)]
    assert (told[:2], told[2] == ITEMS[2]) == (list(ITEMS[:2]), False)


async def test_bytes_that_are_not_the_named_bundle_are_refused_in_one_way(tmp_path: Path) -> None:
    other = bundle_of_items(ITEMS[::-1], len(DATA))
    ended, output = await executed(tmp_path, bundle_spec(input_size_bytes=other))
    found = result_of(ended)
    assert (found.kind, found.reason) == (OutcomeKind.REFUSED, NOT_BUNDLED)
    assert (found.gas, found.output_size_bytes, output) == (0, 0, b"")


async def test_a_module_that_is_refused_is_refused_for_all_items_at_once(tmp_path: Path) -> None:
    ended, _ = await executed(tmp_path, bundle_spec("forbidden_import"))
    found = result_of(ended)
    assert (found.kind, found.output_size_bytes) == (OutcomeKind.REFUSED, 0)


async def test_an_owner_s_limits_are_for_an_item(tmp_path: Path) -> None:
    wanted = bundle_spec(gas_max=3_000_000, wall_ms_max=30_000)
    ended, _ = await executed(tmp_path / "a", wanted, gas_max=1_000_000, wall_ms_max=10_000)
    assert result_of(ended).kind == OutcomeKind.COMPLETED
    ended, _ = await executed(tmp_path / "b", wanted, gas_max=999_999, wall_ms_max=10_000)
    assert (ended.report, ended.declined) == (None, True)


async def test_a_trace_of_a_bundle_is_passed_on(tmp_path: Path) -> None:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), nobody, list)
    async with pool_of() as pool:
        place = Assignment(Purpose.TRACE, TASK, 0, 0)
        tracer = Tracer(pool.pausing, blobs, TRUTH)
        low = AT_BEGINNING.point
        ended = await tracer.carry_out(
            TraceWanted(place, bundle_spec(), (), AT_BEGINNING, low, (10,), None)
        )
    assert isinstance(ended, ExecutionEnded)
    assert ended.cause is AbortCause.NOT_PAUSABLE
