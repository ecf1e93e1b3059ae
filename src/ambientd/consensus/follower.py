"""What every node does with the log, in the committee or not: follow it (protocols/05-log.md).

A follower learns certificates, links blocks, commits, fetches what it lacks, passes records on
and convicts liars. It signs nothing; `core.Consensus` adds what members sign.
"""

from dataclasses import replace as replace_fields

from msgspec.structs import replace

from ambientd.codec import merkle
from ambientd.consensus.admission import Admission
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.block_tree import Block, BlockTree, derive
from ambientd.consensus.catch_up import BlockSource, CatchUp, FetchLimit, serve
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.effects import (
    Broadcast,
    Committed,
    CoordinatorChanged,
    EvidenceFound,
    Outbox,
    PersistBlock,
    Send,
)
from ambientd.consensus.epochs import Stops
from ambientd.consensus.evidence import EvidenceWatch
from ambientd.consensus.forwarding import Forwarding, forward_fault
from ambientd.consensus.judging import records_fault, shape_fault, signature_fault
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EpochEnd,
    Evidence,
    EvidenceMessage,
    Fetch,
    Forward,
    Header,
    QcNotice,
    QuorumCertificate,
    TimeoutCertificate,
    block_hash,
)
from ambientd.consensus.options import ConsensusOptions, Random
from ambientd.consensus.pacemaker import Pacemaker
from ambientd.consensus.record_pool import RecordPool
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules, SafetyState

NOTHING: frozenset[bytes] = frozenset()
BLOCKS_AT_POSITION_MAX = 2  # an equivocating proposer fills no memory


