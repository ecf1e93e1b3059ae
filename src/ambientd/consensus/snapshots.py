"""What a snapshot proves, and how a node offers one or fetches it (protocols/05-log.md section 12).

An offer is checked as a whole before anything is asked for: epochs, certificates, headers, pages.
A page is named by its digest, so any node may give it, and what was fetched for an older snapshot
counts for a newer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ambientd.codec.state_pages import decode_page, root_of_pages
from ambientd.consensus.catch_up import EpochSource, FetchLimit
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.effects import Effect, Send, SnapshotFetched
from ambientd.consensus.epochs import ReadStop, verify_epoch_chain
from ambientd.consensus.judging import root_due
from ambientd.consensus.messages import (
    OFFERED_ENDS_MAX,
    WANTED_PAGES_MAX,
    EpochEnd,
    Offer,
    Pages,
    Snapshot,
    WantPages,
    block_hash,
    records_root,
)
from ambientd.consensus.options import BLOCK_BYTES_HARD_MAX, ConsensusOptions
from ambientd.errors import RemoteProtocolError

ASKED_AT_ONCE_MAX = 4
OFFERED_AGAIN_MS = 60_000
"""Whoever begins, and asks from the first block on again before that, wants the blocks."""
BEGINNERS_MAX = 1024


def snapshot_fault(
    snapshot: Snapshot, options: ConsensusOptions, read_stop: ReadStop
) -> str | None:
    """Give why this proves no state of the epoch of `options`, or None when it does."""
    if (snapshot.version, snapshot.epoch) != (options.state_version, options.epoch):
        return f"the snapshot is of version {snapshot.version} and epoch {snapshot.epoch}"
    (header, qc), (child, child_qc), (grandchild, last_qc) = snapshot.links
    block = snapshot.block
    if header != block.header or records_root(block.records) != header.records_root:
        return "the block is not the one that is certified"
    if sum(map(len, block.records)) > BLOCK_BYTES_HARD_MAX:
        return f"the block has more than {BLOCK_BYTES_HARD_MAX} bytes of records"
    if any(read_stop(record) is not None for record in block.records):
        return "the block ends its epoch"
    if header.index <= options.root_index:
        return "the block is not above the epoch's root"
    for (above, above_qc), below in zip(snapshot.links, (child, grandchild), strict=False):
        if (below.index, below.parent_hash) != (above.index + 1, above_qc.hash):
            return "the headers do not follow from one another"
    if any((c.position, c.hash) != (h.position, block_hash(h)) for h, c in snapshot.links):
        return "a certificate is not of its header"
    if root_due(child_qc) != header.index:
        return "the child does not commit the block"
    verifier = Verifier(options, Committee(options.members, options.seed))
    if not all(verifier.qc_holds(each) for each in (qc, child_qc, last_qc)):
        return "a certificate does not hold"
    if root_of_pages(snapshot.pages) != grandchild.state_root:
        return "the pages are not those of the state"
    return None


class SnapshotServer:
    """Answers from the newest snapshot, as often as each peer may ask."""

    def __init__(self, options: ConsensusOptions, source: EpochSource) -> None:
        self._source = source
        self._bytes_max = options.fetch_bytes_max
        self._offer_limit = FetchLimit(options)
        self._beginners = FetchLimit(options, OFFERED_AGAIN_MS, BEGINNERS_MAX)
        self._page_limit = FetchLimit(options)

    def offer(self, sender: bytes, epoch: int, after: int, now: int) -> list[Effect] | None:
        """Offer the snapshot in place of blocks that are deleted, and to who begins; else None.

        To apply the blocks from the first on takes longer the older the log is; the state does not.
        """
        has_blocks = bool(self._source.committed(after + 1, 1))
        if has_blocks and (after or not self._beginners.allows(sender, now)):
            return None
        snapshot = self._source.snapshot()
        if snapshot is None or snapshot.index <= after:
            return None
        count = snapshot.epoch - epoch
        if not 0 <= count <= OFFERED_ENDS_MAX:
            return None if has_blocks else []
        if not self._offer_limit.allows(sender, now):
            return []
        ends = tuple(self._source.ends(epoch, count)) if count else ()
        return [Send(sender, Offer(ends, snapshot))] if len(ends) == count else []

    def pages(self, sender: bytes, want: WantPages, now: int) -> list[Effect]:
        """Give some of the pages that a peer wants, at least one that is here."""
        if not self._page_limit.allows(sender, now):
            return []
        found: list[bytes] = []
        size = 0
        for digest in want.digests:
            page = self._source.page(digest)
            if page is not None:
                size += len(page)
                if found and size > self._bytes_max:
                    break
                found.append(page)
        return [Send(sender, Pages(tuple(found)))]


@dataclass(slots=True)
class _Peer:
    """One node that may have pages: what it was asked for, and when it may be asked again."""

    free_at: int = 0
    asked: tuple[bytes, ...] = ()
    answers_until: int = 0


@dataclass
class Download:
    """One snapshot that is verified, with the pages that are here, and those on their way."""

    snapshot: Snapshot
    ends: tuple[EpochEnd, ...]
    peers: dict[bytes, _Peer]
    pages: dict[bytes, bytes] = field(default_factory=dict)
    missing: dict[bytes, None] = field(default_factory=dict)

    @cached_property
    def wanted(self) -> frozenset[bytes]:
        """Give the digests of all its pages."""
        return frozenset(digest for _, digest in self.snapshot.pages)

    def miss(self, digests: Sequence[bytes]) -> None:
        """Note that pages are to be asked for again, unless they have come."""
        self.missing |= {digest: None for digest in digests if digest not in self.pages}

    @property
    def fetched(self) -> SnapshotFetched | None:
        """Give the state once every page is here."""
        if len(self.pages) < len(self.wanted):
            return None
        pages = tuple(self.pages[digest] for _, digest in self.snapshot.pages)
        return SnapshotFetched(self.snapshot, pages, self.ends)


class SnapshotFetcher:
    """Takes offers in, and fetches the newest one's pages from several nodes at once."""

    def __init__(self, options: ConsensusOptions, read_stop: ReadStop) -> None:
        self._self_id = options.self_id
        self._read_stop = read_stop
        self._pause_ms = options.t0_ms * 3 // 8  # a peer answers once every T0/4
        self._wait_ms = 2 * options.t0_ms
        self._empty_ms = 4 * options.t0_ms
        self._download: Download | None = None
        self.unknown: ConsensusOptions | None = None
        """An epoch that an offer has proven, of a state version that is not known here."""

    @property
    def is_fetching(self) -> bool:
        """Tell whether pages are on their way."""
        return self._download is not None

    @property
    def progress(self) -> tuple[int, int]:
        """Give of which block the snapshot is, and how many of its pages are here."""
        download = self._download
        return (0, 0) if download is None else (download.snapshot.index, len(download.pages))

    @property
    def deadline(self) -> int | None:
        """Give when to ask, or to give up an answer."""
        download = self._download
        if download is None:
            return None
        peers = download.peers.values()
        due = [peer.answers_until for peer in peers if peer.asked]
        if download.missing and len(due) < ASKED_AT_ONCE_MAX:
            due += [peer.free_at for peer in peers if not peer.asked]
        return min(due, default=None)

    def take_offer(
        self, sender: bytes, offer: Offer, options: ConsensusOptions, head_index: int
    ) -> str | None:
        """Begin with an offer that is newer than all known; give what is wrong with it, if so."""
        snapshot, before = offer.snapshot, self._download
        known = head_index if before is None else max(head_index, before.snapshot.index)
        if snapshot.index <= known:
            return None
        ends = self._still_to_come(offer.ends, options.epoch)
        then = verify_epoch_chain(options, ends, self._read_stop)
        if isinstance(then, str):
            return then
        if not then.is_trusted:
            return None  # an honest node may lag behind what this node's owner knows
        fault = snapshot_fault(snapshot, then, self._read_stop)
        if fault is not None:
            return fault
        if not then.is_known:
            self.unknown = then
            return None
        names = sorted({*then.members, *options.members, sender} - {self._self_id})
        kept = {} if before is None else before.pages
        pages = {digest: kept[digest] for _, digest in snapshot.pages if digest in kept}
        missing = {digest: None for _, digest in snapshot.pages if digest not in pages}
        peers = {name: _Peer() for name in (sender, *(each for each in names if each != sender))}
        self._download = Download(snapshot, ends, peers, pages, missing)
        return None

    def _still_to_come(self, ends: Sequence[EpochEnd], epoch: int) -> tuple[EpochEnd, ...]:
        """Leave out the ends of epochs that this node has left since it asked."""
        begun = [self._read_stop(end.record) for end in ends]
        past = sum(each is not None and each.number <= epoch for each in begun)
        return tuple(ends[past:])

    def take_pages(self, sender: bytes, answer: Pages, now: int) -> str | None:
        """Keep the pages that are missing; give what is wrong with any.

        An answer may come late, twice, or be of an older snapshot: that is nobody's fault.
        """
        download = self._download
        peer = None if download is None else download.peers.get(sender)
        if download is None or peer is None or not peer.asked:
            return None
        asked, peer.asked = peer.asked, ()
        has_helped = False
        fault = None
        for page in answer.pages:
            try:
                digest, _ = decode_page(page)
            except RemoteProtocolError as error:
                fault = f"a page of the snapshot does not decode: {error}"
                break
            if digest in download.wanted and digest not in download.pages:
                has_helped = True
                download.pages[digest] = page
                download.missing.pop(digest, None)
        download.miss(asked)
        if not has_helped:
            peer.free_at = now + self._empty_ms
        return fault

    def step(self, head_index: int, now: int) -> list[Effect]:
        """Ask whom there is to ask; hand the state over once it is whole."""
        download = self._download
        if download is None or download.snapshot.index <= head_index:
            self._download = None
            return []
        for peer in download.peers.values():
            if peer.asked and now >= peer.answers_until:
                download.miss(peer.asked)
                peer.asked, peer.free_at = (), now + self._empty_ms
        fetched = download.fetched
        if fetched is not None:
            self._download = None
            return [fetched]
        return self._ask(download, now)

    def _ask(self, download: Download, now: int) -> list[Effect]:
        asking = sum(bool(peer.asked) for peer in download.peers.values())
        effects: list[Effect] = []
        for name, peer in download.peers.items():
            if not download.missing or asking >= ASKED_AT_ONCE_MAX:
                break
            if peer.asked or now < peer.free_at:
                continue
            share = max(1, len(download.missing) // ASKED_AT_ONCE_MAX)
            peer.asked = tuple(download.missing)[: min(share, WANTED_PAGES_MAX)]
            for digest in peer.asked:
                del download.missing[digest]
            peer.free_at, peer.answers_until = now + self._pause_ms, now + self._wait_ms
            effects.append(Send(name, WantPages(peer.asked)))
            asking += 1
        return effects
