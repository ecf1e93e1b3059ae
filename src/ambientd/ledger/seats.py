"""The committee's seats: who asks, who decides, and which epoch is due (protocols/03 section 7).

A quorum of the members lets a node in or out; only leaving is one's own affair. What a quorum has
decided is carried out by the next epoch, as far as one step may go, the rest by those after it.
"""

from typing import cast

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.statements import epoch_hash, epoch_leaf
from ambientd.ledger import disputes
from ambientd.ledger.accounts import wait_anew
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import EpochEntry, Table, epoch_key, seat_key, tip_key
from ambientd.ledger.events import EpochBegan, EpochDue, SeatSpoken
from ambientd.ledger.seat_entries import SeatEntry, SeatWord, UsedTip
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import MEMBERS_MAX
from ambientd.model.record import Epoch, Record, SeatAsked, SeatVote, SeatWish, VersionKnown
from ambientd.rules.committees import seats_replaced_max, standing
from ambientd.rules.verdicts import quorum


def ask(draft: Draft, record: Record, body: SeatAsked) -> str | None:
    """Take a node's request for a seat, and what it adds to its bond."""
    author, entry = record.author, draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted ask for seats"
    if author in draft.state.members:
        return "the node has a seat"
    due = draft.epoch_entry.due
    if due is not None and author in due.members:
        return "the node gets its seat in the next epoch"
    seat = _seat(draft, author)
    if body.asked_ms <= seat.asked_ms:
        return "the node has asked since"
    if draft.get(tip_key(body.beacon_tip)) is not None:
        return "a seat needs a new beacon tip; this one was used before"
    if body.bond_msat > draft.balance_msat(author):
        return f"the balance does not cover a bond of {body.bond_msat} msat"
    draft.credit(author, -body.bond_msat)
    draft.put_node(author, replace(entry, bond_msat=entry.bond_msat + body.bond_msat))
    asking = SeatEntry(
        beacon_tip=body.beacon_tip,
        asked_ms=body.asked_ms,
        is_asking=True,
        words=tuple(word for word in seat.words if word.member != author),
    )
    draft.put(seat_key(author), asking)
    draft.tell(SeatSpoken(author, author, SeatWish.IN))
    return None


def vote(draft: Draft, record: Record, body: SeatVote) -> str | None:
    """Take a member's word on a seat, or a node's word that it wants none."""
    author, entry = record.author, draft.node(record.author)
    is_own = author == body.node
    if entry is None or (entry.tombstoned and not is_own):
        return "only nodes that were never convicted speak on seats"
    if not is_own and author not in draft.state.members:
        return "only committee members speak on the seats of others"
    if is_own and author not in draft.state.members and body.wish is not SeatWish.OUT:
        return "nobody lets itself in: ask for a seat"
    if draft.node(body.node) is None:
        return "the seat is for no known node"
    seat = _seat(draft, body.node)
    word = SeatWord(member=author, wish=body.wish, said_ms=body.said_ms)
    if not draft.speaks(Topic.SEATS, author, body.said_ms):
        return "the author has spoken since"
    words = tuple(said for said in seat.words if said.member != author)
    is_asking = seat.is_asking and not (is_own and body.wish is SeatWish.OUT)
    draft.put(seat_key(body.node), replace(seat, words=(*words, word), is_asking=is_asking))
    draft.tell(SeatSpoken(author, body.node, body.wish))
    return None


def know(draft: Draft, record: Record, body: VersionKnown) -> str | None:
    """Take a member's word on the newest state version that its program knows."""
    author, entry = record.author, draft.node(record.author)
    if author not in draft.state.members or entry is None or entry.tombstoned:
        return "only committee members that were never convicted say which version they know"
    present = draft.epoch_entry.epoch.state_version
    if body.version not in {present, present + 1}:
        return f"the state is of version {present}: only {present + 1} can come next"
    if not draft.speaks(Topic.VERSIONS, author, body.said_ms):
        return "the author has spoken since"
    draft.put(seat_key(author), replace(_seat(draft, author), known_version=body.version))
    return None


def begin(draft: Draft, body: Epoch) -> str | None:
    """Begin an epoch: the log ends the one before with this very record."""
    before = draft.epoch_entry
    if body.number != before.epoch.number + 1:
        return f"epoch {body.number} does not follow epoch {before.epoch.number}"
    draft.put(epoch_key(before.epoch.number), replace(before, due=None))
    draft.put(epoch_key(body.number), EpochEntry(epoch=body, root_index=draft.context.index))
    for tip in body.beacon_tips:
        if draft.get(tip_key(tip)) is None:
            draft.put(tip_key(tip), UsedTip(epoch=body.number, value=tip, count=0))
    changed = set(body.members) ^ set(before.epoch.members)
    for node in sorted(changed):
        forgotten = replace(_seat(draft, node), is_asking=False, words=(), known_version=0)
        draft.put(seat_key(node), forgotten)
        entry = draft.node(node)
        if entry is not None:
            draft.put_node(node, replace(entry, is_member=node in body.members))
        if node not in body.members:
            wait_anew(draft, node)
    _forget_findings(draft, frozenset(body.members))
    name = epoch_hash(
        body.number,
        body.members,
        body.seed,
        body.beacon_tips,
        body.state_version,
        draft.context.index,
        draft.context.hash,
    )
    draft.append_leaf(epoch_leaf(name), TaskId(b""))
    draft.tell(EpochBegan(body.number, body.members))
    return None


