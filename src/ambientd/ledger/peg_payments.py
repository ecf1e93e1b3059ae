"""Peg-outs: what the log decides to pay, who has signed it, and when it is final.

Implements protocols/14-peg.md sections 4 and 5. A payment's coins are reserved until one of its
versions is deep in the chain, and no version spends others, so nothing is paid twice.
"""

from typing import Final

from msgspec.structs import replace

from ambientd.codec import secp256k1
from ambientd.ledger.draft import Draft
from ambientd.ledger.peg_ends import end, is_awaited, is_awaiting
from ambientd.ledger.peg_entries import PegPaymentEntry
from ambientd.ledger.peg_events import PaymentSigned, PaymentVersioned
from ambientd.ledger.peg_ins import is_seen_by_quorum, proof_fault, speaker_fault
from ambientd.ledger.peg_wallets import PegDraft
from ambientd.model.base import NodeId
from ambientd.model.peg import (
    MSAT_PER_SAT,
    PaymentKind,
    PegPayment,
    PegSight,
    PegWallet,
    PegWord,
)
from ambientd.model.record import PegFee, PegOut, PegPaid, PegSigned, Record
from ambientd.rules.bitcoin import Outpoint, decode_transaction
from ambientd.rules.bitcoin_codec import AMOUNT_MAX_SAT
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import (
    CHANGE_INDEX,
    RELAY_SAT_KVB,
    chosen,
    digests,
    fee_at,
    fee_fault,
    is_payable,
    txid,
)
from ambientd.rules.peg_script import child_key, locking_script

OPEN_MAX: Final = 1_024
"""Peg-outs that are under way. Others do not count: an earlier wallet may never sign its own."""
PEG_OUT_MIN_SAT: Final = 10_000
"""Less could not bear a fee that is mined when fees are high, and would keep its coins for long."""
VERSIONS_MAX: Final = 16
OWN_VERSIONS_MAX: Final = 8
"""How many of them may be of who withdraws; the others are the members' to make."""
SWEEP_PATIENCE_MS: Final = 3_600_000
AWAITS: Final = "a coin of the payment is yet to come back"
BAD_SIGNATURE: Final = "a signature does not hold for this version"
PEG_OUT_PATIENCE_MS: Final = 24 * 3_600_000


def peg_out(draft: Draft, record: Record, body: PegOut) -> str | None:
    """Take an amount from a node's balance, and decide with which coins it is paid."""
    author, entry = record.author, draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted move money"
    moves = draft.moves(author)
    if body.said_ms <= moves.said_ms:
        return "the account has been moved since"
    payment = decided(draft, author, body)
    if isinstance(payment, str):
        return payment
    peg = PegDraft(draft)
    fault = fee_fault(payment, body.fee_sat, peg.wallets_of(payment))
    if fault is not None:
        return fault
    draft.credit(author, -body.amount_sat * MSAT_PER_SAT)
    draft.put_moves(author, replace(moves, said_ms=body.said_ms))
    peg.begin(payment, body.amount_sat, body.said_ms)
    return None


def decided(draft: Draft, author: NodeId, body: PegOut) -> PegPayment | str:
    """Give the payment that a request leads to, whatever its fee, or say why it leads to none."""
    fault = peg_fault(draft.state.genesis)
    if fault is not None:
        return fault
    if not is_payable(body.script):
        return "the script is of no kind that has an address"
    if body.amount_sat < PEG_OUT_MIN_SAT:
        return f"a peg-out of {body.amount_sat} sat is below the least, {PEG_OUT_MIN_SAT} sat"
    amount_msat = body.amount_sat * MSAT_PER_SAT
    if body.amount_sat > AMOUNT_MAX_SAT or amount_msat > draft.balance_msat(author):
        has_sat = draft.balance_msat(author) // MSAT_PER_SAT
        return f"the balance is {has_sat} sat, less than {body.amount_sat} sat"
    peg = PegDraft(draft)
    number = peg.numbers.wallet
    wallet = peg.wallet(number)
    if wallet is None:
        return "the committee has no wallet yet: not all of its members have said a key"
    if draft.state.peg_index.count_open(PaymentKind.PEG_OUT) >= OPEN_MAX:
        return f"{OPEN_MAX} peg-outs are under way: ask again when some are final"
    coins = _coins(peg, body.amount_sat)
    if coins is None:
        return "the federation's coins are under way: ask again when its payments are final"
    return PegPayment(
        kind=PaymentKind.PEG_OUT,
        node=author,
        amount_sat=body.amount_sat,
        script=body.script,
        coins=peg.spent(coins),
        change_script=locking_script(wallet, CHANGE_INDEX),
        change_wallet=number,
        fees_sat=(body.fee_sat,),
    )


