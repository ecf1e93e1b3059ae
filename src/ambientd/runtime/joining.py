"""Coming in with a token: a member passes a newcomer's word on to the log."""

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
from ambientd.runtime.pump import Pump

log = structlog.get_logger("ambientd.joining")

JOIN_BYTES_MAX = 4096
ANSWER_CHARS_MAX = 200
ASK_AGAIN_S = 1.0
LOOK_S = 0.1
LOOKS_MAX = 150
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
        await self._pump.post(RecordOffered(record))
        return ACCEPTED

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
) -> None:
    """Show the record to one member after the other until the ledger has it.

    `members` are asked for anew each time: one may have moved and been found.

    `let_in(True)` opens this node to its peers, which the members' word must precede: who is
    dialled by a stranger hangs up, and the request with it.

    Raises:
        UsageError: when all whom the token names refuse, each with a reason.
    """
    payload = encode(record)
    while not has_joined():
        let_in(False)
        if await _is_accepted(transport, payload, members()):
            let_in(True)
            transport.set_peers(members())
            for _ in range(LOOKS_MAX):
                if has_joined():
                    break
                await trio.sleep(LOOK_S)
        else:
            await trio.sleep(ASK_AGAIN_S)
    let_in(True)
    transport.set_peers(members())


async def _is_accepted(
    transport: Transport, payload: bytes, members: tuple[PeerAddress, ...]
) -> bool:
    refusals: list[str] = []
    for member in members:
        where = f"{member.host}:{member.port}"
        try:
            answer = await transport.request_join(member, payload)
        except AmbientError as error:
            log.warning("cannot ask to join", member=where, reason=str(error))
            continue
        if answer == ACCEPTED:
            return True
        reason = answer[:ANSWER_CHARS_MAX].decode("utf-8", "replace")
        log.warning("a member refuses", member=where, reason=reason)
        refusals.append(reason)
    if len(refusals) == len(members):
        msg = (
            f"every member that the token names refuses this node: {refusals[0]!r}; "
            "ask for a new token with `ambientctl cluster invite` and join in a new folder"
        )
        raise UsageError(msg)
    return False
