"""The mempool: what waits to be mined, under a small part of Bitcoin Core's policy."""

from collections.abc import Iterable
from dataclasses import dataclass

from ambientd.adapters.regtest.index import ChainIndex, Coin
from ambientd.adapters.regtest.kernel import Kernel
from ambientd.rules.bitcoin import NULL_OUTPOINT, Outpoint, Transaction

COUNT_MAX = 2_000
VSIZE_MAX = 100_000
VSIZE_TOTAL_MAX = 5_000_000
DATA_CARRIER_MAX = 83
_FINAL_SEQUENCE = 0xFFFFFFFF
_LOCKTIME_IS_TIME = 500_000_000

# Bitcoin Core's RPC error codes.
VERIFY_ERROR = -25
VERIFY_REJECTED = -26
VERIFY_ALREADY_IN_CHAIN = -27


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a transaction may not wait here, as Bitcoin Core words it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A waiting transaction and its fee."""

    transaction: Transaction
    fee_sat: int


class Mempool:
    """Waiting transactions, parents before children."""

    def __init__(self, kernel: Kernel, index: ChainIndex) -> None:
        """Start empty over a chain."""
        self._kernel = kernel
        self._index = index
        self._entries: dict[bytes, Entry] = {}
        self._spenders: dict[Outpoint, bytes] = {}
        self._vsize_total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._entries

    def entries(self) -> list[Entry]:
        """Give all that waits, parents before children."""
        return list(self._entries.values())

    def get(self, txid: bytes) -> Transaction | None:
        """Give a waiting transaction."""
        entry = self._entries.get(txid)
        return entry.transaction if entry else None

    def spends(self, outpoint: Outpoint) -> bool:
        """Whether a waiting transaction spends an output."""
        return outpoint in self._spenders

    def coin(self, outpoint: Outpoint) -> Coin | None:
        """Give an output as a new transaction sees it, mined or waiting."""
        parent = self._entries.get(outpoint.txid)
        if parent and outpoint.index < len(parent.transaction.outputs):
            output = parent.transaction.outputs[outpoint.index]
            return Coin(output, height=None, is_coinbase=False)
        return self._index.coins.get(outpoint)

    def accept(self, transaction: Transaction, *, dry_run: bool = False) -> Refusal | None:
        """Let a transaction wait, replacing those it conflicts with; or say why not."""
        txid = transaction.txid
        if txid in self._entries:
            return None
        if self._index.place_of(txid) is not None:
            return Refusal(VERIFY_ALREADY_IN_CHAIN, "Transaction outputs already in utxo set")
        refusal = self._shape_refusal(transaction)
        if refusal:
            return refusal
        coins = [self.coin(spent.outpoint) for spent in transaction.inputs]
        known = [coin for coin in coins if coin]
        if len(known) != len(coins):
            return Refusal(VERIFY_ERROR, "bad-txns-inputs-missingorspent")
        fee_sat = sum(coin.output.value_sat for coin in known)
        fee_sat -= sum(output.value_sat for output in transaction.outputs)
        replaced = self._conflicts(transaction)
        refusal = self._coin_refusal(known) or self._fee_refusal(transaction, fee_sat, replaced)
        if refusal:
            return refusal
        if any(spent.outpoint.txid in replaced for spent in transaction.inputs):
            return Refusal(VERIFY_REJECTED, "bad-txns-spends-conflicting-tx")
        fault = self._kernel.script_fault(transaction, [coin.output for coin in known])
        if fault is not None:
            reason = f"mempool-script-verify-flag-failed (input {fault})"
            return Refusal(VERIFY_REJECTED, reason)
        if not dry_run:
            for old in replaced:
                self.drop(old)
            self._add(txid, Entry(transaction, fee_sat))
        return None

    def drop(self, txid: bytes) -> None:
        """Forget a transaction and all that spend from it."""
        entry = self._entries.get(txid)
        if entry is None:
            return
        for number in range(len(entry.transaction.outputs)):
            child = self._spenders.get(Outpoint(txid, number))
            if child:
                self.drop(child)
        self._forget(txid)

    def on_mined(self, transactions: Iterable[Transaction]) -> None:
        """Forget what was mined, and what conflicts with it."""
        for transaction in transactions:
            self._forget(transaction.txid)
            for spent in transaction.inputs:
                rival = self._spenders.get(spent.outpoint)
                if rival:
                    self.drop(rival)

    def recheck(self, returned: Iterable[Transaction]) -> None:
        """After a reorganisation, take back what was mined and drop what no longer holds."""
        waiting = [entry.transaction for entry in self._entries.values()]
        self._entries.clear()
        self._spenders.clear()
        self._vsize_total = 0
        for transaction in [*returned, *waiting]:
            self.accept(transaction)

    def _add(self, txid: bytes, entry: Entry) -> None:
        self._entries[txid] = entry
        self._vsize_total += entry.transaction.vsize
        for spent in entry.transaction.inputs:
            self._spenders[spent.outpoint] = txid

    def _forget(self, txid: bytes) -> None:
        entry = self._entries.pop(txid, None)
        if entry is None:
            return
        self._vsize_total -= entry.transaction.vsize
        for spent in entry.transaction.inputs:
            self._spenders.pop(spent.outpoint, None)

    def _shape_refusal(self, transaction: Transaction) -> Refusal | None:
        outpoints = [spent.outpoint for spent in transaction.inputs]
        data_size = sum(len(o.script) for o in transaction.outputs if o.script[:1] == b"\x6a")
        height, median_s = self._index.height + 1, self._index.median_time_s
        threshold = median_s if transaction.locktime >= _LOCKTIME_IS_TIME else height
        is_final = transaction.locktime < threshold or all(
            spent.sequence == _FINAL_SEQUENCE for spent in transaction.inputs
        )
        faults = (
            (NULL_OUTPOINT in outpoints, "coinbase"),
            (len(set(outpoints)) != len(outpoints), "bad-txns-inputs-duplicate"),
            (len(transaction.base) <= 64, "tx-size-small"),
            (transaction.vsize > VSIZE_MAX, "tx-size"),
            (data_size > DATA_CARRIER_MAX, "datacarrier"),
            (not is_final, "non-final"),
            (len(self._entries) >= COUNT_MAX, "mempool full"),
            (self._vsize_total + transaction.vsize > VSIZE_TOTAL_MAX, "mempool full"),
        )
        return next((Refusal(VERIFY_REJECTED, reason) for wrong, reason in faults if wrong), None)

    def _coin_refusal(self, coins: list[Coin]) -> Refusal | None:
        if all(coin.matures_by(self._index.height + 1) for coin in coins):
            return None
        return Refusal(VERIFY_REJECTED, "bad-txns-premature-spend-of-coinbase")

    def _fee_refusal(
        self, transaction: Transaction, fee_sat: int, replaced: dict[bytes, int]
    ) -> Refusal | None:
        if fee_sat < 0:
            return Refusal(VERIFY_REJECTED, "bad-txns-in-belowout")
        vsize = transaction.vsize
        if fee_sat < vsize:
            return Refusal(VERIFY_REJECTED, f"min relay fee not met, {fee_sat} < {vsize}")
        fee_min = sum(replaced.values()) + vsize
        if replaced and fee_sat < fee_min:
            reason = f"insufficient fee, rejecting replacement, {fee_sat} < {fee_min}"
            return Refusal(VERIFY_REJECTED, reason)
        return None

    def _conflicts(self, transaction: Transaction) -> dict[bytes, int]:
        """Give the fees of what a transaction would replace, descendants included (BIP 125)."""
        found: dict[bytes, int] = {}
        open_ids = [
            self._spenders[spent.outpoint]
            for spent in transaction.inputs
            if spent.outpoint in self._spenders
        ]
        while open_ids:
            txid = open_ids.pop()
            if txid in found:
                continue
            entry = self._entries[txid]
            found[txid] = entry.fee_sat
            outpoints = (Outpoint(txid, n) for n in range(len(entry.transaction.outputs)))
            open_ids += [self._spenders[o] for o in outpoints if o in self._spenders]
        return found
