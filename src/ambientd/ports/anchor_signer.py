"""Anchor signer: whatever holds the key that pays for anchors, in this process or elsewhere.

It is given what the anchor is to be, never a transaction, so that it works out for itself what it
signs. It is asked in a thread of its own, and may take its time.
"""

from collections.abc import Sequence
from typing import Protocol

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin


class AnchorSigner(Protocol):
    """Signs for one node's wallet, and keeps no state."""

    @property
    def address(self) -> str:
        """Give the address that people send funds to."""
        ...

    @property
    def script(self) -> bytes:
        """Give the script of that address, which all its coins pay."""
        ...

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes | str:
        """Sign the anchor of a root that spends exactly these coins and pays exactly this fee.

        Or say why not now, for people: `device away: plug it in`. Anchoring asks again.
        """
        ...
