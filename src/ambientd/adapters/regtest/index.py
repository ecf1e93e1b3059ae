"""What the kernel does not answer: unspent outputs by script, transactions by id, with undo."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ambientd.rules.bitcoin import COINBASE_MATURITY, Header, Outpoint, Output, Transaction

_OP_RETURN = b"\x6a"
_MEDIAN_SPAN = 11


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output and where it came from; height None while it waits in the mempool."""

    output: Output
    height: int | None
    is_coinbase: bool

    def matures_by(self, height: int) -> bool:
        """Whether a transaction in the Bitcoin block of that height may spend it."""
        if not self.is_coinbase or self.height is None:
            return True
        return height - self.height >= COINBASE_MATURITY


class ChainIndex:
    """The best chain, unfolded in memory; rebuilt from the kernel at every start."""

    def __init__(self, genesis_hash: bytes, genesis: Header) -> None:
        """Start at the genesis block, whose output nobody can spend."""
        self.hashes = [genesis_hash]
        self.coins: dict[Outpoint, Coin] = {}
        self._heights = {genesis_hash: 0}
        self._times = [genesis.time_s]
        self._places: dict[bytes, tuple[int, int]] = {}
        self._by_script: dict[bytes, dict[Outpoint, None]] = {}
        self._spent: list[list[tuple[Outpoint, Coin]]] = [[]]
        self._payment_heights: list[int] = []

    @property
    def height(self) -> int:
        """The height of the newest indexed Bitcoin block."""
        return len(self.hashes) - 1

    @property
    def median_time_s(self) -> int:
        """The median time past of the tip (BIP 113): the next block must be later."""
        span = sorted(self._times[-_MEDIAN_SPAN:])
        return span[len(span) // 2]

    @property
    def payment_confirmations(self) -> int | None:
        """Confirmations of the newest Bitcoin block with more than a coinbase, or None."""
        return self.height - self._payment_heights[-1] + 1 if self._payment_heights else None

    def height_of(self, block_hash: bytes) -> int | None:
        """Give the height of a Bitcoin block of the best chain."""
        return self._heights.get(block_hash)

    def place_of(self, txid: bytes) -> tuple[int, int] | None:
        """Give the height and place of a mined transaction."""
        return self._places.get(txid)

    def coins_of(self, script: bytes) -> Iterator[tuple[Outpoint, Coin]]:
        """Give the unspent outputs that pay a script, oldest first."""
        for outpoint in self._by_script.get(script, ()):
            yield outpoint, self.coins[outpoint]

    def script_of_hash(self, digest: bytes) -> bytes | None:
        """Give the script with a SHA-256, by which Esplora asks, when something pays it."""
        return next((s for s in self._by_script if hashlib.sha256(s).digest() == digest), None)

    def connect(self, header: Header, transactions: list[Transaction]) -> None:
        """Add the Bitcoin block that follows the tip."""
        height = self.height + 1
        self.hashes.append(header.hash)
        self._heights[header.hash] = height
        self._times.append(header.time_s)
        spent = []
        for place, transaction in enumerate(transactions):
            txid = transaction.txid
            self._places[txid] = (height, place)
            if place:
                spent += [(i.outpoint, self._take(i.outpoint)) for i in transaction.inputs]
            for number, output in enumerate(transaction.outputs):
                if not output.script.startswith(_OP_RETURN):
                    self._put(Outpoint(txid, number), Coin(output, height, is_coinbase=not place))
        self._spent.append(spent)
        if len(transactions) > 1:
            self._payment_heights.append(height)

    def disconnect(self, transactions: list[Transaction]) -> None:
        """Remove the tip, whose transactions these are."""
        height = self.height
        del self._heights[self.hashes.pop()]
        self._times.pop()
        for transaction in transactions:
            del self._places[transaction.txid]
        # Restore first, then remove what was created: some coins live and die in one block.
        for outpoint, coin in self._spent.pop():
            self._put(outpoint, coin)
        for transaction in transactions:
            txid = transaction.txid
            for number, output in enumerate(transaction.outputs):
                if not output.script.startswith(_OP_RETURN):
                    self._take(Outpoint(txid, number))
        if self._payment_heights and self._payment_heights[-1] == height:
            self._payment_heights.pop()

    def _put(self, outpoint: Outpoint, coin: Coin) -> None:
        self.coins[outpoint] = coin
        self._by_script.setdefault(coin.output.script, {})[outpoint] = None

    def _take(self, outpoint: Outpoint) -> Coin:
        coin = self.coins.pop(outpoint)
        same_script = self._by_script[coin.output.script]
        del same_script[outpoint]
        if not same_script:
            del self._by_script[coin.output.script]
        return coin
