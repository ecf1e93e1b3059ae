"""How payments end: what is booked, what comes back, and what a deep reorganisation changes of it.

Implements protocols/14-peg.md sections 4, 7 and 8. One version of a payment is mined in any chain.
When it is another than the final one, what came back has another name: a payment under way spends
it by that, and a final one that spent it by the old name was undone, and is to be signed again.
"""

from typing import Final, cast

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.peg_entries import (
    PegCoinEntry,
    PegEndEntry,
    PegLeastEntry,
    PegPaymentEntry,
)
from ambientd.ledger.peg_events import PaymentFinal, PaymentVersioned
from ambientd.ledger.peg_ins import (
    credit,
    credit_kept,
    is_seen_by_quorum,
    proof_fault,
    speaker_fault,
)
from ambientd.ledger.peg_returns import close
from ambientd.ledger.peg_wallets import NOBODY, PegDraft
from ambientd.model.peg import CoinState, PaymentKind, PegCoin, PegPayment, PegSight
from ambientd.model.record import PegMoved, Record
from ambientd.rules.bitcoin import Outpoint, decode_transaction
from ambientd.rules.peg_payments import (
    CHANGE_INDEX,
    CHANGE_MIN_SAT,
    PEG_IN_MIN_SAT,
    awaited_txid,
    change_root,
    outputs,
    own_outputs,
    txid,
)

KEPT_MS: Final = 14 * 24 * 3_600_000
"""How long a final payment is kept: about 2,016 Bitcoin blocks."""
FORGOTTEN_MAX: Final = 8
"""How many payments a block forgets."""
REOPENED_MAX: Final = 64
"""How many payments one word may reopen; each follows the end of another, six blocks or more."""


def end(peg: PegDraft, number: int, entry: PegPaymentEntry, version: int) -> str | None:
    """Book a final payment: its coins are gone, what came back is held; or say why it waits."""
    payment, name = entry.payment, txid(entry.payment, version)
    root = change_root(payment, roots(peg, payment))
    for coin in payment.coins:
        _spend(peg, Outpoint(coin.txid, coin.output), payment.kind)
    chain = _Reopening(peg)
    for place in own_outputs(payment):
        value_sat = outputs(payment, version)[place][0]
        back, awaited = Outpoint(name, place), Outpoint(awaited_txid(number), place)
        if peg.coin(awaited) is not None:
            fault = chain.exchange(awaited, back, value_sat, is_back=True)
            if fault is not None:
                return fault
        else:
            peg.put_coin(back, _change(payment, value_sat))
        peg.put_root(back, root)
        peg.put_least(back, _least(peg, number, payment))
    _book(peg, payment, version)
    close(peg, payment.node, number)
    peg.put_payment(number, replace(entry, sights=(), final=version))
    peg.put_end(number, PegEndEntry(ended_ms=peg.draft.context.time_ms))
    peg.draft.tell(PaymentFinal(number, version, name))
    return None


def moved(draft: Draft, record: Record, body: PegMoved) -> str | None:
    """Take a member's word that another version is in the final one's place; q words move it."""
    fault = speaker_fault(draft, record.author)
    if fault is not None:
        return fault
    peg = PegDraft(draft)
    entry = peg.payment(body.payment)
    if entry is None or entry.final is None or body.version >= len(entry.payment.fees_sat):
        return "there is no such final payment, or no such version of it"
    ended = peg.end(body.payment)
    if body.turn != ended.turn:
        return "another version has become the final one since"
    sight = PegSight(member=record.author, version=body.version)
    sights = tuple(each for each in ended.sights if each.member != record.author)
    if body.version != entry.final:
        sights = (*sights, sight)
    if set(sights) == set(ended.sights):
        return None
    fault = proof_fault(draft, body.proof)
    if fault is not None:
        return fault
    if decode_transaction(body.proof.raw_tx).txid != txid(entry.payment, body.version):
        return "the proof is of another transaction"
    words = tuple(each.member for each in sights if each.version == body.version)
    if is_seen_by_quorum(draft, words):
        return _move(peg, body.payment, entry, body.version)
    peg.put_end(body.payment, replace(ended, sights=sights))
    return None


def _move(peg: PegDraft, number: int, entry: PegPaymentEntry, version: int) -> str | None:
    """Put another version in the place of the final one, and what came back with it."""
    payment, final = entry.payment, cast("int", entry.final)
    more_sat = payment.fees_sat[version] - payment.fees_sat[final]
    is_peg_out = payment.kind is PaymentKind.PEG_OUT
    before, after = txid(payment, final), txid(payment, version)
    chain = _Reopening(peg)
    for place in own_outputs(payment):
        value_sat = outputs(payment, version)[place][0]
        back = Outpoint(after, place)
        fault = chain.exchange(Outpoint(before, place), back, value_sat, is_back=True)
        if fault is not None:
            return fault
    if payment.kind is not PaymentKind.RETURN:
        numbers = peg.numbers
        peg.put_numbers(
            replace(
                numbers,
                leaving_sat=numbers.leaving_sat - (0 if is_peg_out else more_sat),
                out_sat=numbers.out_sat - (more_sat if is_peg_out else 0),
                fees_sat=numbers.fees_sat + more_sat,
            )
        )
    peg.put_payment(number, replace(entry, final=version))
    ended = peg.end(number)
    peg.put_end(number, replace(ended, turn=ended.turn + 1, sights=()))
    peg.draft.tell(PaymentFinal(number, version, after))
    return None


