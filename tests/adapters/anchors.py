"""Anchors made by hand, without the core that decides about them."""

from collections.abc import Sequence

from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.model.base import Digest
from ambientd.ports.chain import Utxo
from ambientd.roles.anchoring.book import Coin
from ambientd.rules.bitcoin import Transaction, decode_transaction


def anchor_of(
    wallet: AnchorWallet, utxos: Sequence[Utxo], root: bytes, fee_sat: int = 314
) -> Transaction:
    """Sign the anchor of a root that spends all these outputs."""
    coins = [Coin(txid=each.txid, index=each.index, value_sat=each.value_sat) for each in utxos]
    return decode_transaction(wallet.sign(coins, Digest(root), fee_sat))
