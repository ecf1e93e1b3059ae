"""The log: one coordinator a term, two certificates to commit (protocols/05-log.md).

A sketch of a member in a term:

    entered ──append, vote──► following ──patience over, or others give up──► timed out
       ▲                                                                       │
       └───────────── time-out certificate, or any certificate of a later term ◄┘

The host owes this class three things: it carries out effects front to back, with persist
effects on disk before anything after them; it says `Applied` after it has applied `Committed`;
and it calls `handle(Tick())` when `next_deadline` has come.
"""

from collections.abc import Callable
from typing import assert_never

from msgspec.structs import replace

from ambientd.codec import merkle
from ambientd.consensus import beacon
from ambientd.consensus.admission import Admission
from ambientd.consensus.block_tree import derive
from ambientd.consensus.catch_up import BlockSource
from ambientd.consensus.effects import (
    Broadcast,
    CoordinatorChanged,
    Effect,
    EvidenceFound,
    PeerFault,
    RecordRefused,
    Send,
    VoteDecided,
)
from ambientd.consensus.epochs import Endless, Stops, end_fault
from ambientd.consensus.events import (
    Applied,
    EpochEvent,
    MessageReceived,
    RecordSettled,
    RecordsSubmitted,
    RecordSubmitted,
    RoundTripMeasured,
    Started,
    Tick,
)
from ambientd.consensus.forwarding import Forwarding
from ambientd.consensus.judging import (
    BLOCK_TIME_STEP_MAX_MS,
    CLOCK_AHEAD_MAX_MS,
    StateRootAt,
    root_due,
)
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EpochEnd,
    Epochs,
    Evidence,
    EvidenceMessage,
    Fetch,
    Forward,
    Header,
    InEpoch,
    Offer,
    Pages,
    QcNotice,
    QuorumCertificate,
    Timeout,
    Vote,
    WantPages,
    append_payload,
    block_hash,
    records_root,
)
from ambientd.consensus.options import ConsensusOptions, LogSigner, Random
from ambientd.consensus.pacemaker import NAP_MS_MAX, REST_MS_MAX
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules
from ambientd.consensus.tally import Ballot
from ambientd.consensus.voter import ROOT_RETRY_MS, Voter


