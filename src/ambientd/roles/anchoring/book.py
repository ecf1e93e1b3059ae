"""The anchor book: every root under way and what was signed for it, as it stands on disk."""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, Value
from ambientd.rules.bitcoin import Outpoint

BOOK_VERSION = 1
THEIRS_A_ROOT_MAX = 4
THEIRS_BYTES_MAX = 4_000
HEARD_KEPT_MAX = 16


class Stage(Enum):
    """How far a root has come."""

    WAITING = 0
    """Nothing is signed."""
    SENT = 1
    """Signed, on disk, handed to the network; in no Bitcoin block of the best chain."""
    MINED = 2
    """In a Bitcoin block of the best chain; the proof was not taken yet."""
    PROVEN = 3
    """The proof was taken; watched on, as a reorganisation may still come."""


class Turn(Enum):
    """What can happen to a root."""

    SIGNED = 0
    ADOPTED = 1
    MINED = 2
    REORGANISED = 3
    PROVED = 4
    ABANDONED = 5


TURNS: dict[tuple[Stage, Turn], Stage] = {
    (Stage.WAITING, Turn.SIGNED): Stage.SENT,
    (Stage.WAITING, Turn.ADOPTED): Stage.SENT,
    (Stage.WAITING, Turn.MINED): Stage.MINED,
    (Stage.SENT, Turn.SIGNED): Stage.SENT,
    (Stage.SENT, Turn.ADOPTED): Stage.SENT,
    (Stage.SENT, Turn.MINED): Stage.MINED,
    (Stage.SENT, Turn.ABANDONED): Stage.WAITING,
    (Stage.MINED, Turn.REORGANISED): Stage.SENT,
    (Stage.MINED, Turn.PROVED): Stage.PROVEN,
    (Stage.PROVEN, Turn.REORGANISED): Stage.SENT,
    (Stage.PROVEN, Turn.PROVED): Stage.PROVEN,
}


class Coin(Value, frozen=True):
    """An output of the wallet."""

    txid: bytes
    index: int
    value_sat: int

    @property
    def outpoint(self) -> Outpoint:
        """Give what names it."""
        return Outpoint(self.txid, self.index)


class Version(Value, frozen=True):
    """One signed transaction that carries a root; another member's has no coins of ours.

    Without its bytes it can only be looked for.
    """

    raw: bytes
    txid: bytes
    fee_sat: int = 0
    coins: tuple[Coin, ...] = ()


class Place(Value, frozen=True):
    """The Bitcoin block that holds one version."""

    txid: bytes
    height: int
    block_hash: bytes


class AnchoredRoot(Value, frozen=True):
    """A root, everything that was signed for it, oldest first, and where it is.

    `void` are versions whose coins were spent elsewhere; a deep reorganisation may bring one back.
    `since_ms` and `since_height` say since when the newest version waits to be mined, `reorganised`
    how often the root has left the best chain after its proof was taken.
    """

    size: int
    root: Digest
    stage: Stage = Stage.WAITING
    versions: tuple[Version, ...] = ()
    void: tuple[Version, ...] = ()
    place: Place | None = None
    since_ms: int = 0
    since_height: int = 0
    reorganised: int = 0

    @property
    def newest(self) -> Version | None:
        """Give the last version of our own, else the last one heard of that can be sent."""
        own = [version for version in self.versions if version.coins]
        heard = [version for version in self.versions if version.raw]
        return next(reversed(own or heard or list(self.versions)), None)

    @property
    def newest_is_ours(self) -> bool:
        """Whether there is a version of our own."""
        return self.newest is not None and bool(self.newest.coins)

    @property
    def has_own(self) -> bool:
        """Whether anything was signed here, also what is given up."""
        return any(version.coins for version in self.transactions)

    @property
    def transactions(self) -> tuple[Version, ...]:
        """Give all that may be found in a Bitcoin block."""
        return (*self.versions, *self.void)

    @property
    def shared_coins(self) -> tuple[Coin, ...]:
        """Give the newest version's coins, and one of each of ours that spends none of these."""
        coins = () if self.newest is None else self.newest.coins
        for version in self.versions:
            if version.coins and not set(version.coins) & set(coins):
                coins = (*coins, version.coins[0])
        return coins

    def may_adopt(self, version: Version) -> bool:
        """Tell whether a transaction is new, and one of not too many of other members."""
        theirs = sum(not each.coins for each in self.versions)
        return theirs < THEIRS_A_ROOT_MAX and version.txid not in {
            each.txid for each in self.transactions
        }

    def following(self, version: Version) -> "AnchoredRoot":
        """Add another member's version, in the place of its oldest where there are too many."""
        if version.txid in {each.txid for each in self.transactions}:
            return self
        theirs = [each for each in self.versions if not each.coins]
        left_out = theirs[0] if len(theirs) >= THEIRS_A_ROOT_MAX else None
        kept = tuple(each for each in self.versions if each != left_out)
        return replace(self, versions=(*kept, version))

    def found(self, place: Place) -> "AnchoredRoot":
        """Give the root where it is now; a version that was void is none any more."""
        back = tuple(each for each in self.void if each.txid == place.txid)
        void = tuple(each for each in self.void if each not in back)
        return replace(self, place=place, versions=(*back, *self.versions), void=void)

    def without(self, gone: Container[Outpoint], void_max: int) -> "AnchoredRoot":
        """Give up the versions of our own of which a coin is gone."""
        void = [each for each in self.versions if any(coin.outpoint in gone for coin in each.coins)]
        left = tuple(each for each in self.versions if each not in void)
        return replace(self, versions=left, void=(*self.void, *void)[-void_max:])


@dataclass(frozen=True, slots=True)
class Progress:
    """One root, for people: `note` says what stands in its way."""

    entry: AnchoredRoot
    confirmations: int
    note: str


class AnchorBook(Value, frozen=True):
    """What must outlive the process; `day` and `day_fee_sat` say what was spent on the last day."""

    version: int = BOOK_VERSION
    roots: tuple[AnchoredRoot, ...] = ()
    day: int = 0
    day_fee_sat: int = 0


def encode_book(book: AnchorBook) -> bytes:
    """Write a book."""
    return encode(book)


def decode_book(data: bytes) -> AnchorBook:
    """Read a book.

    Raises:
        RemoteProtocolError: when the bytes are no book of this version.
    """
    book: AnchorBook = decode(data, AnchorBook)
    if book.version != BOOK_VERSION:
        msg = f"version {book.version} of the anchor book is not known here"
        raise RemoteProtocolError(msg)
    return book
