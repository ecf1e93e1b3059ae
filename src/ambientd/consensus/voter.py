"""What a member signs but does not propose: votes and time-outs (sections 4 and 6).

A member that lost its safety state, or whose node is an observer, has `_is_voter` False and
signs nothing here; `core.Consensus` adds what a coordinator does.
"""

from msgspec.structs import replace

from ambientd.consensus.admission import Admission
from ambientd.consensus.block_tree import Block
from ambientd.consensus.catch_up import BlockSource
from ambientd.consensus.effects import Broadcast, PeerFault, PersistSafety, Send
from ambientd.consensus.epochs import Stops
from ambientd.consensus.follower import Follower
from ambientd.consensus.judging import CLOCK_AHEAD_MAX_MS, StateRootAt, Wait, verdict
from ambientd.consensus.messages import (
    EpochEnd,
    Header,
    QcNotice,
    Timeout,
    Vote,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions, LogSigner, Random
from ambientd.consensus.pacemaker import REST_MS_MAX
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules
from ambientd.consensus.tally import TimeoutTally
from ambientd.errors import ConfigError

ROOT_RETRY_MS = 5


class Voter(Follower):
    """A member's part in the terms of others."""

    def __init__(
        self,
        options: ConsensusOptions,
        signer: LogSigner,
        restored: Restored | None,
        rng: Random,
        admission: Admission,
        state_root: StateRootAt,
        blocks: BlockSource,
        stops: Stops,
        rules: SafetyRules,
    ) -> None:
        if signer.public_key != options.self_id:
            msg = "consensus options: self_id is not the signer's key"
            raise ConfigError(msg)
        super().__init__(options, restored, rng, admission, blocks, stops, rules)
        self._signer = signer
        self._rng = rng
        self._state_root = state_root
        self._number = self.committee.number(options.self_id)
        self._is_voter = self._number is not None and options.may_vote
        if self._is_voter:
            options.require_beacon_secret()
        self._tally = TimeoutTally(self.committee, self.term)
        self._candidate: Block | None = None
        self._own_timeout: Timeout | None = None
        self._doubted_at = 0
        self._resend_at = 0  # of the own time-out, or of the proposal under way
        self._retry_at: int | None = None

    @property
    def has_signed_before(self) -> bool:
        """Tell, while this node signs nothing, whether its key has: others have shown it."""
        number = self._number
        if number is None:
            return False
        is_in_head = any(number == voter for voter, _ in self._safety.high_qc.signatures)
        return is_in_head or self._watch.has_signed(number)

    def _persist_safety(self) -> None:
        self._out.add(PersistSafety(self._safety, self.options.epoch))

    def _finish(self, end: EpochEnd) -> None:
        super()._finish(end)
        self._is_voter = False
        self._candidate = None

    # Terms and time-outs.

    def _on_timeout(self, sender: bytes, timeout: Timeout, now: int) -> str | None:
        if timeout.term < self.term:
            self._help(sender, timeout.term)
            return None
        if timeout.term == self.term and self._tally.has(timeout.member):
            return None
        if not self._verifier.timeout_holds(timeout):
            return "the time-out does not hold"
        self._accuse(self._watch.saw_timeout(timeout))
        self._learn_tc(timeout.tc, sender, now)
        self._learn_qc(timeout.high_qc, sender, now)
        if timeout.term == self.term:
            self._note_timeout(timeout, now)
        return None

    def _enter(self, term: int, now: int, *, failed: bool) -> None:
        super()._enter(term, now, failed=failed)
        self._tally = TimeoutTally(self.committee, term)
        self._candidate = None
        self._own_timeout = None
        self._retry_at = None

    def _give_up(self, now: int) -> None:
        """Sign a time-out of the current term: no vote in it, or below, ever again."""
        if not self._is_voter or self._number is None or self._own_timeout is not None:
            return
        high_qc = self._rules.admitted_qc(self._safety, self._verifier.genesis)
        payload = timeout_payload(self.options.epoch, self.term, high_qc.position)
        tc = self._safety.tc
        timeout = Timeout(
            self.term,
            high_qc.position,
            self._number,
            self._signer.sign("timeout", payload),
            high_qc,
            tc if tc is not None and tc.term == self.term - 1 else None,
        )
        self._safety = replace(self._safety, max_timed_out=self.term)
        self._own_timeout = timeout
        self._candidate = None
        self._persist_safety()
        self._send_timeout(timeout, now)
        self._note_timeout(timeout, now)

    def _note_timeout(self, timeout: Timeout, now: int) -> None:
        self._tally.count(timeout)
        self._doubted_at = now
        self._resend_at = min(self._resend_at, now + self.options.t0_ms)
        self._count_timeouts(now)

    @property
    def _is_doubted(self) -> bool:
        """Tell whether somebody gave the term up and nothing was certified in it since."""
        return not self._tally.is_empty and self._pacemaker.progressed_at <= self._doubted_at

    def _send_timeout(self, timeout: Timeout, now: int) -> None:
        t0_ms = self.options.t0_ms
        pause_ms = t0_ms if self._is_doubted or self._tally.is_empty else REST_MS_MAX
        self._resend_at = now + pause_ms + self._rng.randrange(t0_ms // 4)
        self._out.add(Broadcast(timeout))

    def _count_timeouts(self, now: int) -> None:
        if self._tally.is_joined:
            self._give_up(now)
        tc = self._tally.certificate()
        if tc is None or tc.term < self.term:
            return
        self._verifier.trust(tc)
        self._learn_tc(tc, self.options.self_id, now)
        if self._is_voter and not self.is_coordinator:
            self._out.add(Send(self.coordinator, QcNotice(self._safety.high_qc, tc)))

    def _watch_the_clock(self, now: int) -> None:
        if self._own_timeout is not None:
            if now >= self._resend_at:
                self._send_timeout(self._own_timeout, now)
            return
        is_waiting = len(self._pool) > 0 and not self.is_coordinator
        if now >= self._pacemaker.deadline or (
            is_waiting and self._forwarding.is_censored(self.term, self._under_way(), now)
        ):
            self._give_up(now)

    # Voting.

    def _on_known_block(self, hash_: bytes, header: Header) -> None:
        """Send the same vote again: the coordinator asks because it did not come."""
        vote = self._safety.last_vote
        if vote is None or vote.hash != hash_ or not self._is_voter or self.is_coordinator:
            return
        if header.term == self.term > self._safety.max_timed_out:
            self._out.add(Send(self.coordinator, vote))

    def _on_linked(self, block: Block) -> None:
        """Consider the highest block of this term for a vote."""
        candidate = self._candidate
        if block.position.term == self.term and (
            candidate is None or block.position > candidate.position
        ):
            self._candidate = block

    def _try_vote(self, now: int) -> None:
        block = self._candidate
        if block is None or not self._is_voter or self._number is None:
            return
        append = block.append
        refusal = self._rules.refusal(self._safety, append.header, append.qc, append.tc)
        found = None if refusal else self._judge(block, now)
        if isinstance(found, Wait) and found is not Wait.LATER_BLOCK:
            clock_ms = append.header.time_ms - CLOCK_AHEAD_MAX_MS
            self._retry_at = clock_ms if found is Wait.CLOCK else now + ROOT_RETRY_MS
            return
        self._candidate = None
        if isinstance(found, str):
            self._out.add(PeerFault(append.header.proposer, found))
        elif refusal is None and found is None:
            self._vote(block, self._number, now)

    def _judge(self, block: Block, now: int) -> str | Wait | None:
        return verdict(block, self._tree, self._state_root, self.options, self._stops, now)

    def _vote(self, block: Block, number: int, now: int) -> None:
        parent_term = block.append.qc.position.term
        payload = vote_payload(self.options.epoch, block.position, parent_term, block.hash)
        signature = self._signer.sign("vote", payload)
        vote = Vote(block.position, parent_term, block.hash, number, signature)
        self._safety = replace(self._safety, last_vote=vote)
        self._persist_safety()
        self._cast(vote, now)

    def _cast(self, vote: Vote, now: int) -> None:  # noqa: ARG002  # who counts it needs the time
        """Bring the own vote to the coordinator."""
        self._out.add(Send(self.coordinator, vote))
