"""The log's lies as whole nodes tell them, in either world, by what they send."""

import random
from collections.abc import Container, Sequence

from msgspec.structs import replace

from ambientd.codec.signing import Signer
from ambientd.consensus.block_tree import Block
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.messages import (
    Append,
    InEpoch,
    Message,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    decode_message,
    encode_message,
    timeout_payload,
)
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.node.effect import BroadcastFrame, NodeEffect, SendFrame
from ambientd.node.frames import LOG_FRAME
from sim.crooked import crooked, signed_append, stall
from sim.forged import certified_alone, timeouts_of, vote_for
from sim.games import Games
from sim.lies import CROOKED, Lie

BESIDE = (
    Lie.VOTE_ANYTHING,
    Lie.USURP,
    Lie.IMPERSONATE,
    Lie.FORGE_CERTIFICATE,
    Lie.FORGE_TIMEOUT,
    Lie.REPLAY,
)
"""Lies that are said beside what is sent, made of what its log knows."""
NODE_LIES = (Lie.HIDE, Lie.SELECTIVE, *CROOKED, Lie.THROTTLE, Lie.WITHHOLD, Lie.STALL, *BESIDE)
"""Lies that a whole node can tell, by what it sends and what its log knows."""
LOG_ALONE = {
    Lie.EQUIVOCATE: "whole nodes do so under another name, `split`",
    Lie.STALE: "takes a count of the own blocks below an old certificate, as each reveals a beacon",
    Lie.SUBSET: "takes every vote and time-out that comes, where a node keeps a quorum of them",
}
"""The others, and why liars of the log alone tell them."""
BENDS_ONE_IN = 4
SAYS_ONE_IN = 8
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
        self._past: list[QuorumCertificate | TimeoutCertificate] = []  # of the epoch before

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
        kept += self._beside(machine)
        return [*said, *(_framed(each, epoch, is_first=first) for each in kept)]

    def _enter(self, machine: Consensus) -> None:
        """Bend a machine once, after each start and in each epoch."""
        if machine is self._machine:
            return
        before, self._machine = self._machine, machine
        if before is not None and before.options.epoch != machine.options.epoch:
            self._past = list(before._verifier._verified)[-REMEMBERED:]
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

    def _beside(self, machine: Consensus) -> list[Broadcast | Send]:
        """Now and then, say what no member that keeps to the rules would."""
        own = [lie for lie in BESIDE if lie in self._lies]
        number = machine.committee.number(self._signer.public_key)
        if not own or number is None or self._dice.randrange(SAYS_ONE_IN):
            return []
        lie = self._dice.choice(own)
        said = self._forged(lie, machine, number)
        self.told |= {lie} if said else set()
        return said

    def _forged(self, lie: Lie, machine: Consensus, number: int) -> list[Broadcast | Send]:
        epoch, quorum = machine.options.epoch, machine.committee.quorum
        if lie is Lie.FORGE_TIMEOUT:
            others = [n for n in range(len(machine.options.members)) if n != number]
            tc = machine.safety.tc
            high = machine.high_qc, tc if tc is not None and tc.term + 1 == machine.term else None
            forged = timeouts_of(others, machine.term, high, self._signer, epoch)
            return [Broadcast(each) for each in forged]
        if lie is Lie.REPLAY:
            return [Broadcast(each) for each in self._replayed(machine)]
        blocks = list(machine._tree.blocks.values())
        if lie is Lie.VOTE_ANYTHING:
            blocks = [each for each in blocks if _is_no_vote_of_rules(each, machine)]
        if not blocks:
            return []
        append = self._dice.choice(blocks).append
        if lie in (Lie.USURP, Lie.IMPERSONATE):
            return self._out_of_turn(append, machine, is_named=lie is Lie.IMPERSONATE)
        vote = vote_for(append, number, self._signer, epoch)
        if lie is Lie.FORGE_CERTIFICATE:
            members = [number] * quorum if self._dice.randrange(2) else range(quorum)
            return [Broadcast(QcNotice(certified_alone(vote, members), None))]
        proposer = append.header.proposer
        return [] if proposer == self._signer.public_key else [Send(proposer, vote)]

    def _out_of_turn(
        self, append: Append, machine: Consensus, *, is_named: bool
    ) -> list[Broadcast | Send]:
        """Propose a twin of a coordinator's block, in that one's name or in the own one."""
        header = append.header
        if machine.is_coordinator or header.term != machine.term:
            return []
        proposer = header.proposer if is_named else self._signer.public_key
        twin = replace(header, time_ms=header.time_ms + 1, proposer=proposer)
        bent = Append(twin, append.qc, append.tc, append.records, b"")
        return [Broadcast(signed_append(bent, self._signer, machine.options.epoch))]

    def _replayed(self, machine: Consensus) -> list[QcNotice]:
        """Show certificates of others again, of whichever terms, and of the epoch before."""
        verified = list(machine._verifier._verified)
        if self._past and self._dice.randrange(2):
            verified = self._past
        qcs = [each for each in verified if isinstance(each, QuorumCertificate)]
        tcs = [each for each in verified if isinstance(each, TimeoutCertificate)]
        if not qcs:
            return []
        return [QcNotice(self._dice.choice(qcs), self._dice.choice(tcs) if tcs else None)]

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


def _is_no_vote_of_rules(block: Block, machine: Consensus) -> bool:
    """Tell whether its log has not voted for a block: not yet, or not after a time-out."""
    last = machine.safety.last_vote
    if last is not None and last.hash == block.hash:
        return False
    is_new = last is None or block.position > last.position
    return is_new or block.position.term <= machine.safety.max_timed_out


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
