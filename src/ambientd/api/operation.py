"""What a row of the table of operations is, and how a node refuses one."""

from typing import Generic, TypeVar

import msgspec

from ambientd.api.routes import Route
from ambientd.errors import AmbientError

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

DEADLINE_MS = 60_000


class OperationError(AmbientError):
    """A request that a node refuses; `code` is for programs, `hint` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Give message and hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An OperationError on the wire."""

    code: str
    message: str
    hint: str = ""


class Operation(msgspec.Struct, Generic[Q, R], frozen=True):
    """One row: a name, both shapes, its place in HTTP, and how long an answer may take."""

    name: str
    request: type[Q]
    response: type[R]
    route: Route
    streaming: bool = False
    deadline_ms: int = DEADLINE_MS
