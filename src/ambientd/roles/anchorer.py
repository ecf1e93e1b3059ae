"""Anchorer: which root is anchored and when, and proofs brought into the log until they are there.

A later root contains every earlier receipt, so only the newest one is asked for, or one that
another member has sent since an anchor is due. The time of the last anchor is that of its Bitcoin
block, which all members know alike. The coordinator goes first. Where nothing comes of that,
because it has no chain, no coins or no will, the others take their turns, in the order of the
members after it (protocols/06-receipts.md section 10).
"""

from dataclasses import dataclass

from ambientd.errors import ConfigError
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import (
    AnchorRoot,
    BroadcastJob,
    HearAnchor,
    LeaveAnchors,
    Propose,
    RoleEffect,
)
from ambientd.model.message import AnchorShown, JobMessage
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.rules.anchor_proofs import supersedes
from ambientd.rules.bitcoin import decode_header
from ambientd.rules.founding import NO_NETWORK

PROPOSE_AGAIN_MS = 5_000
CLOCK_SKEW_MS_MAX = 7_200_000
PROOFS_MAX = 64
TURN_MS = 7_200_000
QUIET_MS = 60_000


@dataclass(frozen=True, slots=True)
class AnchorerOptions:
    """When to anchor: a period after the last anchor, or when so many receipts wait.

    `turn_ms` is how long each member leaves it to those before it: twice as long as six
    confirmations take, on most days.
    """

    enabled: bool = True
    period_ms: int = 0
    receipts_max: int = 1
    turn_ms: int = TURN_MS

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: naming the option.
        """
        if self.period_ms < 0 or self.receipts_max < 1:
            msg = (
                f"anchors every {self.period_ms} ms or {self.receipts_max} receipts: "
                "the period must be 0 or more, the receipts 1 or more"
            )
            raise ConfigError(msg)
        if self.turn_ms < 1:
            msg = f"anchors: a member's turn is {self.turn_ms} ms; it must be above 0"
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A batch without an anchor, since when it is due, whose turn it is, and who is next, when."""

    size: int
    since_ms: int
    coordinator: NodeId
    turn: NodeId
    next_turn: NodeId | None
    next_ms: int


