"""Asking peers for one thing, one after the other; those that are silent hold nobody up."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from ambientd.model.base import NodeId

PATIENCE_S = 1.0
"""How long one is waited for before another is asked beside it, and so on."""

SLOW_BYTES_A_S = 4 * 1024 * 1024
"""What is large may take longer, in all honesty."""

AT_ONCE_MAX = 4

Ask = Callable[[NodeId], Awaitable[bytes | None]]


async def first_given(peers: Sequence[NodeId], ask: Ask, size_bytes: int) -> bytes | None:
    """Give what the first of these peers gives; None when all have said that they have nothing."""
    patience_s = PATIENCE_S + size_bytes / SLOW_BYTES_A_S
    candidates = iter(peers)
    found: bytes | None = None
    lanes = 0

    async with trio.open_nursery() as nursery:

        async def lane() -> None:
            nonlocal found, lanes
            for peer in candidates:
                data = await ask(peer)
                if data is not None:
                    found = data
                    break
            lanes -= 1
            if found is not None or not lanes:
                nursery.cancel_scope.cancel()

        for _ in range(min(AT_ONCE_MAX, len(peers))):
            lanes += 1
            nursery.start_soon(lane)
            await trio.sleep(patience_s)
    return found
