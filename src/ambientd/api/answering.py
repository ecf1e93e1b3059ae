"""What every front end does with an operation: call its handler in time, turn errors into words."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import trio

from ambientd.api.operations import Failure, Operation, OperationError
from ambientd.errors import (
    AmbientError,
    ConfigError,
    RemoteProtocolError,
    StoreError,
    UnreachableError,
    UsageError,
)

T = TypeVar("T")
Answer = Awaitable[msgspec.Struct] | AsyncIterator[msgspec.Struct]
Handler = Callable[[Any], Answer]

_CODES: tuple[tuple[type[AmbientError], str], ...] = (
    (UsageError, "invalid"),
    (ConfigError, "config"),
    (UnreachableError, "unavailable"),
    (StoreError, "store"),
    (RemoteProtocolError, "protocol"),
)


async def within(operation: Operation[Any, Any], answer: Awaitable[T]) -> T:
    """Wait for an answer as long as its row allows; raise OperationError after that."""
    with trio.move_on_after(operation.deadline_ms / 1000):
        return await answer
    msg = f"{operation.name} took longer than {operation.deadline_ms} ms"
    raise OperationError("timeout", msg, "try again; `ambientctl status` tells how the node is")


def only_cause(error: BaseException) -> BaseException:
    """Look into groups that hold one error: nurseries wrap what a handler raises."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def failure_of(error: AmbientError) -> Failure:
    """Give an error as callers see it."""
    if isinstance(error, OperationError):
        return Failure(code=error.code, message=error.message, hint=error.hint)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
    return Failure(code=code, message=str(error))


def failed_inside(operation: str) -> Failure:
    """Give what callers see of a bug: nothing of its inside."""
    message = f"{operation} failed inside the daemon"
    return Failure(code="internal", message=message, hint="its log has the details")