class Anchorer:
    """One member's part in anchoring: the coordinator asks for anchors, then whose turn it is."""

    def __init__(self, options: AnchorerOptions, self_id: NodeId) -> None:
        self._options = options
        self._id = self_id
        self._in_flight: int | None = None
        self._shown = 0
        self._settled = 0
        self._waits_since_ms: int | None = None
        self._waits_for = 0
        self._proven: dict[int, Anchor] = {}
        self._propose_at_ms = 0

    def next_deadline(self, state: LedgerState, coordinator: NodeId | None) -> int | None:
        """Give when to look after the newest checkpoint; 0 is at once."""
        if state.anchored_size() > self._settled:
            return 0
        due_ms = self._turn_ms(state, coordinator)
        if not self._proven or self._id not in state.members:
            return due_ms
        if any(_is_settled(state, each) for each in self._proven.values()):
            return 0
        return self._propose_at_ms if due_ms is None else min(due_ms, self._propose_at_ms)

    def on_tick(self, state: LedgerState, now: int, coordinator: NodeId | None) -> list[RoleEffect]:
        """Begin with a checkpoint when it is time and one's turn; insist on finished proofs."""
        effects: list[RoleEffect] = []
        if state.anchored_size() > self._settled:
            self._settled = state.anchored_size()
            self._waits_since_ms = None
            effects.append(LeaveAnchors(self._settled))
        for size, proven in sorted(self._proven.items()):
            if _is_settled(state, proven):
                del self._proven[size]
        # Without a seat they wait for one: nobody would take them.
        if self._proven and self._id in state.members and now >= self._propose_at_ms:
            self._propose_at_ms = now + PROPOSE_AGAIN_MS
            effects += [Propose(body) for _, body in sorted(self._proven.items())]
        due_ms = self._planned_ms(state)
        if due_ms is None:
            self._waits_since_ms = None
        elif now >= due_ms and self._waits_since_ms is None:
            self._waits_since_ms, self._waits_for = now, state.checkpoint_size()
        turn_ms = self._turn_ms(state, coordinator)
        if turn_ms is not None and now >= turn_ms:
            size = self._in_flight = self._chosen(state)
            effects.append(AnchorRoot(size=size, root=state.receipt_log_root(size)))
        return effects

    def _turn_ms(self, state: LedgerState, coordinator: NodeId | None) -> int | None:
        """Give when this member begins, if none of those before it has an anchor by then."""
        due_ms, members = self._due_ms(state), state.members
        if due_ms is None or coordinator not in members or self._id not in members:
            return None
        place = (members.index(self._id) - members.index(coordinator)) % len(members)
        if not place or self._waits_since_ms is None:
            return due_ms
        return self._waits_since_ms + place * self._length_ms(state)

    def _length_ms(self, state: LedgerState) -> int:
        """Give how long a turn is: all together are over before the receipts are forgotten."""
        turn_ms_max = state.genesis.rules.keep_ms // (4 * len(state.members))
        return min(self._options.turn_ms, turn_ms_max)

    def overdue(self, state: LedgerState, now: int, coordinator: NodeId | None) -> Overdue | None:
        """Tell of a batch that waits longer than it should, as far as this node knows."""
        since_ms, members = self._waits_since_ms, state.members
        if since_ms is None or self._planned_ms(state) is None or coordinator not in members:
            return None
        if state.genesis.bitcoin_network == NO_NETWORK:
            return None
        length_ms = self._length_ms(state)
        # A transaction is shown to members only, and its proof takes most of a turn.
        may_be_sent = self._id not in members or self._shown >= self._waits_for
        if now - since_ms < max(QUIET_MS, length_ms if may_be_sent else 0):
            return None
        first = members.index(coordinator)
        order = members[first:] + members[:first]
        place = min((now - since_ms) // length_ms, len(order) - 1)
        return Overdue(
            size=state.checkpoint_size(),
            since_ms=since_ms,
            coordinator=coordinator,
            turn=order[place],
            next_turn=order[place + 1] if place + 1 < len(order) else None,
            next_ms=since_ms + (place + 1) * length_ms,
        )

    def _chosen(self, state: LedgerState) -> int:
        """Give the batch that another member has sent a transaction for, else the newest.

        Not one from before the wait began: else a liar that shows old ones would hold up the rest.
        """
        shown = self._shown
        is_known = shown >= self._waits_for and state.checkpoint(shown) is not None
        return shown if is_known else state.checkpoint_size()

    def _due_ms(self, state: LedgerState) -> int | None:
        """Give when this node is to anchor the newest checkpoint, or None when it is not to."""
        return self._planned_ms(state) if self._options.enabled else None

    def _planned_ms(self, state: LedgerState) -> int | None:
        """Give when somebody is to anchor the newest checkpoint; None when none is to begin."""
        options, size, anchored = self._options, state.checkpoint_size(), state.anchored_size()
        if self._is_in_flight(state) or size <= anchored:
            return None
        last = state.checkpoint(anchored)
        if last is None or last.anchor is None or not options.period_ms:
            return 0
        if size - anchored >= options.receipts_max:
            return 0
        last_ms = decode_header(last.anchor.header).time_s * 1_000
        # Whoever writes a date far ahead into a header must not stop the anchors to come.
        if last_ms > state.meta.time_ms + CLOCK_SKEW_MS_MAX:
            return 0
        # A receipt is to be anchored before it is forgotten.
        return last_ms + min(options.period_ms, state.genesis.rules.keep_ms // 2)

    def _is_in_flight(self, state: LedgerState) -> bool:
        size = self._in_flight
        # A batch that was forgotten meanwhile gets no anchor any more.
        return size is not None and size > state.anchored_size() and bool(state.checkpoint(size))

    def on_proven(
        self, size: int, root: Digest, proof: AnchorProof, state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Bring a finished proof into the log, unless the one there is as good."""
        proven = Anchor(size=size, root=root, proof=proof)
        if _is_settled(state, proven):
            return []
        self._proven[size] = proven
        if len(self._proven) > PROOFS_MAX:
            del self._proven[min(self._proven)]
        if self._id not in state.members:
            return []
        self._propose_at_ms = now + PROPOSE_AGAIN_MS
        return [Propose(proven)]

    def on_signed(self, size: int, root: Digest, raw_tx: bytes) -> list[RoleEffect]:
        """Tell the other members, so that whoever coordinates next need not pay again."""
        return [BroadcastJob(AnchorShown(size=size, root=root, raw_tx=raw_tx))]

    def on_message(
        self, sender: NodeId, message: JobMessage, state: LedgerState
    ) -> list[RoleEffect]:
        """Listen to what a member says it has sent for a batch, also for one undone since."""
        if not isinstance(message, AnchorShown) or sender not in state.members:
            return []
        closed = state.checkpoint(message.size)
        if closed is None or closed.note.root != message.root:
            return []
        if closed.anchor is None:
            self._shown = max(self._shown, message.size)
        if not self._options.enabled:
            return []
        return [HearAnchor(message.size, message.root, message.raw_tx)]


def _is_settled(state: LedgerState, proven: Anchor) -> bool:
    """Tell whether the log has this proof or one that is kept before it."""
    closed = state.checkpoint(proven.size)
    if closed is None or closed.note.root != proven.root:
        return True
    return closed.anchor is not None and not supersedes(proven.proof, closed.anchor)
