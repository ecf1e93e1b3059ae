"""Fetching what is missing, and giving others what they miss (protocols/05-log.md section 10)."""

from collections.abc import Sequence
from typing import Protocol

from ambientd.consensus.block_tree import BlockTree
from ambientd.consensus.messages import Append, Blocks, EpochEnd, QuorumCertificate, Snapshot
from ambientd.consensus.options import ConsensusOptions, Random
from ambientd.consensus.pacemaker import REST_MS_MAX
from ambientd.model.genesis import MEMBERS_MAX


class BlockSource(Protocol):
    """The host's committed blocks: a synchronous lookup, no waiting."""

    def committed(self, first: int, count: int) -> Sequence[Append]:
        """Give up to `count` consecutive blocks from index `first`.

        Fewer at the end, and none when the first is not kept any more.
        """
        ...


class EpochSource(BlockSource, Protocol):
    """The host's committed blocks, and how its past epochs ended."""

    def ends(self, first: int, count: int) -> Sequence[EpochEnd]:
        """Give the ends of up to `count` consecutive epochs from number `first`; fewer at last."""
        ...

    def snapshot(self) -> Snapshot | None:
        """Give the newest snapshot that is kept whole; None while there is none."""
        ...

    def page(self, digest: bytes) -> bytes | None:
        """Give a page of that snapshot."""
        ...


FETCHERS_MAX = 256
PAGES_FIRST_T0 = 16
"""For so many T0 after its first snapshot a node without a block lets pages come before blocks."""
OFFERED_REST_T0, OFFERED_REST_MS_MAX = 16, 30_000
"""Who gave a snapshot in place of blocks is asked for blocks once in so many T0.

Never as late as `snapshots.OFFERED_AGAIN_MS`: a beginner asks again within it to get blocks.
"""


class FetchLimit:
    """Serves one fetch a peer every T0/4: the answer is 100,000 times as large as the question."""

    def __init__(
        self,
        options: ConsensusOptions,
        pause_ms: int | None = None,
        peers_max: int = FETCHERS_MAX,
    ) -> None:
        self._pause_ms = options.t0_ms // 4 if pause_ms is None else pause_ms
        self._peers_max = peers_max
        self._members = frozenset(options.members)
        self._served: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._served)

    def allows(self, sender: bytes, now: int) -> bool:
        """Tell whether to serve now, and note it; strangers never take the members' places."""
        pause_ms = self._pause_ms
        self._served = {key: at for key, at in self._served.items() if now < at + pause_ms}
        is_crowded = len(self._served) >= self._peers_max and sender not in self._members
        if sender in self._served or is_crowded:
            return False
        self._served[sender] = now
        return True


EVIDENCE_BURST = MEMBERS_MAX
"""A whole committee may be convicted at once, and each peer says so of each."""


