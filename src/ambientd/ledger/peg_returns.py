"""What came in and is never credited goes back, from its own worth, where its owner wants it.

Implements protocols/14-peg.md section 3. It is nobody's credit, so no books change: what is below
the least of a peg-in needs a quorum that sees it first; what waits for room has that already.
"""

from collections.abc import Callable
from typing import Final, cast

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Entry, Key, Table
from ambientd.ledger.peg_entries import PegCoinEntry, PegReturnEntry
from ambientd.ledger.peg_events import ReturnAsked
from ambientd.ledger.peg_wallets import PegDraft
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PaymentKind, PegCoin, PegPayment, PegWallet
from ambientd.model.record import PegReturn, Record
from ambientd.rules.bitcoin_codec import Outpoint
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, fee_fault, is_payable

RETURNS_MAX: Final = 4
"""How many a node may have asked for that are not final: an earlier wallet may never sign one."""
OUTPUT_MAX: Final = 2**32 - 1
Get = Callable[[Key], Entry | None]


def return_key(node: NodeId, slot: int) -> Key:
    """Give the key of one of the returns that a node has asked for."""
    return Table.PEG_RETURN, node + bytes([slot])


def ask(draft: Draft, record: Record, body: PegReturn) -> str | None:
    """Take an owner's word where something goes back; begin with it, or wait for a quorum."""
    fault = peg_fault(draft.state.genesis)
    if fault is not None:
        return fault
    if body.output > OUTPUT_MAX:
        return "no transaction has so many outputs"
    author, outpoint = record.author, Outpoint(body.txid, body.output)
    peg, moves = PegDraft(draft), draft.moves(author)
    if not peg.node(author).index:
        return "the node has no address: nothing came in for it"
    if body.said_ms <= moves.said_ms:
        return "the account has been moved since"
    if not is_payable(body.script):
        return "the script is of no kind that has an address"
    coin = peg.coin(outpoint)
    if coin is not None and coin.node != author:
        return "it came in for another node"
    if coin is not None and not may_go_back(coin):
        return "it is credited, or will be, or goes back already"
    slot = _free_slot(draft.get, author, outpoint)
    if slot is None:
        return f"{RETURNS_MAX} returns are under way: ask again when one is final"
    entry = PegReturnEntry(
        txid=body.txid,
        output=body.output,
        script=body.script,
        fee_sat=body.fee_sat,
        said_ms=body.said_ms,
    )
    if coin is not None:
        wallet = cast("PegWallet", peg.wallet(coin.wallet))
        fault = _fee_fault(entry, author, coin.value_sat, wallet)
        if fault is not None:
            return fault
    draft.put(return_key(author, slot), entry)
    draft.put_moves(author, replace(moves, said_ms=body.said_ms))
    draft.tell(ReturnAsked(author, body.txid, body.output, body.said_ms))
    if coin is not None and coin.state is CoinState.WAITING:
        begin(peg, outpoint, coin)
    return None


def may_go_back(coin: PegCoinEntry) -> bool:
    """Tell whether what came in is not credited, will not be so now, and is not on its way back."""
    is_small = coin.state is CoinState.CLAIMED and coin.value_sat < PEG_IN_MIN_SAT
    return is_small or coin.state is CoinState.WAITING


def small_fault(
    get: Get, wallet: PegWallet, node: NodeId, outpoint: Outpoint, value_sat: int
) -> str | None:
    """Say why what is below the least is not taken: nobody wants it back, or it cannot pay that."""
    if value_sat >= PEG_IN_MIN_SAT:
        return None
    asked = asked_for(get, node, outpoint)
    if asked is None:
        return f"a peg-in of {value_sat} sat is below the least, {PEG_IN_MIN_SAT} sat"
    return _fee_fault(asked, node, value_sat, wallet)


def asked_for(get: Get, node: NodeId, outpoint: Outpoint) -> PegReturnEntry | None:
    """Give where a node wants something to go back to, and for which fee."""
    for slot in range(RETURNS_MAX):
        entry = get(return_key(node, slot))
        if isinstance(entry, PegReturnEntry) and Outpoint(entry.txid, entry.output) == outpoint:
            return entry
    return None


def _free_slot(get: Get, node: NodeId, outpoint: Outpoint) -> int | None:
    """Choose where a request is kept: its own place, a free one, or the oldest that waits."""
    found = []
    for slot in range(RETURNS_MAX):
        entry = get(return_key(node, slot))
        if not isinstance(entry, PegReturnEntry):
            found.append((1, 0, slot))
        elif not entry.payment:
            is_own = Outpoint(entry.txid, entry.output) == outpoint
            found.append((0 if is_own else 2, entry.said_ms, slot))
    return min(found)[2] if found else None


def payment_of(
    asked: PegReturnEntry, node: NodeId, value_sat: int, wallet: int, index: int
) -> PegPayment:
    """Give the payment that brings something back: its coin, its payee and nothing else."""
    coin = PegCoin(
        txid=asked.txid, output=asked.output, value_sat=value_sat, wallet=wallet, index=index
    )
    return PegPayment(
        kind=PaymentKind.RETURN,
        node=node,
        amount_sat=value_sat,
        script=asked.script,
        coins=(coin,),
        change_script=b"",
        change_wallet=wallet,
        fees_sat=(asked.fee_sat,),
    )


def _fee_fault(
    asked: PegReturnEntry, node: NodeId, value_sat: int, wallet: PegWallet
) -> str | None:
    return fee_fault(payment_of(asked, node, value_sat, 0, 0), asked.fee_sat, {0: wallet})


def begin(peg: PegDraft, outpoint: Outpoint, coin: PegCoinEntry) -> None:
    """Have a return signed that was asked for, of what a quorum has seen."""
    for slot in range(RETURNS_MAX):
        key = return_key(coin.node, slot)
        asked = peg.draft.get(key)
        if isinstance(asked, PegReturnEntry) and Outpoint(asked.txid, asked.output) == outpoint:
            payment = payment_of(asked, coin.node, coin.value_sat, coin.wallet, coin.index)
            peg.draft.put(key, replace(asked, payment=peg.numbers.payments + 1))
            peg.begin(payment, 0)
            return


def close(peg: PegDraft, node: NodeId, number: int) -> None:
    """Let a node ask for another return, as this one is final."""
    for slot in range(RETURNS_MAX):
        key = return_key(node, slot)
        asked = peg.draft.get(key)
        if isinstance(asked, PegReturnEntry) and asked.payment == number:
            peg.draft.drop(key)