VALUE_FAULT: Final = "a payment that spends what came back could not be paid with what this leaves"
FORGOTTEN_FAULT: Final = "what came back was spent by a payment that is not known any more"


class _Reopening:
    """Follows what came back of a payment through the payments that spend it."""

    def __init__(self, peg: PegDraft) -> None:
        self._peg = peg
        self._left = REOPENED_MAX

    def exchange(
        self, before: Outpoint, after: Outpoint, value_sat: int, *, is_back: bool
    ) -> str | None:
        """Let a coin have another name and value; what spends it, spends it by that."""
        peg = self._peg
        entry = peg.coin(before)
        if entry is None:
            return FORGOTTEN_FAULT
        root, least = peg.root(before) or before.txid, peg.least(before)
        peg.drop_coin(before)
        if entry.state is CoinState.HELD:
            if is_back:
                peg.put_coin(after, replace(entry, value_sat=value_sat))
                peg.put_root(after, root)
                peg.put_least(after, least)
            return None
        state = CoinState.RESERVED if is_back else CoinState.AWAITED
        peg.put_coin(after, replace(entry, value_sat=value_sat, state=state))
        peg.put_root(after, root)
        peg.put_least(after, least)
        coin = PegCoin(
            txid=after.txid,
            output=after.index,
            value_sat=value_sat,
            wallet=entry.wallet,
            index=entry.index,
        )
        return self._respend(entry.payment, before, coin)

    def _respend(self, number: int, before: Outpoint, coin: PegCoin) -> str | None:
        """Have a payment signed again with a coin in the place of another; it is not final now."""
        self._left -= 1
        if self._left < 0:
            return f"more than {REOPENED_MAX} payments would have to be signed again"
        peg = self._peg
        entry = peg.payment(number)
        if entry is None:
            return FORGOTTEN_FAULT
        payment = entry.payment
        kept = (each for each in payment.coins if Outpoint(each.txid, each.output) != before)
        coins = sorted((*kept, coin), key=lambda each: (each.txid[::-1], each.output))
        again = replace(payment, coins=tuple(coins))
        if _worth(again) != _worth(payment) and not _is_worth_enough(payment, again):
            return VALUE_FAULT
        if entry.final is not None:
            _unbook(peg, payment, entry.final)
            peg.drop_end(number)
            name = txid(payment, entry.final)
            if not all(_take_back(peg, each) for each in again.coins):
                return FORGOTTEN_FAULT
        else:
            name = awaited_txid(number)
        fault = self._promise(number, again, name)
        peg.put_payment(number, replace(entry, payment=again, words=(), sights=(), final=None))
        peg.draft.tell(PaymentVersioned(number, len(again.fees_sat) - 1, again.node))
        return fault

    def _promise(self, number: int, payment: PegPayment, name: bytes) -> str | None:
        """Take back what came back; where another payment spends it, let that one wait for it."""
        for place in own_outputs(payment):
            before = Outpoint(name, place)
            if self._peg.coin(before) is None:
                continue
            value_sat = outputs(payment, len(payment.fees_sat) - 1)[place][0]
            awaited = Outpoint(awaited_txid(number), place)
            fault = self.exchange(before, awaited, value_sat, is_back=False)
            if fault is not None:
                return fault
        return None


def roots(peg: PegDraft, payment: PegPayment) -> list[bytes]:
    """Give what a payment's coins are called, whichever version they came back in."""
    return [peg.root(Outpoint(coin.txid, coin.output)) for coin in payment.coins]


def is_awaiting(peg: PegDraft, payment: PegPayment) -> bool:
    """Tell whether a payment waits for another to be final again, whose rest it spends."""
    entries = (peg.coin(Outpoint(coin.txid, coin.output)) for coin in payment.coins)
    return any(entry is not None and entry.state is CoinState.AWAITED for entry in entries)


def is_awaited(peg: PegDraft, number: int, payment: PegPayment) -> bool:
    """Tell whether another payment waits for what comes back of this one."""
    name = awaited_txid(number)
    return any(peg.coin(Outpoint(name, place)) is not None for place in own_outputs(payment))


def forget(draft: Draft) -> None:
    """Forget the payments that have been final for long, with the coins that they spent.

    Peg-ins alone are remembered, so that none is credited again.
    """
    peg = PegDraft(draft)
    before_ms = draft.context.time_ms - KEPT_MS
    for number in draft.state.peg_index.ended(before_ms, FORGOTTEN_MAX):
        entry = peg.payment(number)
        if entry is None or entry.final is None:
            continue
        for coin in entry.payment.coins:
            outpoint = Outpoint(coin.txid, coin.output)
            spent = peg.coin(outpoint)
            if spent is not None and (spent.node == NOBODY or spent.value_sat < PEG_IN_MIN_SAT):
                peg.drop_coin(outpoint)
        _return_kept(peg, entry.payment, entry.final)
        peg.drop_payment(number)
        peg.drop_end(number)


