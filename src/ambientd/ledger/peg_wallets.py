"""The peg's wallets: members' keys, nodes' addresses, and coins that follow the committee.

Implements protocols/14-peg.md sections 2, 3 and 6. A wallet forms when all members of the
committee have said a key; coins of earlier wallets are then swept to it, and what that costs is
taken from the fee pool.
"""

from collections.abc import Iterable
from typing import Final, cast

from msgspec.structs import replace

from ambientd.codec import secp256k1
from ambientd.codec.digest import tagged
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import (
    PEG_KEY,
    EpochEntry,
    Key,
    Table,
    coin_key,
    epoch_key,
    payment_key,
    peg_node_key,
    wallet_key,
)
from ambientd.ledger.peg_entries import (
    PegChangeEntry,
    PegCoinEntry,
    PegEndEntry,
    PegEntry,
    PegLeastEntry,
    PegNodeEntry,
    PegPaymentEntry,
)
from ambientd.ledger.peg_events import AddressGiven, PaymentVersioned, WalletFormed
from ambientd.model.base import NodeId
from ambientd.model.peg import (
    MSAT_PER_SAT,
    CoinState,
    PaymentKind,
    PegCoin,
    PegPayment,
    PegSigner,
    PegWallet,
)
from ambientd.model.record import PegKey, Record
from ambientd.rules.bitcoin_codec import Outpoint
from ambientd.rules.peg_networks import peg_fault
from ambientd.rules.peg_payments import (
    CHANGE_INDEX,
    CHANGE_MIN_SAT,
    COINS_MAX,
    fee_at,
)
from ambientd.rules.peg_script import INDEX_MAX, SIGNERS_MAX, locking_script
from ambientd.rules.verdicts import quorum

SWEEP_SAT_KVB: Final = 2_000
NOBODY: Final = NodeId(b"")


def change_key(txid: bytes, output: int) -> Key:
    """Give the key of what a coin that came back to the federation is called."""
    return Table.PEG_CHANGE, txid + output.to_bytes(4, "big")


def least_key(outpoint: Outpoint) -> Key:
    """Give the key of the least that a coin is worth."""
    return Table.PEG_LEAST, outpoint.txid + outpoint.index.to_bytes(4, "big")


def end_key(number: int) -> Key:
    """Give the key of a payment's end."""
    return Table.PEG_END, number.to_bytes(8, "big")


