"""Keys and transactions of the anchors; the one importer of embit.

A node has one P2WPKH address (BIP 84, first key). It is used again and again on purpose: anchors
are public, and one address makes them easy to watch and to fund.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from embit import bip32, script
from embit.base import EmbitError
from embit.finalizer import finalize_psbt
from embit.networks import NETWORKS as EMBIT_NETWORKS
from embit.psbt import PSBT
from embit.transaction import Transaction, TransactionInput, TransactionOutput

from ambientd.errors import ConfigError, UsageError
from ambientd.ports.chain import Utxo
from ambientd.rules.bitcoin import NETWORKS, ROOT_SIZE, commitment_script, decode_transaction

SEED_SIZE: Final = 32
INPUTS_MAX: Final = 20
DUST_SAT: Final = 294  # Bitcoin Core's limit for a P2WPKH output
RELAY_RATE_SAT_VB: Final = 1.0
FALLBACK_RATE_SAT_VB: Final = 2.0
_REPLACEABLE: Final = 0xFFFFFFFD  # BIP 125
_EMBIT_NAMES: Final = {"testnet4": "test"}


@dataclass(frozen=True, slots=True)
class SignedAnchor:
    """An anchor ready to be broadcast, with what replacing it needs."""

    raw: bytes
    txid: bytes
    root: bytes
    fee_sat: int
    vsize: int
    inputs: tuple[Utxo, ...]
    change: Utxo


@dataclass(frozen=True, slots=True)
class NoFunds:
    """The address holds too little for an anchor at this fee rate."""

    available_sat: int
    needed_sat: int


@dataclass(frozen=True, slots=True)
class FeeTooHigh:
    """An anchor would cost more than the configured cap."""

    fee_sat: int
    fee_sat_max: int


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
    """One key; builds and signs anchors from the outputs it is given, and keeps no state."""

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
        path = f"m/84h/{embit_network['bip32']}h/0h/0/0"
        self._key = bip32.HDKey.from_seed(seed).derive(path).key
        locking = script.p2wpkh(self._key)
        self.script = bytes(locking.data)
        self.address = str(locking.address(embit_network))

    def build_anchor(
        self,
        utxos: Sequence[Utxo],
        root: bytes,
        fee_rate: float,
        fee_sat_max: int,
        change_script: bytes | None = None,
    ) -> SignedAnchor | NoFunds | FeeTooHigh:
        """Build and sign the anchor of a root, from the largest outputs, at a rate in sat/vB.

        The change goes back to this address unless another script is given.
        """
        if len(root) != ROOT_SIZE:
            msg = f"an anchored root has {ROOT_SIZE} bytes, not {len(root)}"
            raise UsageError(msg)
        ordered = sorted(utxos, key=lambda utxo: (-utxo.value_sat, utxo.txid, utxo.index))
        change = self.script if change_script is None else change_script
        fee_sat = 0
        for count in range(1, min(len(ordered), INPUTS_MAX) + 1):
            inputs = tuple(ordered[:count])
            outcome = self._signed(inputs, root, change, _fee_at(fee_rate), fee_sat_max)
            if not isinstance(outcome, NoFunds):
                return outcome
            fee_sat = outcome.needed_sat - DUST_SAT
        available_sat = sum(utxo.value_sat for utxo in ordered[:INPUTS_MAX])
        return NoFunds(available_sat, max(fee_sat, 1) + DUST_SAT)

    def bump(
        self, previous: SignedAnchor, new_fee_rate: float, fee_sat_max: int
    ) -> SignedAnchor | NoFunds | FeeTooHigh:
        """Replace an anchor that waits too long: the same inputs and root, a higher fee (BIP 125).

        The fee rises by at least what relaying the replacement costs, whatever rate is asked for.
        """
        at_rate = _fee_at(new_fee_rate)

        def fee_for(vsize: int) -> int:
            return max(at_rate(vsize), previous.fee_sat + math.ceil(RELAY_RATE_SAT_VB * vsize))

        change_script = previous.change.script
        return self._signed(previous.inputs, previous.root, change_script, fee_for, fee_sat_max)

    def _signed(
        self,
        inputs: tuple[Utxo, ...],
        root: bytes,
        change_script: bytes,
        fee_for: Callable[[int], int],
        fee_sat_max: int,
    ) -> SignedAnchor | NoFunds | FeeTooHigh:
        """Sign with a guessed fee, measure the size, and sign again until the fee covers it."""
        total_sat = sum(utxo.value_sat for utxo in inputs)
        fee_sat = 0
        while True:
            change_sat = total_sat - fee_sat
            if change_sat < DUST_SAT:
                return NoFunds(total_sat, fee_sat + DUST_SAT)
            raw = self._sign(inputs, root, change_sat, change_script)
            decoded = decode_transaction(raw)
            needed_sat = fee_for(decoded.vsize)
            if needed_sat > fee_sat_max:
                return FeeTooHigh(needed_sat, fee_sat_max)
            if needed_sat <= fee_sat:
                break
            fee_sat = needed_sat
        txid = decoded.txid
        change = Utxo(txid, 1, change_sat, change_script, height=0)
        return SignedAnchor(raw, txid, root, fee_sat, decoded.vsize, inputs, change)

    def _sign(
        self, inputs: Sequence[Utxo], root: bytes, change_sat: int, change_script: bytes
    ) -> bytes:
        spent = [
            TransactionInput(utxo.txid[::-1], utxo.index, sequence=_REPLACEABLE) for utxo in inputs
        ]
        paid = [
            TransactionOutput(0, script.Script(commitment_script(root))),
            TransactionOutput(change_sat, script.Script(change_script)),
        ]
        psbt = PSBT(Transaction(vin=spent, vout=paid))
        for place, utxo in enumerate(inputs):
            if utxo.script != self.script:
                msg = f"output {utxo.index} of {utxo.txid[::-1].hex()} is not this wallet's"
                raise UsageError(msg)
            locking = script.Script(utxo.script)
            psbt.inputs[place].witness_utxo = TransactionOutput(utxo.value_sat, locking)
        signatures = psbt.sign_with(self._key)
        assert signatures == len(inputs), "every input pays our own key"
        return bytes(finalize_psbt(psbt).serialize())


def _fee_at(rate_sat_vb: float) -> Callable[[int], int]:
    """Give the fee of a size at a rate, never under what nodes relay."""
    if not math.isfinite(rate_sat_vb):
        raise UsageError("a fee rate must be a finite number of sat/vB")
    rate = max(rate_sat_vb, RELAY_RATE_SAT_VB)
    return lambda vsize: math.ceil(rate * vsize)
