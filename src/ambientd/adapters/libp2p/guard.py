"""The supervision point around py-libp2p: what a peer can make it raise ends here.

Unguarded, one malformed message from any peer ends the process: an exception in a stream
handler, a notifee or a service task cancels the nursery that the whole host runs in.
"""

import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
import trio

from ambientd.adapters.libp2p.foreign import Manager
from ambientd.adapters.libp2p.trouble_words import TROUBLE_WORDS

log = structlog.get_logger("ambientd.transport")

T = TypeVar("T")


class Counters:
    """Counts by kind, with a log line at 1, 2, 4, 8, … so that no peer can flood the log."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, kind: str) -> None:
        """Count one more of a kind that is nobody's fault."""
        self._counts[kind] += 1

    def note(self, kind: str, *, error: BaseException | None = None, **context: object) -> None:
        """Count one more of a kind."""
        self._counts[kind] += 1
        count = self._counts[kind]
        if count & (count - 1) == 0:
            if error is not None:
                context["error"] = _named(error)
            log.warning(TROUBLE_WORDS.get(kind, kind), kind=kind, count=count, **context)

    def snapshot(self) -> Mapping[str, int]:
        """Give a copy of all counts."""
        return dict(self._counts)


def _named(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__


def contain(
    handler: Callable[..., Awaitable[T]], kind: str, counters: Counters
) -> Callable[..., Awaitable[T | None]]:
    """Wrap a coroutine function so that an exception is counted and logged instead of raised."""

    @functools.wraps(handler)
    async def contained(*args: Any, **kwargs: Any) -> T | None:  # noqa: ANN401 - passes through
        try:
            return await handler(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - keeps the host alive whatever a peer sends
            counters.note(kind, error=error)
            return None

    return contained


def contain_tasks(manager: Manager, kind: str, counters: Counters) -> None:
    """Contain every task that a libp2p service will start from now on."""
    run_task = manager.run_task

    def run_contained(
        async_fn: Callable[..., Awaitable[object]],
        *args: object,
        daemon: bool = False,
        name: str | None = None,
    ) -> None:
        run_task(contain(async_fn, kind, counters), *args, daemon=daemon, name=name)

    manager.run_task = run_contained


def shielded(seconds: float) -> trio.CancelScope:
    """Give a scope for closing things in: cancelled by its time alone, not from outside."""
    return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)


def alone(group: BaseException) -> BaseException:
    """Give the one exception in nested groups: each of libp2p's nurseries wraps it again."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group
