"""Looks for coins in the chain of this node, and says what hangs instead of waiting for it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import trio

from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.peg import PegChain
from ambientd.rules.bitcoin import display
from ambientd.rules.bitcoin_codec import Outpoint

PATIENCE_S: Final = 8.0
"""How long the chain may take for one answer."""
IN_ALL_S: Final = 50.0

T = TypeVar("T")


class Looker:
    """Asks a chain until it does not answer; then asks nothing more."""

    def __init__(self, chain: PegChain) -> None:
        """Begin with all the patience there is."""
        self._chain = chain
        self._until_s = trio.current_time() + IN_ALL_S
        self.unseen = ""
        """What the chain did not say, and why; empty while it answers."""

    async def unspent(self, coins: Sequence[Outpoint]) -> dict[Outpoint, bool]:
        """Tell of coins whether they are unspent, of as many as the chain answers for."""
        found: dict[Outpoint, bool] = {}
        for coin in coins:
            what = f"whether {display(coin.txid)}:{coin.index} is unspent"
            answer = await self._asked(self._chain.unspent, [coin], what)
            if answer is None:
                self.unseen += f"; {len(found)} of {len(coins)} coins were looked for"
                break
            found[coin] = coin in answer
        return found

    async def knows(self, txids: Sequence[bytes]) -> bool | None:
        """Tell whether the chain has one of some transactions; None when it does not answer."""
        what = f"whether it has {display(txids[-1])}"
        answer = await self._asked(self._chain.known, txids, what)
        return None if answer is None else bool(answer)

    async def _asked(
        self, ask: Callable[[Sequence[T]], Awaitable[frozenset[T]]], things: Sequence[T], what: str
    ) -> frozenset[T] | None:
        if self.unseen:
            return None
        left_s = self._until_s - trio.current_time()
        try:
            with trio.move_on_after(min(PATIENCE_S, left_s)):
                return await ask(things)
        except (UnreachableError, RemoteProtocolError, UsageError) as error:
            self.unseen = f"the chain did not say {what}: {error}"
            return None
        in_time = f"{PATIENCE_S:.0f} s" if left_s >= PATIENCE_S else f"{IN_ALL_S:.0f} s in all"
        self.unseen = f"the chain did not say within {in_time} {what}"
        return None