class EvidenceLimit:
    """Judges evidence of epochs that are over: so many at once of a peer, then one every T0/4."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._pause_ms = options.t0_ms // 4
        self._members = frozenset(options.members)
        self._clear_at: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._clear_at)

    def allows(self, sender: bytes, now: int) -> bool:
        """Tell whether to judge one more now, and note it."""
        clear_at = max(now, self._clear_at.pop(sender, now))
        if clear_at + self._pause_ms > now + EVIDENCE_BURST * self._pause_ms:
            self._clear_at[sender] = clear_at
            return False
        if len(self._clear_at) >= FETCHERS_MAX:
            self._clear_at = {key: at for key, at in self._clear_at.items() if at > now}
            if len(self._clear_at) >= FETCHERS_MAX and sender not in self._members:
                return False
        self._clear_at[sender] = clear_at + self._pause_ms
        return True


class CatchUp:
    """One fetch at a time: from whoever showed the gap, then from members in turn.

    Nobody is asked twice within T0 * 3/8, for it would not answer (`FetchLimit`). Who did not help
    is passed over once: a liar that coordinates shows every gap, and closes none. Who offered a
    snapshot of a block above the head rests: to say so again takes 36 bytes a page. Everybody who
    was asked is listened to, however late: others are quicker, and may have nothing to say.
    """

    def __init__(self, options: ConsensusOptions, random: Random) -> None:
        self._options = options
        self._random = random
        self._others = [key for key in options.members if key != options.self_id]
        self._hint: bytes | None = None
        self._free_at: dict[bytes, int] = {}  # of who was asked: when it may be asked again
        self._offered: dict[bytes, int] = {}  # by whom, a snapshot of which block
        self._unanswered: dict[bytes, None] = {}
        self._asked_last: bytes | None = None  # until somebody helped
        self._ask_at = 0
        self._heard_at = 0
        self._silence_ms = 0  # before the last news
        self._pages_first_until: int | None = None
        self.head_index = 0
        self.is_missing = False
        self.is_behind = False  # somebody spoke of a later epoch

    @property
    def _polls_at(self) -> int:
        """Give when a silent log is asked about; a log at rest falls ever more silent."""
        expected_ms = min(2 * self._silence_ms, REST_MS_MAX)
        return self._heard_at + 4 * self._options.t0_ms + expected_ms

    @property
    def deadline(self) -> int | None:
        """Give when to ask (again)."""
        if not self._others:
            return None
        is_urgent = self.is_missing or self.is_behind
        return self._ask_at if is_urgent else max(self._polls_at, self._ask_at)

    def hint(self, source: bytes) -> None:
        """Note who must have what is missing."""
        if source != self._options.self_id:
            self._hint = source

    def heard(self, now: int) -> None:
        """Note that the log moved."""
        self._silence_ms = now - self._heard_at if self._heard_at else 0
        self._heard_at = now

    def takes_answer(self, sender: bytes) -> bool:
        """Tell whether a peer was asked and has not answered yet; now it has."""
        if sender not in self._unanswered:
            return False
        del self._unanswered[sender]
        return True

    def answered(self, sender: bytes, now: int, *, advanced: bool) -> None:
        """Note what an answer was: ask on at once if it helped, else after a pause.

        What did not help puts off no question to another, unless it is who was asked last.
        """
        if advanced:
            self._asked_last = None
            if self._offered.pop(sender, None) is not None:
                self._free_at[sender] = now + self._rest_ms(sender)
        elif sender != self._asked_last:
            return
        self.is_behind &= advanced  # a word costs one question, unless it proves to be true
        self._ask_at = now if advanced else now + self._options.t0_ms // 4

    def offered(self, sender: bytes, index: int, now: int) -> None:
        """Note that a peer gave a snapshot of a block, however late, and let it rest."""
        if sender in self._others or len(self._offered) < FETCHERS_MAX:
            self._offered[sender] = index
            self._free_at[sender] = now + self._rest_ms(sender)

    def _rest_ms(self, peer: bytes) -> int:
        """Give how long a peer is not asked again."""
        if self._offered.get(peer, 0) <= self.head_index:
            return self._options.t0_ms * 3 // 8
        return min(OFFERED_REST_T0 * self._options.t0_ms, OFFERED_REST_MS_MAX)

    def postpone(self, sender: bytes, now: int) -> None:
        """Note an offer in place of blocks: its pages come first, so ask again much later."""
        if sender == self._asked_last:
            self.answered(sender, now, advanced=False)
            self._ask_at = now + 4 * self._options.t0_ms

    def await_pages(self, now: int) -> None:
        """Note that pages have begun to come or gone on: blocks wait, but not beyond a fixed end.

        A liar may offer a snapshot and give its pages one by one, each just in time.
        """
        t0_ms = self._options.t0_ms
        if self._pages_first_until is None:
            self._pages_first_until = now + PAGES_FIRST_T0 * t0_ms
        self._ask_at = max(self._ask_at, min(now + 4 * t0_ms, self._pages_first_until))

    def target(self, now: int) -> bytes | None:
        """Give whom to ask now, or None when there is no need or it is too early."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        wait_ms = self._options.t0_ms // 2
        self._free_at = {key: at for key, at in self._free_at.items() if now < at}
        target = self._hint
        if target is None or target in self._free_at or target == self._asked_last:
            free = [key for key in self._others if key not in self._free_at]
            if not free:  # somebody else may show a gap meanwhile
                self._ask_at = min(*(self._free_at[key] for key in self._others), now + wait_ms)
                return None
            fresh = [key for key in free if key != self._asked_last] or free
            target = fresh[self._random.randrange(len(fresh))]
        self._free_at[target] = now + self._rest_ms(target)
        self._asked_last = target
        self._hint = None
        self._heard_at = now
        self._ask_at = now + wait_ms
        self._unanswered[target] = None
        if len(self._unanswered) > FETCHERS_MAX:
            del self._unanswered[next(iter(self._unanswered))]
        return target


def serve(
    after: int,
    tree: BlockTree,
    high_qc: QuorumCertificate,
    source: BlockSource,
    options: ConsensusOptions,
) -> Blocks:
    """Give the certified blocks above `after`, bounded in number and bytes."""
    limit = options.fetch_blocks_max
    run: list[Append] = []
    after = max(after, options.root_index)
    if after < tree.head_index:
        run += source.committed(after + 1, min(limit + 1, tree.head_index - after))
    at_head = after + len(run) >= tree.head_index
    last_qc = tree.head_qc
    if at_head and tree.holds(high_qc.hash):
        chain = tree.chain(high_qc.hash) or []
        run += [block.append for block in chain if block.position.index > after]
        last_qc = high_qc
    taken = _bounded(run, options)
    if not run:
        last_qc = high_qc  # whoever asks above all that is here wants to know how far the log is
    elif len(taken) < len(run):
        last_qc = run[len(taken)].qc
    elif not at_head and taken:
        last_qc = taken.pop().qc  # the source gave less than its head: end where a qc is known
    return Blocks(tuple(taken), last_qc)


def serve_ended(
    after: int, end: EpochEnd, source: BlockSource, options: ConsensusOptions
) -> Blocks | None:
    """Give certified blocks of an epoch that is over; None when nothing of it is above `after`."""
    count = min(options.fetch_blocks_max + 1, end.index - after)
    if count < 1:
        return None
    run = source.committed(after + 1, count)
    taken = _bounded(run, options)
    if len(taken) < len(run):
        return Blocks(tuple(taken), run[len(taken)].qc)
    is_whole = bool(taken) and taken[-1].header.index == end.index
    return Blocks(tuple(taken), end.links[0][1]) if is_whole else None


def _bounded(run: Sequence[Append], options: ConsensusOptions) -> list[Append]:
    """Give as many blocks as one answer may hold, at least one."""
    taken: list[Append] = []
    size = 0
    for block in run[: options.fetch_blocks_max]:
        size += sum(len(record) for record in block.records)
        if taken and size > options.fetch_bytes_max:
            break
        taken.append(block)
    return taken
