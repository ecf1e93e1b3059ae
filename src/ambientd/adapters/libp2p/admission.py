"""Who reaches a stream's handler, and that nothing it raises goes further."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ambientd.adapters.libp2p.exchanges import discard
from ambientd.adapters.libp2p.foreign import Host, Stream
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.identity import PeerId
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.ports.transport import NodeId

Handler = Callable[[Stream], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Inside:
    """What a protocol among members needs of the transport that it is part of."""

    host: Host
    gate: "Gate"
    counters: Counters
    is_allowed: Callable[[NodeId], bool]
    peers: Callable[[], frozenset[NodeId]]


class Gate:
    """Wraps handlers of streams."""

    def __init__(self, counters: Counters, is_allowed: Callable[[PeerId], bool]) -> None:
        self._counters = counters
        self._is_allowed = is_allowed

    def closing(self, name: str, handler: Handler) -> Handler:
        """Contain a handler, and reset its stream at the end."""

        async def handle(stream: Stream) -> None:
            try:
                await handler(stream)
            except NETWORK_ERRORS:
                pass  # the peer went away
            except Exception as error:  # noqa: BLE001 - keeps the host alive
                self._counters.note(f"{name}_handler_raised", error=error)
            finally:
                await discard(stream)

        return handle

    def members_only(self, name: str, handler: Handler) -> Handler:
        """Refuse streams of peers that are not on the allow-list."""
        closing = self.closing(name, handler)

        async def handle(stream: Stream) -> None:
            if self._is_allowed(stream.muxed_conn.peer_id):
                await closing(stream)
            else:
                self._counters.note(f"{name}_from_stranger", peer=str(stream.muxed_conn.peer_id))
                await discard(stream)

        return handle
