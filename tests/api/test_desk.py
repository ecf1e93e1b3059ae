"""The desk of a real node with one member: what its owner asks, answered from its ledger."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from msgspec.structs import replace as replace_struct

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.private_book_file import PrivateBookFile
from ambientd.api.account_values import ListAccounts, ShowHistory
from ambientd.api.desk import Desk, Owner
from ambientd.api.doctor_daemon import LATE_MS
from ambientd.api.material_values import GetMaterial, GetTaskLog
from ambientd.api.operations import OperationError
from ambientd.api.owner_standing import OwnerCaps, OwnerStanding
from ambientd.api.owner_values import Pause, Resume, SetOwner, ShowOwner
from ambientd.api.readiness import unready
from ambientd.api.requests import (
    AskBondBack,
    AskForSeat,
    CancelTask,
    FollowEvents,
    GetReadiness,
    GetReceipt,
    GetStatus,
    Invite,
    ListBlames,
    ListMembers,
    ListNodes,
    ListTasks,
    RaiseBond,
    ShowAccount,
    ShowTask,
    SubmitTask,
    TransferCredits,
    VoteOnSeat,
    WaitForTask,
)
from ambientd.api.telemetry_values import UNITS, ShowTelemetry
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_verdict
from ambientd.config.node_options import NodeOptions
from ambientd.config.options import Config, ExecutionOptions
from ambientd.config.owner_terms import OwnerTerms
from ambientd.ledger.events import NodeConvicted
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import EngineCode
from ambientd.model.learning_effect import LearningEffect
from ambientd.model.record import Fraud
from ambientd.model.telemetry import Measure, Observation
from ambientd.node.build import beacon_tip
from ambientd.node.core import Node
from ambientd.node.effect import NodeEffect, Told
from ambientd.node.event import BodiesProposed, Started
from ambientd.ports.store import Store
from ambientd.ports.transport import HostPort
from ambientd.rules.executions import seed_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.news import News
from ambientd.runtime.ownership import Ownership
from ambientd.runtime.private_rounds import PrivateRounds
from ambientd.runtime.pump import Pump
from ambientd.runtime.service import Parts
from ambientd.runtime.store_writer import StoreWriter
from ambientd.telemetry.series import NAMES
from sim.learners import RememberedConsents, WholeNumbers
from sim.trio_world.owner import CalmDevice, KeptTerms, NoCaps
from tests.fakes.memory_store import MemoryStore
from tests.ledger.cluster import result
from tests.modules.compiled import module
from tests.runtime.support import START_MS, found_cluster, node_on

ADDRESS = "127.0.0.1:4400"


class Alone:
    """The mesh of a node that has no peers."""

    address = HostPort("127.0.0.1", 4400)

    def peers(self) -> frozenset[bytes]:
        return frozenset()


@dataclass
class Office:
    """A desk, the node behind it, and who owns both."""

    desk: Desk
    node: Node
    owner: Owner
    parts: Parts

    def at(self, address: str) -> Desk:
        """Give the desk of the same node, which peers dial at another address."""
        own = f"{self.owner.signer.public_key.hex()}@{address}"
        return Desk(replace(self.owner, addresses=(own,)), self.parts)


@asynccontextmanager
async def office(
    folder: Path, members: int = 1, store: Store | None = None
) -> AsyncIterator[Office]:
    """Run a node that is assigned every task and executes none; all other members are away."""
    genesis, seed = found_cluster(folder / "cluster", members)
    kept = store or MemoryStore()
    start_s = trio.current_time()

    def now() -> int:
        return START_MS + int((trio.current_time() - start_s) * 1000)

    async def nobody(*_: object) -> None:
        return None

    async with StoreWriter(kept) as writer, trio.open_nursery() as nursery:
        node = node_on(kept, writer, genesis, seed)
        news = News()
        files = BlobFiles(folder / "blobs", quota_bytes=2**30)
        signer = Signer(seed, fingerprint(genesis))
        book = PrivateBookFile(folder / "learning.book")

        async def learn(effect: LearningEffect) -> None:
            await pump.post(await parts.learning.carry_out(effect))

        def perform(effect: NodeEffect) -> None:
            if isinstance(effect, Told):
                if isinstance(effect.event, RoundEnded):
                    nursery.start_soon(parts.learning.hear, effect.event)
                news.tell(effect)
            elif isinstance(effect, LearningEffect):
                nursery.start_soon(learn, effect)

        pump = Pump(node, now, writer)
        blobs = Blobs(files, nobody, list)
        parts = Parts(
            node=node,
            pump=pump,
            transport=cast("Any", Alone()),
            executor=cast("Any", None),
            blobs=blobs,
            news=news,
            probe=cast("Any", None),
            anchors=None,
            now=now,
            sample_s=1.0,
            owner=Ownership(KeptTerms(), CalmDevice(), NoCaps(), now),
            learning=LearningHost(
                WholeNumbers,
                RememberedConsents(),
                blobs,
                files,
                private=PrivateRounds(
                    NodeId(signer.public_key), book, lambda size: b"s" * size, blobs, files
                ),
            ),
        )
        owner = Owner(
            signer=signer,
            config=Config(node=NodeOptions(name="node1")),
            name="node1",
            engine="none",
            engines_installed=("wasmtime",),
            protections=(),
            protections_missing=(),
            addresses=(f"{signer.public_key.hex()}@{ADDRESS}",),
            draw_secret=lambda size: b"s" * size,
            beacon_tip=partial(beacon_tip, seed),
            started_ms=now(),
            certificates=folder / "blame",
        )
        nursery.start_soon(pump.run, perform, [Started()])
        with trio.fail_after(60):
            yield Office(Desk(owner, parts), node, owner, parts)
        nursery.cancel_scope.cancel()


def a_task(data: bytes = b"") -> SubmitTask:
    return SubmitTask(
        module=module("echo"), input=data, assurance="none", gas_max=1000, nonce=data or b"n"
    )


async def assigned(desk: Desk, data: bytes = b"") -> str:
    """Submit a task and wait until a worker owes its answer."""
    task = (await desk.submit(a_task(data))).task_id
    wait = WaitForTask(task=task, seen="pending", timeout_ms=10_000)
    assert (await desk.wait_for_task(wait)).state == "assigned"
    return task


async def test_a_node_is_ready_while_blocks_come_and_says_why_when_they_do_not(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as it:
        own = NodeId(it.owner.signer.public_key)
        with pytest.raises(OperationError, match=r"cannot take part: .*it has no block yet"):
            await it.desk.ready(GetReadiness())
        while list(unready(own, it.parts)):
            await trio.sleep(0.1)
        assert (await it.desk.ready(GetReadiness())).ready
        late = replace(it.parts, now=lambda: it.parts.now() + LATE_MS + 20_000)
        [why] = unready(own, late)
        assert why.startswith("no block has come for ")
        assert set(unready(NodeId(b"s" * 32), it.parts)) == {
            "the log has not taken it in yet",
            "it is connected to nobody",
        }


async def test_the_status_of_a_convicted_node_says_so_and_by_what(tmp_path: Path) -> None:
    async with office(tmp_path) as it, it.parts.news.listen() as news:
        assert (await it.desk.status(GetStatus())).troubles == ()
        task, signer = TaskId(b"t" * 32), it.owner.signer
        first, second = (encode(sign_verdict(signer, task, result(each))) for each in (b"1", b"2"))
        node = NodeId(signer.public_key)
        body = Fraud(culprit=node, kind="verdict", first=first, second=second)
        await it.parts.pump.post(BodiesProposed((body,)))
        async for told in news:
            if told.event == NodeConvicted(node, "verdict"):
                break
        assert "it is convicted" in set(unready(node, it.parts))
        [trouble] = (await it.desk.status(GetStatus())).troubles
        assert trouble.kind == "convicted"
        assert "evidence `verdict`" in trouble.text


async def test_a_node_knows_its_own_engine_before_the_ledger_does(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        [node] = (await it.desk.census.nodes(ListNodes())).nodes
        assert node.engine == it.owner.engine
        entry = it.node.ledger.node(NodeId(it.owner.signer.public_key))
        assert entry is not None
        assert entry.engine == EngineCode.UNKNOWN


async def test_what_a_task_is_executed_with_is_brought_together_again(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        task = await assigned(it.desk)
        material = await it.desk.materials.material(GetMaterial(task=task[:12]))
        shown = await it.desk.show_task(ShowTask(task=task))
        assert sha256(material.module).hex() == shown.module_sha256
        assert sha256(material.input).hex() == shown.input_sha256
        assert material.seed == seed_of(TaskId(bytes.fromhex(task)))
        assert material.gas_max == shown.gas_max
        with pytest.raises(OperationError, match="no task"):
            await it.desk.materials.material(GetMaterial(task="ab" * 32))


async def test_a_tasks_log_is_what_its_module_writes_when_it_is_executed_again(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as it:
        request = SubmitTask(module=module("wasi"), input=b"", assurance="none", nonce=b"log")
        task = (await it.desk.submit(request)).task_id
        told = await it.desk.materials.log(GetTaskLog(task=task[:12]))
        assert (told.task_id, told.log, told.outcome) == (task, "hi", "completed")
        assert told.agrees is None, "the ledger has no end yet"
        assert told.output_sha256 is not None
        bundle = SubmitTask(module=module("wasi"), items=(b"1", b"2"), assurance="none", nonce=b"b")
        whole = (await it.desk.submit(bundle)).task_id
        with pytest.raises(OperationError, match="is a bundle"):
            await it.desk.materials.log(GetTaskLog(task=whole))
        item = await it.desk.materials.log(GetTaskLog(task=whole, item=1))
        assert (item.log, item.outcome, item.agrees) == ("hi", "completed", None)


async def test_a_log_that_nobody_waits_for_any_more_ends_its_execution(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        lavish = ExecutionOptions(gas_max=10**12, wall_ms_max=3_600_000)
        config = replace_struct(it.owner.config, execution=lavish)
        desk = Desk(replace(it.owner, config=config), it.parts)
        endless = SubmitTask(module=module("loop"), gas_max=10**12, assurance="none")
        task = (await desk.submit(endless)).task_id
        short = SubmitTask(module=module("wasi"), assurance="none")
        next_task = (await it.desk.submit(short)).task_id
        for patience_s in (0.0, 0.02, 2.0):  # before there is a process, as it starts, at work
            with trio.move_on_after(patience_s) as left:
                await desk.materials.log(GetTaskLog(task=task))
            assert left.cancelled_caught
        with trio.fail_after(60):
            assert (await desk.materials.log(GetTaskLog(task=next_task))).log == "hi"


async def test_a_task_is_taken_back_and_its_fee_with_it(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        before = (await it.desk.status(cast("Any", None))).balance_msat
        task = await assigned(it.desk)
        assert (await it.desk.status(cast("Any", None))).balance_msat < before
        cancelled = await it.desk.cancel(CancelTask(task=task[:12]))
        assert (cancelled.task_id, cancelled.state) == (task, "cancelled")
        assert (await it.desk.status(cast("Any", None))).balance_msat == before
        again = await it.desk.cancel(CancelTask(task=task))
        assert again.state == "cancelled"
        with pytest.raises(OperationError, match="is cancelled, and has no receipt"):
            await it.desk.receipt(GetReceipt(task=task))


async def test_a_task_of_somebody_else_is_not_taken_back(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        task = await assigned(it.desk)
        stranger = replace(it.owner, signer=Signer(b"x" * 32, b""))
        desk = Desk(stranger, it.parts)
        with pytest.raises(OperationError, match="only its submitter"):
            await desk.cancel(CancelTask(task=task))
        assert (await it.desk.show_task(ShowTask(task=task))).state == "assigned"
        with pytest.raises(OperationError, match="no task"):
            await it.desk.cancel(CancelTask(task="ab" * 32))


async def test_a_caller_hears_of_a_new_state_when_it_comes_and_not_before(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        task = await assigned(it.desk)
        heard: list[str] = []

        async def listen() -> None:
            wait = WaitForTask(task=task, seen="assigned", timeout_ms=15_000)
            heard.append((await it.desk.wait_for_task(wait)).state)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            assert heard == []
            await it.desk.cancel(CancelTask(task=task))
        assert heard == ["cancelled"]


async def test_tasks_are_found_by_any_unambiguous_start_of_their_id(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        tasks = [await assigned(it.desk, b"%d" % number) for number in range(3)]
        for task in tasks:
            for name in (task, task.upper(), task[:20], task[:21]):
                assert (await it.desk.show_task(ShowTask(task=name))).task_id == task
        for name in ("ff" * 32, tasks[0][:-1] + "g", "abc"):
            with pytest.raises(OperationError):
                await it.desk.show_task(ShowTask(task=name))


async def test_an_invitation_names_addresses_that_can_be_dialled(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        own = await it.desk.invite(Invite())
        assert own.loopback
        assert own.addresses[0].endswith(f"@{ADDRESS}")
        assert not (await it.at("192.0.2.7:4400").invite(Invite())).loopback
        with pytest.raises(OperationError, match="nobody can dial"):
            await it.at("0.0.0.0:4400").invite(Invite())


async def test_an_owner_asks_for_a_seat_speaks_on_seats_and_hears_why_not(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        seating = it.desk.seating
        before = await seating.members(ListMembers())
        assert (before.epoch, before.quorum, [seat.member for seat in before.seats]) == (
            1,
            1,
            [True],
        )
        with pytest.raises(OperationError, match=r"has a seat; `ambientctl account bond AMOUNT`"):
            await seating.ask(AskForSeat())
        own = it.owner.signer.public_key.hex()
        for node in (None, own[:8]):
            with pytest.raises(OperationError, match=r"only member cannot go.*`member admit` here"):
                await seating.vote(VoteOnSeat(wish="out", node=node))
        said = await seating.vote(VoteOnSeat(wish="in", node=own[:8].upper()))
        assert (said.node, said.wish, said.epoch, said.epoch_due) == (own, "in", 1, None)
        [seat] = (await seating.members(ListMembers())).seats
        assert [word.wish for word in seat.words] == ["in"]
        last = await seating.members(ListMembers(limit=1, after=f"0{own}"))
        assert (last.seats, last.next) == ((), None)
        with pytest.raises(OperationError, match="no node"):
            await seating.vote(VoteOnSeat(wish="in", node="ab" * 32))


async def test_an_owner_moves_money_and_hears_why_not(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        accounts = it.desk.accounts
        before = await accounts.show(ShowAccount())
        moved = await accounts.bond(RaiseBond(amount_msat=before.balance_msat - 5))
        assert (moved.kind, moved.to, moved.account.balance_msat) == ("bond", None, 5)
        assert moved.account.bond_msat == before.bond_msat + before.balance_msat - 5
        assert await accounts.show(ShowAccount(node=before.node[:8])) == moved.account
        with pytest.raises(
            OperationError, match=r"less than 6 msat; .*account transfer"
        ) as refused:
            await accounts.bond(RaiseBond(amount_msat=6))
        assert refused.value.code == "rejected"
        with pytest.raises(OperationError, match=r"is this node itself.*name another node"):
            await accounts.transfer(TransferCredits(to=before.node, amount_msat=1))
        with pytest.raises(OperationError, match="no node"):
            await accounts.transfer(TransferCredits(to="ab" * 32, amount_msat=1))
        with pytest.raises(OperationError, match=r"has a seat.*`ambientctl member leave`"):
            await accounts.unbond(AskBondBack(amount_msat=1))


async def test_an_empty_name_means_nobody(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        seating, accounts = it.desk.seating, it.desk.accounts
        for asked in (
            partial(seating.vote, VoteOnSeat(wish="out", node="")),
            partial(seating.vote, VoteOnSeat(wish="in", node="")),
            partial(accounts.show, ShowAccount(node="")),
            partial(accounts.transfer, TransferCredits(to="", amount_msat=1)),
            partial(it.desk.show_task, ShowTask(task="")),
        ):
            with pytest.raises(OperationError, match=r"no node|is not the id of") as refused:
                await asked()
            assert refused.value.code in {"not_found", "invalid"}


@pytest.mark.parametrize("name", ["", "zzzz", "abcd"])
async def test_events_of_no_task_are_refused(tmp_path: Path, name: str) -> None:
    async with office(tmp_path) as it:
        with pytest.raises(OperationError, match=r"is not the id of a task|no task abcd"):
            await anext(it.desk.events(FollowEvents(tasks=(name,))))


async def test_events_of_one_task_are_named_by_a_start_of_its_id(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        task = (await it.desk.submit(a_task())).task_id
        told: list[str] = []

        async def follow(name: str) -> None:
            async with aclosing(it.desk.events(FollowEvents(tasks=(name,)))) as events:
                told.append((await anext(events)).fields["task"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, task[:8])
            nursery.start_soon(follow, task.upper())
            await trio.testing.wait_all_tasks_blocked()
            await it.desk.cancel(CancelTask(task=task))
        assert told == [task, task]


async def test_moves_asked_for_at_once_are_made_one_after_another(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        accounts = it.desk.accounts
        before = await accounts.show(ShowAccount())
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(accounts.bond, RaiseBond(amount_msat=7))
        assert (await accounts.show(ShowAccount())).bond_msat == before.bond_msat + 21


async def test_who_has_no_means_is_told_how_to_come_by_some(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        own = await it.desk.accounts.show(ShowAccount())
        await it.desk.accounts.bond(RaiseBond(amount_msat=own.balance_msat))
        hint = f"`ambientctl account transfer {own.node[:12]} AMOUNT`"
        with pytest.raises(OperationError, match="may cost 2 msat, the submitter has 0") as refused:
            await it.desk.submit(a_task())
        assert hint in refused.value.hint


async def test_a_node_that_does_not_know_itself_yet_is_told_to_wait(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        stranger = replace(it.owner, signer=Signer(b"x" * 32, b""))
        with pytest.raises(OperationError, match="has not seen yet") as refused:
            await Desk(stranger, it.parts).seating.ask(AskForSeat())
        assert refused.value.code == "not_ready"
        with pytest.raises(OperationError, match="has not seen yet"):
            await Desk(stranger, it.parts).accounts.show(ShowAccount())


async def test_an_owner_pauses_a_node_and_the_log_and_status_say_so(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        owning = it.desk.owning
        assert (await it.desk.status(GetStatus())).owner.text == "takes work"
        told = await owning.pause(Pause(for_ms=3_600_000))
        assert told.standing.closed == "paused"
        assert told.standing.text.startswith("paused by owner until ")
        assert told.standing.told
        (info,) = (await it.desk.census.nodes(ListNodes())).nodes
        assert (info.accepting, info.closed) == (False, "its owner paused it")
        await it.parts.owner.say(OwnerTerms(), it.parts.pump.post)


async def test_an_owners_rules_are_shown_checked_and_changed_one_by_one(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        owning = it.desk.owning
        told = await owning.change(SetOwner(cpu_percent=25, refuses=("media",)))
        assert (told.cpu_percent, told.capacity, told.refuses) == (25, 1, ("media",))
        caps = OwnerCaps(cpu_percent=25, capacity=1, refuses=("media",))
        assert told.standing == OwnerStanding(caps=caps)
        assert (await it.desk.status(GetStatus())).owner.caps == caps
        told = await owning.change(SetOwner(hours=("00:00-24:00",)))
        assert (told.cpu_percent, told.hours) == (25, ("00:00-24:00",))
        with pytest.raises(OperationError, match="no class 'mowing'"):
            await owning.change(SetOwner(refuses=("mowing",)))
        with pytest.raises(OperationError, match="18:00-08:00"):
            await owning.change(SetOwner(hours=("6pm",)))
        assert (await owning.show(ShowOwner())).hours == ("00:00-24:00",)
        await owning.resume(Resume())


async def test_a_task_names_a_module_that_is_here_by_its_hash(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        given = a_task(b"in")
        named = replace_struct(given, module=b"", module_sha256=sha256(given.module).hex())
        with pytest.raises(OperationError, match="is not on this node"):
            await it.desk.submit(named)
        with pytest.raises(OperationError, match="named by its SHA-256 as well"):
            await it.desk.submit(replace_struct(named, module=given.module))
        with pytest.raises(OperationError, match="8 bytes at least"):
            await it.desk.submit(replace_struct(given, module=b""))
        await it.parts.blobs.put(given.module)
        task = await it.desk.submit(named)
        assert (await it.desk.submit(given)).task_id == task.task_id


async def test_pages_of_a_list_hold_every_task_once_though_others_come(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        known = [(await it.desk.submit(a_task(bytes([each])))).task_id for each in range(5)]
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            answer = await it.desk.list_tasks(ListTasks(limit=2, after=after))
            seen += [line.task_id for line in answer.tasks]
            after = answer.next
            await it.desk.submit(a_task(b"new" + bytes([len(seen)])))
        assert sorted(seen) == sorted(set(seen))
        assert set(known) <= set(seen)


async def test_what_a_node_said_of_itself_is_told_in_steps_and_units(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        node = NodeId(it.owner.signer.public_key)
        unheard = await it.desk.charting.telemetry(ShowTelemetry(node=node.hex()))
        assert (unheard.kept, unheard.lines, unheard.energy_wh) == (False, (), None)
        said = Observation(name=Measure.POWER, value=36_000, source="rapl")
        it.parts.series.note(node, (said,), it.parts.now())
        told = await it.desk.charting.telemetry(ShowTelemetry(node="node1"))
        [line] = told.lines
        assert (line.name, line.unit, line.source) == ("power_watt", "W", "rapl")
        assert (len(line.values), line.values[-1], line.values[0]) == (360, 36.0, None)
        assert told.from_ms + 360 * told.step_ms > it.parts.now() >= told.from_ms + 3_590_000
        assert told.energy_wh == 36 * 10 / 3600
        day = await it.desk.charting.telemetry(ShowTelemetry(node="node1", span="day"))
        assert (day.step_ms, len(day.lines[0].values)) == (300_000, 288)


def test_every_measure_that_is_kept_has_a_unit() -> None:
    assert all(any(name.endswith(f"_{ending}") for ending in UNITS) for name in NAMES)


async def test_a_place_that_no_page_has_given_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        for ask in (
            it.desk.list_tasks(ListTasks(after="zz")),
            it.desk.list_tasks(ListTasks(after="zz" * 39)),
            it.desk.census.nodes(ListNodes(after="zz")),
            it.desk.blaming.blames(ListBlames(after="zz")),
        ):
            with pytest.raises(OperationError, match="no place in this list") as refused:
                await ask
            assert refused.value.code == "invalid"
            assert "`next`" in refused.value.hint


async def test_tasks_are_counted_and_listed_by_state(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        await assigned(it.desk, b"kept")
        gone = await assigned(it.desk, b"gone")
        await it.desk.cancel(CancelTask(task=gone))
        for state, number in (("", 2), ("open", 1), ("cancelled", 1), ("final", 0)):
            answer = await it.desk.list_tasks(ListTasks(state=state))
            assert (answer.total, len(answer.tasks)) == (number, number), state
        [line] = (await it.desk.list_tasks(ListTasks(state="cancelled"))).tasks
        assert line.task_id == gone
        assert sum((await it.desk.status(GetStatus())).tasks.values()) == 2


async def test_rules_that_mean_more_than_they_say_are_told_at_once(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        told = await it.desk.owning.change(SetOwner(memory_bytes_max=64 << 20))
        [note] = told.notes
        assert note.startswith("64 MiB are too few")
        needed = int(note.partition("needs ")[2].partition(" MiB")[0].replace(",", ""))
        assert not (await it.desk.owning.change(SetOwner(memory_bytes_max=needed << 20))).notes
        [note] = (await it.desk.owning.change(SetOwner(hours=("10:00-10:00",)))).notes
        assert "that is all day" in note
        assert not (await it.desk.owning.change(SetOwner(hours=("00:00-24:00",)))).notes


async def test_accounts_are_listed_page_by_page_and_tasks_that_moved_credits_told(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as it:
        listed = await it.desk.accounts.list_all(ListAccounts())
        assert [each.name for each in listed.accounts] == ["node1"]
        assert (listed.total, listed.next) == (1, None)
        assert listed.accounts[0].balance_msat == it.node.ledger.balance_msat(
            NodeId(it.owner.signer.public_key)
        )
        first, second = [await assigned(it.desk, data) for data in (b"1", b"2")]
        newest = await it.desk.accounts.history(ShowHistory(limit=1))
        older = await it.desk.accounts.history(ShowHistory(limit=1, after=newest.next or ""))
        assert {each.task for each in (*newest.entries, *older.entries)} == {first, second}
        assert (newest.total, older.next) == (2, None)
        [entry] = newest.entries
        held = it.node.ledger.task(TaskId(bytes.fromhex(entry.task)))
        assert held is not None
        assert (entry.kind, entry.amount_msat) == ("escrow", -held.escrow_msat)
        with pytest.raises(OperationError, match="no node 'nobody'"):
            await it.desk.accounts.history(ShowHistory(node="nobody"))
        for place in ("0", "-1", newest.entries[0].task):
            with pytest.raises(OperationError, match="is no place in this list"):
                await it.desk.accounts.history(ShowHistory(after=place))
            with pytest.raises(OperationError, match="is no place in this list"):
                await it.desk.accounts.list_all(ListAccounts(after=place[:63]))
