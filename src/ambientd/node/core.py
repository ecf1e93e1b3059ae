"""The node: messages -> log -> ledger -> roles -> effects, in that one direction.

Routes events between the cores and owns no rule. The daemon and the simulator run this class.
"""

from collections import deque
from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.signing import Signer
from ambientd.consensus import effects as log_effects
from ambientd.consensus import events as log_events
from ambientd.consensus import messages as log_messages
from ambientd.consensus.core import Consensus
from ambientd.consensus.log import Log
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.events import EpochBegan, LedgerEvent, NodeJoined
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import BroadcastJob, Propose, RoleEffect, SendJob, Withdraw
from ambientd.model.message import JobMessage
from ambientd.model.offer import Wish
from ambientd.model.record import Fraud, NodeReport
from ambientd.node import event as node_events
from ambientd.node.applying import Applier
from ambientd.node.askings import Askings
from ambientd.node.bitcoin import on_bitcoin
from ambientd.node.cores import Cores
from ambientd.node.effect import (
    AllowNodes,
    BlocksMissed,
    BroadcastFrame,
    ConditionChanged,
    CoordinatorElected,
    NodeEffect,
    PeerMisbehaved,
    PersistTelemetryEpoch,
    PublishGossip,
    RecordDropped,
    SendFrame,
)
from ambientd.node.executions import Ended, on_execution, says_of_device
from ambientd.node.frames import JOB_BYTES_MAX, JOB_FRAME, LOG_FRAME, job_frame, log_frame
from ambientd.node.learning_event import LearningReport
from ambientd.node.outdated import looking_on
from ambientd.node.proposals import Proposals
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence
from ambientd.node.wishes import Wishes
from ambientd.roles.anchorer import Overdue
from ambientd.roles.asked import Asked
from ambientd.roles.submitter import Submitter
from ambientd.telemetry import messages as telemetry_messages
from ambientd.telemetry.core import Telemetry
from ambientd.telemetry.hearing import heard_by


