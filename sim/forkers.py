"""Liars above f that act together: each half of the honest members gets a log of its own."""

from collections.abc import Sequence

from ambientd.codec.signing import Signer
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.messages import (
    Append,
    QcNotice,
    QuorumCertificate,
    Vote,
    block_hash,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions
from sim.liars import Liar
from sim.machine import Effect


class Forker(Liar):
    """Coordinates two logs at once, and signs for both with every liar's key."""

    def __init__(
        self, options: ConsensusOptions, signer: Signer, seed: int, all_liars: Sequence[Signer]
    ) -> None:
        super().__init__(options, signer, seed, frozenset())
        self._all_liars = tuple(all_liars)
        keys = {liar.public_key for liar in all_liars}
        honest = [key for key in options.members if key not in keys]
        self._halves = honest[::2], honest[1::2]
        self._half_of: dict[bytes, int] = {}
        self._forked_in = 0

    def tick(self, now: int) -> Sequence[Effect]:
        """Follow, and begin two logs in each term of its own."""
        effects = super().tick(now)
        return [*effects, *self._fork()]

    def _fork(self) -> list[Effect]:
        machine = self.machine
        if machine is None or not machine.is_coordinator or self._forked_in == machine.term:
            return []
        self._forked_in = machine.term
        tc = self._tcs.get(machine.term - 1)
        said: list[Effect] = []
        for half in range(len(self._halves)):
            append = self._propose(machine.high_qc, tc, machine.term)
            said += [] if append is None else self._show(append, half)
        return said

    def _twist(self, effects: Sequence[Effect]) -> list[Effect]:
        """Say nothing as an honest coordinator would."""
        return [
            effect
            for effect in effects
            if not (isinstance(effect, Broadcast) and isinstance(effect.message, Append))
            or effect.message.header.proposer != self.key
        ]

    def _show(self, append: Append, half: int) -> list[Effect]:
        """Show a block to its half alone; whoever lies has voted for it already."""
        hash_ = block_hash(append.header)
        self._half_of[hash_] = half
        ballot = self._ballots[hash_][1]
        payload = vote_payload(
            self.options.epoch, append.header.position, append.qc.position.term, hash_
        )
        for liar in self._all_liars:
            number = self.options.members.index(liar.public_key)
            ballot[number] = liar.sign("vote", payload)
        return [Send(to, append) for to in self._halves[half]]

    def _count(self, vote: Vote) -> list[Effect]:
        """Certify each half's blocks for that half, until the first of them is committed."""
        opened, half = self._ballots.get(vote.hash), self._half_of.get(vote.hash)
        if opened is None or half is None or self.machine is None:
            return []
        append, votes = opened
        votes[vote.member] = vote.signature
        if len(votes) < self.machine.committee.quorum:
            return []
        del self._ballots[vote.hash]
        chosen = tuple(sorted(votes.items()))
        parent_term = append.qc.position.term
        qc = QuorumCertificate(append.header.position, parent_term, vote.hash, chosen)
        notices: list[Effect] = [Send(to, QcNotice(qc, None)) for to in self._halves[half]]
        child = self._propose(qc, None, append.header.term)
        return [*notices, *([] if child is None else self._show(child, half))]
