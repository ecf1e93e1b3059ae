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

from ambientd.adapters.blob_files import BlobFiles
from ambientd.api.desk import Desk, Owner
from ambientd.api.operations import OperationError
from ambientd.api.requests import (
    AskBondBack,
    AskForSeat,
    CancelTask,
    FollowEvents,
    GetStatus,
    Invite,
    ListMembers,
    RaiseBond,
    ShowAccount,
    ShowTask,
    SubmitTask,
    TransferCredits,
    VoteOnSeat,
    WaitForTask,
)
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_verdict
from ambientd.config.options import Config
from ambientd.ledger.events import NodeConvicted
from ambientd.model.base import NodeId, TaskId
from ambientd.model.execution import EngineCode
from ambientd.model.record import Fraud
from ambientd.node.build import beacon_tip
from ambientd.node.core import Node
from ambientd.node.effect import NodeEffect, Told
from ambientd.node.event import BodiesProposed, Started
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.news import News
from ambientd.runtime.pump import Pump
from ambientd.runtime.service import Parts
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore
from tests.ledger.cluster import result
from tests.modules.compiled import module
from tests.runtime.support import START_MS, found_cluster, node_on

ADDRESS = "127.0.0.1:4400"


class Alone:
    """The mesh of a node that has no peers."""

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
async def office(folder: Path) -> AsyncIterator[Office]:
    """Run a node that is assigned every task and executes none."""
    genesis, seed = found_cluster(folder / "cluster")
    start_s = trio.current_time()

    def now() -> int:
        return START_MS + int((trio.current_time() - start_s) * 1000)

    async def nobody(*_: object) -> None:
        return None

    async with StoreWriter(MemoryStore()) as writer, trio.open_nursery() as nursery:
        node = node_on(MemoryStore(), writer, genesis, seed)
        news = News()
        files = BlobFiles(folder / "blobs", quota_bytes=2**30)
        signer = Signer(seed, fingerprint(genesis))

        def perform(effect: NodeEffect) -> None:
            if isinstance(effect, Told):
                news.tell(effect)

        pump = Pump(node, now, writer)
        parts = Parts(
            node=node,
            pump=pump,
            transport=cast("Any", Alone()),
            executor=cast("Any", None),
            blobs=Blobs(files, nobody, list),
            news=news,
            probe=cast("Any", None),
            anchors=None,
            now=now,
            sample_s=1.0,
        )
        owner = Owner(
            signer=signer,
            config=Config(),
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
        with trio.fail_after(20):
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
        [trouble] = (await it.desk.status(GetStatus())).troubles
        assert trouble.kind == "convicted"
        assert "evidence `verdict`" in trouble.text


async def test_a_node_knows_its_own_engine_before_the_ledger_does(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        [node] = (await it.desk.nodes(cast("Any", None))).nodes
        assert node.engine == it.owner.engine
        entry = it.node.ledger.node(NodeId(it.owner.signer.public_key))
        assert entry is not None
        assert entry.engine == EngineCode.UNKNOWN


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
        with pytest.raises(OperationError, match="has a seat"):
            await seating.ask(AskForSeat())
        own = it.owner.signer.public_key.hex()
        for node in (None, own[:8]):
            with pytest.raises(OperationError, match=r"only member cannot go.*`member admit` here"):
                await seating.vote(VoteOnSeat(wish="out", node=node))
        said = await seating.vote(VoteOnSeat(wish="in", node=own[:8].upper()))
        assert (said.node, said.wish, said.epoch, said.epoch_due) == (own, "in", 1, None)
        [seat] = (await seating.members(ListMembers())).seats
        assert [word.wish for word in seat.words] == ["in"]
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
        with pytest.raises(OperationError, match=r"less than 6; .*account transfer") as refused:
            await accounts.bond(RaiseBond(amount_msat=6))
        assert refused.value.code == "rejected"
        with pytest.raises(OperationError, match=r"the recipient is the author$"):
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
            with pytest.raises(OperationError, match="'' is not the id of a") as refused:
                await asked()
            assert refused.value.code == "invalid"


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
        with pytest.raises(OperationError, match="has a seat") as refused:
            await it.desk.seating.ask(AskForSeat(bond_msat=1))
        assert hint in refused.value.hint


async def test_a_node_that_does_not_know_itself_yet_is_told_to_wait(tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        stranger = replace(it.owner, signer=Signer(b"x" * 32, b""))
        with pytest.raises(OperationError, match="has not seen yet") as refused:
            await Desk(stranger, it.parts).seating.ask(AskForSeat())
        assert refused.value.code == "not_ready"
        with pytest.raises(OperationError, match="has not seen yet"):
            await Desk(stranger, it.parts).accounts.show(ShowAccount())
