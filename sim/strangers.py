"""Nodes without a seat that speak as if they had one: Sybils before the log itself."""

import random
from collections import deque
from collections.abc import Sequence

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.consensus.effects import Broadcast
from ambientd.consensus.epochs import Epoch
from ambientd.consensus.messages import (
    Append,
    EpochEnd,
    EpochMessage,
    Epochs,
    Forward,
    InEpoch,
    Message,
    QcNotice,
    QuorumCertificate,
    Timeout,
    Vote,
    append_payload,
    block_hash,
    decode_message,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions
from sim.machine import Effect
from sim.replica import STOP_PREFIX, Replica, unlabelled

HEARD_MAX = 16
SPEAKS_ONE_IN = 3


class Stranger(Replica):
    """Follows the log, and says what only members may say, under its own signature."""

    def __init__(
        self, options: ConsensusOptions, signer: Signer, seed: int, sybils: tuple[bytes, ...]
    ) -> None:
        super().__init__(options, signer, seed)
        self.is_honest = False
        self.said = 0
        self._sybils = sybils
        self._dice = random.Random(seed + 1)
        self._heard: deque[tuple[int, EpochMessage]] = deque(maxlen=HEARD_MAX)

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect]:
        """Listen, and follow."""
        told = unlabelled(decode_message(data), 0)
        if told is not None:
            self._heard.append(told)
        return super().receive(sender, data, now)

    def tick(self, now: int) -> Sequence[Effect]:
        """Follow, and now and then speak out of turn."""
        effects = super().tick(now)
        if self.machine is None or self._dice.randrange(SPEAKS_ONE_IN):
            return effects
        said = self._forged()
        self.said += said is not None
        return effects if said is None else [*effects, Broadcast(said)]

    def _forged(self) -> Message | None:
        """Make up a word as a member, or a committee with seats for itself and its like."""
        if not self._heard or self._dice.randrange(4) == 0:
            return self._stop()
        epoch, heard = self._dice.choice(list(self._heard))
        assert self.machine is not None
        number = self._dice.randrange(self.machine.committee.size)
        forged = self._as_member(epoch, heard, number)
        if forged is None:
            return None
        return InEpoch(epoch, forged) if epoch else forged

    def _as_member(self, epoch: int, heard: EpochMessage, number: int) -> EpochMessage | None:
        match heard:
            case Append(header=header):
                if self._dice.randrange(2):
                    signature = self._signer.sign(
                        "append", append_payload(epoch, block_hash(header))
                    )
                    return Append(header, heard.qc, heard.tc, heard.records, signature)
                at, hash_ = header.position, block_hash(header)
                payload = vote_payload(epoch, at, heard.qc.position.term, hash_)
                signature = self._signer.sign("vote", payload)
                return Vote(at, heard.qc.position.term, hash_, number, signature)
            case Vote() as vote:
                payload = vote_payload(epoch, vote.position, vote.parent_term, vote.hash)
                alone = self._signer.sign("vote", payload)
                everyone = tuple((each, alone) for each in range(number + 1))
                made = QuorumCertificate(vote.position, vote.parent_term, vote.hash, everyone)
                return QcNotice(made, None)
            case Timeout() as timeout:
                payload = timeout_payload(epoch, timeout.term, timeout.high_position)
                signature = self._signer.sign("timeout", payload)
                term, high = timeout.term, timeout.high_position
                return Timeout(term, high, number, signature, timeout.high_qc, timeout.tc)
            case _:
                return None

    def _stop(self) -> Message:
        """Want an epoch of strangers, or claim that a later one has begun."""
        assert self.machine is not None
        now = self.machine.options
        mine = Epoch(now.epoch + 1, self._sybils, b"mine", now.beacon_tips[:1] * len(self._sybils))
        record = STOP_PREFIX + encode(mine)
        last = self.store.log[-1] if self.store.log else None
        if last is None or self._dice.randrange(2):
            return Forward((record,))
        links = ((last.block.header, last.qc), (last.child, last.child_qc))
        return Epochs(now.epoch, (EpochEnd(record, links),))