def _coins(peg: PegDraft, amount_sat: int) -> list[Outpoint] | None:
    """Choose in the present wallet, or in the latest that will do: an empty pool sweeps nothing."""
    index, number = peg.draft.state.peg_index, peg.numbers.wallet
    for wallet in (number, *reversed(index.wallets_before(number))):
        free = peg.free(index.candidates(wallet, amount_sat))
        coins = chosen(free, amount_sat, peg.least_of(outpoint for _, outpoint in free))
        if coins is not None:
            return coins
    return None


def raise_fee(draft: Draft, record: Record, body: PegFee) -> str | None:
    """Decide on a version with a higher fee, of the same coins."""
    peg = PegDraft(draft)
    entry = peg.payment(body.payment)
    if entry is None or entry.final is not None:
        return "there is no such payment under way"
    payment = entry.payment
    wallets = peg.wallets_of(payment)
    last_sat = payment.fees_sat[-1]
    if len(payment.fees_sat) == VERSIONS_MAX:
        return f"the payment has {VERSIONS_MAX} versions already"
    least_sat = last_sat + fee_at(payment, wallets, RELAY_SAT_KVB)
    if body.fee_sat < least_sat:
        return f"a fee in the place of {last_sat} sat is {least_sat} sat or more, or is not relayed"
    if payment.kind is PaymentKind.RETURN and record.author != payment.node:
        return "only its owner pays more for what goes back"
    is_own = payment.goes_out and record.author == payment.node
    if is_own and len(payment.fees_sat) < OWN_VERSIONS_MAX:
        fault = None
    else:
        fault = _step_fault(draft, record.author, entry, body.fee_sat)
    less_sat = 0 if payment.goes_out else peg.less_sat(payment)
    fault = fault or fee_fault(payment, body.fee_sat, wallets, less_sat)
    if fault is not None:
        return fault
    if payment.kind is PaymentKind.SWEEP:
        if is_awaited(peg, body.payment, payment):
            return "another payment counts on what comes back of this one"
        more_sat = body.fee_sat - last_sat
        peg.move_from_pool(more_sat)
    version = len(payment.fees_sat)
    payment = replace(payment, fees_sat=(*payment.fees_sat, body.fee_sat))
    made_ms = draft.context.time_ms
    peg.put_payment(body.payment, replace(entry, payment=payment, made_ms=made_ms))
    draft.tell(PaymentVersioned(body.payment, version, payment.node))
    return None


def _step_fault(draft: Draft, author: NodeId, entry: PegPaymentEntry, fee_sat: int) -> str | None:
    """Let members raise what is not theirs step by step alone; its coins are everybody's."""
    payment = entry.payment
    is_peg_out = payment.kind is PaymentKind.PEG_OUT
    if author not in draft.state.members and (is_peg_out or author != payment.node):
        return "only committee members raise the fee of what is another's, or has many versions"
    patience_ms = PEG_OUT_PATIENCE_MS if is_peg_out else SWEEP_PATIENCE_MS
    if draft.context.time_ms < entry.made_ms + patience_ms:
        return f"the last version is less than {patience_ms // 3_600_000} h old"
    if fee_sat > 3 * payment.fees_sat[-1]:
        return "a step is to three times the last fee at most"
    more_msat = (fee_sat - payment.fees_sat[-1]) * MSAT_PER_SAT
    if payment.kind is PaymentKind.SWEEP and more_msat > draft.meta.fee_pool_msat:
        return "the fee pool does not hold so much"
    # Else one liar could raise it while signers are away, until they sign what nobody had to pay.
    if not _is_signed(draft, entry):
        return "the last version is not signed: nobody knows yet whether it pays too little"
    return None


