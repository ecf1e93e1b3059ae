"""What nobody takes into the log waits on disk, and whoever asks is told just that."""

from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.api import deciding, submitting
from ambientd.api.operations import OperationError
from ambientd.api.requests import (
    CancelTask,
    ExplainTask,
    GetOutput,
    ListTasks,
    ShowTask,
    WaitForTask,
)
from ambientd.codec.canonical import encode
from ambientd.codec.statements import task_id
from ambientd.ledger.rejections import rejection_of
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Admit
from ambientd.model.task import TaskState
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed, Event, TaskTakenBack
from ambientd.roles import asked
from ambientd.runtime.persistence import asked_tasks
from tests.api.test_desk import Office, a_task, office
from tests.fakes.memory_store import MemoryStore
from tests.runtime.support import START_MS

MEMBERS = 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "KEPT_AFTER_MS", 50)
    monkeypatch.setattr(deciding, "DEADLINE_S", 0.5)


async def refusal(it: Office, data: bytes = b"in") -> OperationError:
    with pytest.raises(OperationError) as refused:
        await it.desk.submit(a_task(data))
    return refused.value


async def test_a_task_that_no_quorum_takes_waits_on_disk_and_its_submitter_is_told_so(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with office(tmp_path, MEMBERS, store) as it:
        told = await refusal(it)
        assert told.code == "unavailable"
        assert "it waits on this node's disk, and is proposed until " in str(told)
        assert f"ask again with --nonce {b'in'.hex()}" in told.hint
        [(task, admit)] = asked_tasks(store).items()
        assert f"did not take task {task.hex()} within" in str(told)
        assert f"`ambientctl task cancel {task.hex()[:12]}`" in told.hint
        assert admit.nonce == b"in"
        assert it.node.asked.blobs == {admit.spec.module, admit.spec.input}


async def test_who_asks_again_after_a_start_asks_for_the_same_task_in_the_same_words(
    tmp_path: Path,
) -> None:
    rows: list[dict[TaskId, Admit]] = []
    for _ in range(2):
        async with office(tmp_path, MEMBERS, SqliteStore(tmp_path / "store")) as it:
            await refusal(it)
            await refusal(it)
            rows.append(await it.parts.pump.writer.call(asked_tasks))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1


async def test_what_is_asked_for_beyond_what_can_wait_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "TASKS_MAX", 1)
    async with office(tmp_path, MEMBERS) as it:
        await refusal(it)
        told = await refusal(it, b"another")
        assert told.code == "busy"
        assert "1 tasks of this node wait for the log; no more are kept" in str(told)
        assert (await refusal(it)).code == "unavailable"  # it has its place already


async def test_a_task_that_does_not_wait_on_disk_is_not_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "KEPT_AFTER_MS", 60_000)
    async with office(tmp_path, MEMBERS) as it:
        told = await refusal(it)
        assert told.code == "unavailable"
        assert "disk" not in str(told)


async def test_a_task_that_waits_is_named_shown_listed_and_taken_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with office(tmp_path, MEMBERS, store) as it:
        await refusal(it)
        [task] = (each.hex() for each in asked_tasks(store))
        shown = await it.desk.show_task(ShowTask(task=task[:12]))
        assert (shown.task_id, shown.state, shown.replicas) == (task, "waiting", 1)
        listed = await it.desk.list_tasks(ListTasks(state="waiting"))
        assert [line.task_id for line in listed.tasks] == [task]
        before = it.node.consensus.pending_records
        back = await it.desk.cancel(CancelTask(task=task[:12]))
        assert back.state == "taken back"
        assert "may still bring it into the log" in back.reason
        assert it.node.consensus.pending_records == before - 1
        assert await it.parts.pump.writer.call(asked_tasks) == {}
        with pytest.raises(OperationError) as unknown:
            await it.desk.show_task(ShowTask(task=task))
        assert unknown.value.code == "not_found"


async def waits(it: Office) -> tuple[TaskId, Admit]:
    """Have a task wait as one does whose record is with the others."""
    spec = await it.desk.submitting._spec(a_task(b"in"))
    admit = Admit(nonce=b"in", spec=spec, until_ms=it.parts.now() + 600_000)
    it.node.asked.on_signed({admit: encode(admit)}, it.parts.now())
    return task_id(NodeId(it.owner.signer.public_key), b"in", spec), admit


async def test_what_its_owner_takes_back_is_not_brought_again_by_who_asked_for_it(
    tmp_path: Path,
) -> None:
    """Seen: the submitter's library asked again, and the task was on disk and in the pool."""
    store = MemoryStore()
    heard: list[OperationError] = []
    async with office(tmp_path, MEMBERS, store) as it, trio.open_nursery() as nursery:

        async def asks_twice() -> None:
            heard.extend([await refusal(it), await refusal(it)])

        nursery.start_soon(asks_twice)
        while not asked_tasks(store):
            await trio.sleep(0.01)
        [task] = (each.hex() for each in asked_tasks(store))
        await it.desk.cancel(CancelTask(task=task))
        before = it.node.consensus.pending_records
        while len(heard) < 2:
            await trio.sleep(0.01)
        assert [told.code for told in heard] == ["cancelled", "rejected"]
        for told in heard:
            assert f"task {task[:12]} was taken back before the log had it" in str(told)
            assert told.hint == "ask again with another nonce"
        assert asked_tasks(store) == {}
        assert it.node.consensus.pending_records == before


