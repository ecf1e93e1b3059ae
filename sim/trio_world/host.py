"""A node of a trio world: store, pump, performer, transport and desk as the daemon has them."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import trio

from ambientd.api import operations
from ambientd.api.answering import Handler
from ambientd.api.desk import Desk, Owner
from ambientd.api.handlers import build_handlers
from ambientd.api.operations import OperationError
from ambientd.api.requests import CancelTask, SubmitTask
from ambientd.codec.canonical import encode
from ambientd.codec.statements import task_id
from ambientd.config.options import Config
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.learning_effect import RoundWish
from ambientd.model.record import Admit, Cancel, Record
from ambientd.node.build import NodeOptions, beacon_tip, build_node
from ambientd.node.core import Node
from ambientd.node.effect import (
    AllowNodes,
    BroadcastFrame,
    NodeEffect,
    Persist,
    PublishGossip,
    SendFrame,
)
from ambientd.node.event import BodiesProposed, Event, RecordOffered
from ambientd.ports.store import Store
from ambientd.ports.transport import HostPort, PeerAddress, TransportOptions
from ambientd.rules.bundles import is_bundle
from ambientd.runtime.blobs import Blobs, SealedBlobs
from ambientd.runtime.joining import Joining
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.news import News
from ambientd.runtime.ownership import Ownership
from ambientd.runtime.performer import TELEMETRY_TOPIC, Performer
from ambientd.runtime.persistence import StoredBlocks, recover
from ambientd.runtime.pump import Perform, Pump
from ambientd.runtime.service import Parts, run_node
from sim.bundles import items_of
from sim.learners import RememberedConsents, WholeNumbers
from sim.machine import Delivery, Effect
from sim.node_machine import ABORTS_PERMILLE, FRAME, GOSSIP, SAMPLE_MS, Persisted
from sim.parties import SilentParty
from sim.trio_world.anchors import SimulatedAnchors
from sim.trio_world.executions import PretendedEngines, PretendedExecutor, Shelf
from sim.trio_world.medium import Medium
from sim.trio_world.owner import CalmDevice, KeptTerms, NoCaps
from sim.trio_world.sky import now_ms
from sim.trio_world.transport import MemoryTransport, open_memory_transport
from sim.trio_world.writer import ThreadlessWriter, open_threadless
from sim.vices import Resident, Vice, Wanted, Wish

SYNC_MS_MAX = 8
ASK_AGAIN_S = 1.0
MEDDLE_S = 2.0
FORGETS_MS = 3_600_000  # no world that keeps tasks so long sees one forgotten

TRANSPORT = TransportOptions(
    topics=frozenset({TELEMETRY_TOPIC}), idle_limit_s=3.5, link_deadline_s=2.0, slow_limit_s=30.0
)


@dataclass(frozen=True, slots=True)
class Around:
    """What a host is told by its world, and what it tells it."""

    medium: Medium
    addresses: Mapping[bytes, HostPort]
    contents: Mapping[Digest, bytes]
    now: Callable[[], int]
    paused_until: Callable[[], int]
    may_go_on: Callable[[], bool]
    saw_effect: Callable[[Effect], None]
    saw_delivery: Callable[[Delivery], None]


@dataclass(frozen=True, slots=True)
class Life:
    """What there is of a node between a start and the next crash."""

    node: Node
    nursery: trio.Nursery
    handlers: Mapping[str, Handler]
    joining: Joining
    pump: Pump
    transport: MemoryTransport
    writer: ThreadlessWriter


class WatchedPump(Pump):
    """The daemon's pump; its world sees each effect, and may let the node crash before it."""

    def __init__(self, node: Node, writer: ThreadlessWriter, host: "TrioHost") -> None:
        super().__init__(node, host.around.now, writer)
        self._threadless = writer
        self._host = host

    async def _carry_out(self, effects: list[NodeEffect], perform: Perform) -> None:
        around = self._host.around
        if now_ms() < around.paused_until():
            await trio.sleep_until(around.paused_until() / 1000)
        persist = tuple(effect for effect in effects if isinstance(effect, Persist))
        if persist:
            if not around.may_go_on():
                return
            durable = Persisted(persist)
            self._threadless.tell_when_durable(lambda: self._host.sees(durable))

        def watched(effect: NodeEffect) -> None:
            for each in self._host.twisted(effect):
                if not around.may_go_on():
                    return
                self._host.sees(each)
                if isinstance(each, Wanted) and self._host.declines(each):
                    continue
                if isinstance(each, RoundWish) and self._host.has_dropped_out:
                    continue
                perform(each)

        await super()._carry_out(effects, watched)


