"""What may go back of what came to a node's address: found in the ledger, or on the chain."""

from dataclasses import dataclass

from ambientd.api.operations import OperationError
from ambientd.api.peg_ins import addresses_of, on_the_way
from ambientd.api.peg_values import ReturnInfo
from ambientd.ledger.admission import RAW_TX_BYTES_MAX
from ambientd.ledger.entries import coin_key
from ambientd.ledger.peg_entries import PegReturnEntry
from ambientd.ledger.peg_returns import asked_for, may_go_back, payment_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import PegWallet
from ambientd.ports.peg import PegChain
from ambientd.rules.bitcoin import display
from ambientd.rules.bitcoin_codec import Outpoint
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, fee_at, fee_fault

_HINT = "see `ambientctl peg deposits`"


@dataclass(frozen=True, slots=True)
class Returnable:
    """An output that is never credited, and the wallet that signs its way back."""

    node: NodeId
    outpoint: Outpoint
    value_sat: int
    wallet: PegWallet

    def quote(self, script: bytes, rate_msat_vb: int) -> ReturnInfo:
        """Say what its way back costs at a rate, and what arrives."""
        payment = payment_of(self._asked(script, 0), self.node, self.value_sat, 0, 0)
        return self.told(script, fee_at(payment, {0: self.wallet}, rate_msat_vb))

    def told(self, script: bytes, fee_sat: int, payment: int = 0) -> ReturnInfo:
        """Say what arrives after a fee; refuse one that it cannot bear."""
        asked = self._asked(script, fee_sat)
        planned = payment_of(asked, self.node, self.value_sat, 0, 0)
        fault = fee_fault(planned, fee_sat, {0: self.wallet})
        if fault is not None:
            raise OperationError("rejected", f"nothing goes back: {fault}")
        return ReturnInfo(
            outpoint=f"{display(self.outpoint.txid)}:{self.outpoint.index}",
            value_sat=self.value_sat,
            fee_sat=fee_sat,
            arrives_sat=self.value_sat - fee_sat,
            payment=payment,
        )

    def _asked(self, script: bytes, fee_sat: int) -> PegReturnEntry:
        return PegReturnEntry(
            txid=self.outpoint.txid,
            output=self.outpoint.index,
            script=script,
            fee_sat=fee_sat,
            said_ms=0,
        )


def outpoint_in(text: str) -> Outpoint:
    """Read an outpoint as `peg deposits` writes it."""
    txid, index = text.split(":")
    return Outpoint(bytes.fromhex(txid)[::-1], int(index))


async def returnable(
    state: LedgerState,
    node: NodeId,
    chain: PegChain | None,
    outpoint: Outpoint,
    *,
    was_asked: bool = False,
) -> Returnable:
    """Find what is to go back; refuse what is not this node's, or is credited.

    What `was_asked` for may be on its way already.
    """
    wallets = state.peg_index.wallets
    coin = state.peg_coin(outpoint.txid, outpoint.index)
    if coin is not None:
        if coin.node != node or not (was_asked or may_go_back(coin)):
            msg = "it is credited, or will be, or goes back already, or came in for another node"
            raise OperationError("rejected", f"nothing goes back: {msg}", _HINT)
        return Returnable(node, outpoint, coin.value_sat, wallets[coin.wallet])
    arrivals, unseen = await on_the_way(state, node, chain)
    arrival = arrivals.get(coin_key(outpoint.txid, outpoint.index)[1])
    if arrival is None:
        msg = unseen or "the chain holds no such output at this node's addresses"
        raise OperationError("rejected", f"nothing goes back: {msg}", _HINT)
    if arrival.transaction_bytes > RAW_TX_BYTES_MAX:
        msg = "its transaction is longer than the log takes, so that no member can show it"
        raise OperationError("rejected", f"nothing goes back: {msg}", _HINT)
    if arrival.value_sat >= PEG_IN_MIN_SAT:
        raise OperationError("rejected", "nothing goes back: it will be credited", _HINT)
    number = addresses_of(state, node)[arrival.script]
    return Returnable(node, outpoint, arrival.value_sat, wallets[number])


def begun(state: LedgerState, node: NodeId, outpoint: Outpoint) -> int:
    """Give the payment that brings something back; 0 while members have yet to see it."""
    asked = asked_for(state.items().get, node, outpoint)
    return 0 if asked is None else asked.payment
