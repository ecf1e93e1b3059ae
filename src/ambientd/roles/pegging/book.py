"""What a member has signed, on disk before a signature leaves (protocols/14-peg.md section 5)."""

from collections.abc import Callable, Sequence

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.model.base import Digest, Value
from ambientd.model.peg import PegPayment
from ambientd.rules.peg_payments import named


class Pledge(Value, frozen=True):
    """A payment that was signed, by what all its versions share, and the coins it spends.

    Coins go by what they are called, so that a payment stays the same when a reorganisation mines
    another version of the one before it.
    """

    payment: int
    content: Digest
    outpoints: tuple[bytes, ...]


class PegBook(Value, frozen=True):
    """Every payment that this member has signed a version of."""

    pledges: tuple[Pledge, ...] = ()

    def fault(self, number: int, payment: PegPayment, roots: Sequence[bytes]) -> str | None:
        """Say why signing a payment could pay twice, or None when it cannot.

        The log never asks for this; a log that was forked, or a state put back from a copy, may.
        """
        wanted = pledge_of(number, payment, roots)
        for pledge in self.pledges:
            if pledge == wanted:
                return None
            if pledge.payment == number:
                return f"another payment was signed as number {number} before"
            if set(pledge.outpoints) & set(wanted.outpoints):
                return f"a coin of payment {number} was signed away by payment {pledge.payment}"
        return None

    def pledged(self, number: int, payment: PegPayment, roots: Sequence[bytes]) -> "PegBook":
        """Give the book with a payment in it; this one when it is there already."""
        wanted = pledge_of(number, payment, roots)
        return self if wanted in self.pledges else PegBook(pledges=(*self.pledges, wanted))

    def without(self, is_forgotten: Callable[[int], bool]) -> "PegBook":
        """Give the book without the payments that the ledger has forgotten."""
        kept = tuple(each for each in self.pledges if not is_forgotten(each.payment))
        return self if len(kept) == len(self.pledges) else PegBook(pledges=kept)


def pledge_of(number: int, payment: PegPayment, roots: Sequence[bytes]) -> Pledge:
    """Give what binds a member to a payment, whatever its fee."""
    coins = tuple(named(payment, roots))
    fields = (
        payment.kind,
        payment.node,
        payment.amount_sat,
        payment.script,
        coins,
        payment.change_script,
        payment.change_wallet,
    )
    return Pledge(
        payment=number,
        content=Digest(tagged("ambient/peg-pledge/1", encode(fields))),
        outpoints=tuple(coin.txid + coin.output.to_bytes(4, "big") for coin in coins),
    )


def encode_book(book: PegBook) -> bytes:
    """Give a book's canonical bytes."""
    return encode(book)


def decode_book(data: bytes) -> PegBook:
    """Read a book; raise RemoteProtocolError when it is malformed."""
    book: PegBook = decode(data, PegBook)
    return book