class PegDraft:
    """The peg's entries as a draft would leave them."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    @property
    def numbers(self) -> PegEntry:
        """Give what there is one of."""
        return cast("PegEntry", self.draft.get(PEG_KEY) or PegEntry())

    def put_numbers(self, numbers: PegEntry) -> None:
        """Write what there is one of."""
        self.draft.put(PEG_KEY, numbers)

    def node(self, node: NodeId) -> PegNodeEntry:
        """Give a node's part."""
        return cast("PegNodeEntry", self.draft.get(peg_node_key(node)) or PegNodeEntry())

    def put_node(self, node: NodeId, entry: PegNodeEntry) -> None:
        """Write a node's part."""
        self.draft.put(peg_node_key(node), entry)

    def wallet(self, number: int) -> PegWallet | None:
        """Give a wallet, the present one or an earlier."""
        return cast("PegWallet | None", self.draft.get(wallet_key(number)))

    def wallets_of(self, payment: PegPayment) -> dict[int, PegWallet]:
        """Give the wallets that a payment's coins are in."""
        numbers = {coin.wallet for coin in payment.coins}
        return {number: cast("PegWallet", self.wallet(number)) for number in sorted(numbers)}

    def coin(self, outpoint: Outpoint) -> PegCoinEntry | None:
        """Give a coin."""
        key = coin_key(outpoint.txid, outpoint.index)
        return cast("PegCoinEntry | None", self.draft.get(key))

    def put_coin(self, outpoint: Outpoint, entry: PegCoinEntry) -> None:
        """Write a coin."""
        self.draft.put(coin_key(outpoint.txid, outpoint.index), entry)

    def drop_coin(self, outpoint: Outpoint) -> None:
        """Forget a coin, with what it is called."""
        self.draft.drop(coin_key(outpoint.txid, outpoint.index))
        if self.root(outpoint):
            self.draft.drop(change_key(outpoint.txid, outpoint.index))
        self.put_least(outpoint, None)

    def root(self, outpoint: Outpoint) -> bytes:
        """Give what a coin is called whichever version it came back in; empty for a peg-in's."""
        found = self.draft.get(change_key(outpoint.txid, outpoint.index))
        return found.root if isinstance(found, PegChangeEntry) else b""

    def least(self, outpoint: Outpoint) -> PegLeastEntry | None:
        """Give the least that a coin is worth, as long as that is not known for sure."""
        found = self.draft.get(least_key(outpoint))
        is_open = isinstance(found, PegLeastEntry) and self.payment(found.payment) is not None
        return cast("PegLeastEntry", found) if is_open else None

    def least_of(self, outpoints: Iterable[Outpoint]) -> dict[Outpoint, int]:
        """Give the least that coins are worth, of those that may turn out to be worth less."""
        found = ((each, self.least(each)) for each in outpoints)
        return {each: entry.least_sat for each, entry in found if entry is not None}

    def less_sat(self, payment: PegPayment) -> int:
        """Give how much less a payment's coins may turn out to be worth than they are now."""
        coins = {Outpoint(each.txid, each.output): each.value_sat for each in payment.coins}
        least = self.least_of(coins)
        return sum(coins[each] - least_sat for each, least_sat in least.items())

    def put_least(self, outpoint: Outpoint, entry: PegLeastEntry | None) -> None:
        """Write the least that a coin is worth, or that it is worth what it is."""
        key = least_key(outpoint)
        if entry is not None:
            self.draft.put(key, entry)
        elif self.draft.get(key) is not None:
            self.draft.drop(key)

    def put_root(self, outpoint: Outpoint, root: bytes) -> None:
        """Write what a coin is called."""
        self.draft.put(change_key(outpoint.txid, outpoint.index), PegChangeEntry(root=root))

    def end(self, number: int) -> PegEndEntry:
        """Give a final payment's end."""
        found = self.draft.get(end_key(number))
        now_ms = self.draft.context.time_ms
        return found if isinstance(found, PegEndEntry) else PegEndEntry(ended_ms=now_ms)

    def put_end(self, number: int, entry: PegEndEntry) -> None:
        """Write a payment's end."""
        self.draft.put(end_key(number), entry)

    def drop_end(self, number: int) -> None:
        """Forget that a payment is final."""
        self.draft.drop(end_key(number))

    def move_from_pool(self, amount_sat: int) -> None:
        """Set aside for a fee; a negative amount goes back."""
        numbers = self.numbers
        self.draft.move_pool(-amount_sat * MSAT_PER_SAT)
        self.put_numbers(replace(numbers, leaving_sat=numbers.leaving_sat + amount_sat))

    def payment(self, number: int) -> PegPaymentEntry | None:
        """Give a payment."""
        return cast("PegPaymentEntry | None", self.draft.get(payment_key(number)))

    def drop_payment(self, number: int) -> None:
        """Forget a payment."""
        self.draft.drop(payment_key(number))

    def put_payment(self, number: int, entry: PegPaymentEntry) -> None:
        """Write a payment."""
        self.draft.put(payment_key(number), entry)

    def free(self, coins: list[tuple[int, Outpoint]]) -> list[tuple[int, Outpoint]]:
        """Leave out the coins that this block has reserved already."""
        entries = ((each, self.coin(each[1])) for each in coins)
        return [each for each, entry in entries if entry and entry.state is CoinState.HELD]

    def spent(self, outpoints: list[Outpoint]) -> tuple[PegCoin, ...]:
        """Give coins as a payment names them, in the order of their names (BIP 69)."""
        coins = []
        for outpoint in sorted(outpoints, key=lambda each: (each.txid[::-1], each.index)):
            entry = self.coin(outpoint)
            assert entry is not None, "the index names coins that exist"
            coins.append(
                PegCoin(
                    txid=outpoint.txid,
                    output=outpoint.index,
                    value_sat=entry.value_sat,
                    wallet=entry.wallet,
                    index=entry.index,
                )
            )
        return tuple(coins)

    def begin(self, payment: PegPayment, leaving_sat: int, said_ms: int = 0) -> None:
        """Reserve a payment's coins and have its first version signed."""
        numbers = self.numbers
        number = numbers.payments + 1
        for coin in payment.coins:
            outpoint = Outpoint(coin.txid, coin.output)
            entry = cast("PegCoinEntry", self.coin(outpoint))
            reserved = replace(entry, state=CoinState.RESERVED, payment=number)
            self.put_coin(outpoint, reserved)
        made_ms = self.draft.context.time_ms
        self.put_payment(number, PegPaymentEntry(payment=payment, made_ms=made_ms))
        leaving_sat += numbers.leaving_sat
        self.put_numbers(replace(numbers, payments=number, leaving_sat=leaving_sat))
        self.draft.tell(PaymentVersioned(number, 0, payment.node, said_ms))


def possession_digest(cluster: bytes, node: NodeId, key: bytes, chain_code: bytes) -> bytes:
    """Give what a key signs so that nobody says another's."""
    return tagged("ambient/peg-key/1", cluster, node, key, chain_code)