def _worth(payment: PegPayment) -> list[int]:
    """Give what comes back in each output, at the highest fee."""
    last = len(payment.fees_sat) - 1
    return [outputs(payment, last)[place][0] for place in own_outputs(payment)]


def _is_worth_enough(before: PegPayment, after: PegPayment) -> bool:
    """Tell whether a payment can still be paid, with as many outputs, none of them dust."""
    if after.total_sat < after.amount_sat or len(_worth(after)) != len(_worth(before)):
        return False
    return min(_worth(after), default=CHANGE_MIN_SAT) >= CHANGE_MIN_SAT


def _change(payment: PegPayment, value_sat: int) -> PegCoinEntry:
    return PegCoinEntry(
        value_sat=value_sat,
        wallet=payment.change_wallet,
        index=CHANGE_INDEX,
        state=CoinState.HELD,
        node=NOBODY,
    )


def _least(peg: PegDraft, number: int, payment: PegPayment) -> PegLeastEntry | None:
    """Give the least that comes back of a payment, and by which payment that is not sure yet."""
    entries = (peg.least(Outpoint(coin.txid, coin.output)) for coin in payment.coins)
    doubts = [entry.payment for entry in entries if entry is not None]
    is_peg_out = payment.kind is PaymentKind.PEG_OUT
    if not is_peg_out and len(payment.fees_sat) > 1:
        doubts = [number]  # it ends after all that it spends, and is forgotten after them
    if not doubts:
        return None
    left_sat = payment.change_sat if is_peg_out else payment.total_sat - payment.fees_sat[-1]
    last = max(doubts, key=lambda each: (peg.end(each).ended_ms, each))
    return PegLeastEntry(least_sat=left_sat - peg.less_sat(payment), payment=last)


def _book(peg: PegDraft, payment: PegPayment, version: int) -> None:
    """Count what left: what a payee got, and the fee; what a dearer version costs more is kept."""
    fee_sat, kept_sat = payment.fees_sat[version], _kept_sat(payment, version)
    if payment.kind is PaymentKind.RETURN:
        return
    if payment.kind is PaymentKind.LATE:
        outpoint = Outpoint(txid(payment, version), 0)
        credit(peg, payment.node, payment.total_sat - fee_sat, outpoint, kept_sat)
        return
    _count(peg, payment, fee_sat, 1)


def _kept_sat(payment: PegPayment, version: int) -> int:
    """Give what is kept of a final sweep or late peg-in: another version may be dearer."""
    if payment.goes_out:
        return 0
    return payment.fees_sat[-1] - payment.fees_sat[version]


def _return_kept(peg: PegDraft, payment: PegPayment, version: int) -> None:
    """Give back what was kept, once no other version can become the final one."""
    kept_sat = _kept_sat(payment, version)
    if payment.kind is PaymentKind.SWEEP:
        peg.move_from_pool(-kept_sat)
    elif kept_sat:
        credit_kept(peg, payment.node, kept_sat, Outpoint(txid(payment, version), 0))


def _unbook(peg: PegDraft, payment: PegPayment, version: int) -> None:
    """Count again as leaving what did not leave after all."""
    assert payment.kind is not PaymentKind.LATE, "late peg-ins spend nothing that came back"
    _count(peg, payment, payment.fees_sat[version], -1)


def _count(peg: PegDraft, payment: PegPayment, fee_sat: int, sign: int) -> None:
    is_peg_out, numbers = payment.kind is PaymentKind.PEG_OUT, peg.numbers
    amount_sat = payment.amount_sat if is_peg_out else fee_sat
    peg.put_numbers(
        replace(
            numbers,
            leaving_sat=numbers.leaving_sat - sign * amount_sat,
            out_sat=numbers.out_sat + sign * (amount_sat - fee_sat),
            fees_sat=numbers.fees_sat + sign * fee_sat,
        )
    )


def _spend(peg: PegDraft, outpoint: Outpoint, kind: PaymentKind) -> None:
    """Let a coin go; its name is kept: a peg-in's for ever, others' as long as the payment's."""
    entry = cast("PegCoinEntry", peg.coin(outpoint))
    is_back = kind is PaymentKind.RETURN
    state = CoinState.RETURNED if is_back else CoinState.SPENT
    peg.put_coin(outpoint, replace(entry, state=state))


def _take_back(peg: PegDraft, coin: PegCoin) -> bool:
    """Reserve a coin again that was spent, if it is known; what is awaited stays so."""
    outpoint = Outpoint(coin.txid, coin.output)
    entry = peg.coin(outpoint)
    if entry is not None and entry.state is CoinState.SPENT:
        peg.put_coin(outpoint, replace(entry, state=CoinState.RESERVED))
    return entry is not None
