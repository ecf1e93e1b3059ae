"""A node's peg-ins for its owner: what the ledger counts, and what the chain has on its way."""

from collections.abc import Iterable
from typing import Final

import trio

from ambientd.api.peg_values import PegInInfo, PegInState
from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.ledger.admission import RAW_TX_BYTES_MAX
from ambientd.ledger.entries import Table, coin_key
from ambientd.ledger.peg_entries import PegCoinEntry, PegReturnEntry
from ambientd.ledger.peg_index import outpoint_of
from ambientd.ledger.peg_ins import is_earlier, most_sat
from ambientd.ledger.peg_returns import asked_for, payment_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.ports.peg import Arrival, PegChain
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, NETWORKS, display
from ambientd.rules.bitcoin_codec import Outpoint
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, RELAY_SAT_KVB, fee_at, fee_fault
from ambientd.rules.peg_script import locking_script
from ambientd.rules.verdicts import quorum

WALLETS_LOOKED_AT: Final = 16
"""The present wallet and some before it: how many addresses one answer may ask the chain for."""
BLOCK_S: Final = 600
RETURNABLE: Final = (PegInState.TOO_SMALL, PegInState.WAITING, PegInState.TOO_LARGE)
_LONGEST: Final = b"\x00\x20" + bytes(32)
"""Of all scripts that have an address none is longer."""
DEADLINE_S: Final = 20.0


async def on_the_way(
    state: LedgerState, node: NodeId, chain: PegChain | None
) -> tuple[dict[bytes, Arrival], str]:
    """Give what the chain has for a node by the name of its coin; or why it could not be asked."""
    index = state.peg_node(node).index
    if chain is None:
        return {}, "this node has no Bitcoin chain: set [bitcoin] chain in config.toml"
    if not index:
        return {}, ""
    latest = sorted(state.peg_index.wallets.items())[-WALLETS_LOOKED_AT:]
    scripts = [locking_script(wallet, index) for _, wallet in latest]
    found: tuple[Arrival, ...] | None = None
    try:
        with trio.move_on_after(DEADLINE_S):
            found = await chain.arrivals(scripts)
    except (UnreachableError, RemoteProtocolError, UsageError) as error:
        return {}, str(error)
    if found is None:
        return {}, f"the chain took more than {DEADLINE_S:.0f} s to search: ask again later"
    return {coin_key(each.txid, each.output)[1]: each for each in found}, ""


def peg_ins(state: LedgerState, node: NodeId, arrivals: dict[bytes, Arrival]) -> list[PegInInfo]:
    """List the peg-ins of a node: those under way first, then those that count."""
    known = {
        name: entry
        for (table, name), entry in state.items().items()
        if table is Table.PEG_COIN and isinstance(entry, PegCoinEntry) and entry.node == node
    }
    fresh = _fresh(state, node, arrivals.items())
    found = [
        _known(state, name, entry, arrivals.get(name)) for name, entry in sorted(known.items())
    ]
    return [*fresh, *sorted(found, key=lambda each: each.state is PegInState.COUNTED)]


def addresses_of(state: LedgerState, node: NodeId) -> dict[bytes, int]:
    """Give the scripts of a node's addresses, and the wallet that each is of."""
    index = state.peg_node(node).index
    wallets = sorted(state.peg_index.wallets.items())[-WALLETS_LOOKED_AT:]
    # A key that comes back brings its address back: the later wallet is the one that counts.
    return {locking_script(wallet, index): number for number, wallet in wallets}


