"""Whatever a module does, its task ends with an outcome of its own, and the mesh goes on."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import (
    ACCOUNT_SHOW,
    ANCHOR_STATUS,
    EVENTS,
    LOG_UPDATE,
    NODES,
    RECEIPT_GET,
    TASK_CANCEL,
    TASK_LIST,
    TASK_OUTPUT,
    TASK_SHOW,
    TASK_SUBMIT,
    TASK_WAIT,
    OperationError,
)
from ambientd.api.replies import Event, Task, TaskLine
from ambientd.api.requests import (
    CancelTask,
    FollowEvents,
    GetAnchors,
    GetLogUpdate,
    GetOutput,
    GetReceipt,
    ListNodes,
    ListTasks,
    ShowAccount,
    ShowTask,
    SubmitTask,
    WaitForTask,
)
from ambientd.api.witnessing import WitnessFolder, read_update
from ambientd.config.places import socket_path_for
from ambientd.model.genesis import Rules
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.rules.witnessing import Followed, NothingNew
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

GAS_MAX = 5_000_000
PAGE_BYTES = 65_536
ECHO = b"what comes back"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    plan = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=100))
    cluster = Cluster(tmp_path_factory.mktemp("outcomes") / "mesh", 4, plan)
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


@pytest.fixture
def node(mesh: Cluster) -> Daemon:
    return mesh.daemons[1]


def run(node: Daemon, code: bytes, data: bytes = b"", **terms: object) -> Task:
    request = SubmitTask(module=code, input=data, **{"gas_max": GAS_MAX, **terms})
    task = node.ask(TASK_SUBMIT, request).task_id
    return node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))


def check_receipt(node: Daemon, task: Task, output: bytes | None = None) -> None:
    file = node.ask(RECEIPT_GET, GetReceipt(task=task.task_id)).data
    report = check_receipt_file(file, output=output)
    assert report.valid, [check for check in report.checks if not check.ok]


MALFORMED = b"\0asm\x01\0\0\0" + b"\xff" * 20
CASES = {
    "endless loop": (module("loop"), b"", {}, "out_of_gas", ""),
    "memory bomb": (module("bomb"), b"", {"memory_bytes_max": 16 * PAGE_BYTES}, "completed", ""),
    "deep recursion": (module("recursion"), b"", {}, "trapped", "call_depth"),
    "trap": (module("trap"), b"\0", {}, "trapped", "unreachable"),
    "division by zero": (module("trap"), b"\x05", {}, "trapped", "integer_divide_by_zero"),
    "large output": (
        module("large_output"),
        b"",
        {"output_bytes_max": 100},
        "trapped",
        "output_too_large",
    ),
    "malformed module": (MALFORMED, b"", {}, "refused", None),
    "forbidden import": (module("forbidden_import"), b"", {}, "refused", None),
    "ill-typed module": (module("ill_typed"), b"", {}, "refused", None),
    "exit code": (module("wasi"), b"x\x03", {}, "trapped", "exit_code:3"),
    "good module": (module("echo"), ECHO, {}, "completed", ""),
}


@dataclass(frozen=True)
class Ended:
    """How one of the cases ended, as its submitter sees it."""

    task: Task
    output: bytes
    receipt: bytes


@pytest.fixture(scope="module")
def ended(mesh: Cluster) -> dict[str, Ended]:
    """All cases at once on one mesh: none disturbs another."""
    node = mesh.daemons[1]
    tasks = {}
    for case, (code, data, terms, _, _) in CASES.items():
        request = SubmitTask(module=code, input=data, **{"gas_max": GAS_MAX, **terms})
        tasks[case] = node.ask(TASK_SUBMIT, request).task_id
    found = {}
    for case, task in tasks.items():
        done = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
        output = node.ask(TASK_OUTPUT, GetOutput(task=task)).data
        found[case] = Ended(done, output, node.ask(RECEIPT_GET, GetReceipt(task=task)).data)
    mesh.check_alive()
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_way_to_end_is_final_with_its_own_outcome_payment_and_receipt(
    ended: dict[str, Ended], case: str
) -> None:
    _, _, _, outcome, reason = CASES[case]
    done, output = ended[case].task, ended[case].output
    assert (done.state, done.outcome, done.verdict) == ("final", outcome, "agreed")
    if reason is None:
        assert done.reason
    else:
        assert done.reason == reason
    escrow = done.fee_msat * 3 // 2
    assert done.paid_msat + done.refunded_msat == escrow
    assert done.escrow_msat == 0
    if outcome == "refused":
        assert (done.gas, done.payments, done.refunded_msat) == (0, (), escrow)
    else:
        assert {each.worker for each in done.payments} == {slot.worker for slot in done.slots}
        assert len({each.amount_msat for each in done.payments}) == 1
        # Traps and exhausted gas cost the whole limit; an exit code costs what was used.
        stopped = outcome == "out_of_gas" or (outcome == "trapped" and ":" not in done.reason)
        assert (done.gas == GAS_MAX) == stopped
    if case == "memory bomb":
        assert int.from_bytes(output, "little") == 16, "a page above the limit was given"
    else:
        assert output == (ECHO if case == "good module" else b"")
    report = check_receipt_file(
        ended[case].receipt, output=output if outcome == "completed" else None
    )
    assert report.valid, [check for check in report.checks if not check.ok]
    assert report.file.settlement.task.hex() == done.task_id
    assert done.history[0].text.startswith("accepted, ")


def test_one_replica_without_assurance_is_paid_and_its_receipt_says_that_nobody_checked(
    node: Daemon,
) -> None:
    done = run(node, module("echo"), ECHO, assurance="none")
    assert (done.state, done.outcome, done.verdict) == ("final", "completed", "none")
    assert (len(done.slots), len(done.payments)) == (1, 1)
    check_receipt(node, done, ECHO)


def test_three_replicas_are_three_nodes_that_are_all_paid(node: Daemon) -> None:
    done = run(node, module("echo"), ECHO, replicas=3)
    assert (done.state, done.verdict) == ("final", "agreed")
    assert len({slot.worker for slot in done.slots}) == 3
    assert len(done.payments) == 3
    check_receipt(node, done, ECHO)


def test_the_same_nonce_is_the_same_task_and_another_one_is_not(node: Daemon) -> None:
    request = SubmitTask(module=module("echo"), input=b"once", gas_max=GAS_MAX, nonce=b"n" * 16)
    first, second = node.ask(TASK_SUBMIT, request), node.ask(TASK_SUBMIT, request)
    assert first.task_id == second.task_id
    assert (first.known, second.known) == (False, True)
    other = SubmitTask(module=module("echo"), input=b"once", gas_max=GAS_MAX, nonce=b"m" * 16)
    assert node.ask(TASK_SUBMIT, other).task_id != first.task_id
    listed = [line.task_id for line in node.ask(TASK_LIST, ListTasks(limit=1000)).tasks]
    assert listed.count(first.task_id) == 1


def test_a_submitter_hears_why_its_task_is_not_executed(mesh: Cluster, node: Daemon) -> None:
    request = SubmitTask(module=module("loop"), gas_max=10**10, wall_ms_max=100)
    task = node.ask(TASK_SUBMIT, request).task_id
    mesh.until(lambda: bool(node.task(task).reason), "the submitter hears of an abort")
    assert "took longer than its limit of wall time" in node.task(task).reason
    node.ask(TASK_CANCEL, CancelTask(task=task))


def refusal(node: Daemon, **terms: object) -> OperationError:
    with pytest.raises(OperationError) as refused:
        node.ask(TASK_SUBMIT, SubmitTask(module=module("echo"), **terms))
    return refused.value


def test_a_task_that_costs_more_than_the_balance_is_refused_as_often_as_it_is_asked_for(
    node: Daemon,
) -> None:
    terms = {"gas_max": 10**10, "price_msat_per_mgas": 10**8, "nonce": b"rich" * 4}
    for _ in range(2):
        refused = refusal(node, **terms)
        assert refused.code == "rejected"
        assert "the task may cost 3000000000000 msat, the submitter has " in refused.message
    assert "another nonce" in refused.hint


@pytest.mark.parametrize(
    ("terms", "code", "words"),
    [
        ({"replicas": 5}, "rejected", "5 replicas are asked for, this cluster can give 4"),
        ({"replicas": 1}, "rejected", "two replicas or more"),
        ({"assurance": "none", "replicas": 2}, "rejected", "one replica"),
        ({"assurance": "blind"}, "invalid", "choose one of none, replicated"),
        ({"memory_bytes_max": 1}, "rejected", "memory limit is 1; it must lie between 65536"),
        ({"gas_max": 10**10 + 1}, "too_large", "a gas limit of 10000000001"),
        ({"output_bytes_max": 1 << 40}, "too_large", "an output of 1099511627776 bytes"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_in_words(
    node: Daemon, terms: dict[str, object], code: str, words: str
) -> None:
    refused = refusal(node, **terms)
    assert refused.code == code
    assert words in str(refused)


@pytest.mark.parametrize(
    ("operation", "request_type"),
    [(TASK_SHOW, ShowTask), (TASK_OUTPUT, GetOutput), (RECEIPT_GET, GetReceipt)],
)
def test_an_unknown_task_is_not_found_and_no_id_is_invalid(
    node: Daemon, operation: object, request_type: type
) -> None:
    for name, code in (("ab" * 32, "not_found"), ("xyz", "invalid"), ("0", "invalid")):
        with pytest.raises(OperationError) as refused:
            node.ask(operation, request_type(task=name))
        assert refused.value.code == code
        assert str(refused.value)


def test_who_follows_tasks_hears_their_whole_way(mesh: Cluster, node: Daemon) -> None:
    heard: dict[str, list[Event]] = {}
    whole = {"task_admitted", "task_assigned", "task_committed", "task_revealed"}
    whole |= {"task_energy", "task_ended", "task_paid", "task_refunded"}

    def is_whole(events: list[Event]) -> bool:
        return {event.kind for event in events} >= whole

    with Client(socket_path_for(node.data_dir)) as listener:

        def listen() -> None:
            for event in listener.stream(EVENTS, FollowEvents()):
                heard.setdefault(str(event.fields.get("task")), []).append(event)
                if event.kind == "task_refunded" and any(map(is_whole, heard.values())):
                    return

        listening = Thread(target=listen, daemon=True)
        listening.start()

        def all_heard() -> bool:
            run(node, module("echo"), b"heard")
            return not listening.is_alive()

        mesh.until(all_heard, "the listener has heard a task from its start to its end")
    events = next(filter(is_whole, heard.values()))
    end = next(event for event in events if event.kind == "task_ended")
    assert (end.fields["outcome"], end.fields["verdict"]) == ("completed", "agreed")
    assert sum(event.kind == "task_paid" for event in events) == 2


def test_a_task_under_way_has_neither_output_nor_receipt(mesh: Cluster, node: Daemon) -> None:
    request = SubmitTask(module=module("loop"), gas_max=3_000_000_000)
    task = node.ask(TASK_SUBMIT, request).task_id
    for operation, ask in (
        (TASK_OUTPUT, GetOutput(task=task)),
        (RECEIPT_GET, GetReceipt(task=task)),
    ):
        with pytest.raises(OperationError) as refused:
            node.ask(operation, ask)
        assert refused.value.code == "not_ready"
    mesh.until(lambda: node.task(task).state != "pending", "it is given to somebody")
    early = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=1))
    assert (early.state, early.outcome) == ("assigned", "none")
    assert task in {line.task_id for line in node.ask(TASK_LIST, ListTasks(state="assigned")).tasks}
    done = node.ask(TASK_WAIT, WaitForTask(task=task, until="batched", timeout_ms=60_000))
    assert (done.outcome, done.receipt.state) == ("out_of_gas", "batched")


def test_what_cannot_be_asked_is_refused_in_words(node: Daemon) -> None:
    with pytest.raises(OperationError, match="is no state of a task"):
        node.ask(TASK_LIST, ListTasks(state="gone"))
    task = run(node, module("echo"), b"asked about").task_id
    node.ask(TASK_WAIT, WaitForTask(task=task, until="batched", timeout_ms=60_000))
    with pytest.raises(OperationError, match="cannot wait until"):
        node.ask(TASK_WAIT, WaitForTask(task=task, until="doomsday"))
    anchors = node.ask(ANCHOR_STATUS, GetAnchors())
    assert (anchors.chain.kind, anchors.receipts_anchored) == ("off", 0)
    assert anchors.receipts >= anchors.anchors[0].size > 0
    assert {anchor.state for anchor in anchors.anchors} == {"waiting"}


def test_a_witness_follows_the_receipt_log_whichever_node_shows_it(
    mesh: Cluster, node: Daemon, tmp_path: Path
) -> None:
    folder = WitnessFolder(tmp_path / "witness")

    def update(daemon: Daemon, since: int) -> bytes:
        return daemon.ask(LOG_UPDATE, GetLogUpdate(since=since)).update

    task = run(node, module("echo"), b"one").task_id
    node.ask(TASK_WAIT, WaitForTask(task=task, until="batched", timeout_ms=60_000))
    first = folder.take(read_update(update(node, 0)))
    assert isinstance(first.outcome, Followed)
    check_receipt(node, run(node, module("echo"), b"one more"))
    for daemon in (node, *mesh.daemons):
        mesh.until(
            lambda d=daemon: d.ask(LOG_UPDATE, GetLogUpdate()).size > first.size,
            f"{daemon.data_dir.name} has closed the next batch",
        )
        shown = folder.take(read_update(update(daemon, folder.size)))
        assert isinstance(shown.outcome, Followed | NothingNew)
    assert folder.size > first.size


def test_every_node_tells_the_same_of_every_task(mesh: Cluster, node: Daemon) -> None:
    for line in node.ask(TASK_LIST, ListTasks(limit=1000)).tasks:
        node.ask(TASK_WAIT, WaitForTask(task=line.task_id))

    def known(daemon: Daemon) -> dict[str, TaskLine]:
        listed = daemon.ask(TASK_LIST, ListTasks(limit=1000)).tasks
        return {line.task_id: line for line in listed}

    # Which tasks there are depends on which tests ran here before.
    assert {line.state for line in known(node).values()} <= {"final", "cancelled"}
    for daemon in mesh.daemons:
        mesh.until(
            lambda d=daemon: known(d) == known(node), f"{daemon.data_dir.name} has the same tasks"
        )
    nodes = node.ask(NODES, ListNodes()).nodes
    assert not any(each.tombstoned for each in nodes)

    def total_msat() -> int:
        """Sum up what there is, which audits may move between one question and the next."""
        nodes = node.ask(NODES, ListNodes()).nodes
        bonds_and_balances = sum(each.balance_msat + each.bond_msat for each in nodes)
        unvested = sum(
            node.ask(ACCOUNT_SHOW, ShowAccount(node=each.id)).unvested_msat for each in nodes
        )
        tasks = [node.ask(TASK_SHOW, ShowTask(task=name)) for name in known(node)]
        # What premiums have brought in, and audits have cost since.
        reserve = sum(task.premium_msat - (task.paid_msat if task.audits else 0) for task in tasks)
        return bonds_and_balances + unvested + reserve

    granted_msat = 4 * (1_000_000_000 + 100_000_000)
    mesh.until(lambda: total_msat() == granted_msat, "no money was made or lost")


def ctl(node: Daemon, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(node.data_dir)]
    return subprocess.run([*command, *map(str, words)], capture_output=True, text=True)


def test_a_person_watches_a_task_and_reads_its_log(
    mesh: Cluster, node: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "wasi.wasm").write_bytes(module("wasi"))
    task = ctl(node, "run", tmp_path / "wasi.wasm", "--no-wait", "--yes").stdout.strip()
    watched = ctl(node, "task", "watch", task[:12], "--timeout", "60")
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.count("has sealed its answer") == 2
    assert "task          final, outcome completed" in watched.stdout
    logged = ctl(node, "task", "logs", task[:12])
    assert (logged.returncode, logged.stdout) == (0, "hi\n"), logged.stderr
    assert "as the ledger has it" in logged.stderr
    seen = mesh.until(
        lambda: (
            "4 of 4 members here" in (shown := ctl(node, "top", "--times", "1").stdout) and shown
        ),
        "all are here",
    )
    assert all(f"node{number}" in seen for number in (1, 2, 3, 4))
    assert "labels" in ctl(node, "nodes", "node2").stdout
