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
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.block_tree import Block, BlockTree, derive
from ambientd.consensus.catch_up import BlockSource, CatchUp, serve
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.effects import (
    Broadcast,
    Committed,
    CoordinatorChanged,
    Effect,
    EvidenceFound,
    Outbox,
    PeerFault,
    PersistBlock,
    PersistSafety,
    RecordRefused,
    Send,
)
from ambientd.consensus.events import (
    Applied,
    Event,
    MessageReceived,
    RecordSettled,
    RecordSubmitted,
    RoundTripMeasured,
    Started,
    Tick,
)
from ambientd.consensus.evidence import EvidenceWatch
from ambientd.consensus.forwarding import Forwarding
from ambientd.consensus.judging import (
    BLOCK_TIME_STEP_MAX_MS,
    StateRootAt,
    Wait,
    records_fault,
    root_due,
    shape_fault,
    signature_fault,
    verdict,
)
from ambientd.consensus.messages import (
    Append,
    Blocks,
    Evidence,
    EvidenceMessage,
    Fetch,
    Forward,
    Header,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    append_payload,
    block_hash,
    records_root,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions, LogSigner, Random
from ambientd.consensus.pacemaker import Pacemaker
from ambientd.consensus.record_pool import RecordPool
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules, SafetyState
from ambientd.consensus.tally import Ballot, TimeoutTally
from ambientd.errors import ConfigError

ROOT_RETRY_MS = 5
BLOCKS_AT_POSITION_MAX = 2  # an equivocating proposer fills no memory


class Consensus:
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
        rules: SafetyRules | None = None,
    ) -> None:
        if signer.public_key != options.self_id:
            msg = "consensus options: self_id is not the signer's key"
            raise ConfigError(msg)
        self.options = options
        self.committee = Committee(options.members, options.seed)
        self._signer = signer
        self._rng = rng
        self._is_valid = is_valid
        self._state_root = state_root
        self._source = blocks
        self._rules = rules or SafetyRules()
        self._verifier = Verifier(options, self.committee)
        self._number = self.committee.number(options.self_id)
        self._is_voter = self._number is not None and options.may_vote
        self._check_beacon_secret()
        self._out = Outbox()
        self._watch = EvidenceWatch()
        self._convicted: set[bytes] = set()
        self._pacemaker = Pacemaker(options)
        self._pool = RecordPool(options)
        self._forwarding = Forwarding(options, self._pool)
        self._catch_up = CatchUp(options, rng)
        self._held: dict[bytes, tuple[bytes, Append]] = {}
        self._candidate: Block | None = None
        self._ballot: Ballot | None = None
        self._notice: QuorumCertificate | None = None
        self._own_timeout: Timeout | None = None
        self._resend_at = 0  # of the own time-out, or of the proposal under way
        self._heartbeat_at = 0
        self._retry_at: int | None = None
        self._now = 0
        genesis = self._verifier.genesis
        first_links = tuple(BeaconLink(tip, 0) for tip in options.beacon_tips)
        if restored is None:
            self._safety = SafetyState(genesis)
            self._tree = BlockTree(self.committee, genesis, None, first_links)
        else:
            self._safety = restored.safety_with_high_qc()
            beacons = restored.beacons or first_links
            self._tree = BlockTree(self.committee, genesis, restored.head, beacons)
            for append in restored.tail_in_order():
                if self._tree.holds(append.header.parent_hash):
                    self._tree.add(derive(append, block_hash(append.header)))
        self.term = self._safety.term
        self._barred_term = 0 if restored is None else self.term
        self._tally = TimeoutTally(self.committee, self.term)

    def _check_beacon_secret(self) -> None:
        if self._number is None or not self._is_voter:
            return
        if beacon.tip(self.options.beacon_secret) != self.options.beacon_tips[self._number]:
            msg = "consensus options: beacon_secret does not lead to this member's beacon tip"
            raise ConfigError(msg)

    # What the host may look at.

    @property
    def coordinator(self) -> bytes:
        """Give the current term's coordinator."""
        return self.committee.coordinator(self.term)

    @property
    def is_coordinator(self) -> bool:
        """Tell whether this node coordinates the current term."""
        return self.coordinator == self.options.self_id

    @property
    def head_index(self) -> int:
        """Give the index of the last committed block."""
        return self._tree.head_index

    @property
    def high_qc(self) -> QuorumCertificate:
        """Give the highest certificate known."""
        return self._safety.high_qc

    @property
    def pending_records(self) -> int:
        """Give how many records wait here to be in the log."""
        return len(self._pool)

    @property
    def next_deadline(self) -> int | None:
        """Give when the host must send the next Tick; None when nothing is due, ever."""
        due = [self._catch_up.deadline, self._forwarding.deadline, self._retry_at]
        if self._is_voter:
            gave_up = self._safety.max_timed_out >= self.term
            due.append(self._resend_at if gave_up else self._pacemaker.deadline)
        if self._ballot is not None:
            due.append(self._resend_at)
        elif self._may_propose() and self._retry_at is None:
            due.append(self._heartbeat_at)
            waiting = self._pool.waiting(self._under_way())
            if waiting is not None:
                due.append(waiting[0] + self.options.batch_ms)
        times = [at for at in due if at is not None]
        return max(min(times), self._now + 1) if times else None

    # Events.

    def handle(self, event: Event, *, now: int) -> list[Effect]:
        """Advance by one event; persist effects come before send effects (section 4)."""
        self._now = max(self._now, now)
        match event:
            case Started():
                self._on_started(now)
            case Tick() | Applied():
                pass
            case MessageReceived():
                if event.sender != self.options.self_id:
                    self._on_message(event, now)
            case RecordSubmitted():
                reason = self._take_record(event.record, None, now)
                if reason:
                    hash_ = merkle.leaf_hash(event.record)
                    self._out.add(RecordRefused(hash_, reason))
            case RecordSettled():
                self._pool.drop(event.record_hash)
            case RoundTripMeasured():
                self._pacemaker.measured(event.round_trip_ms)
            case _:
                assert_never(event)
        self._advance(now)
        return self._out.drain()

    def _on_started(self, now: int) -> None:
        self._heartbeat_at = now
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

    def _on_message(self, event: MessageReceived, now: int) -> None:
        sender, message = event.sender, event.message
        match message:
            case Append():
                fault = self._on_append(sender, message, now)
            case Vote():
                fault = self._on_vote(message, now)
            case Timeout():
                fault = self._on_timeout(sender, message, now)
            case QcNotice():
                fault = self._on_qc_notice(sender, message, now)
            case Fetch():
                answer = serve(
                    message.after, self._tree, self._safety.high_qc, self._source, self.options
                )
                self._out.add(Send(sender, answer))
                fault = None
            case Blocks():
                fault = self._on_blocks(sender, message, now)
            case Forward():
                fault = self._on_forward(sender, message, now)
            case EvidenceMessage():
                fault = self._on_evidence(message.evidence)
            case _:
                assert_never(message)
        if fault is not None:
            self._out.add(PeerFault(sender, fault))

    def _on_append(self, sender: bytes, append: Append, now: int) -> str | None:
        header = append.header
        fault = shape_fault(append, self.committee)
        if fault is not None:
            return fault
        hash_ = block_hash(header)
        if self._tree.holds(hash_) or hash_ in self._held:
            self._repeat_vote(hash_, header)
            return None
        is_certified = hash_ == self._safety.high_qc.hash
        if header.index <= self._tree.head_index or (header.term < self.term and not is_certified):
            self._help(sender, header.term)
            return None
        fault = signature_fault(append, hash_, self._verifier, self._rules)
        block = derive(append, hash_)
        fault = fault or records_fault(block, None if is_certified else self._is_valid)
        if fault is not None:
            return fault
        self._accuse(self._watch.saw_block(header, append.signature))
        self._learn_tc(append.tc, sender, now)
        self._learn_qc(append.qc, sender, now)
        is_spam = self._tree.count_at(header.position) >= BLOCKS_AT_POSITION_MAX
        if is_certified or (header.term == self.term and not is_spam):
            self._place(block, sender)
            self._forwarding.saw_block(block.size_bytes, len(append.records), now)
        return None

    def _repeat_vote(self, hash_: bytes, header: Header) -> None:
        """Send the same vote again: the coordinator asks because it did not come."""
        vote = self._safety.last_vote
        is_open = header.term == self.term > self._safety.max_timed_out
        if vote is not None and vote.hash == hash_ and is_open and not self.is_coordinator:
            self._out.add(Send(self.coordinator, vote))

    def _help(self, sender: bytes, term: int) -> None:
        """Show a node that lags in an older term the way into this one."""
        if term < self.term:
            self._out.add(Send(sender, QcNotice(self._safety.high_qc, self._safety.tc)))

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
            self._tally.count(timeout)
            self._count_timeouts(now)
        return None

    def _on_qc_notice(self, sender: bytes, notice: QcNotice, now: int) -> str | None:
        if not self._verifier.qc_holds(notice.qc):
            return "the certificate does not hold"
        if notice.tc is not None and not self._verifier.tc_holds(notice.tc):
            return "the time-out certificate does not hold"
        self._learn_tc(notice.tc, sender, now)
        self._learn_qc(notice.qc, sender, now)
        return None

    def _on_blocks(self, sender: bytes, answer: Blocks, now: int) -> str | None:
        if not self._catch_up.is_awaiting:
            return None
        before = len(self._tree.blocks), self.head_index
        fault = self._take_blocks(sender, answer, now)
        advanced = fault is None and before != (len(self._tree.blocks), self.head_index)
        self._catch_up.answered(now, advanced=advanced)
        return fault

    def _take_blocks(self, sender: bytes, answer: Blocks, now: int) -> str | None:
        """Take in a run that a verified certificate ends; hashes certify the rest of it."""
        if not self._verifier.qc_holds(answer.qc):
            return "the certificate of the blocks does not hold"
        blocks: list[Block] = []
        expected = answer.qc.hash
        for append in reversed(answer.blocks):
            fault = shape_fault(append, self.committee)
            hash_ = block_hash(append.header)
            if fault is not None or hash_ != expected:
                return fault or "the blocks do not follow from one another"
            expected = append.header.parent_hash
            if append.header.index > self.head_index and not self._tree.holds(hash_):
                block = derive(append, hash_)
                fault = signature_fault(append, hash_, self._verifier, None)
                fault = fault or records_fault(block, None)
                if fault is not None:
                    return fault
                blocks.append(block)
        for block in reversed(blocks):
            self._place(block, sender)
            self._learn_qc(block.append.qc, sender, now)
        self._learn_qc(answer.qc, sender, now)
        return None

    def _on_forward(self, sender: bytes, forward: Forward, now: int) -> str | None:
        for record in forward.records:
            if self._take_record(record, sender, now) == "":
                return "a forwarded record is not valid"
        return None

    def _take_record(self, record: bytes, origin: bytes | None, now: int) -> str | None:
        """Keep a record; give why it is not kept ("" for a peer's invalid one), else None."""
        if self._pool.knows(record):
            if origin is None:
                self._pool.adopt(record)
            return None
        if not self._is_valid(record):
            return "" if origin is not None else "the record is not valid"
        reason = self._pool.add(record, origin, now)
        if reason is None:
            self._forwarding.changed()
        return reason

    def _on_evidence(self, evidence: Evidence) -> str | None:
        culprit = self._verifier.culprit(evidence)
        if culprit is None:
            return "the evidence proves nothing"
        self._convict(culprit, evidence)
        return None

    # Certificates, terms and time-outs.

    def _learn_tc(self, tc: TimeoutCertificate | None, source: bytes, now: int) -> None:
        """Take in a verified time-out certificate: the way into the next term."""
        known = self._safety.tc
        if tc is None or (known is not None and tc.term <= known.term):
            return
        self._safety = replace(self._safety, tc=tc)
        self._learn_qc(tc.max_qc, source, now)
        if tc.term >= self.term:
            self._enter(tc.term + 1, now, failed=True)

    def _learn_qc(self, qc: QuorumCertificate, source: bytes, now: int) -> None:
        """Take in a verified certificate: it may advance the term, and commit."""
        if qc != self._safety.high_qc:
            for evidence in self._watch.saw_qc(qc):
                self._accuse(evidence)
        if qc.position > self._safety.high_qc.position:
            self._safety = replace(self._safety, high_qc=qc)
            self._catch_up.heard(now)
            if qc.position.term > self.term:
                self._enter(qc.position.term, now, failed=False)
            elif qc.position.term == self.term:
                self._pacemaker.progressed(now)
            if not self._tree.holds(qc.hash):
                self._catch_up.hint(source)
        self._try_commit(qc)

    def _try_commit(self, qc: QuorumCertificate) -> None:
        child = self._tree.blocks.get(qc.hash)
        if child is None or not self._rules.commits_parent(qc):
            return
        committed = self._tree.commit(child, qc)
        if committed is None:
            return
        self._out.add(committed)
        self._pacemaker.committed()
        self._settle(committed)
        self._held = {
            hash_: held
            for hash_, held in self._held.items()
            if held[1].header.index > self.head_index
        }

    def _settle(self, committed: Committed) -> None:
        for block in committed.blocks:
            for record in block.block.records:
                self._pool.settle(merkle.leaf_hash(record))

    def _enter(self, term: int, now: int, *, failed: bool) -> None:
        self.term = term
        self._tally = TimeoutTally(self.committee, term)
        self._ballot = None
        self._candidate = None
        self._own_timeout = None
        self._retry_at = None
        self._heartbeat_at = now
        self._held = {h: held for h, held in self._held.items() if held[1].header.term >= term}
        self._pacemaker.entered(now, failed=failed)
        self._forwarding.changed()
        self._out.add(CoordinatorChanged(term, self.coordinator))

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
        self._ballot = None
        self._candidate = None
        self._out.add(PersistSafety(self._safety))
        self._send_timeout(timeout, now)
        self._tally.count(timeout)
        self._count_timeouts(now)

    def _send_timeout(self, timeout: Timeout, now: int) -> None:
        t0_ms = self.options.t0_ms
        self._resend_at = now + t0_ms + self._rng.randrange(t0_ms // 4)
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

    # Blocks.

    def _place(self, block: Block, source: bytes) -> None:
        """Put a block into the tree, and after it those that waited for it."""
        header = block.append.header
        if header.index <= self.head_index or self._tree.holds(block.hash):
            return
        if not self._tree.holds(block.parent_hash):
            if len(self._held) < self.options.held_blocks_max:
                self._held[block.hash] = (source, block.append)
                self._catch_up.hint(source)
            return
        if len(self._tree.blocks) >= self.options.tree_blocks_max:
            self._tree.keep_only(self._safety.high_qc.hash)
            if not self._tree.holds(block.parent_hash):
                return
        linked = self._tree.add(block)
        self._out.add(PersistBlock(linked.hash, linked.append))
        candidate = self._candidate
        if header.term == self.term and (candidate is None or header.position > candidate.position):
            self._candidate = linked
        self._try_commit(linked.append.qc)
        if linked.hash == self._safety.high_qc.hash:
            self._try_commit(self._safety.high_qc)
        for hash_, (held_source, held) in list(self._held.items()):
            if held.header.parent_hash == linked.hash and hash_ in self._held:
                del self._held[hash_]
                self._place(derive(held, hash_), held_source)

    def _advance(self, now: int) -> None:
        """Do all that is due: give up, vote, propose, forward, fetch."""
        self._retry_at = None
        if self._is_voter:
            self._watch_the_clock(now)
        self._try_vote(now)
        while self._try_propose(now):
            pass
        if self._notice is not None and self._retry_at is None:
            self._out.add(Broadcast(QcNotice(self._notice, None)))
            self._notice = None
        self._out.add(*self._forwarding.step(self.term, self.coordinator, self._under_way(), now))
        self._catch_up.is_missing = bool(self._held) or not self._tree.holds(
            self._safety.high_qc.hash
        )
        target = self._catch_up.target(now)
        if target is not None:
            self._out.add(Send(target, Fetch(self.head_index)))

    def _watch_the_clock(self, now: int) -> None:
        if self._own_timeout is not None:
            if now >= self._resend_at:
                self._send_timeout(self._own_timeout, now)
            return
        is_censored = not self.is_coordinator and self._forwarding.is_censored(
            self.term, self._under_way(), now
        )
        if is_censored or now >= self._pacemaker.deadline:
            self._give_up(now)

    def _try_vote(self, now: int) -> None:
        block = self._candidate
        if block is None or not self._is_voter or self._number is None:
            return
        append = block.append
        refusal = self._rules.refusal(self._safety, append.header, append.qc, append.tc)
        found = None if refusal else verdict(block, self._tree, self._state_root, now)
        if isinstance(found, Wait):
            self._retry_at = now + ROOT_RETRY_MS
            return
        self._candidate = None
        if found is not None:
            self._out.add(PeerFault(append.header.proposer, found))
        elif refusal is None:
            self._vote(block, self._number, now)

    def _vote(self, block: Block, number: int, now: int) -> None:
        parent_term = block.append.qc.position.term
        payload = vote_payload(self.options.epoch, block.position, parent_term, block.hash)
        signature = self._signer.sign("vote", payload)
        vote = Vote(block.position, parent_term, block.hash, number, signature)
        self._safety = replace(self._safety, last_vote=vote)
        self._out.add(PersistSafety(self._safety))
        if self._ballot is not None and self.is_coordinator:
            self._count_vote(self._ballot, vote, now)
        else:
            self._out.add(Send(self.coordinator, vote))

    def _count_vote(self, ballot: Ballot, vote: Vote, now: int) -> None:
        qc = ballot.count(vote)
        if qc is not None:
            self._verifier.trust(qc)
            self._ballot = None
            self._notice = qc
            self._learn_qc(qc, self.options.self_id, now)

    # Proposing.

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

    def _under_way(self) -> frozenset[bytes]:
        """Give the hashes of the records in certified blocks that are not committed yet."""
        chain = self._tree.chain(self._safety.high_qc.hash) or []
        return frozenset(hash_ for block in chain for hash_ in block.record_hashes)

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
            self._out.add(Broadcast(self._ballot.block.append))
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
        self._propose(root, self._pool.batch(under_way), now)
        return self._ballot is None

    def _propose(self, root: bytes, records: tuple[bytes, ...], now: int) -> None:
        parent, tc = self._safety.high_qc, self._safety.tc
        number = self._number
        assert number is not None
        parent_block = self._tree.blocks.get(parent.hash)
        parent_time_ms = (
            self._tree.head_time_ms if parent_block is None else parent_block.append.header.time_ms
        )
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
        self._out.add(PersistSafety(self._safety), Broadcast(append))
        self._notice = None
        self._place(derive(append, hash_), self.options.self_id)
        self._ballot = Ballot(self.committee, self._tree.blocks[hash_], now)
        self._heartbeat_at = self._resend_at = now + self._pacemaker.heartbeat_ms
        self._try_vote(now)

    # Evidence.

    def _accuse(self, evidence: Evidence | None) -> None:
        if evidence is not None:
            culprit = self._verifier.culprit(evidence)
            if culprit is not None:
                self._convict(culprit, evidence)

    def _convict(self, culprit: bytes, evidence: Evidence) -> None:
        if culprit not in self._convicted and self.committee.number(culprit) is not None:
            self._convicted.add(culprit)
            self._out.add(EvidenceFound(culprit, evidence), Broadcast(EvidenceMessage(evidence)))
