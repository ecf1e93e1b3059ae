"""What the peg looks up in the state without walking it; derived from the entries."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from ambientd.ledger.entries import Entry, Key, Table
from ambientd.ledger.peg_entries import (
    PegChangeEntry,
    PegCoinEntry,
    PegEndEntry,
    PegNodeEntry,
    PegPaymentEntry,
)
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PaymentKind, PegPayment, PegWallet
from ambientd.rules.bitcoin_codec import Outpoint
from ambientd.rules.peg_payments import COINS_MAX

Valued = tuple[int, Outpoint]


def outpoint_of(name: bytes) -> Outpoint:
    """Give the outpoint that an entry's name stands for."""
    return Outpoint(name[:32], int.from_bytes(name[32:], "big"))


class PegIndex:
    """Coins that can be spent, payments under way, addresses and keys."""

    def __init__(self) -> None:
        self.wallets: dict[int, PegWallet] = {}
        """Every wallet there was."""
        self.ends: dict[int, PegEndEntry] = {}
        """The ends of those payments that are final."""
        self.late_sat = 0
        """What late peg-ins are worth that are being brought over."""
        self._roots: dict[bytes, bytes] = {}
        self._held: dict[int, list[Valued]] = {}
        self._claims: dict[NodeId, set[Outpoint]] = {}
        self._open: list[int] = []
        self._ended: list[tuple[int, int]] = []
        self._kinds: Counter[PaymentKind] = Counter()
        self._addresses: dict[int, NodeId] = {}
        self._keys: dict[bytes, NodeId] = {}

    def see(self, key: Key, before: Entry | None, entry: Entry | None) -> None:
        """Follow an entry of any kind."""
        table, name = key
        if table is Table.PEG_COIN:
            was, now = cast("PegCoinEntry | None", before), cast("PegCoinEntry | None", entry)
            self._see_coin(name, was, now)
        elif table is Table.PEG_CHANGE:
            self._roots.pop(name, None)
            if isinstance(entry, PegChangeEntry):
                self._roots[name] = entry.root
        elif table is Table.PEG_END:
            number = int.from_bytes(name, "big")
            self._see_end(number, cast("PegEndEntry | None", before), entry)
        elif isinstance(entry, PegPaymentEntry):
            self._see_payment(name, entry)
        elif isinstance(entry, PegNodeEntry):
            self._see_node(NodeId(name), cast("PegNodeEntry | None", before), entry)
        elif isinstance(entry, PegWallet):
            self.wallets[int.from_bytes(name, "big")] = entry

    def _see_coin(self, name: bytes, before: PegCoinEntry | None, now: PegCoinEntry | None) -> None:
        for entry, is_there in ((before, False), (now, True)):
            if entry is not None and entry.state is CoinState.CLAIMED:
                claims = self._claims.setdefault(entry.words[0], set())
                (claims.add if is_there else claims.discard)(outpoint_of(name))
        if before is not None and before.state is CoinState.HELD:
            held = self._held[before.wallet]
            del held[bisect_left(held, _place(before, name), key=_order)]
            if not held:
                del self._held[before.wallet]
        if now is not None and now.state is CoinState.HELD:
            held = self._held.setdefault(now.wallet, [])
            insort(held, (now.value_sat, outpoint_of(name)), key=_order)

    def _see_payment(self, name: bytes, entry: PegPaymentEntry) -> None:
        number = int.from_bytes(name, "big")
        place = bisect_left(self._open, number)
        is_there = self._open[place : place + 1] == [number]
        if entry.final is None and not is_there:
            self._open.insert(place, number)
            self._kinds[entry.payment.kind] += 1
            self.late_sat += _late_sat(entry.payment)
        elif entry.final is not None and is_there:
            del self._open[place]
            self._kinds[entry.payment.kind] -= 1
            self.late_sat -= _late_sat(entry.payment)

    def _see_end(self, number: int, before: PegEndEntry | None, entry: Entry | None) -> None:
        if before is not None:
            del self._ended[bisect_left(self._ended, (before.ended_ms, number))]
            del self.ends[number]
        if isinstance(entry, PegEndEntry):
            self.ends[number] = entry
            insort(self._ended, (entry.ended_ms, number))

    def _see_node(self, node: NodeId, before: PegNodeEntry | None, entry: PegNodeEntry) -> None:
        if before is not None and before.key != entry.key:
            self._keys.pop(before.key, None)
        if entry.key:
            self._keys[entry.key] = node
        if entry.index:
            self._addresses[entry.index] = node

    def candidates(self, wallet: int, amount_sat: int) -> list[Valued]:
        """Give coins of a wallet to choose from, by value: some that suffice, and the largest."""
        held = self._held.get(wallet, [])
        most = 2 * COINS_MAX
        place = bisect_left(held, amount_sat, key=lambda each: each[0])
        largest = max(len(held) - most, 0)
        if place + most >= largest:
            return held[min(place, largest) :]
        return held[place : place + most] + held[largest:]

    def wallets_before(self, wallet: int) -> list[int]:
        """Give the wallets before one that have coins, in their order."""
        return sorted(number for number in self._held if number < wallet)

    def coins_before(self, wallet: int, count: int) -> Iterator[list[Valued]]:
        """Walk the wallets before one; of each, give the largest coins, by value."""
        return (self._held[number][-count:] for number in self.wallets_before(wallet))

    def claims(self, member: NodeId) -> list[Outpoint]:
        """Give the peg-ins that a member has named first and no quorum has seen, by name."""
        return sorted(self._claims.get(member, ()), key=lambda each: (each.txid, each.index))

    def held(self) -> Iterator[Outpoint]:
        """Walk the coins that can be spent."""
        return (outpoint for held in self._held.values() for _, outpoint in held)

    def held_sat(self) -> Mapping[int, int]:
        """Add up what can be spent from each wallet."""
        return {
            wallet: sum(value for value, _ in held) for wallet, held in sorted(self._held.items())
        }

    def open_payments(self) -> list[int]:
        """Give the payments that are not final, in their order; not to be changed."""
        return self._open

    def ended(self, before_ms: int, most: int) -> list[int]:
        """Give the payments that were final first, before a time, in that order."""
        return [number for ended_ms, number in self._ended[:most] if ended_ms < before_ms]

    def last_ended(self, skipped: int, most: int) -> list[int]:
        """Give some of the payments that are final, the last one first."""
        stop = len(self._ended) - skipped
        return [number for _, number in reversed(self._ended[max(stop - most, 0) : max(stop, 0)])]

    def roots(self, payment: PegPayment) -> list[bytes]:
        """Give what a payment's coins are called whichever versions they came back in."""
        names = (coin.txid + coin.output.to_bytes(4, "big") for coin in payment.coins)
        return [self._roots.get(name, b"") for name in names]

    def count_open(self, kind: PaymentKind) -> int:
        """Count the payments of a kind that are not final."""
        return self._kinds[kind]

    def owner_of(self, key: bytes) -> NodeId | None:
        """Give who has said a key."""
        return self._keys.get(key)

    def addresses(self) -> Iterator[tuple[int, NodeId]]:
        """Walk the indexes that were given to nodes."""
        return iter(sorted(self._addresses.items()))


def _late_sat(payment: PegPayment) -> int:
    return payment.total_sat if payment.kind is PaymentKind.LATE else 0


def _order(valued: Valued) -> tuple[int, bytes, int]:
    return valued[0], valued[1].txid, valued[1].index


def _place(entry: PegCoinEntry, name: bytes) -> tuple[int, bytes, int]:
    return _order((entry.value_sat, outpoint_of(name)))