class Follower:
    """The log as far as no signature of this node's is needed."""

    def __init__(
        self,
        options: ConsensusOptions,
        restored: Restored | None,
        random: Random,
        admission: Admission,
        blocks: BlockSource,
        stops: Stops,
        rules: SafetyRules,
    ) -> None:
        self.options = options
        self.committee = Committee(options.members, options.seed)
        self._admission = admission
        self._source = blocks
        self._stops = stops
        self._rules = rules
        self._verifier = Verifier(options, self.committee)
        self._out = Outbox()
        self._watch = EvidenceWatch()
        self._convicted: set[bytes] = set()
        self._pacemaker = Pacemaker(options)
        self._pool = RecordPool(options)
        self._forwarding = Forwarding(options, self._pool)
        self._catch_up = CatchUp(options, random)
        self._fetch_limit = FetchLimit(options)
        self._held: dict[bytes, tuple[bytes, Append]] = {}
        self._proven_end: EpochEnd | None = None
        self._is_disturbed = False  # since this node last saw to what is due
        self.end: EpochEnd | None = None
        self._restore(restored)
        self._take_term(self._safety.term)

    def _restore(self, restored: Restored | None) -> None:
        genesis = self._verifier.genesis
        beacons = tuple(BeaconLink(tip, 0) for tip in self.options.beacon_tips)
        if restored is None:
            self._safety = SafetyState(genesis)
            self._tree = BlockTree(self.committee, genesis, None, beacons, self._stops.read)
            return
        beacons = restored.beacons or beacons
        tree = BlockTree(self.committee, genesis, restored.head, beacons, self._stops.read)
        of_epoch: list[Append] = []
        for append in restored.tail_in_order():
            hash_ = block_hash(append.header)
            # A block of the epoch before may stand on this one's root, but it counts for nothing.
            is_ours = self._verifier.append_is_signed(append, hash_)
            if is_ours:
                of_epoch.append(append)
            if is_ours and tree.holds(append.header.parent_hash):
                tree.add(derive(append, hash_))
            else:
                tree.abandon(hash_, append.header.index)
        self._tree = tree
        self._safety = replace_fields(restored, tail=tuple(of_epoch)).safety_with_high_qc(genesis)

    # What the host may look at.

    def _take_term(self, term: int) -> None:
        """Be in a term; who coordinates it is asked at every step."""
        self.term = term
        self.coordinator = self.committee.coordinator(term)
        self.is_coordinator = self.coordinator == self.options.self_id

    @property
    def head_index(self) -> int:
        """Give the index of the last committed block."""
        return self._tree.head_index

    @property
    def high_qc(self) -> QuorumCertificate:
        """Give the highest certificate known."""
        return self._safety.high_qc

    @property
    def safety(self) -> SafetyState:
        """Give what this node must never forget."""
        return self._safety

    def uncommitted(self, above: int) -> tuple[Append, ...]:
        """Give the linked blocks above an index, parents first."""
        blocks = sorted(self._tree.blocks.values(), key=lambda block: block.position.index)
        return tuple(block.append for block in blocks if block.position.index > above)

    def superseded(self, index: int) -> tuple[bytes, ...]:
        """Give the persisted blocks up to an index that is committed elsewhere."""
        return self._tree.persisted(index)

    @property
    def knows_end(self) -> bool:
        """Tell whether it is proven how this epoch ended."""
        return self._proven_end is not None or self.end is not None

    @property
    def is_behind(self) -> bool:
        """Tell whether it is proven that the log has gone further than what is here."""
        return self.knows_end or not self._tree.holds(self._safety.high_qc.hash)

    def takes_answer(self, sender: bytes) -> bool:
        """Tell whether a FETCH to this peer was unanswered; now it is answered."""
        return self._catch_up.takes_answer(sender)

    def offered(self, sender: bytes, index: int, now: int) -> None:
        """Note that a peer gave a snapshot of a block in place of blocks."""
        self._is_disturbed = True
        self._catch_up.offered(sender, index, now)

    def offered_instead(self, sender: bytes, *, is_fetching: bool, now: int) -> None:
        """Note that a FETCH was answered with a snapshot, and whether it is one to fetch."""
        self._is_disturbed = True
        if is_fetching:
            self._catch_up.postpone(sender, now)
        else:
            self._catch_up.answered(sender, now, advanced=False)

    def await_pages(self, now: int) -> None:
        """Let a snapshot come first for a while if there is no block here: else blocks go on."""
        if not self.head_index:
            self._is_disturbed = True
            self._catch_up.await_pages(now)

    @property
    def pending_records(self) -> int:
        """Give how many records wait here to be in the log."""
        return len(self._pool)

    # What a member does beyond following.

    def _on_known_block(self, hash_: bytes, header: Header) -> None:
        """Look at a proposal that is here already."""

    def _on_linked(self, block: Block) -> None:
        """Look at a block whose ancestors are all here."""

    # Messages; each gives the sender's fault, or None.

    def _on_append(self, sender: bytes, append: Append, now: int) -> str | None:
        header = append.header
        fault = shape_fault(append, self.committee)
        if fault is not None:
            return fault
        hash_ = block_hash(header)
        if self._tree.holds(hash_) or hash_ in self._held:
            self._on_known_block(hash_, header)
            return None
        is_certified = hash_ == self._safety.high_qc.hash
        if header.index <= self._tree.head_index or (header.term < self.term and not is_certified):
            self._help(sender, header.term)
            return None
        fault = signature_fault(append, hash_, self._verifier, self._rules)
        block = derive(append, hash_)
        is_valid = None if is_certified else self._is_valid
        fault = fault or records_fault(block, is_valid, self._stops.read)
        if fault is not None:
            return fault
        self._accuse(self._watch.saw_block(header, append.signature))
        self._learn_tc(append.tc, sender, now)
        self._learn_qc(append.qc, sender, now)
        is_spam = self._tree.count_at(block.position) >= BLOCKS_AT_POSITION_MAX
        if is_certified or (header.term == self.term and not is_spam):
            self._place(block, sender)
            self._forwarding.saw_block(block.size_bytes, len(append.records), now)
        return None

    def _is_valid(self, hash_: bytes, record: bytes) -> bool:
        """Judge a proposed record, unless it waits here: then it was judged when it came."""
        return self._pool.holds(hash_) or self._admission.is_valid(record)

    def _help(self, sender: bytes, term: int) -> None:
        """Show a node that lags in an older term the way into this one."""
        if term < self.term:
            self._out.add(Send(sender, QcNotice(self._safety.high_qc, self._safety.tc)))

    def _on_qc_notice(self, sender: bytes, notice: QcNotice, now: int) -> str | None:
        if not self._verifier.qc_holds(notice.qc):
            return "the certificate does not hold"
        if notice.tc is not None and not self._verifier.tc_holds(notice.tc):
            return "the time-out certificate does not hold"
        self._learn_tc(notice.tc, sender, now)
        self._learn_qc(notice.qc, sender, now)
        return None

    def _on_fetch(self, sender: bytes, fetch: Fetch, now: int) -> None:
        if self._fetch_limit.allows(sender, now):
            high_qc = self._safety.high_qc
            answer = serve(fetch.after, self._tree, high_qc, self._source, self.options)
            self._out.add(Send(sender, answer))

    def _on_blocks(self, sender: bytes, answer: Blocks, now: int) -> str | None:
        if not self._catch_up.takes_answer(sender):
            return None
        before = len(self._tree.blocks), self.head_index
        fault = self._take_blocks(sender, answer, now)
        advanced = fault is None and before != (len(self._tree.blocks), self.head_index)
        self._catch_up.answered(sender, now, advanced=advanced)
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
                fault = fault or records_fault(block, None, self._stops.read)
                if fault is not None:
                    return fault
                blocks.append(block)
        for block in reversed(blocks):
            self._watch_fetched(block.append)
            self._place(block, sender)
            self._learn_qc(block.append.qc, sender, now)
        self._learn_qc(answer.qc, sender, now)
        return None

    def _on_forward(self, sender: bytes, forward: Forward, now: int) -> str | None:
        fault = forward_fault(forward)
        if fault is not None:
            return fault
        for record in forward.records:
            if not self._pool.has_room_for(sender):
                return None
            if self._take_record(record, sender, now) == "":
                return "a forwarded record is not valid"
        return None

    def _take_record(self, record: bytes, origin: bytes | None, now: int) -> str | None:
        """Keep a record; give why it is not kept ("" for a peer's invalid one), else None."""
        if self._pool.knows(record):
            if origin is None:
                self._pool.adopt(record)
            return None
        # The cheap questions come first: a peer must not buy signature checks with bytes alone.
        reason = self._pool.refusal(record, origin)
        if reason is not None:
            return reason
        if self._stops.read(record) is not None:
            return "only the log's own coordinator proposes to end an epoch"
        if not self._admission.may_enter(record):
            return "the ledger takes no such record from its author"
        if not self._admission.is_valid(record):
            return "" if origin is not None else "the record is not valid"
        self._pool.add(record, origin, now)
        self._forwarding.added(merkle.leaf_hash(record))
        return None

    def _on_evidence(self, evidence: Evidence) -> str | None:
        if self._verifier.accused(evidence) in self._convicted:
            return None  # known, and not worth two signature checks
        culprit = self._verifier.culprit(evidence)
        if culprit is None:
            return "the evidence proves nothing"
        self._convict(culprit, evidence)
        return None

    # Certificates and terms.

    def _learn_tc(self, tc: TimeoutCertificate | None, source: bytes, now: int) -> None:
        """Take in a verified time-out certificate: the way into the next term."""
        known = self._safety.tc
        if tc is None or tc == known:
            return
        for evidence in self._watch.saw_tc(tc):
            self._accuse(evidence)
        if known is not None and tc.term <= known.term:
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
        if child is None or child.parent_hash == self._tree.head_qc.hash:
            return
        # Keys that are retired by now could have certified anything; a proof says how it went on.
        if not self.options.is_trusted and self._proven_end is None:
            return
        if self._rules.commits_parent(qc):
            self._commit(self._tree.commit(child, qc))

    def _commit(self, committed: Committed | None) -> None:
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
        if committed.end is not None:
            self._finish(committed.end)

    def _finish(self, end: EpochEnd) -> None:
        """End with the epoch: nothing that comes after the stop counts."""
        self.end = end
        self._held = {}

    def _try_conclude(self) -> None:
        """Commit the stop by what others proved, when this node holds it."""
        if self._proven_end is not None and self.end is None:
            self._commit(self._tree.conclude(self._proven_end))

    def _settle(self, committed: Committed) -> None:
        for block in committed.blocks:
            for record in block.block.records:
                self._pool.settle(merkle.leaf_hash(record))

    def _enter(self, term: int, now: int, *, failed: bool) -> None:
        self._take_term(term)
        self._held = {h: held for h, held in self._held.items() if held[1].header.term >= term}
        self._pacemaker.entered(now, failed=failed)
        self._forwarding.changed()
        self._out.add(CoordinatorChanged(term, self.coordinator))

    # Blocks.

    def _place(self, block: Block, source: bytes) -> None:
        """Put a block into the tree, and after it those that waited for it."""
        header = block.append.header
        is_known = header.index <= self.head_index or self._tree.holds(block.hash)
        if is_known or self.end is not None:
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
        self._on_linked(linked)
        self._try_commit(linked.append.qc)
        if linked.hash == self._safety.high_qc.hash:
            self._try_commit(self._safety.high_qc)
        self._try_conclude()
        for hash_, (held_source, held) in list(self._held.items()):
            if held.header.parent_hash == linked.hash and hash_ in self._held:
                del self._held[hash_]
                self._place(derive(held, hash_), held_source)

    def _under_way(self) -> frozenset[bytes]:
        """Give the hashes of the records in certified blocks that are not committed yet."""
        if not self._tree.holds_records:
            return NOTHING
        chain = self._tree.chain(self._safety.high_qc.hash) or []
        return frozenset(hash_ for block in chain for hash_ in block.record_hashes)

    def _fetch_what_is_missing(self, now: int) -> None:
        self._catch_up.head_index = self.head_index
        self._catch_up.is_missing = bool(self._held) or not self._tree.holds(self.high_qc.hash)
        target = self._catch_up.target(now)
        if target is not None:
            self._out.add(Send(target, Fetch(self.head_index)))

    # Evidence.

    def _watch_fetched(self, append: Append) -> None:
        """Hold a fetched block, whose signatures are verified, against what its signers said."""
        self._accuse(self._watch.saw_block(append.header, append.signature))
        if append.tc is not None and append.tc != self._safety.tc:
            for evidence in self._watch.saw_tc(append.tc):
                self._accuse(evidence)

    def _accuse(self, evidence: Evidence | None) -> None:
        if evidence is not None:
            culprit = self._verifier.culprit(evidence)
            if culprit is not None:
                self._convict(culprit, evidence)

    def _convict(self, culprit: bytes, evidence: Evidence) -> None:
        if culprit not in self._convicted and self.committee.number(culprit) is not None:
            self._convicted.add(culprit)
            self._out.add(
                EvidenceFound(culprit, evidence, self.options.epoch),
                Broadcast(EvidenceMessage(evidence)),
            )