def _fresh(
    state: LedgerState, node: NodeId, arrivals: Iterable[tuple[bytes, Arrival]]
) -> list[PegInInfo]:
    """List what the ledger knows nothing of, the deepest first."""
    numbers, found = addresses_of(state, node), []
    for name, arrival in sorted(arrivals, key=lambda each: (-each[1].confirmations, each[0])):
        if state.peg_coin(arrival.txid, arrival.output) is not None:
            continue
        is_deep = arrival.confirmations >= CONFIRMATIONS_MIN
        progress = PegInState.AWAITED if is_deep else PegInState.CONFIRMING
        if arrival.value_sat < PEG_IN_MIN_SAT:
            outpoint = Outpoint(arrival.txid, arrival.output)
            is_asked = asked_for(state.items().get, node, outpoint) is not None
            progress = PegInState.RETURN_ASKED if is_asked else PegInState.TOO_SMALL
        if arrival.transaction_bytes > RAW_TX_BYTES_MAX:
            progress = PegInState.TOO_LONG
        found.append(
            _info(
                state,
                name,
                value_sat=arrival.value_sat,
                wallet=numbers[arrival.script],
                progress=progress,
                arrival=arrival,
            )
        )
    return found


def _known(
    state: LedgerState, name: bytes, entry: PegCoinEntry, arrival: Arrival | None
) -> PegInInfo:
    progress, bringing = PegInState.COUNTED, 0
    payment = state.peg_payment(entry.payment) if entry.payment else None
    if entry.state is CoinState.CLAIMED:
        is_small = entry.value_sat < PEG_IN_MIN_SAT
        progress = PegInState.RETURN_ASKED if is_small else PegInState.CLAIMED
    elif entry.state is CoinState.RETURNED:
        progress = PegInState.RETURNED
    elif entry.state is CoinState.WAITING:
        is_large = entry.value_sat > most_sat(state, is_late=is_earlier(state, entry.wallet))
        progress = PegInState.TOO_LARGE if is_large else PegInState.WAITING
    elif payment is not None and payment.payment.kind is PaymentKind.RETURN:
        progress, bringing = PegInState.RETURNING, entry.payment
    elif payment is not None and payment.payment.kind is PaymentKind.LATE:
        bringing = entry.payment
        progress = PegInState.LATE if payment.final is None else PegInState.COUNTED
    return _info(
        state,
        name,
        value_sat=entry.value_sat,
        wallet=entry.wallet,
        progress=progress,
        arrival=arrival,
        members=len(entry.words),
        payment=bringing,
    )


def _info(
    state: LedgerState,
    name: bytes,
    *,
    value_sat: int,
    wallet: int,
    progress: PegInState,
    arrival: Arrival | None,
    members: int = 0,
    payment: int = 0,
) -> PegInInfo:
    outpoint = outpoint_of(name)
    deep = None if arrival is None else min(arrival.confirmations, CONFIRMATIONS_MIN)
    has_pace = NETWORKS[state.genesis.bitcoin_network].retargets
    is_due = progress is PegInState.CONFIRMING and deep is not None and has_pace
    return PegInInfo(
        outpoint=f"{display(outpoint.txid)}:{outpoint.index}",
        value_sat=value_sat,
        wallet=wallet,
        is_late=wallet != state.peg.wallet,
        state=progress,
        members=members,
        members_needed=quorum(len(state.members)),
        confirmations=deep,
        confirmations_needed=CONFIRMATIONS_MIN,
        due_s=(CONFIRMATIONS_MIN - deep) * BLOCK_S if is_due and deep is not None else None,
        payment=payment,
        return_sat=_return_sat(state, wallet, value_sat) if progress in RETURNABLE else 0,
    )


def _return_sat(state: LedgerState, wallet: int, value_sat: int) -> int:
    """Give what the way back costs at least; 0 when too little would be left."""
    asked = PegReturnEntry(txid=bytes(32), output=0, script=_LONGEST, fee_sat=0, said_ms=0)
    payment = payment_of(asked, NodeId(b""), value_sat, wallet, 0)
    wallets = state.peg_index.wallets
    fee_sat = fee_at(payment, wallets, RELAY_SAT_KVB)
    return fee_sat if fee_fault(payment, fee_sat, wallets) is None else 0