def _forget_findings(draft: Draft, members: frozenset[NodeId]) -> None:
    """Let only the new committee decide what is disputed: a settlement has one committee."""
    for task in draft.state.tasks_by.disputed:
        disputes.keep_members(draft, task, members)


def let_due(draft: Draft) -> None:
    """Work out, once a block's records are done, whether the epoch is to end, and how."""
    present = draft.epoch_entry
    has_ended = draft.get(epoch_key(present.epoch.number + 1)) is not None
    if has_ended or present.due is not None:
        return
    members = _next_members(draft, present.epoch)
    version = _next_version(draft, present.epoch, members)
    if (members, version) == (present.epoch.members, present.epoch.state_version):
        return
    number = present.epoch.number + 1
    tips = dict(zip(present.epoch.members, present.epoch.beacon_tips, strict=True))
    due = Epoch(
        number=number,
        members=members,
        seed=Digest(
            tagged("ambient/epoch-seed/1", draft.context.beacon, number.to_bytes(8, "big"))
        ),
        beacon_tips=tuple(tips.get(node) or _seat(draft, node).beacon_tip for node in members),
        state_version=version,
    )
    draft.put(epoch_key(present.epoch.number), replace(present, due=due))
    draft.tell(EpochDue(number, members))


def _next_members(draft: Draft, present: Epoch) -> tuple[NodeId, ...]:
    """Give who sits next: first who leaves, then who takes such a seat, a lower's, or a new one."""
    limit = seats_replaced_max(len(present.members))
    wishes = {node: _decided(draft, node, present) for node in _spoken_of(draft, present)}
    if all(wish is None for wish in wishes.values()):
        return present.members  # as after nearly every block: nothing is to be ranked
    lowest = sorted(present.members, key=lambda node: (_standing(draft, node), node))
    out = [node for node in lowest if wishes.get(node) is SeatWish.OUT][:limit]
    asking = [node for node, wish in wishes.items() if wish in _INWARD and _may_sit(draft, node)]
    asking = [node for node in asking if node not in present.members]
    staying = [node for node in lowest if node not in out]
    joined: list[NodeId] = []
    tips: set[bytes] = set()
    vacant = len(out)
    for node in sorted(asking, key=lambda node: (-_standing(draft, node), node)):
        tip = _seat(draft, node).beacon_tip
        if len(joined) == limit or tip in tips:
            continue
        if wishes[node] is SeatWish.INSTEAD:
            if vacant:
                vacant -= 1
            elif len(out) == limit or _standing(draft, node) <= _standing(draft, staying[0]):
                continue
            else:
                out.append(staying.pop(0))
        joined.append(node)
        tips.add(tip)
    members = tuple(sorted((set(present.members) - set(out)) | set(joined)))
    return members if 1 <= len(members) <= MEMBERS_MAX else present.members


def _next_version(draft: Draft, present: Epoch, members: tuple[NodeId, ...]) -> int:
    """Give the next epoch's state version: one more once a quorum of its members knows it.

    Those who must apply its blocks are those who said that they can.
    """
    following = present.state_version + 1
    knowing = sum(_seat(draft, node).known_version >= following for node in members)
    return following if knowing >= _knowing_needed(len(members)) else present.state_version


def _knowing_needed(members: int) -> int:
    """Give how many members must know a state version: so many can go on without the others."""
    return quorum(members)


_INWARD = (SeatWish.IN, SeatWish.INSTEAD)


def _spoken_of(draft: Draft, present: Epoch) -> list[NodeId]:
    """Give the nodes on whose seats something may be decided, sorted."""
    written = {NodeId(key[1]) for key in draft.writes if key[0] is Table.SEAT}
    ripe = draft.state.seats(quorum(len(present.members)))
    return sorted(written | ripe | set(present.members))


def _decided(draft: Draft, node: NodeId, present: Epoch) -> SeatWish | None:
    """Give what a quorum of the members wants for a node, or the node itself when it leaves."""
    votes: dict[SeatWish, int] = {}
    needed = quorum(len(present.members))
    for word in _seat(draft, node).words:
        if word.member == node and word.wish is SeatWish.OUT:
            return SeatWish.OUT
        if word.member in present.members:
            votes[word.wish] = votes.get(word.wish, 0) + 1
    return next((wish for wish, count in votes.items() if count >= needed), None)


def _may_sit(draft: Draft, node: NodeId) -> bool:
    seat, entry = _seat(draft, node), draft.node(node)
    is_new = draft.get(tip_key(seat.beacon_tip)) is None
    return seat.is_asking and is_new and entry is not None and not entry.tombstoned


def _standing(draft: Draft, node: NodeId) -> int:
    entry = draft.node(node)
    if entry is None:
        return 0
    reputation = draft.reputation_permille(node)
    return standing(entry.bond_msat, reputation, convicted=entry.tombstoned)


def _seat(draft: Draft, node: NodeId) -> SeatEntry:
    return cast("SeatEntry", draft.get(seat_key(node)) or SeatEntry())
