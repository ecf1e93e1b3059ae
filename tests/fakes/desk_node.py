"""Handlers that stand in for a node behind the local socket: tasks echo their input at once."""

import hashlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from ambientd.api import operations, peg_values, replies, requests
from ambientd.api.blame_replies import BlameFileReply, BlameInfo, Blames
from ambientd.api.local_socket import Handler, SocketLimits, serve_local_socket
from ambientd.api.quotes import Quote

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
        self.waiting_msat = 0
        self.held_by = ""
        self.is_poor = False
        self.has_coins: bool | None = True
        self.someone_lied = True
        self.cancelled = trio.Event()
        self.entered = trio.Event()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ping": self.ping,
            "status": self.status,
            "nodes": self.nodes,
            "task.submit": self.submit,
            "task.quote": self.quote,
            "task.list": self.list_tasks,
            "task.show": self.show,
            "task.wait": self.wait,
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
            "account.transfer": self.transfer,
            "account.bond": self.bond,
            "account.unbond": self.unbond,
            "anchor.status": self.anchors,
            "anchor.retry": self.retry_anchors,
            "anchor.plan": self.plan_anchors,
            "peg.address": self.peg_address,
            "peg.list": self.peg_list,
            "peg.withdraw": self.peg_withdraw,
            "peg.raise": self.peg_raise,
            "peg.audit": self.peg_audit,
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

    async def ask(self, request: requests.AskForSeat) -> replies.SeatSaid:
        return replies.SeatSaid(node=NODE, wish="in", epoch=2, epoch_due=None)

    async def vote(self, request: requests.VoteOnSeat) -> replies.SeatSaid:
        due = 3 if request.wish == "instead" else None
        return replies.SeatSaid(
            node=request.node or NODE, wish=request.wish, epoch=2, epoch_due=due
        )

    async def peg_address(self, request: peg_values.GetPegAddress) -> peg_values.PegAddressReply:
        return peg_values.PegAddressReply(
            address="bcrt1qexample",
            index=1,
            wallet=2,
            network="regtest",
            descriptor="wsh(…)#abcdefgh",
            confirmations=6,
            least_sat=10_000,
            fee_sat=500,
        )

    def _payment(self, fee_sat: int) -> peg_values.PaymentInfo:
        return peg_values.PaymentInfo(
            payment=7,
            kind="peg-out",
            state="signing",
            amount_sat=20_000,
            fee_sat=fee_sat,
            versions=1,
            signatures=1,
            needed=3,
            txid="cc" * 32,
        )

    async def peg_list(self, request: peg_values.ListPeg) -> peg_values.PegList:
        if self.is_poor:
            return peg_values.PegList(peg_ins=(), payments=())
        seen = peg_values.PegInInfo(
            outpoint="dd:0", value_sat=50_000, wallet=2, state="claimed", members=2
        )
        counted = peg_values.PegInInfo(
            outpoint="ee:1", value_sat=60_000, wallet=1, state="counted", members=0
        )
        return peg_values.PegList(peg_ins=(seen, counted), payments=(self._payment(400),))

    async def peg_withdraw(self, request: peg_values.Withdraw) -> peg_values.PaymentInfo:
        self.requests.append(request)
        return self._payment(400)

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
            network="regtest",
            held_sat=60_000,
            reserved_sat=0,
            owed_msat=60_000_000,
            in_sat=60_000,
            out_sat=0,
            fees_sat=0,
            fault="",
            descriptors=("wsh(…)#abcdefgh",),
            coins=(coin,),
            payments=(self._payment(400),),
            missing_sat=60_000 if self.has_coins is False else 0,
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
        return replies.Nodes(self_id=NODE, nodes=(node,))

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
        name = hashlib.sha256(request.nonce + request.module + request.input).hexdigest()
        if name in self.tasks:
            return replies.Submitted(task_id=name, known=True)
        outcome, state = "completed", "final"
        if b"trap" in request.module:
            outcome = "trapped"
        if b"slow" in request.module:
            outcome, state = "none", "assigned"
        self.tasks[name] = (_task(name, request, outcome, state), request.input)
        return replies.Submitted(task_id=name)

    def find(self, name: str) -> tuple[replies.Task, bytes]:
        return self.tasks[operations.match_id(name, self.tasks)]

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
            )
            for task, _ in self.tasks.values()
        ]
        return replies.Tasks(tasks=tuple(lines[: request.limit]), total=len(lines))

    async def show(self, request: requests.ShowTask) -> replies.Task:
        return self.find(request.task)[0]

    async def wait(self, request: requests.WaitForTask) -> replies.Task:
        self.requests.append(request)
        task, _ = self.find(request.task)
        if task.state != "final" and request.seen in {"", task.state}:
            await trio.sleep(request.timeout_ms / 1000)
        return task

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

    async def anchors(self, request: requests.GetAnchors) -> replies.Anchors:
        anchor = replies.AnchorInfo(
            size=4,
            root="ee" * 32,
            state="anchored",
            txid="ff" * 32,
            height=110,
            confirmations=6,
            fee_sat=1_570,
            versions=2,
        )
        return replies.Anchors(
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

    async def retry_anchors(self, _: requests.RetryAnchors) -> replies.AnchorsRetried:
        chain = replies.ChainStatus(kind="embedded", state="out of funds: 0 sat", height=116)
        return replies.AnchorsRetried(anchors=1, chain=chain)

    async def plan_anchors(self, request: requests.PlanAnchors) -> replies.AnchorPlan:
        costs = tuple(
            replies.AnchorCost(
                rate_msat_vb=rate,
                anchor_sat=rate * 157 // 1_000,
                day_msat=rate * 157,
                receipt_msat=rate * 157 // request.receipts_a_day,
                allowed=rate < 50_000,
            )
            for rate in request.rates_msat_vb
        )
        return replies.AnchorPlan(
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
        payments=(replies.PaymentInfo(worker=NODE, amount_msat=1_500),),
        energy=(replies.EnergyInfo(worker=NODE, slot=0, millijoules=None, source="no RAPL"),),
        receipt=replies.ReceiptState(state="batched" if final else "none"),
        history=(replies.HistoryLine(time_ms=NOW_MS, text="admitted"),),
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
        assert up.wait(10)
        yield
    finally:
        token, scope = stop[0]
        token.run_sync_soon(scope.cancel)
        thread.join(10)
        assert not thread.is_alive()