class TrioHost(Resident):
    """Hosts one daemon without its process."""

    def __init__(self, options: NodeOptions, seed: int, vices: frozenset[Vice]) -> None:
        super().__init__(options, random.Random(seed), vices)
        self.around: Around
        self.open_store: Callable[[], Store] = lambda: self.disk
        self.shelf = Shelf()
        self.terms = KeptTerms()
        self.life: Life | None = None
        self.aborts_permille = ABORTS_PERMILLE

    # What its world lets happen to it.

    def clock(self) -> int:
        """Give the time that it goes by; milliseconds."""
        return now_ms()

    async def live(self) -> None:
        """Run from what the store holds until cancelled."""
        around, genesis = self.around, self.options.genesis
        store = self.open_store()
        found = recover(store, genesis, self.versions)
        async with open_threadless(store, self._sync_ms) as writer:
            self.node = node = build_node(
                self.options,
                found.ledger,
                found.log,
                found.last_telemetry_epoch(around.now()),
                StoredBlocks(writer),
                self._dice,
                found.kept,
                found.marks,
                found.asked,
            )
            if Vice.SILENT in self.vices:
                node._cores.disputer = SilentParty(self.signer)
            pump = WatchedPump(node, writer, self)
            joining = Joining(pump, found.ledger, around.now)
            sealed = SealedBlobs(self.shelf)
            async with open_memory_transport(
                around.medium,
                self.key,
                self._transport_options(),
                allowed=found.ledger.allowed_nodes(),
                serve_blob=sealed.give,  # nothing goes by chunks in this world
                serve_join=joining.serve,
                rng=self._dice,
            ) as transport:
                blobs = Blobs(
                    self.shelf,
                    transport.request_blob,
                    lambda: [NodeId(peer) for peer in sorted(transport.peers())],
                    sealed,
                )
                parts = self._parts(node, pump, transport, blobs)
                await run_node(parts, partial(self._serve, parts, joining, transport, writer))

    def _parts(self, node: Node, pump: Pump, transport: MemoryTransport, blobs: Blobs) -> Parts:
        engines = PretendedEngines(self.key, self._dice, self.aborts_permille, self.vices)
        return Parts(
            node=node,
            pump=pump,
            transport=transport,
            executor=PretendedExecutor(self, pump, engines, blobs),
            blobs=blobs,
            news=News(),
            probe=self,
            anchors=self._anchors(),
            now=self.around.now,
            sample_s=SAMPLE_MS / 1000,
            owner=Ownership(self.terms, CalmDevice(), NoCaps(), self.around.now),
            learning=LearningHost(WholeNumbers, RememberedConsents(), blobs, self.shelf),
        )

    def _anchors(self) -> SimulatedAnchors | None:
        return None if self.notary is None else SimulatedAnchors(self.notary, self.around.now)

    def _transport_options(self) -> TransportOptions:
        others = sorted(self.around.addresses.items())
        return replace(
            TRANSPORT,
            listen=self.around.addresses[self.key],
            bootstrap=tuple(PeerAddress(k, a.host, a.port) for k, a in others if k != self.key),
        )

    def _sync_ms(self) -> int:
        return self._dice.randrange(SYNC_MS_MAX)

    async def _serve(
        self,
        parts: Parts,
        joining: Joining,
        transport: MemoryTransport,
        writer: ThreadlessWriter,
        _: Performer,
    ) -> None:
        """Answer the owner, as the daemon does at its local socket."""
        desk = Desk(self._owner(), parts)
        async with trio.open_nursery() as nursery:
            handlers = build_handlers(desk)
            self.life = Life(parts.node, nursery, handlers, joining, parts.pump, transport, writer)
            nursery.start_soon(desk.keep_chronicle)
            if Vice.MEDDLE in self.vices:
                nursery.start_soon(self._meddle, parts)
            for wish in self.open_wishes(parts.node.ledger):
                nursery.start_soon(self._bring, wish, self.life)
            await trio.sleep_forever()

    def _owner(self) -> Owner:
        secrets = self._dice
        return Owner(
            signer=self.signer,
            config=Config(),
            name="sim",
            engine="sim 1",
            engines_installed=("sim",),
            protections=(),
            protections_missing=(),
            addresses=(f"{self.key.hex()}@{self.around.addresses[self.key]}",),
            draw_secret=secrets.randbytes,
            beacon_tip=partial(beacon_tip, self.options.seed),
            started_ms=self.around.now(),
        )

    def die(self) -> None:
        """Lose everything but the store and the blobs; nothing more is written or sent."""
        if self.life is not None:
            self.life.writer.stop()
        if self.notary is not None:
            self.notary.crash()
        self.life = self.node = None

    def sees(self, effect: Effect) -> None:
        """Let the world look at an effect that is carried out."""
        if isinstance(effect, AllowNodes):
            self._allowed = effect.nodes
        if isinstance(effect, Persisted) and self.wanted:
            self.open_wishes(self.ledger)
        self.around.saw_effect(effect)
        match effect:
            case SendFrame(to=to, frame=frame):
                self.around.saw_delivery(Delivery(to, FRAME + frame))
            case BroadcastFrame(frame=frame):
                self.around.saw_delivery(Delivery(None, FRAME + frame))
            case PublishGossip(data=data):
                self.around.saw_delivery(Delivery(None, GOSSIP + data))
            case _:
                pass

    # What its owner and strangers want.

    def want(self, wish: Wish, now: int) -> Sequence[object]:
        """Bring what the owner wants to the desk, across crashes, until the ledger shows it."""
        del now
        self.keep(wish)
        if self.life is not None:
            self.life.nursery.start_soon(self._bring, wish, self.life)
        return []

    def feed(self, events: Sequence[Event], now: int) -> Sequence[object]:
        """Take what strangers bring by the way that is open to them: the join protocol."""
        del now
        for event in events:
            assert isinstance(event, RecordOffered), "strangers bring records"
            if self.life is not None:
                record = event.record
                serve = self.life.joining.serve
                self.life.nursery.start_soon(serve, record.author, encode(record))
        return []

    async def _bring(self, wish: Wish, life: Life) -> None:
        match wish:
            case Admit():
                await self._submit(wish, life)
            case Cancel(task=task):
                await self._ask(life, operations.TASK_CANCEL.name, CancelTask(task=task.hex()))
                if self.node is not None and self.node.asked.was_taken_back(task):
                    self._want_no_more(task)
            case Record():
                await life.pump.post(RecordOffered(wish))
            case _:
                await life.pump.post(BodiesProposed((wish,)))

    def _want_no_more(self, task: TaskId) -> None:
        """Forget a task that its owner took back before the log had it: it is not to come."""
        for name, wish in list(self.wanted.items()):
            if isinstance(wish, Admit) and task_id(NodeId(self.key), wish.nonce, wish.spec) == task:
                del self.wanted[name]

    async def _submit(self, wish: Admit, life: Life) -> None:
        """Ask again, with the same nonce, until the log has decided."""
        spec = wish.spec
        request = SubmitTask(
            module=self.around.contents[spec.module],
            input=b"" if is_bundle(spec) else self.around.contents[spec.input],
            items=items_of(spec.items) if is_bundle(spec) else (),
            assurance=spec.assurance_name,
            replicas=spec.replicas,
            gas_max=spec.gas_max // spec.items,
            memory_bytes_max=spec.memory_bytes_max,
            wall_ms_max=spec.wall_ms_max // spec.items,
            output_bytes_max=spec.output_bytes_max,
            price_msat_per_mgas=spec.price_msat_per_mgas,
            cycles_max=0 if spec.proof is None else spec.proof.cycles_max,
            price_msat_per_mcycle=0 if spec.proof is None else spec.proof.price_msat_per_mcycle,
            task_class=spec.task_class,
            constraints=tuple(
                f"{each.key}{'!=' if each.is_excluded else '='}{each.value}"
                for each in spec.constraints
            ),
            distinct=spec.distinct,
            priority=spec.priority,
            deadline_ms=spec.deadline_ms,
            attempts_max=spec.attempts,
            marks_max=spec.marks_max,
            strategy=spec.strategy,
            nonce=wish.nonce,
        )
        while not self._is_too_late(wish):
            refusal = await self._ask(life, operations.TASK_SUBMIT.name, request)
            if refusal not in ("unavailable", "busy"):
                return
            await trio.sleep(ASK_AGAIN_S)

    def _is_too_late(self, wish: Admit) -> bool:
        """Tell whether a task may have come and be forgotten: the desk dates each record anew."""
        keep_ms = self.options.genesis.rules.keep_ms
        return keep_ms < FORGETS_MS and self.around.now() + keep_ms // 2 > wish.until_ms

    @staticmethod
    async def _ask(life: Life, operation: str, request: object) -> str:
        """Ask the desk; give the code of its refusal, or nothing."""
        try:
            await cast("Awaitable[object]", life.handlers[operation](request))
        except OperationError as error:
            return error.code
        return ""

    async def _meddle(self, parts: Parts) -> None:
        """Take back the tasks of others."""
        while True:
            await trio.sleep(self._dice.uniform(0, 2 * MEDDLE_S))
            tasks = [task for task, _ in parts.node.ledger.open_tasks()[:2]]
            await parts.pump.post(BodiesProposed(tuple(Cancel(task=task) for task in tasks)))
