"""What the ledger tells of the peg."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import NodeId


@dataclass(frozen=True, slots=True)
class WalletFormed:
    """The committee's keys make a wallet, which peg-ins and change go to from now on."""

    wallet: int


@dataclass(frozen=True, slots=True)
class AddressGiven:
    """A node has an address at which it pegs in."""

    node: NodeId
    index: int


@dataclass(frozen=True, slots=True)
class PegInCredited:
    """A peg-in is in a node's balance."""

    node: NodeId
    txid: bytes
    output: int
    amount_msat: int


@dataclass(frozen=True, slots=True)
class ReturnAsked:
    """A node wants something back that is never credited."""

    node: NodeId
    txid: bytes
    output: int
    said_ms: int


@dataclass(frozen=True, slots=True)
class PaymentVersioned:
    """The log has decided on a version of a payment: the wallet's members are to sign it."""

    payment: int
    version: int
    node: NodeId
    said_ms: int = 0


@dataclass(frozen=True, slots=True)
class PaymentSigned:
    """A version of a payment has the signatures it needs: anybody can send it."""

    payment: int
    version: int


@dataclass(frozen=True, slots=True)
class PaymentFinal:
    """A version of a payment is deep in the chain."""

    payment: int
    version: int
    txid: bytes


PegEvent: TypeAlias = (
    WalletFormed
    | AddressGiven
    | PegInCredited
    | ReturnAsked
    | PaymentVersioned
    | PaymentSigned
    | PaymentFinal
)