class Node:
    """One node's cores behind one `handle`."""

    def __init__(self, signer: Signer, cores: Cores, applier: Applier) -> None:
        self._proposals = Proposals(signer)
        self._id = NodeId(signer.public_key)
        self._askings = Askings()
        self._cores = cores
        self._wishes = Wishes(cores, self._id)
        self._applier = applier
        self._out: list[NodeEffect] = []
        self._now = 0
        self._coordinator: NodeId | None = None
        self._connected: set[NodeId] = set()
        self._log_queue: deque[log_events.Event] = deque()
        self._draining = False
        self._committed_at_ms: int | None = None
        self._roles_due_ms: int | None = None
        """When a core other than the log next wants a tick; None when that may have changed."""

    @property
    def ledger(self) -> LedgerState:
        """Give the committed state, to be read only."""
        return self._cores.ledger

    @property
    def consensus(self) -> Consensus:
        """Give the log in its present epoch, to be read only."""
        return self._cores.log.current

    @property
    def log(self) -> Log:
        """Give the log across its epochs, to be read only."""
        return self._cores.log

    @property
    def committed_at_ms(self) -> int | None:
        """Give when this process last committed a block; None before its first."""
        return self._committed_at_ms

    @property
    def coordinator(self) -> NodeId | None:
        """Give who leads, as far as this node knows."""
        return self._coordinator

    @property
    def slots_in_hand(self) -> int:
        """Count the slots that this node owes an answer for."""
        return self._cores.worker.busy

    def overdue_anchor(self, now: int) -> Overdue | None:
        """Tell of a batch that waits for its anchor longer than it should."""
        return self._cores.anchorer.overdue(self._cores.ledger, now, self._coordinator)

    @property
    def submitter(self) -> Submitter:
        """Give what is known of this node's own tasks besides the ledger, to be read only."""
        return self._cores.submitter

    @property
    def asked(self) -> Asked:
        """Give what this node was asked to submit and waits for the log, to be read only."""
        return self._cores.asked

    @property
    def telemetry(self) -> Telemetry:
        """Give what is known of the nodes' conditions, to be read only."""
        return self._cores.telemetry

    @property
    def next_deadline(self) -> int:
        """Give when a core next wants a tick."""
        if self._roles_due_ms is None:
            self._roles_due_ms = self._cores.due_ms(self._coordinator)
        log_ms = self._cores.log.next_deadline
        due_ms = self._roles_due_ms if log_ms is None else min(log_ms, self._roles_due_ms)
        return max(due_ms, self._now + 1)

    def handle(
        self, event: node_events.Event, *, now: int, is_last: bool = True
    ) -> list[NodeEffect]:
        """Advance by one event; persist effects are to be carried out before all others.

        After the last event of several that come at once, what they made the node say is signed.
        """
        self._now = now
        if not isinstance(event, node_events.FrameReceived):
            self._roles_due_ms = None  # what a frame may change, it changes where it does so
        if self.outdated:
            self._look_on(event)
        else:
            self._take(event)
        return self.finish() if is_last else self._drained()

    def finish(self) -> list[NodeEffect]:
        """Sign what the events so far made the node say, all at once, and bring it on its way."""
        if self.outdated:
            return self._drained()
        if sealed := self._cores.worker.seal(self._now):
            self._roles_due_ms = None
            self._roles(sealed)
        while taken := self._proposals.take():
            signed = self._cores.asked.wanted(taken)
            self._roles(self._cores.asked.on_signed(signed, self._now))
            self._log(log_events.RecordsSubmitted(tuple(signed.values())))
        return self._drained()

    def _drained(self) -> list[NodeEffect]:
        effects, self._out = self._out, []
        return effects

    @property
    def outdated(self) -> str:
        """Say why nothing is signed here any more, and what to do; empty while all is well."""
        unknown = self._cores.log.unknown
        return "" if unknown is None else unknown.unknown_text

    def _look_on(self, event: node_events.Event) -> None:
        """Let peers have what is here; a newer program goes on."""
        match event:
            case node_events.FrameReceived(frame=frame) if frame[:1] == LOG_FRAME:
                self._on_frame(event)
            case node_events.RecordOffered(record=record):
                self._log(log_events.RecordSubmitted(encode(record)))
            case _:
                self._out += looking_on(event, self._cores.ledger, self._id, self.outdated)

    def _take(self, event: node_events.Event) -> None:
        cores, now = self._cores, self._now
        match event:
            case node_events.FrameReceived():
                self._on_frame(event)
            case node_events.Ticked():
                self._on_tick()
            case node_events.WorkEvent():
                self._on_execution(event)
            case node_events.BodiesProposed(bodies=bodies):
                self._proposals.add(*bodies)
            case node_events.TaskTakenBack(task=task):
                self._roles(cores.asked.take_back(task))
            case node_events.OwnerWished(wish=wish):
                self._on_wish(wish)
            case node_events.RecordOffered(record=record):
                self._log(log_events.RecordSubmitted(encode(record)))
            case (
                node_events.AnchorProven() | node_events.AnchorSigned() | node_events.HeadersSeen()
            ):
                self._roles(on_bitcoin(event, cores, now))
            case LearningReport():
                self._roles(cores.learning.on_done(event, cores.ledger, now))
            case node_events.Started():
                self._on_started()
            case node_events.GossipReceived(sender=sender, data=data):
                self._telemetry(telemetry_messages.BatchReceived(sender, data))
            case telemetry_messages.Sampled() | telemetry_messages.TransferMeasured():
                self._telemetry(event)
            case node_events.RoundTripMeasured(peer=peer, round_trip_us=round_trip_us):
                self._telemetry(telemetry_messages.RoundTripMeasured(peer, round_trip_us))
                if peer in cores.ledger.members:
                    self._log(log_events.RoundTripMeasured(-(-round_trip_us // 1000)))
            case node_events.PeerConnected() | node_events.PeerLost():
                self._on_peer(event)
            case _:
                assert_never(event)

    def _on_wish(self, wish: Wish) -> None:
        self._telemetry(telemetry_messages.CapacityChanged(wish.capacity))
        self._roles(self._wishes.on_owner(wish, self._now))

    def _on_peer(self, event: node_events.PeerConnected | node_events.PeerLost) -> None:
        if isinstance(event, node_events.PeerConnected):
            self._connected.add(event.peer)
        else:
            self._connected.discard(event.peer)
        self._cores.reporter.hasten(self._cores.ledger, self._now)

    def _on_started(self) -> None:
        self._let_in()
        self._log(log_events.Started(awaited_ms(self._cores.ledger)))
        self._resume()
        self._roles(self._cores.asked.resume(self._cores.ledger, self._now))

    def _let_in(self) -> None:
        nodes, members = self._cores.ledger.allowed_nodes(), self._cores.ledger.members
        self._out.append(AllowNodes(nodes))
        self._telemetry(telemetry_messages.MembersChanged(heard_by(self._id, members, nodes)))

    def _resume(self) -> None:
        """Take up what the ledger says that this node owes."""
        cores = self._cores
        self._roles(cores.worker.resume(cores.ledger, self._now))
        self._roles(cores.disputer.resume(cores.ledger))
        self._roles(cores.referee.resume(cores.ledger))
        self._roles(cores.proving.resume(cores.ledger))
        self._roles(cores.learning.resume(cores.ledger))
        self._roles(cores.keeper.resume(cores.ledger, cores.worker.said))
        cores.anchor_watch.resume()

    def _on_frame(self, event: node_events.FrameReceived) -> None:
        try:
            if event.frame[:1] == LOG_FRAME:
                self._on_log_frame(event.sender, event.frame)
            elif event.frame[:1] == JOB_FRAME:
                job: JobMessage = decode(event.frame[1:], JobMessage, JOB_BYTES_MAX)
                self._on_job(event.sender, job)
            else:
                self._out.append(PeerMisbehaved(event.sender, "frame of an unknown kind"))
        except RemoteProtocolError as error:
            self._out.append(PeerMisbehaved(event.sender, str(error)))

    def _on_log_frame(self, sender: NodeId, frame: bytes) -> None:
        is_member = sender in self._cores.ledger.members
        refusal = self._askings.refusal(sender, frame, is_member=is_member)
        if refusal is None:
            message = log_messages.decode_message(frame[1:])
            self._log(log_events.MessageReceived(sender, message))
        elif refusal:
            self._out.append(PeerMisbehaved(sender, refusal))

    def _on_job(self, sender: NodeId, message: JobMessage) -> None:
        cores = self._cores
        self._roles_due_ms = None
        if cores.ledger.node(sender) is None:
            self._out.append(PeerMisbehaved(sender, "job message of a node outside the cluster"))
            return
        gathered = cores.coordinator.on_message(sender, message, cores.ledger, self._now)
        self._roles(self._proposals.gather(gathered))
        self._roles(cores.checkpointer.on_message(sender, message, cores.ledger))
        cores.submitter.on_message(sender, message, cores.ledger)
        self._roles(cores.anchorer.on_message(sender, message, cores.ledger))
        self._roles(cores.courier.on_message(sender, message, cores.ledger))

    def _on_tick(self) -> None:
        cores, now = self._cores, self._now
        self._log(log_events.Tick())
        leads = cores.coordinator.leads
        self._telemetry(telemetry_messages.Ticked())
        self._roles(cores.worker.on_tick(now))
        self._roles(cores.disputer.on_tick(cores.ledger, now))
        self._roles(cores.referee.on_tick(cores.ledger, now))
        self._roles(cores.proving.on_tick(cores.ledger, now))
        self._roles(cores.learning.on_tick(now))
        if cores.reporter.is_due(cores.ledger, now):
            self._roles(cores.reporter.on_reports(self._reports(), cores.ledger, now))
        self._roles(self._proposals.gather(cores.coordinator.on_tick(cores.ledger, now)))
        self._roles(cores.checkpointer.on_tick(cores.ledger, now, leads=leads))
        self._roles(cores.anchorer.on_tick(cores.ledger, now, self._coordinator))
        self._roles(cores.anchor_watch.on_tick(cores.ledger))
        self._roles(cores.headers.on_tick(cores.ledger, now, leads=leads))
        self._roles(cores.offerer.on_tick(cores.ledger, cores.worker.unwanted, now))
        self._roles(cores.announcer.on_tick(cores.ledger, now))
        self._roles(cores.asked.on_tick(cores.ledger, now))

    def _reports(self) -> tuple[NodeReport, ...]:
        """Give every node's condition: a node that cannot be reached takes no assignments."""
        return tuple(self._report(node) for node in sorted(self._cores.ledger.allowed_nodes()))

    def _report(self, node: NodeId) -> NodeReport:
        reputation = self._cores.ledger.reputation_permille(node)
        heard = self._cores.telemetry.report(node, self._now, reputation)
        report = heard or NodeReport(node=node, accepting=True)
        reachable = node == self._id or node in self._connected
        return replace(report, accepting=report.accepting and reachable)

    def _on_execution(self, event: Ended) -> None:
        succeeded = says_of_device(event)
        if succeeded is not None:
            self._telemetry(telemetry_messages.OperationEnded(succeeded=succeeded))
        self._roles(on_execution(event, self._cores, self._now))

    def _log(self, event: log_events.Event) -> None:
        """Advance the log, and everything that follows from what it commits, in order."""
        self._log_queue.append(event)
        if self._draining:
            return
        self._draining = True
        try:
            while self._log_queue:
                applied = False
                for effect in self._cores.log.handle(self._log_queue.popleft(), now=self._now):
                    applied |= isinstance(effect, log_effects.Committed)
                    self._on_log_effect(effect)
                if applied:
                    self._log_queue.append(log_events.Applied(awaited_ms(self._cores.ledger)))
        finally:
            self._draining = False

    def _on_log_effect(self, effect: log_effects.Effect) -> None:
        match effect:
            case log_effects.PersistBlock() | log_effects.PersistSafety():
                self._out.append(effect)
            case log_effects.VoteDecided():
                self._cores.reporter.is_silent, self._roles_due_ms = False, None
                self._out.append(effect)
            case log_effects.Send(to=to, message=message):
                self._askings.asked(to, message)
                self._out.append(SendFrame(NodeId(to), log_frame(message)))
            case log_effects.Broadcast(message=message):
                self._out.append(BroadcastFrame(log_frame(message)))
            case log_effects.Committed():
                self._apply(effect)
            case log_effects.SnapshotFetched():
                self._install(effect)
            case log_effects.CoordinatorChanged(term=term, coordinator=coordinator):
                self._on_coordinator(term, NodeId(coordinator))
            case log_effects.PeerFault(sender=sender, reason=reason):
                self._out.append(PeerMisbehaved(NodeId(sender), reason))
            case log_effects.RecordRefused(record_hash=digest, reason=reason):
                if self._cores.asked.on_refused(digest):
                    self._out.append(RecordDropped(digest, reason))
            case log_effects.EvidenceFound(culprit=culprit, evidence=evidence, epoch=epoch):
                self._on_evidence(NodeId(culprit), LogEvidence(epoch, evidence))
            case _:
                assert_never(effect)

    def _on_coordinator(self, term: int, coordinator: NodeId) -> None:
        self._coordinator = coordinator
        self._roles_due_ms = None
        self._out.append(CoordinatorElected(term, coordinator))
        self._cores.coordinator.on_coordinator(coordinator)
        self._roles(self._cores.worker.on_coordinator(coordinator, self._now))

    def _on_evidence(self, culprit: NodeId, evidence: LogEvidence) -> None:
        """Bring a fork's evidence into the log; the ledger keeps the first of each culprit."""
        body = Fraud(culprit=culprit, kind=LOG_EVIDENCE, first=encode(evidence), second=b"")
        self._proposals.add(body)

    def _apply(self, committed: log_effects.Committed) -> None:
        """Bring the ledger to the committed blocks, then tell the roles and the owner."""
        self._roles_due_ms = None
        self._committed_at_ms = self._now
        keeps, told = self._applier.apply(committed)
        self._out += keeps
        if any(isinstance(each.event, NodeJoined | EpochBegan) for each in told):
            self._let_in()  # once, however many have come
        for each in told:
            self._out.append(each)
            self._on_ledger_event(each.event)

    def _install(self, fetched: log_effects.SnapshotFetched) -> None:
        """Go over to a later state; what is owed there is taken up as at a start."""
        self._roles_due_ms = None
        keeps, beacons = self._applier.install(fetched)
        self._out += keeps
        if self._cores.log.wants_all:
            self._out.append(BlocksMissed(fetched.snapshot.index))
        self._let_in()
        self._resume()
        awaited = awaited_ms(self._cores.ledger)
        self._log_queue.append(log_events.Installed(beacons, awaited))

    def _on_ledger_event(self, event: LedgerEvent) -> None:
        cores, now = self._cores, self._now
        cores.coordinator.on_ledger(event)
        cores.anchor_watch.on_ledger(event)
        self._roles(cores.worker.on_ledger(event, cores.ledger, now))
        self._roles(cores.disputer.on_ledger(event, cores.ledger))
        self._roles(cores.referee.on_ledger(event, cores.ledger))
        self._roles(cores.proving.on_ledger(event, cores.ledger))
        self._roles(cores.learning.on_ledger(event, cores.ledger))
        self._roles(cores.submitter.on_ledger(event, cores.ledger))
        self._roles(cores.asked.on_ledger(event))
        self._roles(cores.courier.on_ledger(event, cores.ledger))
        self._roles(cores.keeper.on_ledger(event, cores.ledger))

    def _roles(self, effects: Iterable[RoleEffect]) -> None:
        """Carry out what a role wants; a message to oneself takes the short way."""
        for effect in effects:
            match effect:
                case Propose(body=body):
                    self._proposals.add(body)
                case Withdraw(record_hash=record_hash):
                    self._log(log_events.RecordSettled(record_hash))
                case SendJob(to=to, message=message):
                    if to == self._id:
                        self._on_job(self._id, message)
                    else:
                        self._out.append(SendFrame(to, job_frame(message)))
                case BroadcastJob(message=message):
                    frame = job_frame(message)
                    members = self._cores.ledger.members
                    self._out += [SendFrame(to, frame) for to in members if to != self._id]
                case _:
                    self._out.append(effect)  # typed: each kind left is one of the runtime's

    def _telemetry(self, event: telemetry_messages.Event) -> None:
        for effect in self._cores.telemetry.handle(event, now=self._now):
            match effect:
                case telemetry_messages.PersistEpoch(epoch=epoch):
                    self._out.append(PersistTelemetryEpoch(epoch))
                case telemetry_messages.Publish(data=data):
                    self._out.append(PublishGossip(data))
                case telemetry_messages.Penalise(sender=sender, reason=reason):
                    self._out.append(PeerMisbehaved(sender, reason))
                case telemetry_messages.ReportEvidence(culprit, kind, first, second):
                    fraud = Fraud(culprit=culprit, kind=kind, first=first, second=second)
                    self._proposals.add(fraud)
                case telemetry_messages.BatchAccepted(batch=batch):
                    self._out.append(ConditionChanged(effect))
                    if self._id in self._cores.ledger.members:
                        ledger, now = self._cores.ledger, self._now
                        self._cores.reporter.heard(self._report(batch.node), ledger, now)
                case (
                    telemetry_messages.IdentitySeenElsewhere()
                    | telemetry_messages.SafeModeChanged()
                ):
                    self._out.append(ConditionChanged(effect))
                case _:
                    assert_never(effect)
        self._roles(self._wishes.on_heat(self._now))
