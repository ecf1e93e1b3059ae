"""The committee as the owner of a node sees it, and what an owner can say about its seats."""

import re
from collections.abc import Callable

from ambientd.api import replies, requests
from ambientd.api.accounts import hint_on_means
from ambientd.api.deciding import NOT_IN_TIME, outcome_of
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.under_key import fixed_ms
from ambientd.api.views import find_node
from ambientd.codec.signing import Signer
from ambientd.ledger.events import RecordRejected, SeatSpoken
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import NodeId
from ambientd.model.record import Epoch, SeatAsked, SeatVote, SeatWish
from ambientd.rules.committees import standing
from ambientd.rules.verdicts import quorum
from ambientd.runtime.service import Parts

_PLACE = re.compile(r"[01][0-9a-f]{64}")


class Seating:
    """Answers what concerns the committee."""

    def __init__(self, signer: Signer, beacon_tip: Callable[[int], bytes], parts: Parts) -> None:
        self._id = NodeId(signer.public_key)
        self._beacon_tip = beacon_tip
        self._parts = parts
        self._state = parts.node.ledger

    async def members(self, request: requests.ListMembers) -> replies.Members:
        """Show the present committee, what is due, and what was said about seats."""
        state, epoch = self._state, self._state.epoch
        entry, due = state.epoch_entry(epoch.number), state.epoch_due
        spoken = [node for node in state.nodes() if self._is_spoken_of(node)]
        check_place(request.after, _PLACE)
        outside = [node for node in spoken if node not in epoch.members]
        places = {f"0{node.hex()}": node for node in epoch.members}
        places |= {f"1{node.hex()}": node for node in outside}
        found, following = page(places, str, request.limit, request.after)
        return replies.Members(
            self_id=self._id.hex(),
            epoch=epoch.number,
            epoch_hash=self._parts.node.consensus.options.epoch_hash.hex(),
            since_height=0 if entry is None else entry.root_index,
            quorum=quorum(len(epoch.members)),
            seats=tuple(self._seat(places[name], due) for name in found),
            next=following,
            state_version=state.version,
        )

    def _is_spoken_of(self, node: NodeId) -> bool:
        seat = self._state.seat(node)
        return seat is not None and (seat.is_asking or bool(seat.words))

    def _seat(self, node: NodeId, due: Epoch | None) -> replies.SeatInfo:
        state = self._state
        entry, seat = state.node(node), state.seat(node)
        assert entry is not None, "seats are of nodes that the ledger knows"
        words = () if seat is None else seat.words
        reputation = state.reputation_permille(node)
        return replies.SeatInfo(
            id=node.hex(),
            name=entry.profile.name,
            member=node in state.members,
            asking=seat is not None and seat.is_asking,
            next=None if due is None else node in due.members,
            standing=standing(entry.bond_msat, reputation, convicted=entry.tombstoned),
            bond_msat=entry.bond_msat,
            tombstoned=entry.tombstoned,
            words=tuple(
                replies.SeatWordInfo(node=word.member.hex(), wish=word.wish.name.lower())
                for word in words
                if word.member in state.members or word.member == node
            ),
            known_version=self._known(node),
        )

    def _known(self, node: NodeId) -> int:
        """Give the newest state version that a member says it knows, the present one at least."""
        seat, present = self._state.seat(node), self._state.epoch.state_version
        if node not in self._state.members:
            return 0
        return present if seat is None else max(present, seat.known_version)

    async def ask(self, request: requests.AskForSeat) -> replies.SeatSaid:
        """Ask for a seat with a new beacon chain; answer once the ledger has it."""
        asked_ms = await fixed_ms(self._later_than(self._asked_ms()))
        if self._asked_ms() == asked_ms:
            return self._said(self._id, SeatWish.IN)
        body = SeatAsked(
            beacon_tip=self._beacon_tip(asked_ms),
            bond_msat=request.bond_msat,
            asked_ms=asked_ms,
        )
        return await self._say(body, self._id)

    async def vote(self, request: requests.VoteOnSeat) -> replies.SeatSaid:
        """Say what this node's owner wants for a node's seat; answer once the ledger has it."""
        node = self._find(request.node)
        self._check_another_stays(node, request.wish)
        last_ms = self._state.last_word_ms(Topic.SEATS, self._id)
        wish = SeatWish[request.wish.upper()]
        said_ms = await fixed_ms(self._later_than(last_ms))
        if last_ms == said_ms:
            return self._said(node, wish)
        body = SeatVote(node=node, wish=wish, said_ms=said_ms)
        return await self._say(body, node)

    def _check_another_stays(self, node: NodeId, wish: str) -> None:
        if wish == "out" and self._state.members == (node,):
            msg = "the only member cannot go: nobody would keep the log"
            hint = "let another node in first: `ambientctl member ask` there, `member admit` here"
            raise OperationError("rejected", msg, hint)

    def _asked_ms(self) -> int:
        seat = self._state.seat(self._id)
        return 0 if seat is None else seat.asked_ms

    def _later_than(self, time_ms: int) -> int:
        return max(self._parts.now(), time_ms + 1)

    def _find(self, name: str | None) -> NodeId:
        if name is None:
            return self._id
        return find_node(self._state, name)

    async def _say(self, body: SeatAsked | SeatVote, node: NodeId) -> replies.SeatSaid:
        if self._state.node(self._id) is None:
            msg = "this node has not seen yet that it is in the cluster"
            raise OperationError("not_ready", msg, "wait until `ambientctl nodes` lists it here")

        def is_done(event: object) -> bool:
            return isinstance(event, SeatSpoken) and (
                (event.speaker, event.node) == (self._id, node)
            )

        event = await outcome_of(self._parts, self._id, body, is_done)
        if isinstance(event, SeatSpoken):
            return self._said(node, event.wish)
        if isinstance(event, RecordRejected):
            msg = f"the ledger does not take it: {event.reason}"
            raise OperationError("rejected", msg, self._hint_on(body))
        hint = "is a quorum of its members up? see `ambientctl nodes`"
        raise OperationError("unavailable", NOT_IN_TIME, hint)

    def _hint_on(self, body: SeatAsked | SeatVote) -> str:
        """Say what to do about a request that is rejected for want of money, or without need."""
        if isinstance(body, SeatAsked) and self._id in self._state.members:
            return "`ambientctl account bond AMOUNT` puts more at risk"
        bond_msat = body.bond_msat if isinstance(body, SeatAsked) else 0
        is_short = self._state.balance_msat(self._id) < bond_msat
        return hint_on_means(self._state, self._id) if is_short else ""

    def _said(self, node: NodeId, wish: SeatWish) -> replies.SeatSaid:
        due = self._state.epoch_due
        return replies.SeatSaid(
            node=node.hex(),
            wish=wish.name.lower(),
            epoch=self._state.epoch.number,
            epoch_due=None if due is None else due.number,
        )
