"""Looks for members in every way there is; none of them can end the node."""

from collections.abc import Iterable

import structlog
import trio

from ambientd.ports.discovery import Discovery, Search, Whereabouts
from ambientd.ports.transport import NodeId, PeerAddress

log = structlog.get_logger("ambientd.discovery")

AGAIN_S = 30.0


class Introductions:
    """Where a newcomer's token says that members are, or where they have said that they are now."""

    def __init__(self, token: Iterable[PeerAddress] = ()) -> None:
        self._members = {each.node_id: each for each in token}
        self.is_needed = bool(self._members)

    def members(self) -> tuple[PeerAddress, ...]:
        """Give whom to ask, and where."""
        return tuple(self._members.values())

    def over(self, search: Search) -> Search:
        """Look for whom the token names as well, until the node is a member."""
        return Search(lambda: search.wanted() | self._wanted(), lambda at: self._found(at, search))

    def _wanted(self) -> frozenset[NodeId]:
        return frozenset(self._members) if self.is_needed else frozenset()

    def _found(self, where: Whereabouts, search: Search) -> None:
        if where.node_id in self._wanted() and where.addresses:
            at = where.addresses[0]
            self._members[where.node_id] = PeerAddress(where.node_id, at.host, at.port)
        search.found(where)


async def look_for_members(ways: Iterable[Discovery], search: Search) -> None:
    """Run all ways until cancelled; one that fails says so and begins anew."""
    async with trio.open_nursery() as nursery:
        for way in ways:
            nursery.start_soon(_keep_looking, way, search)


async def _keep_looking(way: Discovery, search: Search) -> None:
    while True:
        try:
            await way.run(search)
        except* Exception as group:  # noqa: BLE001 - keeps the node alive without this way
            log.error("looking for members failed; it begins anew", way=way.name, error=repr(group))
        await trio.sleep(AGAIN_S)
