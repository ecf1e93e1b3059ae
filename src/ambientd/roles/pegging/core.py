"""Peg keeper: signs what its own ledger says and nothing else, sends it, tells what it sees.

Implements protocols/14-peg.md section 5. It builds every transaction from its own replica, so
nobody can have it sign another payee or fee. Whatever has no answer in the log is said again.
"""

from collections import Counter
from typing import Final, assert_never

from ambientd.ledger.peg_entries import PegPaymentEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PegWallet
from ambientd.model.record import PegIn, PegKey, PegPaid, PegSigned
from ambientd.roles.pegging.book import PegBook
from ambientd.roles.pegging.events import (
    Effect,
    Event,
    KeySigned,
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
from ambientd.rules.bitcoin import decode_transaction
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import signed_transaction, txid
from ambientd.rules.peg_script import child_key, locking_script

AGAIN_MS: Final = 20_000
LOOK_MS: Final = 10_000
KEY_MS: Final = 60_000
WORD_MS: Final = 60_000
PLACES_A_LOOK: Final = 64
ENDED_KEPT: Final = 16
"""Final payments that are sent again now and then: a reorganisation may have undone them."""


class PegKeeper:
    """One node's part in the peg, as member of the wallets that it has a key in."""

    def __init__(self, self_id: NodeId, book: PegBook, key: bytes) -> None:
        """Take up what was signed; `key` is the signer's."""
        self._id = self_id
        self._book = book
        self._key = key
        self._again_ms: dict[tuple[str, bytes], int] = {}
        self._walked = [0, 0]
        self.alarms: dict[int, str] = {}
        """Payments that this member refuses to sign, and why."""

    def faults(self, ledger: LedgerState) -> tuple[str, ...]:
        """Say what this member does not sign though it should, and why."""
        index = ledger.peg_index
        held = index.held_sat()
        used = [n for n in sorted(index.wallets) if n == ledger.peg.wallet or held.get(n)]
        keys = [
            f"the key in peg.key is not the one that this node has in wallet {number}"
            for number in used
            for signer in index.wallets[number].signers
            if signer.member == self._id and signer.key != self._key
        ]
        alarms = [f"payment {number}: {fault}" for number, fault in sorted(self.alarms.items())]
        return (*keys, *alarms)

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
            case _:
                assert_never(event)

    def _on_tick(self, ledger: LedgerState, now: int) -> list[Effect]:
        effects: list[Effect] = []
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
        effects += self._send_ended(ledger, now)
        if is_member and self._is_time("peg-ins", b"", now, LOOK_MS):
            effects += self._look(ledger)
        if len(self._again_ms) > 4 * len(ledger.peg_index.open_payments()) + 4 * ENDED_KEPT:
            self._again_ms = {each: due for each, due in self._again_ms.items() if due > now}
        return effects

    def _is_time(self, what: str, name: bytes, now: int, pause_ms: int) -> bool:
        """Tell whether to do something again, and note that it is being done."""
        if now < self._again_ms.get((what, name), 0):
            return False
        self._again_ms[what, name] = now + pause_ms
        return True

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
        fault = self._book.fault(number, payment)
        if fault is not None:
            self.alarms[number] = fault
            return []
        if not self._is_time("sign", _name(number) + bytes([version]), now, AGAIN_MS):
            return []
        book = self._book.pledged(number, payment)
        effects: list[Effect] = [] if book is self._book else [PersistBook(book)]
        self._book = book
        return [*effects, SignVersion(number, version, payment)]

    def _send(
        self, ledger: LedgerState, number: int, entry: PegPaymentEntry, now: int
    ) -> list[Effect]:
        """Send the newest version that is complete."""
        for version in reversed(range(len(entry.payment.fees_sat))):
            raw = combined(ledger, entry, version)
            if raw is not None:
                name = _name(number) + bytes([version])
                is_time = self._is_time("send", name, now, AGAIN_MS)
                return [SendPayment(number, raw)] if is_time else []
        return []

    def _send_ended(self, ledger: LedgerState, now: int) -> list[Effect]:
        effects: list[Effect] = []
        last = ledger.peg.payments
        for number in range(max(1, last - ENDED_KEPT + 1), last + 1):
            entry = ledger.peg_payment(number)
            if entry is None or entry.final is None:
                continue
            if self._is_time("ended", _name(number), now, 30 * AGAIN_MS):
                raw = combined(ledger, entry, entry.final)
                effects += [] if raw is None else [SendPayment(number, raw)]
        return effects

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
        name = decode_transaction(event.proof.raw_tx).txid
        entry = ledger.peg_coin(name, event.output)
        if entry is not None and (entry.state is not CoinState.CLAIMED or self._id in entry.words):
            return []
        outpoint = name + event.output.to_bytes(4, "big")
        if not self._is_time("peg-in", outpoint, now, WORD_MS):
            return []
        place = event.place
        body = PegIn(node=place.node, wallet=place.wallet, output=event.output, proof=event.proof)
        return [ProposePeg(body)]

    def _on_payment(self, event: PaymentSeen, ledger: LedgerState) -> list[Effect]:
        entry = ledger.peg_payment(event.payment)
        if entry is None or entry.final is not None:
            return []
        said = {sight.member: sight.version for sight in entry.sights}
        if said.get(self._id) == event.version:
            return []
        body = PegPaid(payment=event.payment, version=event.version, proof=event.proof)
        return [ProposePeg(body)]


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


def _name(number: int) -> bytes:
    return number.to_bytes(8, "big")
