"""A whole node with the links of a daemon: a member's to all, everyone else's to the members alone.

In the other worlds every whole node hears every other. Among hundreds that is another protocol, so
here a node also tells its peers of blocks as the runtime does: in a large mesh who only follows
hears of them a little later, several at once.
"""

from collections.abc import Sequence

from ambientd.model.base import NodeId
from ambientd.node.build import NodeOptions
from ambientd.node.effect import BroadcastFrame, PublishGossip, SendFrame
from ambientd.node.event import GossipReceived
from ambientd.runtime.telling import Telling
from ambientd.telemetry.hearing import hears_all
from sim.machine import Delivery, Effect
from sim.node_machine import FRAME, GOSSIP, KEEPALIVE, KeptAlive, NodeHost


class LinkedHost(NodeHost):
    """Hosts one Node that sends to those alone to whom it has a link."""

    def __init__(self, options: NodeOptions, seed: int) -> None:
        super().__init__(options, None, seed)
        self.aborts_permille = 0
        self._telling: Telling | None = None

    def _forget(self) -> None:
        super()._forget()
        self._outbox: list[Delivery] = []
        self._rest_at: int | None = None
        """When it tells those of blocks who were not told at once."""

    @property
    def next_deadline(self) -> int | None:
        """Give when the node or its host wants the next tick."""
        due = super().next_deadline
        return due if due is None or self._rest_at is None else min(due, self._rest_at)

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the node and start it; it has told nobody anything yet."""
        effects = super().boot(now)
        self._telling = Telling(self._peers, self.ledger, self._send, self.clock)
        return effects

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect] | None:
        """Take in what came over a link, and gossip, which others pass on."""
        peer = NodeId(sender)
        if data[:1] == GOSSIP and peer in self._allowed and not self._is_linked(peer):
            return self._step([GossipReceived(peer, data[1:])], now)
        return super().receive(sender, data, now)

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass; tell the rest when they have waited long enough."""
        effects = super().tick(now)
        if self._rest_at is None or now < self._rest_at:
            return effects
        assert self._telling is not None, "the node is up"
        self._rest_at = None
        self._telling.tell_rest()
        return [*self.settle(now), *effects]

    def execute(self, effect: Effect) -> Delivery | None:
        """Carry out one effect; what is sent goes over links, in the order in which it is said."""
        assert self._telling is not None, "the node is up"
        match effect:
            case Delivery():
                return effect
            case SendFrame(to=to, frame=frame):
                self._telling.catch_up(to)
                self._send(to, frame)
            case BroadcastFrame(frame=frame):
                if lag_ms := self._telling.broadcast(frame):
                    self._rest_at = self._now + lag_ms
            case KeptAlive():
                self._outbox += [Delivery(to, KEEPALIVE) for to in self._links()]
            case PublishGossip(data=data):
                self._outbox += [Delivery(to, GOSSIP + data) for to in self._hearers()]
            case _:
                return super().execute(effect)
        return None

    def settle(self, now: int) -> Sequence[Effect]:
        """Send what was said meanwhile."""
        del now
        said, self._outbox = self._outbox, []
        return said

    def _is_linked(self, peer: NodeId) -> bool:
        members = self.ledger.members
        return peer in self._allowed and (NodeId(self.key) in members or peer in members)

    def _links(self) -> list[NodeId]:
        own = NodeId(self.key)
        return [each for each in sorted(self._allowed) if each != own and self._is_linked(each)]

    def _peers(self) -> frozenset[bytes]:
        return frozenset(peer for peer in self._heard if self._is_linked(peer))

    def _send(self, to: NodeId, frame: bytes) -> None:
        if self._is_linked(to):
            self._outbox.append(Delivery(to, FRAME + frame))

    def _hearers(self) -> list[NodeId]:
        own, members, everyone = NodeId(self.key), self.ledger.members, self.ledger.nodes()
        return [
            each for each in everyone if each != own and hears_all(each, members, len(everyone))
        ]
