"""Members that lie across epochs: old certificates as new ones, stops of their own making."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.epochs import Epoch
from ambientd.consensus.messages import (
    Append,
    EpochMessage,
    Epochs,
    EvidenceMessage,
    Fetch,
    Forward,
    InEpoch,
    Message,
    Offer,
    Pages,
    QuorumCertificate,
    TimeoutCertificate,
    WantPages,
    append_payload,
    block_hash,
    decode_message,
    encode_message,
    records_root,
)
from ambientd.consensus.options import ConsensusOptions
from sim.liars import Liar
from sim.lies import Lie
from sim.machine import Effect
from sim.replica import STOP_PREFIX, unlabelled

STASHED = 256


class EpochLiar(Liar):
    """Lies in the last epoch that it had a seat in, and goes on when the seat is lost."""

    def __init__(
        self, options: ConsensusOptions, signer: Signer, seed: int, lies: frozenset[Lie]
    ) -> None:
        super().__init__(options, signer, seed, lies)
        self._first = options
        self._stash: list[tuple[int, EpochMessage]] = []

    def boot(self, now: int) -> Sequence[Effect]:
        """Start again with what the store holds."""
        lying_in, self.options = self.options, self._first
        effects = super().boot(now)
        self.options = lying_in
        self._follow()
        return effects

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect]:
        """Lie about what is said in its epoch; take the rest as an honest node does."""
        told = unlabelled(decode_message(data), self._first.epoch)
        if told is not None:
            self._stash = [*self._stash[1 - STASHED :], told]
        if told is not None and told[0] == self.options.epoch:
            effects = super().receive(sender, encode_message(told[1]), now)
        else:
            effects = super(Liar, self).receive(sender, data, now)
        self._follow()
        return effects

    def receive_message(self, sender: bytes, message: Message, now: int) -> list[Effect]:
        """Hand a message to the log with the label that it came with."""
        return super().receive_message(sender, self._label(message), now)

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass, and sometimes say again what was said in another epoch."""
        effects = list(super().tick(now))
        if self._dice.randrange(4) == 0:
            effects += self._replay()
        self._follow()
        return effects

    def _replay(self) -> list[Effect]:
        """Show what was signed in one epoch as if it was of another."""
        assert self.log is not None
        old = [inner for epoch, inner in self._stash if epoch != self.log.number]
        old = [inner for inner in old if not isinstance(inner, Fetch | EvidenceMessage)]
        if not old:
            return []
        inner = old[self._dice.randrange(len(old))]
        label = self.log.number + self._dice.choice([0, 0, 0, -1, 1])
        self.told.add(Lie.REPLAY)
        return [Broadcast(inner if label <= self._first.epoch else InEpoch(label, inner))]

    def _follow(self) -> None:
        """Lie in the present epoch from now on, if it has a seat in it."""
        if self.log is None or self.machine is None or self.log.number == self.options.epoch:
            return
        options = self.machine.options
        if self.key not in options.members:
            return
        self.options = options
        self._number = options.members.index(self.key)
        self._headers, self._qcs, self._tcs, self._ballots = {}, {}, {}, {}
        self._games.begin_epoch()
        self._corrupt()

    def _label(self, message: Message) -> Message:
        if isinstance(message, Forward | InEpoch | Epochs | Offer | WantPages | Pages):
            return message
        if self.options.epoch == self._first.epoch:
            return message
        return InEpoch(self.options.epoch, message)

    def _twist(self, effects: Sequence[Effect]) -> list[Effect]:
        """Turn what its log says in this epoch into lies, and label them all."""
        return self._labelled(super()._twist([self._bare(effect) for effect in effects]))

    def _held_back(self, effects: Sequence[Effect], now: int) -> list[Effect]:
        """Keep back what its games want kept back, whatever the epoch."""
        bare = [self._bare(effect) for effect in effects]
        return self._labelled(super()._held_back(bare, now))

    def _labelled(self, effects: Sequence[Effect]) -> list[Effect]:
        """Say all of it in the epoch that it lies in."""
        labelled: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                labelled.append(Send(effect.to, self._label(effect.message)))
            elif isinstance(effect, Broadcast):
                labelled.append(Broadcast(self._label(effect.message)))
            else:
                labelled.append(effect)
        return labelled

    def _bare(self, effect: Effect) -> Effect:
        message = effect.message if isinstance(effect, Send | Broadcast) else None
        if not isinstance(message, InEpoch) or message.epoch != self.options.epoch:
            return effect
        if isinstance(effect, Send):
            return Send(effect.to, message.message)
        return Broadcast(message.message)

    def _propose(
        self,
        qc: QuorumCertificate,
        tc: TimeoutCertificate | None,
        term: int,
        *more: Any,  # noqa: ANN401  # whatever lie a proposal tells besides
        **named: Any,  # noqa: ANN401
    ) -> Append | None:
        """Sign a block of its own making; sometimes one that ends the epoch as nobody wants."""
        append = super()._propose(qc, tc, term, *more, **named)
        if append is None or self._dice.randrange(4):
            return append
        del self._ballots[block_hash(append.header)]
        mine = Epoch(
            self.options.epoch + 1, (self.key,), b"mine", (self.options.beacon_tips[self._number],)
        )
        keep = Epoch(mine.number, self.options.members, b"mine", self.options.beacon_tips)
        records = (STOP_PREFIX + encode(mine if self._dice.randrange(2) else keep),)
        header = replace(append.header, records_root=records_root(records))
        hash_ = block_hash(header)
        signature = self._signer.sign("append", append_payload(self.options.epoch, hash_))
        stop = Append(header, qc, tc, records, signature)
        self._headers[hash_] = header
        self._ballots[hash_] = (stop, {self._number: self._vote(stop).signature})
        return stop

    def _revealed(self, hash_: bytes) -> int | None:
        """Count its own blocks below a hash; None when a header on the way is unknown."""
        if self.machine is None or self.machine.options.epoch != self.options.epoch:
            return None
        tree, count = self.machine._tree, 0
        while not tree.holds(hash_):
            header = self._headers.get(hash_)
            if header is None:
                return None
            count += header.proposer == self.key
            hash_ = header.parent_hash
        return count + tree.last_link(hash_, self._number).count
