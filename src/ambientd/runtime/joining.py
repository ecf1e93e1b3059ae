"""Coming in with a token: a member passes a newcomer's word on to the log."""

from collections.abc import Callable

import structlog
import trio

from ambientd.codec.canonical import decode, encode
from ambientd.errors import AmbientError, RemoteProtocolError
from ambientd.model.record import Join, Record
from ambientd.node.event import RecordOffered
from ambientd.ports.transport import PeerAddress, Transport
from ambientd.runtime.pump import Pump

log = structlog.get_logger("ambientd.joining")

JOIN_BYTES_MAX = 4096
ASK_AGAIN_S = 2.0
ACCEPTED = b"passed on"


class Joining:
    """The member's side: takes a newcomer's signed Join record and offers it to the log."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    async def serve(self, sender: bytes, payload: bytes) -> bytes:
        """Answer a newcomer; the ledger decides, this only carries."""
        try:
            record: Record = decode(payload, Record, JOIN_BYTES_MAX)
        except RemoteProtocolError as error:
            return str(error).encode()
        if not isinstance(record.body, Join) or record.author != sender:
            return b"a join request is a Join record of the node that sends it"
        await self._pump.post(RecordOffered(record))
        return ACCEPTED


async def ask_to_join(
    transport: Transport,
    record: Record,
    members: tuple[PeerAddress, ...],
    has_joined: Callable[[], bool],
) -> None:
    """Show the record to one member after the other until the ledger has it."""
    payload = encode(record)
    while not has_joined():
        for member in members:
            try:
                answer = await transport.request_join(member, payload)
            except AmbientError as error:
                where = f"{member.host}:{member.port}"
                log.warning("cannot ask to join", member=where, reason=str(error))
                continue
            if answer == ACCEPTED:
                break
            log.warning("member refused", answer=answer[:200].decode("utf-8", "replace"))
        await trio.sleep(ASK_AGAIN_S)
