"""Keys and transactions of the anchors; the one importer of embit.

A node has one P2WPKH address (BIP 84, first key). It is used again and again on purpose: anchors
are public, and one address makes them easy to watch and to fund.
"""

from collections.abc import Sequence
from typing import Any, Final

from embit import bip32, script
from embit.base import EmbitError
from embit.finalizer import finalize_psbt
from embit.networks import NETWORKS as EMBIT_NETWORKS
from embit.psbt import PSBT
from embit.transaction import Transaction, TransactionInput, TransactionOutput

from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError, LocalProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin
from ambientd.rules.anchor_costs import DUST_SAT
from ambientd.rules.bitcoin import NETWORKS, ROOT_SIZE, commitment_script
from ambientd.rules.peg_script import descriptor_checksum

SEED_SIZE: Final = 32
_REPLACEABLE: Final = 0xFFFFFFFD  # BIP 125
_EMBIT_NAMES: Final = {"testnet4": "test"}


def script_of_address(address: str) -> bytes:
    """Give the script that an address of any network pays.

    Raises:
        UsageError: when it is no address.
    """
    try:
        found = script.address_to_scriptpubkey(address)
    except (EmbitError, ValueError, KeyError, TypeError, IndexError):
        found = None
    if found is None:
        msg = f"{address[:100]!r} is not a Bitcoin address: copy it again from where it came from"
        raise UsageError(msg)
    return bytes(found.data)


def address_of_script(script_pubkey: bytes, network: str) -> str:
    """Give the address that stands for a script on a network.

    Raises:
        UsageError: when there is none.
    """
    try:
        return str(script.Script(script_pubkey).address(_embit_network(network)))
    except (EmbitError, ValueError) as error:
        raise UsageError(f"the script {script_pubkey.hex()} has no address") from error


def _embit_network(name: str) -> dict[str, Any]:
    found: dict[str, Any] = EMBIT_NETWORKS[_EMBIT_NAMES.get(name, name)]
    return found


class AnchorWallet:
    """One key; signs the anchors that were decided on, and keeps no state.

    Any watch-only wallet follows it by its descriptor, of whose addresses it uses the first.
    """

    def __init__(self, seed: bytes, network: str) -> None:
        """Derive the key from 32 secret bytes.

        Raises:
            ConfigError: when the seed has another size or the network is unknown.
        """
        if len(seed) != SEED_SIZE:
            msg = f"the anchor wallet's seed must have {SEED_SIZE} bytes, not {len(seed)}"
            raise ConfigError(msg)
        if network not in NETWORKS:
            msg = f"unknown Bitcoin network {network!r}: choose one of {', '.join(NETWORKS)}"
            raise ConfigError(msg)
        embit_network = _embit_network(network)
        root = bip32.HDKey.from_seed(seed)
        path = f"84h/{embit_network['bip32']}h/0h"
        account = root.derive(f"m/{path}")
        self._key = account.derive("m/0/0").key
        locking = script.p2wpkh(self._key)
        public = account.to_public().to_base58(version=embit_network["xpub"])
        text = f"wpkh([{root.my_fingerprint.hex()}/{path}]{public}/0/*)"
        self.descriptor = f"{text}#{descriptor_checksum(text)}"
        self.script = bytes(locking.data)
        self.address = str(locking.address(embit_network))

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes:
        """Sign the anchor that spends exactly these coins of this wallet and pays this fee.

        Raises:
            LocalProtocolError: when that is no anchor: a fee or a root that cannot be.
        """
        change_sat = sum(coin.value_sat for coin in coins) - fee_sat
        if len(root) != ROOT_SIZE or fee_sat < 0 or change_sat < DUST_SAT:
            msg = f"no anchor of {len(root)} bytes that pays {fee_sat} and leaves {change_sat} sat"
            raise LocalProtocolError(msg)
        spent = [
            TransactionInput(coin.txid[::-1], coin.index, sequence=_REPLACEABLE) for coin in coins
        ]
        own = script.Script(self.script)
        paid = [
            TransactionOutput(0, script.Script(commitment_script(root))),
            TransactionOutput(change_sat, own),
        ]
        psbt = PSBT(Transaction(vin=spent, vout=paid))
        for place, coin in enumerate(coins):
            psbt.inputs[place].witness_utxo = TransactionOutput(coin.value_sat, own)
        signatures = psbt.sign_with(self._key)
        assert signatures == len(coins), "every coin pays our own key"
        return bytes(finalize_psbt(psbt).serialize())


def anchor_wallet(node_seed: bytes, network: str) -> AnchorWallet:
    """Give the wallet that a node's identity key leads to: what keeps one keeps the other."""
    return AnchorWallet(tagged("ambient/anchor-wallet/1", node_seed), network)
