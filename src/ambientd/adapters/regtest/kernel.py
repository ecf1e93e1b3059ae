"""Bitcoin Core's validation engine (py-bitcoinkernel), on regtest only; the one importer of pbk."""

import gc
from collections.abc import Sequence
from enum import Enum, auto
from functools import cache
from pathlib import Path

import pbk
from pbk.capi import bindings
from pbk.script import PrecomputedTransactionData

from ambientd.adapters.regtest.files import lack_of_room
from ambientd.errors import StoreError
from ambientd.rules.bitcoin import HEADER_SIZE, Output, Transaction, double_sha256


class Verdict(Enum):
    """What became of a Bitcoin block."""

    CONNECTED = auto()  # part of the best chain
    STORED = auto()  # valid so far, on a branch with less work
    REFUSED = auto()


@cache
def _silence() -> None:
    """Drop the engine's log lines, which it would keep in memory; a second call would abort."""
    bindings.btck_logging_disable()


class Kernel:
    """The validated chain on disk. Not safe from several threads: the node holds a lock."""

    def __init__(self, data_dir: Path) -> None:
        """Open or create the chain state under a directory; raise StoreError if it cannot be."""
        _silence()
        self._refusal = ""
        callbacks = pbk.ValidationInterfaceCallbacks(block_checked=self._on_checked)
        context = pbk.make_context(pbk.ChainType.REGTEST, callbacks)
        options = pbk.ChainstateManagerOptions(context, str(data_dir), str(data_dir / "blocks"))
        try:
            self._manager: pbk.ChainstateManager | None = pbk.ChainstateManager(options)
        except RuntimeError as error:  # the library raises nothing more precise
            advice = lack_of_room(data_dir) or "check the folder and its disk"
            msg = f"the chain in {data_dir} cannot be opened: {error}; {advice}"
            raise StoreError(msg) from error
        self._manager.import_blocks([])
        self._chain: pbk.Chain | None = self._manager.get_active_chain()

    def _on_checked(self, _data: object, _block: object, state: pbk.BlockValidationState) -> None:
        if state.validation_mode is not pbk.ValidationMode.VALID:
            self._refusal = str(state.block_validation_result.name).lower()

    @property
    def height(self) -> int:
        """The height of the best chain."""
        assert self._chain is not None
        return int(self._chain.height)

    def hash_at(self, height: int) -> bytes:
        """Give the hash of the best chain at a height that exists."""
        assert self._chain is not None
        return bytes(self._chain.block_tree_entries[height].block_hash)

    def _entry(self, block_hash: bytes) -> pbk.BlockTreeEntry | None:
        assert self._manager is not None
        key = pbk.BlockHash(block_hash)
        entries = self._manager.block_tree_entries
        if key not in entries:
            return None
        return entries[key]

    def header(self, block_hash: bytes) -> bytes | None:
        """Give the header of a known Bitcoin block, on any branch."""
        entry = self._entry(block_hash)
        return None if entry is None else bytes(entry.block_header)

    def block(self, block_hash: bytes) -> bytes | None:
        """Give a known Bitcoin block's bytes."""
        assert self._manager is not None
        entry = self._entry(block_hash)
        return None if entry is None else bytes(self._manager.blocks[entry])

    def submit(self, raw: bytes) -> tuple[Verdict, str]:
        """Hand in a Bitcoin block: what became of it, and why when it was refused.

        The engine's return value is True for blocks that fail when they are connected, so the
        verdict comes from the chain itself.
        """
        assert self._manager is not None
        self._refusal = ""
        try:
            self._manager.process_block(pbk.Block(raw))
        except (pbk.KernelException, RuntimeError) as error:
            return Verdict.REFUSED, self._refusal or str(error)
        if self._refusal:
            return Verdict.REFUSED, self._refusal
        if self.is_connected(raw):
            return Verdict.CONNECTED, ""
        if self._entry(double_sha256(raw[:HEADER_SIZE])) is None:
            return Verdict.REFUSED, "the block does not attach to a known one"
        return Verdict.STORED, ""

    def is_connected(self, raw: bytes) -> bool:
        """Whether a Bitcoin block is part of the best chain."""
        assert self._chain is not None
        entry = self._entry(double_sha256(raw[:HEADER_SIZE]))
        return entry is not None and entry in self._chain.block_tree_entries

    def script_fault(self, transaction: Transaction, spent: Sequence[Output]) -> int | None:
        """Give the first input whose script does not allow the spending, or None."""
        decoded = pbk.Transaction(transaction.raw)
        scripts = [pbk.ScriptPubkey(output.script) for output in spent]
        outputs = [
            pbk.TransactionOutput(script, output.value_sat)
            for script, output in zip(scripts, spent, strict=True)
        ]
        precomputed = PrecomputedTransactionData(decoded, outputs)
        flags = pbk.ScriptVerificationFlags.ALL
        for place, (script, output) in enumerate(zip(scripts, spent, strict=True)):
            if not script.verify(output.value_sat, decoded, precomputed, place, flags):
                return place
        return None

    def close(self) -> None:
        """Destroy the engine, which flushes it to disk."""
        self._chain = None
        self._manager = None
        gc.collect()