def say_key(draft: Draft, record: Record, body: PegKey) -> str | None:
    """Take a node's key for the wallets of committees that it sits in."""
    fault = peg_fault(draft.state.genesis)
    if fault is not None:
        return fault
    author, entry = record.author, draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted say keys"
    peg = PegDraft(draft)
    before = peg.node(author)
    if body.said_ms <= before.said_ms:
        return "the node has said a key since"
    now_ms = draft.context.time_ms
    if before.key and now_ms < before.since_ms + draft.state.genesis.rules.keep_ms:
        return "the node has said another key a short while ago: every change moves all coins"
    if draft.state.peg_index.owner_of(body.key) not in (None, author):
        return "the key is another node's"
    digest = possession_digest(draft.state.cluster, author, body.key, body.chain_code)
    if not secp256k1.verify(body.key, digest, body.possession):
        return "the key did not sign that it is this node's"
    said = replace(
        before,
        key=body.key,
        chain_code=body.chain_code,
        said_ms=body.said_ms,
        since_ms=now_ms,
    )
    peg.put_node(author, said)
    return None


def give_address(draft: Draft, record: Record) -> str | None:
    """Give a node the address at which it pegs in; it keeps its index for good."""
    fault = peg_fault(draft.state.genesis)
    if fault is not None:
        return fault
    author = record.author
    if draft.node(author) is None:
        return "only nodes of the cluster have addresses"
    peg = PegDraft(draft)
    entry, numbers = peg.node(author), peg.numbers
    if entry.index:
        return None
    index = numbers.addresses + 1
    assert index <= INDEX_MAX, "there are fewer nodes than indexes"
    peg.put_node(author, replace(entry, index=index))
    peg.put_numbers(replace(numbers, addresses=index))
    draft.tell(AddressGiven(author, index))
    return None


def let_form(draft: Draft) -> None:
    """Form the committee's wallet, once a block's records are done and all keys are said."""
    peg = PegDraft(draft)
    signers = _signers(peg)
    numbers = peg.numbers
    present = peg.wallet(numbers.wallet)
    if signers is None or (present is not None and present.signers == signers):
        return
    number = numbers.wallet + 1
    wallet = PegWallet(threshold=quorum(len(signers)), signers=signers)
    draft.put(wallet_key(number), wallet)
    peg.put_numbers(replace(numbers, wallet=number))
    draft.tell(WalletFormed(number))


def _signers(peg: PegDraft) -> tuple[PegSigner, ...] | None:
    """Give the committee's keys, or None while some lack, are shared, or are too many."""
    draft = peg.draft
    number = draft.state.epoch.number
    begun = draft.get(epoch_key(number + 1)) or draft.get(epoch_key(number))
    members = cast("EpochEntry", begun).epoch.members
    if len(members) > SIGNERS_MAX:
        return None
    signers = []
    for member in sorted(members):
        entry = peg.node(member)
        signers.append(PegSigner(member=member, key=entry.key, chain_code=entry.chain_code))
    keys = {each.key for each in signers}
    return tuple(signers) if b"" not in keys and len(keys) == len(signers) else None


def let_sweep(draft: Draft) -> None:
    """Begin to move coins of an earlier wallet to the present one, as many as one payment may.

    What is not worth its fee stays where it is, and holds up no other wallet's coins.
    """
    peg = PegDraft(draft)
    number = peg.numbers.wallet
    present = peg.wallet(number)
    if present is None:
        return
    for held in draft.state.peg_index.coins_before(number, COINS_MAX):
        payment = _affordable(peg, peg.free(held), number, present)
        if payment is not None:
            [fee_sat] = payment.fees_sat
            draft.move_pool(-fee_sat * MSAT_PER_SAT)
            peg.begin(payment, fee_sat)
            return


def _affordable(
    peg: PegDraft, coins: list[tuple[int, Outpoint]], number: int, wallet: PegWallet
) -> PegPayment | None:
    """Give the sweep of all these coins, or of the larger half, and so on; None when too dear."""
    while coins:
        outpoints = [outpoint for _, outpoint in coins]
        payment = moved(PaymentKind.SWEEP, NOBODY, peg.spent(outpoints), number, wallet)
        fee_sat = fee_at(payment, peg.wallets_of(payment), SWEEP_SAT_KVB)
        if payment.total_sat - peg.less_sat(payment) < fee_sat + CHANGE_MIN_SAT:
            return None
        if fee_sat * MSAT_PER_SAT <= peg.draft.meta.fee_pool_msat:
            return replace(payment, fees_sat=(fee_sat,))
        coins = coins[(len(coins) + 1) // 2 :]
    return None


def moved(
    kind: PaymentKind, node: NodeId, coins: tuple[PegCoin, ...], number: int, wallet: PegWallet
) -> PegPayment:
    """Give the payment that moves coins to a wallet; its fee is not yet decided."""
    return PegPayment(
        kind=kind,
        node=node,
        amount_sat=0,
        script=b"",
        coins=coins,
        change_script=locking_script(wallet, CHANGE_INDEX),
        change_wallet=number,
        fees_sat=(0,),
    )
