"""Peg signer: whatever holds a member's key of the peg, in this process or on a device of its own.

It is given the whole payment, so that it can work out for itself what it signs.
"""

from collections.abc import Mapping
from typing import Protocol

from ambientd.model.peg import PegPayment, PegWallet


class PegSigner(Protocol):
    """Signs for one member; it is asked only for what the member's ledger says."""

    @property
    def key(self) -> bytes:
        """Give the public key of which all the member's keys are children."""
        ...

    @property
    def chain_code(self) -> bytes:
        """Give what the children are derived with."""
        ...

    async def prove(self, digest: bytes) -> bytes:
        """Sign with the key itself that it is the member's."""
        ...

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        """Sign every coin of a version; UnreachableError when the device does not answer."""
        ...
