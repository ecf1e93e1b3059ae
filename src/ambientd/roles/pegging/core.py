"""Peg keeper: signs what its own ledger says and nothing else, sends it, tells what it sees.

Implements protocols/14-peg.md section 5. It builds every transaction from its own replica, so
nobody can have it sign another payee or fee. Whatever has no answer in the log is said again.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from typing import Final, assert_never, cast

from ambientd.ledger.peg_entries import PegPaymentEntry
from ambientd.ledger.peg_ins import Sighted, is_to_say
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PaymentKind, PegPayment, PegWallet
from ambientd.model.record import PegIn, PegKey, PegMoved, PegPaid, PegSigned
from ambientd.roles.pegging.book import PegBook
from ambientd.roles.pegging.events import (
    CoinsSeen,
    Effect,
    Event,
    KeySigned,
    Look,
    LookForCoins,
    LookForPayment,
    LookForPegIns,
    PaymentSeen,
    PegInSeen,
    PersistBook,
    Place,
    ProposePeg,
    ProveKey,
    SendPayment,
    SignVersion,
    Ticked,
    VersionSigned,
)
from ambientd.rules.bitcoin import Outpoint, decode_transaction, display
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import signed_transaction, txid
from ambientd.rules.peg_script import child_key, locking_script

AGAIN_MS: Final = 20_000
LOOK_MS: Final = 10_000
KEY_MS: Final = 60_000
WORD_MS: Final = 60_000
PLACES_A_LOOK: Final = 64
COINS_MS: Final = 30_000
COINS_A_LOOK: Final = 64
COINS_TOLD: Final = 3
ENDED_MS: Final = 30 * AGAIN_MS
ENDED_A_TIME: Final = 16
"""Final payments that are sent again, and looked for, at a time: a reorganisation may undo them."""


class PegKeeper:
    """One node's part in the peg, as member of the wallets that it has a key in."""

    def __init__(
        self, self_id: NodeId, book: PegBook, key: bytes, *, is_replaced: bool = False
    ) -> None:
        """Take up what was signed; `key` is the signer's.

        A key whose place another has taken signs for the wallets that it is in, and no more.
        """
        self._id = self_id
        self._book = book
        self._key = key
        self._is_replaced = is_replaced
        self._again_ms: dict[tuple[str, bytes], int] = {}
        self._walked = [0, 0]
        self._looked_at = 0
        self._under_way: tuple[int, ...] = ()
        self._outdated = ""
        """How it was found that the book is an older one than this key's last."""
        self._ended_walked = 0
        self._coins_walked = (b"", 0)
        self._has_looked = False
        """Whether every coin was looked for since the start, one that is missing among them."""
        self._looked: set[Outpoint] = set()
        self._missing: set[Outpoint] = set()
        self.alarms: dict[int, str] = {}
        """Payments that this member refuses to sign, and why."""

    @property
    def signs(self) -> bool:
        """Tell whether nothing has shown yet that the book is an older copy."""
        return not self._outdated

    def faults(self, ledger: LedgerState, also: Collection[bytes] = ()) -> tuple[str, ...]:
        """Say what this member does not sign though it should, and why.

        `also` are the replaced keys that it signs with besides.
        """
        index = ledger.peg_index
        held = index.held_sat()
        used = [n for n in sorted(index.wallets) if n == ledger.peg.wallet or held.get(n)]
        keys = [
            f"the key in peg.key is not the one that this node has in wallet {number}"
            for number in used
            for signer in index.wallets[number].signers
            if signer.member == self._id and signer.key not in (self._key, *also)
        ]
        alarms = [f"payment {number}: {fault}" for number, fault in sorted(self.alarms.items())]
        outdated = [self._outdated] if self._outdated else []
        return (*keys, *outdated, *alarms, *self._lost())

    def _lost(self) -> list[str]:
        """Say which coins are missing, the first ones by name."""
        names = sorted(f"{display(each.txid)}:{each.index}" for each in self._missing)
        if not names:
            return []
        shown = ", ".join(names[:COINS_TOLD]) + (", ..." if len(names) > COINS_TOLD else "")
        return [
            f"this member's chain lacks {len(names)} of the coins that the ledger holds: it signs "
            f"no peg-out until they are there: {shown}"
        ]

    def handle(self, event: Event, ledger: LedgerState, *, now: int) -> list[Effect]:
        """Advance by one event; the book is on disk before a signer is asked."""
        if peg_fault(ledger.genesis) is not None:
            return []
        match event:
            case Ticked():
                return self._on_tick(ledger, now)
            case KeySigned():
                said_ms = max(now, ledger.peg_node(self._id).said_ms + 1)
                return [
                    ProposePeg(
                        PegKey(
                            key=event.key,
                            chain_code=event.chain_code,
                            possession=event.possession,
                            said_ms=said_ms,
                        )
                    )
                ]
            case VersionSigned(payment=payment, version=version, signatures=signatures):
                body = PegSigned(payment=payment, version=version, signatures=signatures)
                return [ProposePeg(body)]
            case PegInSeen():
                return self._on_peg_in(event, ledger, now)
            case PaymentSeen():
                return self._on_payment(event, ledger)
            case CoinsSeen(looked=looked, found=found):
                self._missing -= set(looked)
                self._missing |= set(looked) - found
                self._looked |= set(looked)
                if not self._has_looked and standing(ledger) <= self._looked:
                    self._has_looked = True
                    self._looked.clear()
                return []
            case _:
                assert_never(event)

    def _on_tick(self, ledger: LedgerState, now: int) -> list[Effect]:
        effects: list[Effect] = []
        self._compare_book(ledger)
        if self._is_replaced:
            effects = self._sign_all(ledger, now)
            return effects + self._look_for_coins(ledger, now)
        is_member = self._id in ledger.members
        said = ledger.peg_node(self._id).key
        if is_member and said != self._key and self._is_time("key", b"", now, KEY_MS):
            effects.append(ProveKey())
        for number in ledger.peg_index.open_payments():
            entry = ledger.peg_payment(number)
            assert entry is not None, "an index names payments that exist"
            effects += self._sign(ledger, number, entry, now)
            if not _is_signed(ledger, entry):
                continue  # nor is it on the chain, and some an earlier wallet may never sign
            effects += self._send(ledger, number, entry, now)
            if is_member and self._is_time("payment", _name(number), now, LOOK_MS):
                versions = range(len(entry.payment.fees_sat))
                names = tuple(txid(entry.payment, version) for version in versions)
                effects.append(LookForPayment(number, names))
        if self._is_time("ended", b"", now, ENDED_MS):
            effects += self._tend_ended(ledger, is_member=is_member)
        if is_member and self._is_time("peg-ins", b"", now, LOOK_MS):
            effects += self._look(ledger)
        if is_member:
            effects += self._look_for_coins(ledger, now)
        if len(self._again_ms) > 4 * len(ledger.peg_index.open_payments()) + 4:
            self._again_ms = {each: due for each, due in self._again_ms.items() if due > now}
        return effects

    def _sign_all(self, ledger: LedgerState, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for number in ledger.peg_index.open_payments():
            entry = ledger.peg_payment(number)
            assert entry is not None, "an index names payments that exist"
            effects += self._sign(ledger, number, entry, now)
        return effects

    def _is_time(self, what: str, name: bytes, now: int, pause_ms: int) -> bool:
        """Tell whether to do something again, and note that it is being done."""
        if now < self._again_ms.get((what, name), 0):
            return False
        self._again_ms[what, name] = now + pause_ms
        return True

    def _compare_book(self, ledger: LedgerState) -> None:
        """Look for a signature by this key in the log that the book does not know of.

        What is signed is in the book first, so such a book was put back from an older copy.
        """
        known = {pledge.payment for pledge in self._book.pledges}
        last = ledger.peg.payments
        for number in (*self._under_way, *range(self._looked_at + 1, last + 1)):
            entry = ledger.peg_payment(number)
            if number not in known and entry is not None and self._has_signed(ledger, entry):
                self._outdated = (
                    f"the log has this key's signature of payment {number}, of which peg.book "
                    "does not know: the book is an older copy, and the key signs nothing more; "
                    "`ambientctl key replace-peg` lets another take its place"
                )
        self._looked_at, self._under_way = last, tuple(ledger.peg_index.open_payments())

    def _has_signed(self, ledger: LedgerState, entry: PegPaymentEntry) -> bool:
        wallet = ledger.peg_index.wallets[entry.payment.coins[0].wallet]
        has_key = any(each.member == self._id and each.key == self._key for each in wallet.signers)
        return has_key and any(word.member == self._id for word in entry.words)

    def _sign(
        self, ledger: LedgerState, number: int, entry: PegPaymentEntry, now: int
    ) -> list[Effect]:
        """Have the newest version signed, unless this member has or enough others have."""
        payment, version = entry.payment, len(entry.payment.fees_sat) - 1
        wallet = ledger.peg_index.wallets[payment.coins[0].wallet]
        words = [word.member for word in entry.words if word.version == version]
        signs = any(each.member == self._id and each.key == self._key for each in wallet.signers)
        if not signs or self._id in words or len(words) >= wallet.threshold:
            return []
        if self._is_waiting(ledger, payment):
            return []
        roots = ledger.peg_index.roots(payment)
        fault = self._outdated or self._book.fault(number, payment, roots)
        if fault is not None:
            self.alarms[number] = fault
            return []
        self.alarms.pop(number, None)
        if not self._is_time("sign", _name(number) + bytes([version]), now, AGAIN_MS):
            return []
        last = ledger.peg.payments
        book = self._book.without(lambda each: each <= last and ledger.peg_payment(each) is None)
        book = book.pledged(number, payment, roots)
        effects: list[Effect] = [] if book is self._book else [PersistBook(book)]
        self._book = book
        return [*effects, SignVersion(number, version, payment)]

    def _send(
        self, ledger: LedgerState, number: int, entry: PegPaymentEntry, now: int
    ) -> list[Effect]:
        """Send the newest version that is complete."""
        words = Counter(word.version for word in entry.words)
        needed = ledger.peg_index.wallets[entry.payment.coins[0].wallet].threshold
        version = max(each for each, count in words.items() if count >= needed)
        if not self._is_time("send", _name(number) + bytes([version]), now, AGAIN_MS):
            return []
        raw = combined(ledger, entry, version)
        return [] if raw is None else [SendPayment(number, raw)]

    def _is_waiting(self, ledger: LedgerState, payment: PegPayment) -> bool:
        """Tell whether a coin is yet to come back, or a peg-out could take what others are owed."""
        is_blind = not self._has_looked or bool(self._missing)
        if is_blind and payment.kind is PaymentKind.PEG_OUT:
            return True
        entries = (ledger.peg_coin(coin.txid, coin.output) for coin in payment.coins)
        return any(entry is not None and entry.state is CoinState.AWAITED for entry in entries)

    def _tend_ended(self, ledger: LedgerState, *, is_member: bool) -> list[Effect]:
        """Send final payments again, and look whether other versions are mined.

        The last ones each time, others in turn: few reorganisations are deep.
        """
        effects: list[Effect] = []
        older = ledger.peg_index.last_ended(ENDED_A_TIME + self._ended_walked, ENDED_A_TIME)
        self._ended_walked = self._ended_walked + len(older) if older else 0
        numbers = [*ledger.peg_index.last_ended(0, ENDED_A_TIME), *older]
        for number in numbers:
            entry = ledger.peg_payment(number)
            assert entry is not None, "an index names payments that exist"
            assert entry.final is not None, "only final payments have an end"
            raw = combined(ledger, entry, entry.final)
            effects += [] if raw is None else [SendPayment(number, raw)]
            versions = range(len(entry.payment.fees_sat))
            if is_member and len(versions) > 1:
                names = tuple(txid(entry.payment, version) for version in versions)
                effects.append(LookForPayment(number, names))
        return effects

    def _look_for_coins(self, ledger: LedgerState, now: int) -> list[Effect]:
        """Look for some of the coins that the ledger holds after others, and for the missing."""
        if not self._is_time("coins", b"", now, COINS_MS):
            return []
        coins = standing(ledger)
        self._missing &= coins
        names = sorted(coins, key=_order)
        place = bisect_right(names, self._coins_walked, key=_order)
        due = (names[place:] + names[:place])[:COINS_A_LOOK]
        if due:
            self._coins_walked = _order(due[-1])
        due += [each for each in sorted(self._missing, key=_order) if each not in due]
        looks = []
        for name in due:
            entry = ledger.peg_coin(name.txid, name.index)
            assert entry is not None, "an index names coins that exist"
            looks.append(Look(name, is_reserved=entry.state is CoinState.RESERVED))
        return [LookForCoins(tuple(looks))] if looks else []

    def _look(self, ledger: LedgerState) -> list[Effect]:
        """Look at some addresses after others: the present wallet's, some of the earlier ones'."""
        index, present = ledger.peg_index, ledger.peg.wallet
        earlier = sorted(set(index.wallets) - {present}, reverse=True)
        groups = (
            ((present,) if present else (), 3 * PLACES_A_LOOK // 4),
            (earlier, PLACES_A_LOOK // 4),
        )
        addresses = list(index.addresses())
        places = []
        for group, (numbers, most) in enumerate(groups):
            count = len(addresses) * len(numbers)
            for step in range(min(count, most)):
                wallet, place = divmod((self._walked[group] + step) % count, len(addresses))
                at, node = addresses[place]
                script = locking_script(index.wallets[numbers[wallet]], at)
                places.append(Place(node, numbers[wallet], script))
            self._walked[group] += min(count, most)
        return [LookForPegIns(tuple(places))] if places else []

    def _on_peg_in(self, event: PegInSeen, ledger: LedgerState, now: int) -> list[Effect]:
        place, outputs = event.place, decode_transaction(event.proof.raw_tx).outpoints()
        if event.output >= len(outputs) or outputs[event.output][1].script != place.script:
            return []  # what a chain lists is its word alone; the proof is of the transaction
        outpoint, output = outputs[event.output]
        sighted = Sighted(outpoint, output.value_sat, place.node, place.wallet)
        if not is_to_say(ledger, sighted, self._id):
            return []
        name = outpoint.txid + outpoint.index.to_bytes(4, "big")
        if not self._is_time("peg-in", name, now, WORD_MS):
            return []
        body = PegIn(node=place.node, wallet=place.wallet, output=event.output, proof=event.proof)
        return [ProposePeg(body)]

    def _on_payment(self, event: PaymentSeen, ledger: LedgerState) -> list[Effect]:
        entry = ledger.peg_payment(event.payment)
        if entry is None:
            return []
        if entry.final is not None:
            return self._on_ended(event, ledger, entry.final)
        said = {sight.member: sight.version for sight in entry.sights}
        if said.get(self._id) == event.version:
            return []
        body = PegPaid(payment=event.payment, version=event.version, proof=event.proof)
        return [ProposePeg(body)]

    def _on_ended(self, event: PaymentSeen, ledger: LedgerState, final: int) -> list[Effect]:
        """Say that another version is in the place of the final one, or that it is not any more."""
        end = ledger.peg_index.ends.get(event.payment)
        if end is None:
            return []
        said = {sight.member: sight.version for sight in end.sights}
        if said.get(self._id, final) == event.version:
            return []
        body = PegMoved(
            payment=event.payment, version=event.version, turn=end.turn, proof=event.proof
        )
        return [ProposePeg(body)]


def standing(ledger: LedgerState) -> set[Outpoint]:
    """Give the coins that must be there: held, or spent by payments under way; none awaited.

    Late peg-ins, and what goes back, stand behind nobody's credits.
    """
    coins = set(ledger.peg_index.held())
    for number in ledger.peg_index.open_payments():
        payment = cast("PegPaymentEntry", ledger.peg_payment(number)).payment
        if payment.kind in (PaymentKind.LATE, PaymentKind.RETURN):
            continue
        for coin in payment.coins:
            entry = ledger.peg_coin(coin.txid, coin.output)
            if entry is not None and entry.state is not CoinState.AWAITED:
                coins.add(Outpoint(coin.txid, coin.output))
    return coins


def _is_signed(ledger: LedgerState, entry: PegPaymentEntry) -> bool:
    """Tell whether a version may be on the chain: members sign in the log alone."""
    needed = ledger.peg_index.wallets[entry.payment.coins[0].wallet].threshold
    return max(Counter(word.version for word in entry.words).values(), default=0) >= needed


def combined(ledger: LedgerState, entry: PegPaymentEntry, version: int) -> bytes | None:
    """Put a version together from the signatures in the log; None as long as some lack."""
    wallets = ledger.peg_index.wallets
    words = [word for word in entry.words if word.version == version]
    if len(words) < max(wallets[coin.wallet].threshold for coin in entry.payment.coins):
        return None
    found: list[dict[bytes, bytes]] = []
    for place, coin in enumerate(entry.payment.coins):
        keys = _keys(wallets[coin.wallet], coin.index)
        found.append({keys[word.member]: word.signatures[place] for word in words})
    return signed_transaction(entry.payment, version, wallets, found)


def _keys(wallet: PegWallet, index: int) -> dict[NodeId, bytes]:
    return {each.member: child_key(each.key, each.chain_code, index) for each in wallet.signers}


def _order(coin: Outpoint) -> tuple[bytes, int]:
    return coin.txid, coin.index


def _name(number: int) -> bytes:
    return number.to_bytes(8, "big")
