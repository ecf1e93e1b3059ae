"""An auditor executes a receipt's task again, and sees whose mark or answer was false."""

from functools import cache

import pytest
from msgspec.structs import replace

from ambientd.api.mark_replay import with_replay
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.offline import check_receipt
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import file_payload, mark_hash, sign_mark, sign_receipt
from ambientd.model.base import Digest, TaskId
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import ExecutionResult
from ambientd.model.mark import FROM_BEGINNING, GoneOn, Mark
from ambientd.model.record import Marked
from ambientd.model.task import Result
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import ModulePrepared
from ambientd.rules.executions import limits_of, result_of, seed_of
from ambientd.rules.file_checks import Check
from tests.engines import engines
from tests.ledger.cluster import TestCluster
from tests.ledger.test_marks import MARKED, cluster_of, finish, hand_back, mark_of, number_of
from tests.rules.blames import DATA, SUM
from tests.rules.receipts import file_of

ENGINE = engines()[0]
GAS = (400_000, 900_000)
NONCE = b"n"


def admitted(cluster: TestCluster) -> TaskId:
    about = {"module": Digest(sha256(SUM)), "input": Digest(sha256(DATA))}
    sizes = {"module_size_bytes": len(SUM), "input_size_bytes": len(DATA), "wall_ms_max": 20_000}
    return cluster.admit(**MARKED, **about, **sizes)


@cache
def truth() -> tuple[tuple[TracePoint, ...], Result]:
    """Where the task stands truly, and its result."""
    cluster = cluster_of()
    task = admitted(cluster)
    points, state = [], None
    with PausingProcess(ENGINE) as process:
        made = process.prepare_pausable(SUM)
        assert isinstance(made, ModulePrepared)
        call = (sha256(made.module), DATA, limits_of(cluster.task(task).spec), seed_of(task))
        for gas in GAS:
            state = process.execute_until(*call, pause_at=gas, state=state)
            assert isinstance(state, PausedState)
            points.append(TracePoint(state.gas_index or 0, state.root))
        end = process.execute_until(*call, state=state)
    assert isinstance(end, ExecutionResult)
    return tuple(points), result_of(end, made.beneath)


def receipt(*points: TracePoint, result: Result | None = None) -> bytes:
    """Give the file of a task that went on from these points, each another's word."""
    cluster = cluster_of()
    task = admitted(cluster)
    marks: tuple[Mark, ...] = ()
    for point in points:
        follows = mark_hash(marks[-1]) if marks else FROM_BEGINNING
        unsigned = replace(mark_of(cluster, task, point.gas_index, follows), point=point)
        mark = sign_mark(cluster.signers[unsigned.worker], unsigned)
        cluster.block((number_of(cluster, task), Marked(mark=mark)))
        hand_back(cluster, task)
        marks = (*marks, mark)
    plain = cluster.receipt(task, 0, result or truth()[1]).receipt
    said = replace(plain, started_ms=GoneOn(5, marks) if marks else 5)
    assert finish(cluster, task, sign_receipt(cluster.signers[said.worker], said)) == []
    cluster.close_batch()
    file = replace(file_of(cluster, NONCE), epoch_leaf=None)
    signature = cluster.signer(0).sign("receipt-file", file_payload(file))
    return encode(replace(file, signature=signature))


def replayed(data: bytes, module: bytes = SUM, given: bytes = DATA) -> list[Check]:
    report = with_replay(check_receipt(data), PausingProcess(ENGINE), module, given)
    names = ("given module", "given input", "mark 0", "mark 1", "result", "replay")
    return [check for check in report.checks if check.name in names]


def test_true_marks_and_a_true_answer_are_what_this_machine_comes_to() -> None:
    points, _ = truth()
    checks = replayed(receipt(*points))
    names = [check.name for check in checks]
    assert names == ["given module", "given input", "mark 0", "mark 1", "result"]
    assert all(check.ok for check in checks), checks


def test_an_answer_without_marks_is_executed_again_as_well() -> None:
    assert [check.ok for check in replayed(receipt())] == [True, True, True]


@pytest.mark.parametrize("number", [0, 1])
def test_the_first_mark_that_differs_was_its_makers_lie(number: int) -> None:
    points = list(truth()[0])
    points[number] = TracePoint(points[number].gas_index, sha256(b"made up"))
    checks = {check.name: check for check in replayed(receipt(*points))}
    assert "its word was false" in checks[f"mark {number}"].detail
    assert [checks[f"mark {n}"].ok for n in (0, 1)] == [n != number for n in (0, 1)]


def test_a_mark_where_no_execution_pauses_or_that_lies_behind_the_end_was_a_lie() -> None:
    first, second = truth()[0]
    beside = TracePoint(first.gas_index - 1, first.root)
    behind = TracePoint(truth()[1].gas + 1, first.root)
    for points in ((beside, first), (first, second, behind)[1:]):
        details = [check.detail for check in replayed(receipt(*points)) if not check.ok]
        assert len(details) == 1
        assert "its word was false" in details[0]


def test_where_all_marks_are_true_a_false_answer_was_its_workers() -> None:
    points, true = truth()
    checks = replayed(receipt(*points, result=replace(true, output=Digest(sha256(b"false")))))
    assert [check.ok for check in checks] == [True, True, True, True, False]
    assert "own word was false" in checks[-1].detail


def test_nothing_is_executed_with_another_module_or_input_or_for_a_file_that_does_not_hold() -> (
    None
):
    data = receipt()
    assert [check.ok for check in replayed(data, given=b"another")] == [True, False]
    assert [check.ok for check in replayed(data, module=b"another")] == [False, True]
    assert replayed(data[:-1]) == []
