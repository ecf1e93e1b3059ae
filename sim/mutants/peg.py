"""Bugs of the peg, each of which some world of `sim.pegs` must show."""

from collections.abc import Callable

from msgspec.structs import replace

from ambientd.codec import secp256k1
from ambientd.ledger import peg_ends, peg_ins, peg_payments, peg_wallets
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import coin_key
from ambientd.ledger.peg_index import PegIndex
from ambientd.ledger.peg_ins import Sighted
from ambientd.ledger.peg_wallets import PegDraft
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState, PegCoin, PegPayment
from ambientd.roles.pegging import core
from ambientd.roles.pegging.core import PegKeeper
from ambientd.rules.bitcoin import Outpoint
from sim.mutants.patch import Patch, always


def _spends_nothing(begin: Callable[..., None]) -> object:
    """Begin payments without reserving their coins."""

    def begun(peg: PegDraft, payment: PegPayment, *rest: int) -> None:
        before = {coin: peg.coin(_outpoint(coin)) for coin in payment.coins}
        begin(peg, payment, *rest)
        for coin, entry in before.items():
            assert entry is not None
            peg.put_coin(_outpoint(coin), entry)

    return begun


def _outpoint(coin: PegCoin) -> Outpoint:
    return Outpoint(coin.txid, coin.output)


def _forgets(_: object) -> object:
    """Let spent peg-ins be forgotten, with their coins."""

    def spend(peg: PegDraft, outpoint: Outpoint, *_: object) -> None:
        peg.draft.drop(coin_key(outpoint.txid, outpoint.index))

    return spend


def _unnamed(_: object) -> object:
    """Call coins that came back by their txids alone."""

    def unnamed(_: PegIndex, payment: PegPayment) -> list[bytes]:
        return [b""] * len(payment.coins)

    return unnamed


def _deaf(put_moves: Callable[..., None]) -> object:
    """Take what an owner says of its account as often as it is brought."""
    return lambda draft, node, moves: put_moves(draft, node, replace(moves, said_ms=0))


def _unsaid(is_to_say: Callable[..., bool]) -> object:
    """Say no peg-in again that waits for room."""

    def silent(state: LedgerState, sighted: Sighted, member: NodeId) -> bool:
        entry = state.peg_coin(sighted.outpoint.txid, sighted.outpoint.index)
        is_waiting = entry is not None and entry.state is CoinState.WAITING
        return not is_waiting and is_to_say(state, sighted, member)

    return silent


def _twice(most_sat: Callable[..., int]) -> object:
    return lambda state, *, is_late=False: 2 * most_sat(state, is_late=is_late)


def _all_late(most_sat: Callable[..., int]) -> object:
    """Let as much be brought over at a time as the peg may hold."""
    return lambda state, **_: most_sat(state)


PEG_MUTANTS: dict[str, tuple[Patch, ...]] = {
    "one-word-credits": (Patch(peg_ins, "is_seen_by_quorum", always(True)),),
    "one-word-ends": (Patch(peg_payments, "is_seen_by_quorum", always(True)),),
    "coins-unreserved": (Patch(PegDraft, "begin", _spends_nothing),),
    "change-forgotten": (Patch(peg_ends, "own_outputs", always(range(0))),),
    "spent-forgotten": (Patch(peg_ends, "_spend", _forgets),),
    "requests-again": (Patch(Draft, "put_moves", _deaf),),
    "junk-signatures": (Patch(secp256k1, "verify", always(True)),),
    "sweeps-too-cheap": (Patch(peg_wallets, "fee_at", always(1)),),
    "one-word-moves": (Patch(peg_ends, "is_seen_by_quorum", always(True)),),
    "moves-leave-change": (Patch(peg_ends._Reopening, "exchange", always(None)),),
    "moves-unseen": (Patch(PegKeeper, "_on_ended", always([])),),
    "undone-stays-booked": (Patch(peg_ends, "_unbook", always(None)),),
    "pledges-by-txid": (Patch(PegIndex, "roots", _unnamed),),
    "kept-for-ever": (Patch(peg_ends, "_return_kept", always(None)),),
    "bound-ignored": (Patch(peg_ins, "_fits", always(True)),),
    "bound-doubled": (Patch(peg_ins, "most_sat", _twice),),
    "late-takes-all": (Patch(peg_ins, "most_sat", _all_late),),
    "waits-for-ever": (Patch(core, "is_to_say", _unsaid),),
    "never-sent": (Patch(PegKeeper, "_send", always([])),),
}