async def test_who_waits_for_a_task_that_is_taken_back_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "DEADLINE_S", 600.0)
    store = MemoryStore()
    heard: list[OperationError] = []
    async with office(tmp_path, MEMBERS, store) as it, trio.open_nursery() as nursery:

        async def asks() -> None:
            heard.append(await refusal(it))

        nursery.start_soon(asks)
        while not asked_tasks(store):
            await trio.sleep(0.01)
        [task] = (each.hex() for each in asked_tasks(store))
        await it.desk.cancel(CancelTask(task=task))
        with trio.fail_after(60):
            while not heard:
                await trio.sleep(0.01)
    assert heard[0].code == "cancelled"
    assert f"task {task[:12]} was taken back before the log had it" in str(heard[0])


async def test_a_task_that_a_block_brings_while_it_is_taken_back_is_cancelled_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: "taken back, 0 refunded", of a task that went on and was paid for."""
    async with office(tmp_path) as it:
        task, admit = await waits(it)
        post = it.parts.pump.post

        async def a_block_is_first(event: Event) -> None:
            if isinstance(event, TaskTakenBack):
                await post(BodiesProposed((admit,)))
                while it.node.ledger.task(task) is None:
                    await trio.sleep(0.01)
            await post(event)

        monkeypatch.setattr(it.parts.pump, "post", a_block_is_first)
        told = await it.desk.cancel(CancelTask(task=task.hex()))
        assert told.state == "cancelled"
        entry = it.node.ledger.task(task)
        assert entry is not None
        assert entry.state is TaskState.CANCELLED


async def test_a_task_that_waits_in_new_words_is_not_refused_for_its_old_ones(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, MEMBERS) as it:
        task, admit = await waits(it)
        old = replace(admit, until_ms=admit.until_ms - 1)
        rejected = rejection_of(NodeId(it.owner.signer.public_key), old, "too late")
        it.desk._chronicle.note(Told(rejected, 1, START_MS))
        assert task in it.desk._chronicle.rejected
        assert (await refusal(it)).code == "unavailable"


async def test_who_looks_for_a_task_in_the_log_is_told_where_those_are_that_wait(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, MEMBERS) as it:
        task, _ = await waits(it)
        with pytest.raises(OperationError) as unknown:
            await it.desk.output(GetOutput(task=task.hex()))
        assert unknown.value.code == "not_found"
        assert "`ambientctl task list --state waiting`" in unknown.value.hint


async def test_why_a_task_waits_for_the_log_is_told_and_it_can_be_watched(tmp_path: Path) -> None:
    async with office(tmp_path, MEMBERS) as it:
        task, admit = await waits(it)
        told = await it.desk.why(ExplainTask(task=task.hex()[:8]))
        assert (told.task_id, told.state, told.until_ms) == (task.hex(), "waiting", admit.until_ms)
        assert "a quorum" in told.waits_for
        seen = await it.desk.wait_for_task(WaitForTask(task=task.hex(), timeout_ms=10))
        assert (seen.task_id, seen.state) == (task.hex(), "waiting")
        gone: list[OperationError] = []

        async def watches() -> None:
            with pytest.raises(OperationError) as refused:
                await it.desk.wait_for_task(WaitForTask(task=task.hex(), timeout_ms=600_000))
            gone.append(refused.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watches)
            await trio.testing.wait_all_tasks_blocked()
            await it.desk.cancel(CancelTask(task=task.hex()))
        assert gone[0].code == "not_found"


async def test_a_task_that_waits_does_not_become_two_by_changed_defaults(tmp_path: Path) -> None:
    async with office(tmp_path, MEMBERS) as it:
        await refusal(it)
        task = a_task(b"in")
        with pytest.raises(OperationError) as refused:
            await it.desk.submit(replace(task, gas_max=task.gas_max + 1))
        assert refused.value.code == "rejected"
        assert "waits for the log by this nonce, with other terms" in str(refused.value)
        assert len(await it.parts.pump.writer.call(asked_tasks)) == 1


async def test_open_and_waiting_tasks_together_are_no_more_than_the_ledger_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "OPEN_TASKS_MAX", 1)
    async with office(tmp_path, MEMBERS) as it:
        await refusal(it)
        told = await refusal(it, b"another")
        assert told.code == "busy"
        assert "0 tasks of this node are unfinished and 1 wait for the log" in str(told)
        assert told.hint == "wait for some of them"
        monkeypatch.setattr(submitting, "DEADLINE_S", 700.0)  # longer than its words last
        assert (await refusal(it)).code == "unavailable"  # new ones take the place of the old
