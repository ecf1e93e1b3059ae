"""Coming in with a token: a member passes a newcomer's word on to the log."""

import random
from collections.abc import Callable

import structlog
import trio

from ambientd.codec.canonical import encode
from ambientd.errors import AmbientError, RemoteProtocolError, UsageError
from ambientd.ledger.admission import check_admissible
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.state import LedgerState
from ambientd.ledger.upkeep import join
from ambientd.model.record import Join, Record
from ambientd.node.event import RecordOffered
from ambientd.ports.transport import PeerAddress, Transport
from ambientd.rules.pace import next_beat_ms
from ambientd.runtime.pump import Pump

log = structlog.get_logger("ambientd.joining")

JOIN_BYTES_MAX = 4096
ANSWER_CHARS_MAX = 200
ASK_AGAIN_S, ASK_AGAIN_S_MAX = 1.0, 30.0
"""Whom no member has let in asks again, ever less often: many may have come at once."""

LOOK_S = 0.1
LOOKS_MAX = 150
LOOKS_LINKED_MAX = 600
"""Whoever has a link is in, as its member sees it, and only has to catch up with the log."""

FEW = 2
"""So many members a newcomer dials at first; each sees a stranger until the log has taken it in."""

ACCEPTED = b"passed on"


class Joining:
    """The member's side: takes a newcomer's signed Join record and offers it to the log."""

    def __init__(self, pump: Pump, state: LedgerState, now: Callable[[], int]) -> None:
        self._pump = pump
        self._state = state
        self._now = now

    async def serve(self, sender: bytes, payload: bytes) -> bytes:
        """Answer a newcomer with ACCEPTED or with the reason why not."""
        if len(payload) > JOIN_BYTES_MAX:
            return b"a join request has at most %d bytes" % JOIN_BYTES_MAX
        try:
            record = check_admissible(payload, self._state.cluster)
        except RemoteProtocolError as error:
            return str(error).encode()
        if not isinstance(record.body, Join) or record.author != sender:
            return b"a join request is a Join record of the node that sends it"
        fault = self._fault(record, record.body)
        if fault is not None:
            return fault.encode()
        if self._state.node(record.body.node) is not None:
            return ACCEPTED  # it is in, and has not seen that yet
        await self._beat()
        await self._pump.post(RecordOffered(record))
        return ACCEPTED

    async def _beat(self) -> None:
        """Let those that come to a large cluster at about the same time come in one block."""
        now_ms = self._now()
        await trio.sleep((next_beat_ms(now_ms, len(self._state.nodes())) - now_ms) / 1000)

    def _fault(self, record: Record, body: Join) -> str | None:
        """Tell why the ledger would reject the record if it came now; the log decides later."""
        now = BlockContext(self._state.applied_index + 1, term=0, time_ms=self._now(), beacon=b"")
        return join(Draft(self._state, self._state, now), record, body)


async def ask_to_join(
    transport: Transport,
    record: Record,
    members: Callable[[], tuple[PeerAddress, ...]],
    has_joined: Callable[[], bool],
    let_in: Callable[[bool], None],
    rng: random.Random,
) -> None:
    """Show the record to one member after the other until the ledger has it.

    `members` are asked for anew each time: one may have moved and been found. The first is drawn,
    so that many newcomers do not all ask the same, and another comes first each time: one that
    accepts may pass nothing on.

    `let_in(True)` opens this node to its peers, which the members' word must precede: who is
    dialled by a stranger hangs up, and the request with it.

    Raises:
        UsageError: when all whom the token names refuse, each with a reason.
    """
    payload = encode(record)
    turn, few, wait_s = rng.randrange(1 << 16), FEW, ASK_AGAIN_S
    while not has_joined():
        let_in(False)
        asked = _turned(members(), turn)
        found = await _first_to_accept(transport, payload, asked)
        if found is None:
            turn += 1
            await trio.sleep(wait_s * (0.5 + rng.random()))
            wait_s = min(2 * wait_s, ASK_AGAIN_S_MAX)
            continue
        let_in(True)
        transport.set_peers(_turned(asked, found)[:few])
        await _catch_up(transport, has_joined)
        turn, few = turn + found + 1, 2 * few
    let_in(True)
    transport.set_peers(members())


def _turned(members: tuple[PeerAddress, ...], turn: int) -> tuple[PeerAddress, ...]:
    first = turn % max(1, len(members))
    return members[first:] + members[:first]


async def _catch_up(transport: Transport, has_joined: Callable[[], bool]) -> None:
    """Wait until the log has taken this node in, or does not seem to."""
    for look in range(LOOKS_LINKED_MAX):
        if has_joined() or (look >= LOOKS_MAX and not transport.peers()):
            return
        await trio.sleep(LOOK_S)


async def _first_to_accept(
    transport: Transport, payload: bytes, members: tuple[PeerAddress, ...]
) -> int | None:
    """Give the place of the first that passes it on."""
    refusals: list[str] = []
    for place, member in enumerate(members):
        where = f"{member.host}:{member.port}"
        try:
            answer = await transport.request_join(member, payload)
        except AmbientError as error:
            log.warning("cannot ask to join", member=where, reason=str(error))
            continue
        if answer == ACCEPTED:
            return place
        reason = answer[:ANSWER_CHARS_MAX].decode("utf-8", "replace")
        log.warning("a member refuses", member=where, reason=reason)
        refusals.append(reason)
    if len(refusals) == len(members):
        msg = (
            f"every member that the token names refuses this node: {refusals[0]!r}; "
            "ask for a new token with `ambientctl cluster invite` and join in a new folder"
        )
        raise UsageError(msg)
    return None
