"""Peg-ins: each is credited once, when a quorum has seen it deep in the chain.

Implements protocols/14-peg.md section 3. Work on the networks that a peg may stand on is cheap,
so a proof alone shows nothing: members say what they see in the best chain, each with the proof.
"""

from dataclasses import dataclass
from typing import Final, cast

from msgspec.structs import replace

from ambientd.errors import RemoteProtocolError
from ambientd.ledger.draft import Draft
from ambientd.ledger.peg_entries import PegCoinEntry, PegEntry, PegPaymentEntry
from ambientd.ledger.peg_events import PegInCredited
from ambientd.ledger.peg_returns import begin, small_fault
from ambientd.ledger.peg_wallets import SWEEP_SAT_KVB, PegDraft, moved
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.peg import MSAT_PER_SAT, CoinState, PaymentKind
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import PegIn, Record
from ambientd.rules.bitcoin import (
    AMOUNT_MAX_SAT,
    NETWORKS,
    Branch,
    Outpoint,
    Output,
    check_inclusion,
    decode_transaction,
)
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, fee_at
from ambientd.rules.peg_script import locking_script
from ambientd.rules.verdicts import quorum

PEG_IN_FEE_SAT: Final = 500
"""What a peg-in pays into the fee pool: its coin will be swept when the committee changes."""
CLAIMS_MAX: Final = 64
"""Peg-ins that one member may have named first and that no quorum has seen yet."""
FULL: Final = "the peg holds as much as it may: the peg-in waits until enough has gone out"


def peg_in(draft: Draft, record: Record, body: PegIn) -> str | None:
    """Take a member's word on a peg-in; credit it when it completes a quorum."""
    fault = speaker_fault(draft, record.author)
    if fault is not None:
        return fault
    peg = PegDraft(draft)
    wallet, index = peg.wallet(body.wallet), peg.node(body.node).index
    if wallet is None or not index:
        return "there is no such wallet, or the node has no address"
    found = _peg_in(body)
    if found is None or found[1].script != locking_script(wallet, index):
        return "the output does not pay the node's address"
    outpoint, output = found
    fault = small_fault(draft.get, wallet, body.node, outpoint, output.value_sat)
    if fault is not None:
        return fault
    entry = peg.coin(outpoint) or PegCoinEntry(
        value_sat=output.value_sat,
        wallet=body.wallet,
        index=index,
        state=CoinState.CLAIMED,
        node=body.node,
    )
    if entry.state is CoinState.WAITING:
        if not _fits(peg, entry):
            return FULL
    elif entry.state is not CoinState.CLAIMED or record.author in entry.words:
        return None
    fault = proof_fault(draft, body.proof)
    if fault is not None:
        return fault
    if entry.state is CoinState.WAITING:
        _take(peg, outpoint, entry)
        return None
    if not entry.words:
        if peg.node(record.author).claims >= CLAIMS_MAX and not _forget_one(peg, record.author):
            return f"{CLAIMS_MAX} peg-ins that this member named first wait for other members"
        author = peg.node(record.author)
        peg.put_node(record.author, replace(author, claims=author.claims + 1))
    entry = replace(entry, words=(*entry.words, record.author))
    peg.put_coin(outpoint, entry)
    if is_seen_by_quorum(draft, entry.words):
        first = peg.node(entry.words[0])
        peg.put_node(entry.words[0], replace(first, claims=first.claims - 1))
        entry = replace(entry, state=CoinState.WAITING, words=())
        if entry.value_sat < PEG_IN_MIN_SAT:
            peg.put_coin(outpoint, entry)
            begin(peg, outpoint, entry)
        elif _fits(peg, entry):
            _take(peg, outpoint, entry)
        else:
            peg.put_coin(outpoint, entry)
    return None


def _forget_one(peg: PegDraft, member: NodeId) -> bool:
    """Forget the claim of a member's that fewest have seen, if a block before has one.

    Others may be on the chain no more; whoever still sees this one says so again.
    """
    found = []
    for outpoint in peg.draft.state.peg_index.claims(member):
        entry = peg.coin(outpoint)
        if entry is not None and entry.words[:1] == (member,):
            found.append((len(entry.words), outpoint))
    if not found:
        return False
    peg.drop_coin(min(found, key=lambda each: each[0])[1])
    author = peg.node(member)
    peg.put_node(member, replace(author, claims=author.claims - 1))
    return True


@dataclass(frozen=True, slots=True)
class Sighted:
    """An output that a member sees at a node's address in a wallet."""

    outpoint: Outpoint
    value_sat: int
    node: NodeId
    wallet: int


def is_to_say(state: LedgerState, sighted: Sighted, member: NodeId) -> bool:
    """Tell whether the ledger waits for this member's word on a peg-in."""
    wallet = state.peg_index.wallets[sighted.wallet]
    outpoint, get = sighted.outpoint, state.items().get
    if small_fault(get, wallet, sighted.node, outpoint, sighted.value_sat) is not None:
        return False
    entry = state.peg_coin(outpoint.txid, outpoint.index)
    if entry is None:
        return True
    if entry.state is CoinState.WAITING:
        is_late = is_earlier(state, entry.wallet)
        return entry.value_sat <= room_sat(state, state.peg, is_late=is_late)
    return entry.state is CoinState.CLAIMED and member not in entry.words


def is_earlier(state: LedgerState, wallet: int) -> bool:
    """Tell whether what comes to a wallet is to be brought over to another one."""
    wallets = state.peg_index.wallets
    return wallets.get(wallet) != wallets.get(state.peg.wallet)


