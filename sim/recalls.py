"""A coordinator that brings what others said before back into the log."""

import random
from collections import deque
from collections.abc import Callable, Container

from ambientd.consensus.record_pool import RecordPool

TAG_AT = 36
"""Where a record's tag is: behind the author's 32 bytes and two list headers."""
RECALLED_TAGS = frozenset({3, 13, 15, 16, 17})
"""Words on nodes, on seats, and on money."""
KEPT_MAX = 64
RECALLS_ONE_IN = 3


class Recalls:
    """Keeps what came into a pool, and puts one of it into a block now and then."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._said: deque[bytes] = deque(maxlen=KEPT_MAX)
        self._pool: RecordPool | None = None

    def enter(self, pool: RecordPool) -> None:
        """Bend a pool, once; what it holds stays in it."""
        if pool is self._pool:
            return
        self._pool = pool
        pool.add = self._keeping(pool.add)  # type: ignore[method-assign,assignment]
        pool.batch = self._recalling(pool.batch)  # type: ignore[method-assign,assignment]

    def _keeping(
        self, add: Callable[[bytes, bytes | None, int], str | None]
    ) -> Callable[[bytes, bytes | None, int], str | None]:
        def added(record: bytes, origin: bytes | None, now: int) -> str | None:
            if origin is not None and record[TAG_AT] in RECALLED_TAGS:
                self._said.append(record)
            return add(record, origin, now)

        return added

    def _recalling(
        self, batch: Callable[[Container[bytes]], tuple[bytes, ...]]
    ) -> Callable[[Container[bytes]], tuple[bytes, ...]]:
        def chosen(excluded: Container[bytes]) -> tuple[bytes, ...]:
            records = batch(excluded)
            if not self._said or self._dice.randrange(RECALLS_ONE_IN):
                return records
            older = self._dice.choice(self._said)
            return records if older in records else (*records, older)

        return chosen
