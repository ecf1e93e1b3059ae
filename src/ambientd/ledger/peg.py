"""The peg in the ledger: what each of its records does, and what a block does by itself."""

from typing import assert_never

from ambientd.ledger import peg_ends, peg_ins, peg_payments, peg_returns, peg_wallets
from ambientd.ledger.draft import Draft
from ambientd.ledger.peg_entries import PegCoinEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.peg import MSAT_PER_SAT, CoinState, PaymentKind
from ambientd.model.record import (
    PegAddress,
    PegBody,
    PegFee,
    PegIn,
    PegKey,
    PegMoved,
    PegOut,
    PegPaid,
    PegReturn,
    PegSigned,
    Record,
)
from ambientd.rules.peg_networks import peg_fault


def apply(draft: Draft, record: Record, body: PegBody) -> str | None:
    """Take one record of the peg, or say why not."""
    match body:
        case PegKey():
            return peg_wallets.say_key(draft, record, body)
        case PegAddress():
            return peg_wallets.give_address(draft, record)
        case PegIn():
            return peg_ins.peg_in(draft, record, body)
        case PegOut():
            return peg_payments.peg_out(draft, record, body)
        case PegFee():
            return peg_payments.raise_fee(draft, record, body)
        case PegSigned():
            return peg_payments.sign(draft, record, body)
        case PegPaid():
            return peg_payments.paid(draft, record, body)
        case PegMoved():
            return peg_ends.moved(draft, record, body)
        case PegReturn():
            return peg_returns.ask(draft, record, body)
        case _:
            assert_never(body)


def let_move(block: Draft) -> None:
    """Let the wallet follow the committee and coins follow the wallet, after a block's records."""
    if peg_fault(block.state.genesis) is None:
        peg_ends.forget(block)
        peg_wallets.let_form(block)
        peg_wallets.let_sweep(block)


def reserves_sat(state: LedgerState) -> int:
    """Add up the coins that stand behind the credits: held, or spent by payments under way.

    A peg-in that came to an earlier wallet stands behind nothing until it is brought over, and
    what goes back never does.
    """
    others = {
        number
        for number in state.peg_index.open_payments()
        if (entry := state.peg_payment(number))
        and entry.payment.kind in (PaymentKind.LATE, PaymentKind.RETURN)
    }
    standing = (CoinState.HELD, CoinState.RESERVED)
    return sum(
        entry.value_sat
        for entry in state.items().values()
        if isinstance(entry, PegCoinEntry)
        and entry.state in standing
        and not (entry.state is CoinState.RESERVED and entry.payment in others)
    )


def imbalance(state: LedgerState) -> str | None:
    """Say how reserves, liabilities and the peg's own account differ; None, as it must be."""
    reserves, owed_msat, peg = reserves_sat(state), state.total_msat(), state.peg
    booked = peg.in_sat - peg.out_sat - peg.fees_sat
    if owed_msat == reserves * MSAT_PER_SAT and reserves == booked:
        return None
    return f"{reserves} sat are held, {owed_msat} msat are owed, {booked} sat are booked"
