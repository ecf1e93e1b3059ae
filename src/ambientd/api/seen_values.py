"""How a node is seen by its peers: the requests and answers."""

import msgspec

from ambientd.api.requests import PAGE_MAX, Cursor, PageSize, Request


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What peers said of this node in the last ten minutes.

    Of those that `answered`, `tried` dialled its port and `reached` found it there; `saying` told
    their links, and `linked` have one to it. `age_ms` is that of the newest answer, null if none.
    Through so many `relays` others reach it without dialling its port.
    """

    port: int = 0
    answered: int = 0
    tried: int = 0
    reached: int = 0
    saying: int = 0
    linked: int = 0
    age_ms: int | None = None
    relays: int = 0

    @property
    def is_invisible(self) -> bool:
        """Tell whether those that looked did not find this node."""
        unreached = self.tried > 0 and not self.reached and not self.relays
        return unreached or (self.saying > 0 and not self.linked)


class ListLinks(Request, frozen=True):
    """Which links do the nodes have, by their own word?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class LinkTold(msgspec.Struct, frozen=True, kw_only=True):
    """A link as the node `by` sees it; `one_way_us` is null where it has measured nothing."""

    by: str
    to: str
    one_way_us: int | None
    age_ms: int


class LinksTold(msgspec.Struct, frozen=True, kw_only=True):
    """The links of this node and of those that it asked lately."""

    self_id: str
    links: tuple[LinkTold, ...]
    next: str | None = None