class Consensus(Voter):
    """One node's part in the log: member, or observer when its key is not in the committee."""

    def __init__(
        self,
        options: ConsensusOptions,
        signer: LogSigner,
        restored: Restored | None,
        rng: Random,
        *,
        is_valid: Callable[[bytes], bool],
        state_root: StateRootAt,
        blocks: BlockSource,
        may_enter: Callable[[bytes], bool] = lambda _: True,
        stops: Stops | None = None,
        rules: SafetyRules | None = None,
    ) -> None:
        admission = Admission(is_valid, may_enter)
        rules = rules or SafetyRules()
        stops = stops or Endless()
        super().__init__(
            options, signer, restored, rng, admission, state_root, blocks, stops, rules
        )
        # A term begun before the restart may hold a proposal that nobody here remembers.
        has_signed = restored is not None and restored.safety is not None
        proposed = self._safety.last_proposed.term
        self._barred_term = max(self.term, proposed) if has_signed else 0
        self._ballot: Ballot | None = None
        self._notice: QuorumCertificate | None = None
        self._awaited_ms: int | None = None
        self._proposed_at = 0
        self._now = 0
        self._saw_to_at = 0
        self._known_due_at: int | None = None
        self._is_due_stale = True

    @property
    def _heartbeat_at(self) -> int:
        return self._proposed_at + self._pacemaker.pause_ms

    @property
    def next_deadline(self) -> int | None:
        """Give when the host must send the next Tick; None when nothing is due, ever."""
        is_stale = self._is_due_stale or self._is_disturbed or len(self._pool) > 0
        due_at = self._due_at() if is_stale else self._known_due_at
        return None if due_at is None else max(due_at, self._now + 1)

    def _due_at(self) -> int | None:
        """Work out what is due next; it stays so until something changes here."""
        due = (self._catch_up.deadline, self._forwarding.deadline, self._retry_at)
        times = [at for at in due if at is not None]
        if self._is_voter:
            gave_up = self._safety.max_timed_out >= self.term
            times.append(self._resend_at if gave_up else self._pacemaker.deadline)
            wakes_at = self._wakes_at
            if wakes_at is not None and wakes_at > self._now:
                times.append(wakes_at)
        if self._ballot is not None:
            times.append(self._resend_at)
        elif self.is_coordinator and self._retry_at is None and self._may_propose():
            times.append(self._heartbeat_at)
            waiting = self._pool.waiting(self._under_way())
            if waiting is not None:
                times.append(waiting[0] + self.options.batch_ms)
        self._known_due_at = min(times, default=None)
        self._is_due_stale = False
        return self._known_due_at

    def _is_quiet(self, now: int) -> bool:
        """Tell whether there is nothing to see to that there was not the last time.

        Only asked when nothing changed since; what waits in the pool may be due at any time.
        """
        if self._is_disturbed or self._retry_at is not None or len(self._pool):
            return False
        return now < self._quiet_until()

    def _quiet_until(self) -> int:
        """Give before when nothing is due that hosts are told of, or that is done in passing."""
        due_at = self._due_at() if self._is_due_stale else self._known_due_at
        times = [at for at in (due_at, self._forwarding.looks_at) if at is not None]
        if self._own_timeout is None:
            times.append(self._pacemaker.deadline)
        wakes_at = self._wakes_at
        if wakes_at is not None and wakes_at > self._saw_to_at:
            times.append(wakes_at)
        return min(times, default=0)

    def handle(self, event: EpochEvent, *, now: int) -> list[Effect]:
        """Advance by one event; persist effects come before send effects (section 4)."""
        self._now = max(self._now, now)
        is_moved = True
        match event:
            case MessageReceived():
                if event.sender != self.options.self_id:
                    is_moved = self._on_message(event, now)
            case Tick():
                is_moved = False
            case Applied():
                is_moved = self._awaited_ms != event.awaited_ms
                self._awaited_ms = event.awaited_ms
            case Started():
                self._awaited_ms = event.awaited_ms
                self._on_started(now)
            case RecordSubmitted():
                self._submit(event.record, now)
            case RecordsSubmitted():
                for record in event.records:
                    self._submit(record, now)
            case RecordSettled():
                self._pool.drop(event.record_hash)
            case RoundTripMeasured():
                self._pacemaker.measured(event.round_trip_ms)
            case _:
                assert_never(event)
        # Most events change nothing: a vote too many, a known certificate, a tick before its time.
        if is_moved or not self._is_quiet(now):
            self._advance(now)
        return self._out.drain()

    # What the log tells this epoch of the others (`Log`).

    def inherit(self, before: "Consensus") -> None:
        """Go on with what waits, who lied and how far the members are from each other."""
        self._pool = before._pool
        self._pool.forget_terms()
        self._forwarding = Forwarding(self.options, self._pool)
        self._forwarding.changed()
        self._pacemaker = before._pacemaker
        self._convicted = before._convicted

    def begin(self, *, awaited_ms: int | None, now: int) -> list[Effect]:
        """Start in an epoch that this node has signed nothing in; a member keeps that on disk."""
        if self._is_voter:
            self._persist_safety()
        return self.handle(Started(awaited_ms), now=now)

    def begin_to_vote(self, options: ConsensusOptions, *, now: int) -> list[Effect]:
        """Sign from here on: nobody knows of anything that this key has signed (`FirstStart`).

        A term that others have begun it gives up: what it may have lost there it cannot contradict.
        """
        self.options = options
        self._is_voter = self._number is not None and options.may_vote
        self._out.add(VoteDecided(may_vote=True))
        self._persist_safety()
        self._pacemaker.progressed(now)
        self._is_disturbed = True
        if self.term > 1 or self._safety.high_qc != self._verifier.genesis:
            self._give_up(now)
        return self.handle(Tick(), now=now)

    def fall_behind(self, sender: bytes, *, now: int) -> list[Effect]:
        """Ask a node that speaks of a later epoch for what is missing here."""
        self._catch_up.hint(sender)
        self._catch_up.is_behind = self._is_disturbed = True
        return self.handle(Tick(), now=now)

    def learn_end(self, sender: bytes, end: EpochEnd, *, now: int) -> list[Effect]:
        """Take in a proof of how this epoch ended."""
        if not self.knows_end:
            fault = end_fault(end, self.options, self._verifier, self._stops.read)
            if fault is not None:
                return [PeerFault(sender, fault)]
            self._proven_end = end
            self._learn_qc(end.links[0][1], sender, now)
            self._try_conclude()
        return self.fall_behind(sender, now=now)

    def convict_of(self, epoch: int, culprit: bytes, evidence: Evidence) -> list[Effect]:
        """Take in verified evidence of an epoch that is over."""
        if culprit in self._convicted:
            return []
        self._convicted.add(culprit)
        return [EvidenceFound(culprit, evidence, epoch), Broadcast(EvidenceMessage(evidence))]

    def _on_started(self, now: int) -> None:
        self._catch_up.heard(now)
        self._pacemaker.entered(now, failed=False)
        self._out.add(CoordinatorChanged(self.term, self.coordinator))
        for block in self._tree.chain(self._safety.high_qc.hash) or []:
            self._try_commit(block.append.qc)
        self._try_commit(self._safety.high_qc)
        gave_up = self._safety.max_timed_out >= self.term
        # A coordinator that restarts in its own term would only be waited for.
        if self._is_voter and (gave_up or (self._barred_term and self.is_coordinator)):
            self._give_up(now)

    def _on_message(self, event: MessageReceived, now: int) -> bool:
        """Take a message in; tell whether it may have changed anything here."""
        sender, message = event.sender, event.message
        is_moved = True
        match message:
            case Append():
                fault = self._on_append(sender, message, now)
            case Vote():
                is_moved = self._ballot is not None
                fault = self._on_vote(message, now)
            case Timeout():
                fault = self._on_timeout(sender, message, now)
            case QcNotice():
                before = self._safety
                fault = self._on_qc_notice(sender, message, now)
                is_moved = self._safety is not before or not self._out.is_empty
            case Fetch():
                self._on_fetch(sender, message, now)
                fault = None
            case Blocks():
                fault = self._on_blocks(sender, message, now)
            case Forward():
                fault = self._on_forward(sender, message, now)
            case EvidenceMessage():
                fault = self._on_evidence(message.evidence)
            case InEpoch() | Epochs() | Offer() | WantPages() | Pages():
                fault = None  # `Log` takes these in
            case _:
                assert_never(message)
        if fault is not None:
            self._out.add(PeerFault(sender, fault))
        return is_moved

    def _on_vote(self, vote: Vote, now: int) -> str | None:
        ballot = self._ballot
        if ballot is None or vote.position != ballot.block.position or ballot.has(vote.member):
            return None
        if not self._verifier.vote_is_signed(vote):
            return "the vote is not signed by its member"
        self._accuse(self._watch.saw_vote(vote))
        if not ballot.is_for(vote):
            return "the vote is for a block that was not proposed"
        self._pacemaker.measured(now - ballot.opened_at)
        self._count_vote(ballot, vote, now)
        return None

    # A coordinator's part.

    def _enter(self, term: int, now: int, *, failed: bool) -> None:
        super()._enter(term, now, failed=failed)
        self._ballot = None
        self._proposed_at = 0

    def _finish(self, end: EpochEnd) -> None:
        super()._finish(end)
        self._ballot = None
        self._notice = None

    def _give_up(self, now: int) -> None:
        if self._is_voter and self._own_timeout is None:
            self._ballot = None
        super()._give_up(now)

    def _cast(self, vote: Vote, now: int) -> None:
        """Count the own vote for the own proposal here."""
        if self._ballot is not None and self.is_coordinator:
            self._count_vote(self._ballot, vote, now)
        else:
            super()._cast(vote, now)

    def _advance(self, now: int) -> None:
        """Do all that is due: give up, vote, propose, forward, fetch."""
        self._retry_at = None
        self._is_disturbed, self._is_due_stale = False, True
        self._saw_to_at = now
        if self.end is not None:
            return
        self._pacemaker.rest(now, self._rest_ms(now))
        if self._is_voter:
            self._watch_the_clock(now)
        if self._candidate is not None:
            self._try_vote(now)
        while self.is_coordinator and self._try_propose(now):
            pass
        if self._notice is not None and self._retry_at is None:
            self._out.add(Broadcast(QcNotice(self._notice, None)))
            self._notice = None
        if self._forwarding.is_due(now):
            sends = self._forwarding.step(self.term, self.coordinator, self._under_way(), now)
            self._out.add(*sends)
        self._fetch_what_is_missing(now)
        self._pacemaker.rest(now, self._rest_ms(now))

    @property
    def _wakes_at(self) -> int | None:
        """Give when the ledger waits for a block; members bear with a late coordinator clock."""
        if self._awaited_ms is None:
            return None
        return self._awaited_ms + (0 if self.is_coordinator else CLOCK_AHEAD_MAX_MS)

    def _rest_ms(self, now: int) -> int:
        """Give the longest pause; 0 when, as far as is known here, somebody waits (section 6)."""
        if (
            self._tree.holds_records
            or len(self._pool) > 0
            or self._safety.high_qc.position.term != self.term
            or self._is_doubted
        ):
            return 0
        wakes_at = self._wakes_at
        if wakes_at is None:
            return REST_MS_MAX
        return 0 if now >= wakes_at else NAP_MS_MAX

    def _count_vote(self, ballot: Ballot, vote: Vote, now: int) -> None:
        qc = ballot.count(vote)
        if qc is not None:
            self._verifier.trust(qc)
            self._ballot = None
            self._notice = qc
            self._learn_qc(qc, self.options.self_id, now)

    def _submit(self, record: bytes, now: int) -> None:
        reason = self._take_record(record, None, now)
        if reason:
            self._out.add(RecordRefused(merkle.leaf_hash(record), reason))

    def _may_propose(self) -> bool:
        """Tell whether this node may open a ballot on its highest certificate now."""
        safety = self._safety
        if not self._is_voter or not self.is_coordinator or self._ballot is not None:
            return False
        if self.term <= max(self._barred_term, safety.max_timed_out):
            return False
        parent, tc = safety.high_qc, safety.tc
        is_first = parent.position.term != self.term
        if is_first and self.term > 1 and (tc is None or tc.term != self.term - 1):
            return False
        return self._tree.holds(parent.hash)

    def _is_due(self, under_way: frozenset[bytes], now: int) -> bool:
        if under_way or self._safety.high_qc.position.term != self.term:
            return True
        if now >= self._heartbeat_at:
            return True
        waiting = self._pool.waiting(under_way)
        return waiting is not None and (
            waiting[0] + self.options.batch_ms <= now or waiting[1] >= self.options.block_bytes_max
        )

    def _try_propose(self, now: int) -> bool:
        """Propose when it is due; give whether a certificate came of it at once (n = 1)."""
        if self._ballot is not None and now >= self._resend_at:
            self._resend_at = now + self._pacemaker.heartbeat_ms
            self._propose_again(self._ballot)
        if not self._may_propose():
            return False
        under_way = self._under_way()
        if not self._is_due(under_way, now):
            return False
        due = root_due(self._safety.high_qc)
        root = b"" if due is None else self._state_root(due)
        if root is None:
            self._retry_at = now + ROOT_RETRY_MS
            return False
        self._propose(root, self._next_records(due, under_way), now)
        return self._ballot is None

    def _propose_again(self, ballot: Ballot) -> None:
        """Show the proposal once more to the members whose votes are missing."""
        for number, member in enumerate(self.committee.members):
            if member != self.options.self_id and not ballot.has(number):
                self._out.add(Send(member, ballot.block.append))

    def _next_records(self, due: int | None, under_way: frozenset[bytes]) -> tuple[bytes, ...]:
        """Choose a block's records: none behind a stop, a stop alone when the ledger wants one."""
        if self._tree.is_stopping(self._safety.high_qc.hash):
            return ()
        stop = None if due is None else self._stops.due(due)
        return self._pool.batch(under_way) if stop is None else (stop,)

    def _propose(self, root: bytes, records: tuple[bytes, ...], now: int) -> None:
        parent, tc = self._safety.high_qc, self._safety.tc
        number = self._number
        assert number is not None
        parent_time_ms = self._tree.time_ms(parent.hash)
        time_ms = now
        if parent_time_ms is not None:
            time_ms = max(parent_time_ms, min(now, parent_time_ms + BLOCK_TIME_STEP_MAX_MS))
        header = Header(
            self.term,
            parent.position.index + 1,
            parent.hash,
            time_ms,
            records_root(records),
            beacon.reveal(
                self.options.beacon_secret, self._tree.last_link(parent.hash, number).count
            ),
            root,
            self.options.self_id,
        )
        hash_ = block_hash(header)
        signature = self._signer.sign("append", append_payload(self.options.epoch, hash_))
        is_first = parent.position.term != self.term
        append = Append(
            header, parent, tc if is_first and self.term > 1 else None, records, signature
        )
        self._safety = replace(self._safety, last_proposed=header.position)
        self._persist_safety()
        self._out.add(Broadcast(append))
        self._notice = None
        self._place(derive(append, hash_), self.options.self_id)
        self._ballot = Ballot(self.committee, self._tree.blocks[hash_], now)
        self._pacemaker.proposed()
        self._proposed_at = now
        self._resend_at = now + self._pacemaker.heartbeat_ms
        self._try_vote(now)
