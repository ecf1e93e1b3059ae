"""How an operation looks over HTTP: one value a row of the table."""

from enum import StrEnum

import msgspec

BASE_PATH = "/api/v1"


class Method(StrEnum):
    """What a caller wants of a resource."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"


class Scope(StrEnum):
    """What a caller may do; each scope includes those before it."""

    OPEN = "open"
    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        """Tell whether who has this scope may do what needs the other."""
        ranks = list(Scope)
        return ranks.index(self) >= ranks.index(other)


CHANGING = frozenset({Scope.SUBMIT, Scope.ADMIN})


class Route(msgspec.Struct, frozen=True):
    """Where an operation is, who may ask for it, and what it is called in a list.

    Fields of the request that `path` names in braces come from there; the others of a GET from the
    query, those of a POST from a JSON body; the body of a PUT is bytes, which the handler takes
    as they come. `raw` names a field of the answer whose bytes a caller can have alone. `names` is
    the request's field that an Idempotency-Key fills. `looks` says that what needs a high scope
    changes nothing all the same.
    """

    method: Method
    path: str
    scope: Scope
    summary: str
    status: int = 200
    raw: str = ""
    names: str = ""
    looks: bool = False

    @property
    def changes(self) -> bool:
        """Tell whether to do it twice is not the same as once."""
        return self.scope in CHANGING and not self.looks

    @property
    def parameters(self) -> tuple[str, ...]:
        """Give the request's fields that stand in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


def get(path: str, summary: str, scope: Scope = Scope.READ, raw: str = "") -> Route:
    """Give the route of something to look at."""
    return Route(Method.GET, path, scope, summary, raw=raw)


def post(
    path: str, scope: Scope, summary: str, status: int = 200, names: str = "", looks: bool = False
) -> Route:
    """Give the route of something to do."""
    return Route(Method.POST, path, scope, summary, status=status, names=names, looks=looks)


def put(path: str, scope: Scope, summary: str) -> Route:
    """Give the route of bytes to keep."""
    return Route(Method.PUT, path, scope, summary, status=201)