def _is_signed(draft: Draft, entry: PegPaymentEntry) -> bool:
    """Tell whether the newest version has its signatures, so that it can be mined."""
    last = len(entry.payment.fees_sat) - 1
    wallets = PegDraft(draft).wallets_of(entry.payment)
    count = sum(word.version == last for word in entry.words)
    return count >= max(wallet.threshold for wallet in wallets.values())


def sign(draft: Draft, record: Record, body: PegSigned) -> str | None:
    """Keep a member's signatures on a version, if every one of them is good."""
    peg = PegDraft(draft)
    entry = peg.payment(body.payment)
    if entry is None or entry.final is not None:
        return "there is no such payment under way"
    payment, author = entry.payment, record.author
    if is_awaiting(peg, payment):
        return AWAITS
    if body.version >= len(payment.fees_sat):
        return "there is no such version of the payment"
    of_version = [word for word in entry.words if word.version == body.version]
    wallets = peg.wallets_of(payment)
    threshold = max(wallet.threshold for wallet in wallets.values())
    if len(of_version) >= threshold or any(word.member == author for word in of_version):
        return None
    if len(body.signatures) != len(payment.coins):
        return f"{len(body.signatures)} signatures for {len(payment.coins)} coins"
    keys = [_key_at(wallets[coin.wallet], author, coin.index) for coin in payment.coins]
    if None in keys:
        return "the author has no key in the wallet that pays"
    found = digests(payment, body.version, wallets)
    for key, digest, signature in zip(keys, found, body.signatures, strict=True):
        if key is None or not secp256k1.verify(key, digest, signature):
            return BAD_SIGNATURE
    word = PegWord(member=author, version=body.version, signatures=body.signatures)
    peg.put_payment(body.payment, replace(entry, words=(*entry.words, word)))
    if len(of_version) + 1 == threshold:
        draft.tell(PaymentSigned(body.payment, body.version))
    return None


def _key_at(wallet: PegWallet, member: NodeId, index: int) -> bytes | None:
    for signer in wallet.signers:
        if signer.member == member:
            return child_key(signer.key, signer.chain_code, index)
    return None


def paid(draft: Draft, record: Record, body: PegPaid) -> str | None:
    """Take a member's word that a version is deep in the chain; with a quorum's it is final."""
    fault = speaker_fault(draft, record.author)
    if fault is not None:
        return fault
    peg = PegDraft(draft)
    entry = peg.payment(body.payment)
    if entry is None or body.version >= len(entry.payment.fees_sat):
        return "there is no such payment, or no such version of it"
    if entry.final is not None:
        return None
    if is_awaiting(peg, entry.payment):
        return AWAITS
    sight = PegSight(member=record.author, version=body.version)
    if sight in entry.sights:
        return None
    fault = proof_fault(draft, body.proof)
    if fault is not None:
        return fault
    name = txid(entry.payment, body.version)
    if decode_transaction(body.proof.raw_tx).txid != name:
        return "the proof is of another transaction"
    # One word a member: what it saw before a reorganisation, it does not see any more.
    others = tuple(each for each in entry.sights if each.member != record.author)
    entry = replace(entry, sights=(*others, sight))
    peg.put_payment(body.payment, entry)
    words = tuple(each.member for each in entry.sights if each.version == body.version)
    if is_seen_by_quorum(draft, words):
        return end(peg, body.payment, entry, body.version)
    return None
