"""The log's lies as whole nodes tell them, in either world, by what they send."""

import random
from collections.abc import Container, Sequence

from ambientd.codec.signing import Signer
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.messages import (
    Append,
    InEpoch,
    Message,
    QuorumCertificate,
    Timeout,
    decode_message,
    encode_message,
    timeout_payload,
)
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.node.core import LOG_FRAME
from ambientd.node.effect import BroadcastFrame, NodeEffect, SendFrame
from sim.crooked import crooked, signed_append, stall
from sim.games import Games
from sim.lies import CROOKED, Lie

NODE_LIES = (Lie.HIDE, Lie.SELECTIVE, *CROOKED, Lie.THROTTLE, Lie.WITHHOLD, Lie.STALL)
"""Lies that a whole node can tell: those that need nothing but what it sends itself."""
BENDS_ONE_IN = 4
REMEMBERED = 24


def drawn_node_lies(dice: random.Random) -> frozenset[Lie]:
    """Draw a whole node's lies: a few, and one at least."""
    return frozenset({dice.choice(NODE_LIES), *(lie for lie in NODE_LIES if not dice.randrange(4))})


class NodeLies:
    """Turns what a node's log says into lies."""

    def __init__(self, signer: Signer, lies: frozenset[Lie], dice: random.Random) -> None:
        self.told: set[Lie] = set()
        self._signer = signer
        self._lies = lies
        self._dice = dice
        self._games = Games(signer.public_key, lies, dice, self.told)
        self._machine: Consensus | None = None

    def twisted(self, effect: NodeEffect, machine: Consensus, now: int) -> list[NodeEffect]:
        """Give what is sent instead, and what was kept back for long enough."""
        self._enter(machine)
        epoch, first = machine.options.epoch, machine.options.epoch == FIRST_EPOCH
        said = [_framed(each, epoch, is_first=first) for each in self._games.due(now)]
        if not isinstance(effect, BroadcastFrame | SendFrame) or effect.frame[:1] != LOG_FRAME:
            return [*said, effect]
        message = decode_message(effect.frame[1:])
        inner = message.message if isinstance(message, InEpoch) else message
        is_present = first if inner is message else message.epoch == epoch  # type: ignore[union-attr]
        if not is_present:
            return [*said, effect]
        bent = self._bent(inner, machine)
        if Lie.SELECTIVE in self._lies and self._dice.randrange(4) == 0:
            self.told.add(Lie.SELECTIVE)
            return said
        to = effect.to if isinstance(effect, SendFrame) else None
        shown = Broadcast(bent) if to is None else Send(to, bent)
        others = [key for key in machine.options.members if key != self._signer.public_key]
        kept = self._games.held_back([shown], others, machine.committee.quorum, now)
        return [*said, *(_framed(each, epoch, is_first=first) for each in kept)]

    def _enter(self, machine: Consensus) -> None:
        """Bend a machine once, after each start and in each epoch."""
        if machine is self._machine:
            return
        self._machine = machine
        self._games.begin_epoch()
        if Lie.STALL in self._lies:
            stall(machine, self.told)
        if Lie.CENSOR in self._lies:
            batch = machine._pool.batch

            def censored(excluded: Container[bytes]) -> tuple[bytes, ...]:
                if batch(excluded):
                    self.told.add(Lie.CENSOR)
                return ()

            machine._pool.batch = censored  # type: ignore[method-assign]

    def _bent(self, message: Message, machine: Consensus) -> Message:
        if isinstance(message, Timeout) and Lie.HIDE in self._lies:
            return self._hiding(message, machine)
        if not isinstance(message, Append) or message.header.proposer != self._signer.public_key:
            return message
        own = [lie for lie in CROOKED if lie in self._lies and lie is not Lie.CENSOR]
        if not own or self._dice.randrange(BENDS_ONE_IN):
            return message
        crook = self._dice.choice(own)
        records, body = _records(crook, message.records)
        bent = crooked(message, crook, records, body)
        if bent.header == message.header and bent.records == message.records:
            return message
        self.told.add(crook)
        return signed_append(bent, self._signer, machine.options.epoch)

    def _hiding(self, honest: Timeout, machine: Consensus) -> Timeout:
        """Admit less than is known; the term must still look begun."""
        verified = list(machine._verifier._verified)[-REMEMBERED:]
        known = [each for each in verified if isinstance(each, QuorumCertificate)]
        lower = [qc for qc in known if qc.position < honest.high_position]
        if not lower or (honest.tc is None and honest.term > 1):
            return honest
        qc = self._dice.choice(lower)
        payload = timeout_payload(machine.options.epoch, honest.term, qc.position)
        signature = self._signer.sign("timeout", payload)
        self.told.add(Lie.HIDE)
        return Timeout(honest.term, qc.position, honest.member, signature, qc, honest.tc)


def _records(crook: Lie, honest: Sequence[bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Give the records that a header names, and those that come with it."""
    named = tuple(honest)
    if crook is Lie.GARBAGE:
        named = (b"garbage",)
    elif crook is Lie.REPEAT:
        named = (*named, *named[:1])
    return named, (*named, b"garbage") if crook is Lie.SWAP_BODY else named


def _framed(effect: object, epoch: int, *, is_first: bool) -> NodeEffect:
    assert isinstance(effect, Broadcast | Send)
    said = effect.message if is_first else InEpoch(epoch, effect.message)  # type: ignore[arg-type]
    frame = LOG_FRAME + encode_message(said)
    if isinstance(effect, Broadcast):
        return BroadcastFrame(frame)
    return SendFrame(NodeId(effect.to), frame)
