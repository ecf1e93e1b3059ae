"""Handlers that stand in for a node behind the local socket: tasks echo their input at once."""

import hashlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio
from msgspec.structs import replace

from ambientd.api import (
    account_values,
    anchor_replies,
    naming,
    operations,
    peg_values,
    replies,
    requests,
)
from ambientd.api.answering import Handler
from ambientd.api.backup_values import CopiesUnderWay, CopyUnderWay, LookAtBackups
from ambientd.api.blame_replies import BlameFileReply, BlameInfo, Blames
from ambientd.api.census_replies import Cluster
from ambientd.api.learning_values import ListStudies, Studies, StudyInfo
from ambientd.api.local_socket import SocketLimits, serve_local_socket
from ambientd.api.material_values import GetMaterial, Material
from ambientd.api.owner_standing import OwnerStanding
from ambientd.api.owner_values import OwnerReply, Pause, SetOwner
from ambientd.api.paging import page
from ambientd.api.peg_values import PegInState
from ambientd.api.quotes import Quote
from ambientd.api.readiness_values import Readiness
from ambientd.api.requests import Request
from ambientd.api.seen_values import LinksTold, LinkTold, ListLinks, Seen
from ambientd.api.telemetry_values import NodeTelemetry, SeriesLine, ShowTelemetry
from ambientd.api.webhook_values import TestWebhook, WebhookTested
from ambientd.api.why_replies import NodeWhy, SlotWhy, StandingCount, Why
from ambientd.codec.bundles import encode_outcomes
from ambientd.model.bundle import ItemOutcome
from ambientd.rules.peg_networks import unaudited

NODE = "a1" * 32
LIAR = "b2" * 32
NOW_MS = 1_700_000_000_123
TRAPS = b"\0asm\1\0\0\0trap"
SLOW = b"\0asm\1\0\0\0slow"
ECHO = b"\0asm\1\0\0\0echo"


