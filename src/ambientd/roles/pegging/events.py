"""Into and out of a member's part in the peg."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import NodeId
from ambientd.model.peg import PegPayment
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import PegBody
from ambientd.roles.pegging.book import PegBook
from ambientd.rules.bitcoin_codec import Outpoint


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class KeySigned:
    """The signer has shown that it has the key which it names."""

    key: bytes
    chain_code: bytes
    possession: bytes


@dataclass(frozen=True, slots=True)
class VersionSigned:
    """The signer has signed a version of a payment, each coin of it."""

    payment: int
    version: int
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PegInSeen:
    """An output that pays an address is deep in the best chain."""

    place: "Place"
    output: int
    proof: AnchorProof


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A version of a payment is deep in the best chain."""

    payment: int
    version: int
    proof: AnchorProof


@dataclass(frozen=True, slots=True)
class CoinsSeen:
    """Which of the coins that were looked for are in the best chain, or wait to be mined."""

    looked: tuple[Outpoint, ...]
    found: frozenset[Outpoint]


Event: TypeAlias = Ticked | KeySigned | VersionSigned | PegInSeen | PaymentSeen | CoinsSeen


@dataclass(frozen=True, slots=True)
class Place:
    """An address of a wallet, and whose peg-ins come there."""

    node: NodeId
    wallet: int
    script: bytes


@dataclass(frozen=True, slots=True)
class PersistBook:
    """Force the book to disk before anything that follows is done."""

    book: PegBook


@dataclass(frozen=True, slots=True)
class ProveKey:
    """Have the signer show its key."""


@dataclass(frozen=True, slots=True)
class SignVersion:
    """Have the signer sign a version, whose pledge is on disk."""

    number: int
    version: int
    payment: PegPayment


@dataclass(frozen=True, slots=True)
class SendPayment:
    """Hand a complete transaction to the network."""

    number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class LookForPegIns:
    """Look at what was paid to some addresses."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class LookForPayment:
    """Look whether one of a payment's versions is deep in the chain."""

    number: int
    txids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A coin to look for; a payment may have spent one that is reserved."""

    coin: Outpoint
    is_reserved: bool


@dataclass(frozen=True, slots=True)
class LookForCoins:
    """Look whether coins that the ledger holds are there."""

    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True)
class ProposePeg:
    """Bring the author's word into the log."""

    body: PegBody


Effect: TypeAlias = (
    PersistBook
    | ProveKey
    | SignVersion
    | SendPayment
    | LookForPegIns
    | LookForPayment
    | LookForCoins
    | ProposePeg
)