def most_sat(state: LedgerState, *, is_late: bool = False) -> int:
    """Give the most that the peg may hold, or bring over at a time."""
    bound_sat = state.genesis.rules.peg_sat_max
    if not bound_sat:
        return AMOUNT_MAX_SAT
    # An earlier wallet may never sign its own, and what it does not sign takes room for good.
    return bound_sat // 2 if is_late else bound_sat


def room_sat(
    state: LedgerState, numbers: PegEntry, begun_sat: int = 0, *, is_late: bool = False
) -> int:
    """Give what the peg may hold besides what it does, and what is being brought over."""
    if not state.genesis.rules.peg_sat_max:
        return AMOUNT_MAX_SAT
    held_sat = numbers.in_sat - numbers.out_sat - numbers.fees_sat
    late_sat = state.peg_index.late_sat + begun_sat
    left_sat = most_sat(state) - held_sat - late_sat
    return min(left_sat, most_sat(state, is_late=True) - late_sat) if is_late else left_sat


def _fits(peg: PegDraft, entry: PegCoinEntry) -> bool:
    """Tell the same amid a block, which may have begun to bring some over."""
    state, numbers = peg.draft.state, peg.numbers
    begun_sat = 0
    for number in range(state.peg.payments + 1, numbers.payments + 1):
        payment = cast("PegPaymentEntry", peg.payment(number)).payment
        begun_sat += payment.total_sat if payment.kind is PaymentKind.LATE else 0
    is_late = is_earlier(state, entry.wallet)
    return entry.value_sat <= room_sat(state, numbers, begun_sat, is_late=is_late)


def speaker_fault(draft: Draft, author: NodeId) -> str | None:
    """Say why a node's word on the chain does not count, or None when it does."""
    fault = peg_fault(draft.state.genesis)
    if fault is not None:
        return fault
    entry = draft.node(author)
    if author not in draft.state.members or entry is None or entry.tombstoned:
        return "only committee members that were never convicted say what is in the chain"
    return None


def proof_fault(draft: Draft, proof: AnchorProof) -> str | None:
    """Say why a proof does not show that a transaction is deep in a chain, or None."""
    branch = Branch(proof.index, proof.siblings)
    network = NETWORKS[draft.state.genesis.bitcoin_network]
    check = check_inclusion(
        proof.raw_tx, branch, proof.header, list(proof.following_headers), network
    )
    if check.passed:
        return None
    return "the proof fails: " + ", ".join(f"{each.name} ({each.detail})" for each in check.faults)


def is_seen_by_quorum(draft: Draft, words: tuple[NodeId, ...]) -> bool:
    """Tell whether a quorum of the present committee is among those who have spoken."""
    members = draft.state.members
    return len(set(words) & set(members)) >= quorum(len(members))


def _peg_in(body: PegIn) -> tuple[Outpoint, Output] | None:
    try:
        transaction = decode_transaction(body.proof.raw_tx)
    except RemoteProtocolError:
        return None
    outputs = transaction.outpoints()
    return outputs[body.output] if body.output < len(outputs) else None


def _take(peg: PegDraft, outpoint: Outpoint, entry: PegCoinEntry) -> None:
    """Take a peg-in; one that came to an earlier wallet is brought to the present one first."""
    number = peg.numbers.wallet
    present = peg.wallet(number)
    assert present is not None, "a wallet follows every earlier one"
    # When keys come back, so do addresses: who spoke first does not choose between the wallets.
    is_present = peg.wallet(entry.wallet) == present
    wallet = number if is_present else entry.wallet
    entry = replace(entry, state=CoinState.HELD, wallet=wallet)
    peg.put_coin(outpoint, entry)
    if is_present:
        credit(peg, entry.node, entry.value_sat, outpoint)
        return
    late = moved(PaymentKind.LATE, entry.node, peg.spent([outpoint]), number, present)
    fee_sat = fee_at(late, peg.wallets_of(late), SWEEP_SAT_KVB)
    peg.begin(replace(late, fees_sat=(fee_sat,)), 0)


def credit(
    peg: PegDraft, node: NodeId, value_sat: int, outpoint: Outpoint, kept_sat: int = 0
) -> None:
    """Add what has come to the present wallet to a node's balance, less what is kept of it."""
    draft, numbers = peg.draft, peg.numbers
    amount_msat = (value_sat - PEG_IN_FEE_SAT - kept_sat) * MSAT_PER_SAT
    draft.credit(node, amount_msat)
    draft.move_pool(PEG_IN_FEE_SAT * MSAT_PER_SAT)
    leaving_sat, in_sat = numbers.leaving_sat + kept_sat, numbers.in_sat + value_sat
    peg.put_numbers(replace(numbers, leaving_sat=leaving_sat, in_sat=in_sat))
    draft.tell(PegInCredited(node, outpoint.txid, outpoint.index, amount_msat))


def credit_kept(peg: PegDraft, node: NodeId, kept_sat: int, outpoint: Outpoint) -> None:
    """Add what was kept of a late peg-in to a node's balance, as no dearer version comes now."""
    draft, numbers = peg.draft, peg.numbers
    draft.credit(node, kept_sat * MSAT_PER_SAT)
    peg.put_numbers(replace(numbers, leaving_sat=numbers.leaving_sat - kept_sat))
    draft.tell(PegInCredited(node, outpoint.txid, outpoint.index, kept_sat * MSAT_PER_SAT))