class DeskNode:
    """Keeps tasks in memory; a module that names "trap" or "slow" behaves so."""

    def __init__(self) -> None:
        self.tasks: dict[str, tuple[replies.Task, bytes]] = {}
        self.requests: list[msgspec.Struct] = []
        self.dialled_at = "127.0.0.1:4400"
        self.members_here: tuple[str, ...] = (NODE,)
        self.epoch_due: int | None = 3
        self.waiting_msat = 0
        self.held_by = ""
        self.is_poor = False
        self.has_coins: bool | None = True
        self.network = "regtest"
        self.someone_lied = True
        self.has_second_page = False
        self.material: Material
        self.studies: list[StudyInfo] = []
        self.later: list[dict[str, Any]] = []
        """What becomes of a task, one change each time that somebody waits for it."""
        self.copies: tuple[CopyUnderWay, ...] = ()
        """While there are some, a copy takes until somebody has looked at it twice."""
        self.looks = 0
        self.cancelled = trio.Event()
        self.entered = trio.Event()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ping": self.ping,
            "status": self.status,
            "ready": self.ready,
            "nodes": self.nodes,
            "node.show": self.node,
            "links": self.links,
            "cluster.show": self.cluster,
            "fl.list": self.list_studies,
            "telemetry.show": self.telemetry,
            "task.submit": self.submit,
            "task.quote": self.quote,
            "task.list": self.list_tasks,
            "task.show": self.show,
            "task.wait": self.wait,
            "task.why": self.why,
            "task.material": self.executed_with,
            "task.cancel": self.cancel,
            "task.output": self.output,
            "receipt.get": self.receipt,
            "blame.list": self.blames,
            "blame.export": self.export_blame,
            "cluster.invite": self.invite,
            "member.list": self.members,
            "member.ask": self.ask,
            "member.vote": self.vote,
            "account.show": self.account,
            "account.list": self.accounts,
            "account.history": self.history,
            "account.transfer": self.transfer,
            "account.bond": self.bond,
            "account.unbond": self.unbond,
            "anchor.status": self.anchors,
            "anchor.retry": self.retry_anchors,
            "anchor.plan": self.plan_anchors,
            "backup.create": self.backup,
            "backup.look": self.look_at_backups,
            "peg.address": self.peg_address,
            "peg.list": self.peg_list,
            "peg.quote": self.peg_quote,
            "peg.return.quote": self.peg_return_quote,
            "peg.return": self.peg_return,
            "peg.withdraw": self.peg_withdraw,
            "peg.raise": self.peg_raise,
            "peg.audit": self.peg_audit,
            "owner.show": self.owner,
            "owner.set": self.owner,
            "pause": self.owner,
            "resume": self.owner,
            "webhook.test": self.try_webhook,
            "events": self.events,
        }

    async def members(self, request: requests.ListMembers) -> replies.Members:
        word = replies.SeatWordInfo(node=NODE, wish="in")
        seats = tuple(
            replies.SeatInfo(
                id=key,
                name=name,
                member=key in self.members_here,
                asking=name != "node1",
                next=True,
                standing=51,
                bond_msat=50_000_000,
                tombstoned=False,
                words=() if name == "node1" else (word,),
            )
            for key, name in ((NODE, "node1"), (LIAR, "guest"))
        )
        return replies.Members(
            self_id=NODE, epoch=2, epoch_hash="ab" * 32, since_height=7, quorum=1, seats=seats
        )

    async def owner(self, request: Request) -> OwnerReply:
        self.requests.append(request)
        standing = OwnerStanding()
        is_small = isinstance(request, SetOwner) and request.memory_bytes_max == 2**20
        if isinstance(request, Pause):
            standing = OwnerStanding(closed="paused", text="paused by owner", told=False)
        return OwnerReply(
            standing=standing,
            running=2,
            cpu_percent=50,
            memory_bytes_max=2**30,
            hours=("Mon-Fri 18:00-08:00",),
            time_zone="CET (UTC+01:00)",
            on_battery=False,
            on_metered=True,
            metered_links=("usb0",),
            refuses=("media",),
            paused=isinstance(request, Pause),
            paused_until_ms=0,
            capacity=1,
            inputs_kept_ms=7 * 86_400_000,
            outputs_kept_ms=36 * 3_600_000,
            notes=("1 MiB are too few; say more",) if is_small else (),
        )

    async def try_webhook(self, _: TestWebhook) -> WebhookTested:
        taken = not self.is_poor
        text = "it answered 204" if taken else "it answered 401"
        status = 204 if taken else 401
        return WebhookTested(
            url="http://x", event="evt_1", status=status, delivered=taken, text=text
        )

    async def ask(self, request: requests.AskForSeat) -> replies.SeatSaid:
        return replies.SeatSaid(node=NODE, wish="in", epoch=2, epoch_due=None)

    async def vote(self, request: requests.VoteOnSeat) -> replies.SeatSaid:
        due = self.epoch_due if request.wish == "instead" else None
        return replies.SeatSaid(
            node=request.node or NODE, wish=request.wish, epoch=2, epoch_due=due
        )

    async def look_at_backups(self, _: LookAtBackups) -> CopiesUnderWay:
        self.looks += 1
        if self.looks == 2:
            self.entered.set()
        return CopiesUnderWay(copies=self.copies)

    async def backup(self, request: requests.CreateBackup) -> replies.BackupMade:
        if self.copies:
            await self.entered.wait()
        return replies.BackupMade(
            path=request.path, height=70, state_root="ab" * 32, size_bytes=4_096, from_height=7
        )

    async def peg_address(self, request: peg_values.GetPegAddress) -> peg_values.PegAddressReply:
        return peg_values.PegAddressReply(
            address="bcrt1qexample",
            index=1,
            wallet=2,
            network=self.network,
            descriptor="wsh(…)#abcdefgh",
            confirmations=6,
            least_sat=10_000,
            fee_sat=500,
            most_sat=1_000_000 if self.network == "main" else 0,
            room_sat=940_000,
            unaudited=unaudited(self.network),
        )

    def _payment(self, fee_sat: int) -> peg_values.PaymentInfo:
        return peg_values.PaymentInfo(
            payment=7,
            kind="peg-out",
            state="signing",
            amount_sat=20_000,
            fee_sat=fee_sat,
            arrives_sat=20_000 - fee_sat,
            versions=1,
            signatures=1,
            needed=3,
            txid="cc" * 32,
        )

    async def peg_list(self, request: peg_values.ListPeg) -> peg_values.PegList:
        if self.is_poor:
            return peg_values.PegList(peg_ins=(), payments=(), unseen="the chain is away")
        first = peg_values.PegInInfo(
            outpoint="aa:0",
            value_sat=10_000,
            wallet=2,
            is_late=False,
            state=PegInState.CONFIRMING,
            members=0,
            members_needed=3,
            confirmations=2,
            confirmations_needed=6,
            due_s=2_400,
            payment=0,
        )
        found = (
            first,
            replace(first, due_s=None, wallet=1, is_late=True),
            replace(first, state=PegInState.TOO_SMALL, value_sat=9_999, return_sat=200),
            replace(first, state=PegInState.TOO_SMALL, value_sat=700),
            replace(first, state=PegInState.TOO_LARGE, return_sat=200),
            replace(first, state=PegInState.TOO_LONG),
            replace(first, state=PegInState.RETURN_ASKED, members=1),
            replace(first, state=PegInState.RETURNING, payment=8),
            replace(first, state=PegInState.RETURNED),
            replace(first, state=PegInState.AWAITED, confirmations=6),
            replace(first, state=PegInState.CLAIMED, members=2, value_sat=50_000),
            replace(first, state=PegInState.LATE, payment=9),
            replace(first, state=PegInState.WAITING),
            replace(first, state=PegInState.COUNTED, confirmations=None, value_sat=60_000),
        )
        return peg_values.PegList(peg_ins=found, payments=(self._payment(400),), unseen="")

    async def peg_quote(self, request: peg_values.QuoteWithdrawal) -> peg_values.WithdrawalQuote:
        fee_sat = request.rate_msat_vb // 5 or 400
        arrives_sat = request.amount_sat - fee_sat
        return peg_values.WithdrawalQuote(
            amount_sat=request.amount_sat, fee_sat=fee_sat, arrives_sat=arrives_sat
        )

    async def peg_withdraw(self, request: peg_values.Withdraw) -> peg_values.PaymentInfo:
        self.requests.append(request)
        return self._payment(400)

    async def peg_return_quote(self, request: peg_values.QuoteReturn) -> peg_values.ReturnInfo:
        return self._return(request.outpoint, request.rate_msat_vb // 5 or 400)

    async def peg_return(self, request: peg_values.ReturnPegIn) -> peg_values.ReturnInfo:
        self.requests.append(request)
        return self._return(request.outpoint, request.fee_sat, 0 if self.is_poor else 8)

    def _return(self, outpoint: str, fee_sat: int, payment: int = 0) -> peg_values.ReturnInfo:
        return peg_values.ReturnInfo(
            outpoint=outpoint,
            value_sat=4_000,
            fee_sat=fee_sat,
            arrives_sat=4_000 - fee_sat,
            payment=payment,
        )

    async def peg_raise(self, request: peg_values.RaiseFee) -> peg_values.PaymentInfo:
        self.requests.append(request)
        return self._payment(request.fee_sat)

    async def peg_audit(self, request: peg_values.AuditPeg) -> peg_values.PegAudit:
        coin = peg_values.CoinInfo(
            outpoint="ee:1",
            value_sat=60_000,
            address="bcrt1qexample",
            is_unspent=self.has_coins,
        )
        return peg_values.PegAudit(
            unseen="the chain did not say it" if self.is_poor else "",
            network=self.network,
            held_sat=60_000,
            reserved_sat=0,
            waiting_sat=0,
            owed_msat=60_000_000,
            in_sat=60_000,
            out_sat=0,
            fees_sat=0,
            fault="",
            descriptors=("wsh(…)#abcdefgh",),
            coins=(coin,),
            payments=(self._payment(400),),
            missing_sat=60_000 if self.has_coins is False else 0,
            most_sat=1_000_000 if self.network == "main" else 0,
            unaudited=unaudited(self.network),
        )

    async def account(self, request: requests.ShowAccount) -> replies.Account:
        own = request.node is None or NODE.startswith(request.node.lower())
        return replies.Account(
            node=NODE if own else LIAR,
            name="node1" if own else "evil\x1b[31m",
            balance_msat=4_000,
            bond_msat=6_500,
            waiting_msat=self.waiting_msat,
            due_ms=NOW_MS + 1_000 if self.waiting_msat else None,
            held_by=self.held_by,
            escrow_msat=0,
            tombstoned=not own,
            time_ms=NOW_MS,
        )

    async def accounts(self, request: account_values.ListAccounts) -> account_values.Accounts:
        name, node = ("second", LIAR) if request.after else ("evil\x1b[31m", NODE)
        line = account_values.AccountLine(
            node=node, name=name, balance_msat=5, bond_msat=1_000, waiting_msat=0, tombstoned=False
        )
        return account_values.Accounts(
            accounts=(line,), total=2, next=None if request.after else NODE
        )

    async def history(self, request: account_values.ShowHistory) -> account_values.History:
        fee = account_values.HistoryEntry(
            time_ms=NOW_MS, kind="fee", task="ab" * 32, amount_msat=-1_500
        )
        return account_values.History(
            node=NODE, name="node1", entries=(fee,) * request.limit, total=70, next="on"
        )

    async def _moved(self, kind: str, request: Any, to: str | None = None) -> replies.AccountMoved:
        self.requests.append(request)
        account = await self.account(requests.ShowAccount())
        amount_msat = request.amount_msat
        return replies.AccountMoved(kind=kind, amount_msat=amount_msat, to=to, account=account)

    async def transfer(self, request: requests.TransferCredits) -> replies.AccountMoved:
        return await self._moved("transfer", request, request.to)

    async def bond(self, request: requests.RaiseBond) -> replies.AccountMoved:
        if request.amount_msat > 4_000:
            raise operations.OperationError("rejected", "nothing was moved: too little", "earn")
        return await self._moved("bond", request)

    async def unbond(self, request: requests.AskBondBack) -> replies.AccountMoved:
        return await self._moved("unbond", request)

    async def ping(self, request: requests.Ping) -> replies.Pong:
        return replies.Pong(version="0", now_ms=NOW_MS)

    async def links(self, request: ListLinks) -> LinksTold:
        told = LinkTold(by=LIAR, to=NODE, one_way_us=None, age_ms=7_500)
        own = LinkTold(by=NODE, to=LIAR, one_way_us=1_250, age_ms=0)
        return LinksTold(self_id=NODE, links=(own, told))

    async def status(self, request: requests.GetStatus) -> replies.Status:
        return replies.Status(
            node=NODE,
            name="node1",
            version="0.1.0",
            cluster="test",
            fingerprint="cd" * 32,
            uptime_ms=5,
            term=3,
            coordinator=NODE,
            committed_height=41,
            committee=4,
            peers=(LIAR,),
            health_percent=None,
            safe_mode=replies.SafeMode(active=False),
            tasks={"final": len(self.tasks)},
            engine="wasmtime",
            engines_installed=("wasmtime",),
            sandbox=replies.Sandbox(active=("seccomp",), missing=("landlock",)),
            chain=replies.ChainStatus(kind="embedded", state="ready", height=107),
            balance_msat=999_999_500,
            seen=Seen(port=4400, answered=3, tried=3, reached=2, saying=3, linked=3, age_ms=20_000),
            troubles=(
                replies.Trouble(
                    kind=replies.TroubleKind.NO_QUORUM, text="no quorum", hint="start the others"
                ),
            ),
        )

    async def nodes(self, request: requests.ListNodes) -> replies.Nodes:
        node = replies.NodeInfo(
            id=NODE,
            name="evil\x1b[31m",
            owner="ada",
            labels=("disk=ssd",),
            refuses=("media",),
            region="local",
            kind="compute",
            committee=True,
            connected=True,
            health_percent=93,
            reputation=0.25,
            safe_mode=False,
            engine="wasmtime",
            balance_msat=5,
            bond_msat=1_000,
            tombstoned=False,
            accepting=False,
        )
        if self.has_second_page and not request.after:
            return replies.Nodes(self_id=NODE, nodes=(node,), next=NODE)
        if request.after:
            node = msgspec.structs.replace(node, id=LIAR, name="second")
        return replies.Nodes(self_id=NODE, nodes=(node,))

    async def ready(self, request: requests.GetReadiness) -> Readiness:
        if self.is_poor:
            raise operations.OperationError("unready", "no quorum", "start the others")
        return Readiness(ready=True)

    async def node(self, request: requests.ShowNode) -> replies.NodeInfo:
        naming.match_node(request.node, {NODE: "node1"})
        return (await self.nodes(requests.ListNodes())).nodes[0]

    async def telemetry(self, request: ShowTelemetry) -> NodeTelemetry:
        hot = SeriesLine(
            name="temperature_celsius", unit="°C", source="thermal", values=(None, 40.0, 60.0, 90.0)
        )
        return NodeTelemetry(
            node=NODE,
            name="node1",
            span=request.span,
            from_ms=NOW_MS - 40_000,
            step_ms=10_000,
            kept=not self.is_poor,
            safe_mode=True,
            causes=("hot",),
            energy_wh=1.25,
            lines=() if self.is_poor else (hot,),
        )

    async def cluster(self, request: requests.ShowCluster) -> Cluster:
        return Cluster(
            name="test",
            fingerprint="cd" * 32,
            term=3,
            coordinator=NODE,
            committed_height=41,
            time_ms=NOW_MS,
            epoch=2,
            committee=4,
            nodes=1,
            connected=0,
            tasks={"final": len(self.tasks)},
            receipts=0,
            anchored=0,
            studies={"running": len(self.studies), "failed": 2},
        )

    async def list_studies(self, request: ListStudies) -> Studies:
        return Studies(studies=self.studies[: request.limit])

    async def quote(self, request: requests.QuoteTask) -> Quote:
        self.requests.append(request)
        replicas = request.replicas or 2
        fee = (request.gas_max or 1_000) * (request.price_msat_per_mgas or 1)
        return Quote(
            assurance=request.assurance,
            replicas=replicas,
            replicas_max=replicas,
            gas_max=request.gas_max or 1_000,
            slot_fee_msat=fee,
            likely_msat=fee * replicas,
            escrow_msat=fee * (replicas + 1),
            reserve_msat=fee,
            balance_msat=10**9,
            ask_above_msat=1_000_000,
            suited=0 if "region=nowhere" in request.constraints else 8,
        )

    async def submit(self, request: requests.SubmitTask) -> replies.Submitted:
        self.requests.append(request)
        data = b"".join((request.input, *request.items))
        name = hashlib.sha256(request.nonce + request.module + data).hexdigest()
        if name in self.tasks:
            return replies.Submitted(task_id=name, known=True)
        outcome, state = "completed", "final"
        if b"trap" in request.module:
            outcome = "trapped"
        if b"slow" in request.module or b"slow" in request.items:
            outcome, state = "none", "assigned"
        if request.items and b"huge" in data:
            outcome = "trapped"  # their outputs are too large together
        output = encode_outcomes(list(map(_item, request.items))) if request.items else data
        if request.items and b"liar" in request.module:
            output = b"no outcomes"
        if not request.items and _item(data).kind:
            outcome = "trapped"
        task = _task(name, request, outcome, state)
        if request.items and outcome == "completed":
            done = sum(not _item(each).kind for each in request.items)
            task = msgspec.structs.replace(task, items=len(request.items), items_completed=done)
        self.tasks[name] = (task, output)
        return replies.Submitted(task_id=name)

    def find(self, name: str) -> tuple[replies.Task, bytes]:
        return self.tasks[naming.match_id(name, self.tasks)]

    async def list_tasks(self, request: requests.ListTasks) -> replies.Tasks:
        lines = [
            replies.TaskLine(
                task_id=task.task_id,
                state=task.state,
                outcome=task.outcome,
                verdict=task.verdict,
                gas=task.gas,
                replicas=task.replicas,
                submitter=task.submitter,
                submitted_ms=task.submitted_ms,
                items=task.items,
                items_completed=task.items_completed,
            )
            for task, _ in self.tasks.values()
        ]
        found, following = page(lines, lambda each: each.task_id, request.limit, request.after)
        return replies.Tasks(tasks=tuple(found), total=len(lines), next=following)

    async def show(self, request: requests.ShowTask) -> replies.Task:
        return self.find(request.task)[0]

    async def wait(self, request: requests.WaitForTask) -> replies.Task:
        self.requests.append(request)
        task, data = self.find(request.task)
        if self.later:
            task = msgspec.structs.replace(task, **self.later.pop(0))
            self.tasks[task.task_id] = (task, data)
        elif task.state != "final" and request.seen in {"", task.state}:
            await trio.sleep(request.timeout_ms / 1000)
        return task

    async def executed_with(self, request: GetMaterial) -> Material:
        return self.material

    async def why(self, request: requests.ExplainTask) -> Why:
        task, _ = self.find(request.task)
        return Why(
            task_id=task.task_id,
            state=task.state,
            text="its workers have it in hand",
            waits_for="" if task.state == "final" else "its workers to answer",
            until_ms=None,
            slots=(
                SlotWhy(
                    slot=0,
                    attempt=1,
                    node=LIAR,
                    name="lab",
                    given_ms=1_700_000_000_000,
                    strategy="weighted",
                    chance_percent=40,
                    counts=(StandingCount(standing="chosen", nodes=1, text="got the slot"),),
                    nodes=(
                        NodeWhy(
                            node=LIAR,
                            name="lab",
                            standing="chosen",
                            text="got the slot",
                            open_slots=1,
                            capacity=2,
                        ),
                    ),
                ),
                SlotWhy(slot=1, attempt=0, node=LIAR, name="attic"),
            ),
        )

    async def cancel(self, request: requests.CancelTask) -> replies.Task:
        task, data = self.find(request.task)
        if task.state == "final":
            msg = "a task that is final cannot be cancelled"
            raise operations.OperationError("rejected", msg)
        task = msgspec.structs.replace(task, state="cancelled", refunded_msat=2_000)
        self.tasks[task.task_id] = (task, data)
        return task

    async def output(self, request: requests.GetOutput) -> replies.Output:
        task, data = self.find(request.task)
        if task.outcome != "completed":
            raise operations.OperationError("not_found", "the task has no output")
        return replies.Output(task_id=task.task_id, data=data, sha256="", standing=task.standing)

    async def receipt(self, request: requests.GetReceipt) -> replies.ReceiptFileReply:
        task, _ = self.find(request.task)
        return replies.ReceiptFileReply(task_id=task.task_id, data=b"rcpt", receipt=task.receipt)

    async def blames(self, request: requests.ListBlames) -> Blames:
        blame = BlameInfo(
            node=LIAR,
            name=f"liar ({LIAR[:12]})",
            kind="false-step",
            task="cc" * 32,
            exportable=True,
        )
        return Blames(blames=(blame,) if self.someone_lied else ())

    async def export_blame(self, request: requests.ExportBlame) -> BlameFileReply:
        self.requests.append(request)
        return BlameFileReply(
            node=LIAR, name="liar", kind="false-step", task="cc" * 32, data=b"blm"
        )

    async def invite(self, request: requests.Invite) -> replies.Invitation:
        return replies.Invitation(
            token="TOKEN",
            expires_ms=NOW_MS + request.expires_in_ms,
            addresses=(f"{NODE}@{self.dialled_at}",),
            loopback=self.dialled_at.startswith("127."),
        )

    async def anchors(self, request: requests.GetAnchors) -> anchor_replies.Anchors:
        anchor = anchor_replies.AnchorInfo(
            size=4,
            root="ee" * 32,
            state="anchored",
            txid="ff" * 32,
            height=110,
            confirmations=6,
            fee_sat=1_570,
            versions=2,
        )
        return anchor_replies.Anchors(
            chain=replies.ChainStatus(kind="embedded", state="ready", height=116),
            receipts=4,
            receipts_anchored=4,
            anchors=(anchor,),
            troubles=(
                replies.Trouble(
                    kind=replies.TroubleKind.ANCHOR_LATE, text="no anchor", hint="set a chain"
                ),
            ),
        )

    async def retry_anchors(self, _: requests.RetryAnchors) -> anchor_replies.AnchorsRetried:
        chain = replies.ChainStatus(kind="embedded", state="out of funds: 0 sat", height=116)
        return anchor_replies.AnchorsRetried(anchors=1, chain=chain)

    async def plan_anchors(self, request: requests.PlanAnchors) -> anchor_replies.AnchorPlan:
        costs = tuple(
            anchor_replies.AnchorCost(
                rate_msat_vb=rate,
                anchor_sat=rate * 157 // 1_000,
                day_msat=rate * 157,
                receipt_msat=rate * 157 // request.receipts_a_day,
                allowed=rate < 50_000,
            )
            for rate in request.rates_msat_vb
        )
        return anchor_replies.AnchorPlan(
            network="regtest",
            vsize=157,
            period_ms=request.period_ms,
            receipts_a_day=request.receipts_a_day,
            estimate_msat_vb=None,
            fee_sat_max=10_000,
            fee_sat_a_day_max=0,
            costs=costs,
        )

    async def events(self, request: requests.FollowEvents) -> AsyncIterator[replies.Event]:
        fields: dict[str, Any] = {"task": "77" * 32, "slot": 1, "node": NODE}
        yield replies.Event(time_ms=NOW_MS, kind="task_assigned", text="slot 1", fields=fields)
        if request.tasks:
            try:
                self.entered.set()
                await trio.sleep_forever()
            finally:
                self.cancelled.set()


def _item(data: bytes) -> ItemOutcome:
    """Give what became of an item: its own bytes, unless it is one that traps."""
    if data.startswith(b"bad"):
        return ItemOutcome(kind=1, reason="unreachable", gas=1000, output=b"")
    return ItemOutcome(kind=0, reason="", gas=43, output=data)


def _task(name: str, request: requests.SubmitTask, outcome: str, state: str) -> replies.Task:
    final = state == "final"
    completed = outcome == "completed"
    fault = replies.EvidenceInfo(
        culprit=LIAR,
        kind="wrong_result",
        detail="3 of 4 referees disagree",
        reputation_before=0.25,
        reputation_after=0.0,
    )
    return replies.Task(
        task_id=name,
        state=state,
        submitter=NODE,
        submitted_ms=NOW_MS,
        assurance=request.assurance,
        replicas=request.replicas or 2,
        module_sha256=hashlib.sha256(request.module).hexdigest(),
        input_sha256=hashlib.sha256(request.input).hexdigest(),
        gas_max=request.gas_max or 1_000,
        price_msat_per_mgas=1,
        slots=(replies.SlotInfo(slot=0, attempt=0, worker=NODE, state="revealed"),),
        outcome=outcome,
        reason="unreachable" if outcome == "trapped" else "",
        gas=1234 if final else None,
        output_sha256=hashlib.sha256(request.input).hexdigest() if completed else None,
        output_size_bytes=len(request.input) if completed else None,
        verdict="agreed" if final else "none",
        liars=(LIAR,) if final else (),
        evidence=(fault,) if final else (),
        fee_msat=2_000,
        escrow_msat=0,
        paid_msat=1_500,
        refunded_msat=500,
        payments=(replies.WorkerPay(worker=NODE, amount_msat=1_500),),
        energy=(replies.EnergyInfo(worker=NODE, slot=0, millijoules=None, source="no RAPL"),),
        receipt=replies.ReceiptState(state="batched" if final else "none"),
        history=(replies.HistoryLine(time_ms=NOW_MS, text="admitted"),),
        task_class=request.task_class or "general",
        constraints=request.constraints,
        distinct=request.distinct or (),
        deadline_ms=request.deadline_ms or None,
        strategy=request.strategy or "weighted",
        attempts_max=request.attempts_max or 4,
    )


@contextmanager
def served(
    path: Path, handlers: Mapping[str, Handler], limits: SocketLimits | None = None
) -> Iterator[None]:
    """Serve handlers on a real socket from a thread, for callers that block."""
    up = threading.Event()
    stop: list[Any] = []

    class Status:
        def started(self) -> None:
            up.set()

    async def run() -> None:
        with trio.CancelScope() as scope:
            stop.append((trio.lowlevel.current_trio_token(), scope))
            await serve_local_socket(path, handlers, limits, task_status=Status())

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    try:
        assert up.wait(60)
        yield
    finally:
        token, scope = stop[0]
        token.run_sync_soon(scope.cancel)
        thread.join(60)
        assert not thread.is_alive()
