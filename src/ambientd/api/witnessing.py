"""A witness in a folder: its key, the last head it saw, and evidence of split views.

Everything is checked here, from bytes that anyone may have made: a daemon only shows them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ambientd.adapters.durable_files import replace_synced
from ambientd.adapters.keys import create_key, load_key
from ambientd.adapters.system_clock import SystemClock
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.errors import RemoteProtocolError, StoreError, UsageError
from ambientd.model.genesis import Genesis
from ambientd.model.receipt import ReceiptFile
from ambientd.model.witness import LogUpdate, SignedHead, SplitView
from ambientd.node.stops import follow_epochs
from ambientd.rules.notes import cosignature_line, cosigned_text, note_text, signed_note
from ambientd.rules.receipt_check import FILE_BYTES_MAX
from ambientd.rules.witnessing import (
    UPDATE_VERSION,
    Followed,
    NothingNew,
    Outcome,
    Split,
    SplitProven,
    Unproven,
    Witness,
    check_split,
)

KEY_FILE = "witness.key"
SEEN_FILE = "seen.update"
NOTE_FILE = "note.txt"
SPLIT_SUFFIX = ".split"
Ask = Callable[[int], bytes]
"""Asks a node for an update since a size."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a witness concluded, and where it has kept evidence."""

    outcome: Outcome
    size: int
    evidence: Path | None = None


def read_update(data: bytes) -> LogUpdate:
    """Read an update, or the head in a receipt.

    Raises:
        UsageError: when the bytes are neither.
    """
    try:
        return decode(data, LogUpdate, FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        reason = str(error)
    try:
        file: ReceiptFile = decode(data, ReceiptFile, FILE_BYTES_MAX)
    except RemoteProtocolError:
        raise UsageError(f"this is no update of a receipt log, nor a receipt: {reason}") from None
    if file.note is None:
        raise UsageError("the receipt has no checkpoint note yet, so it shows no head")
    head = SignedHead(epochs=file.epochs, note=file.note)
    return LogUpdate(version=UPDATE_VERSION, genesis=file.genesis, head=head, prefix=None)


class WitnessFolder:
    """One witness of one log."""

    def __init__(self, folder: Path, pinned: bytes | None = None) -> None:
        """Open a folder, or begin one; `pinned` is the fingerprint of the cluster to watch."""
        self._folder = folder
        self._pinned = pinned
        self._clock = SystemClock()
        self._last: LogUpdate | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            seen = folder / SEEN_FILE
            if seen.exists():
                self._last = decode(seen.read_bytes(), LogUpdate)
        except OSError as error:
            msg = f"{folder}: cannot be used: {error.strerror}; name a folder of your own"
            raise UsageError(msg) from error
        except RemoteProtocolError as error:
            msg = f"{folder / SEEN_FILE}: is damaged: {error}; the folder must be begun anew"
            raise StoreError(msg) from error
        key = folder / KEY_FILE
        self._seed = load_key(key) if key.exists() else create_key(key)

    @property
    def size(self) -> int:
        """The size of the last head that was seen, or 0."""
        return 0 if self._last is None else self._last.head.note.size

    def take(self, update: LogUpdate, ask: Ask | None = None) -> Witnessed:
        """Compare a head with the last one; ask a node for the proof where one is missing."""
        self._check_cluster(update.genesis)
        seen = None if self._last is None else self._last.head
        witness = Witness(update.genesis, seen, follow_epochs)
        outcome = witness.observe(update)
        if isinstance(outcome, Unproven) and ask is not None:
            followed = self.take(read_update(ask(self.size)))
            if not isinstance(followed.outcome, Followed | NothingNew):
                return followed
            # The node has to show that the head is one of its own past.
            proof = read_update(ask(update.head.note.size)).prefix
            return self.take(replace(update, prefix=proof))
        evidence = None
        if isinstance(outcome, Split):
            evidence = self._keep_evidence(outcome.evidence)
        elif isinstance(outcome, Followed):
            self._remember(update)
        return Witnessed(outcome, self.size, evidence)

    def _check_cluster(self, genesis: Genesis) -> None:
        wanted = self._pinned if self._last is None else fingerprint(self._last.genesis)
        found = fingerprint(genesis)
        if wanted is not None and found != wanted:
            msg = f"this head is of cluster {found.hex()}, the witness watches {wanted.hex()}"
            raise UsageError(msg)
        if self._pinned is not None and found != self._pinned:
            raise UsageError(f"this head is of cluster {found.hex()}, not of the pinned one")

    def _remember(self, update: LogUpdate) -> None:
        """Keep a head before it is cosigned."""
        self._write(SEEN_FILE, encode(update))
        self._last = update
        cluster, note = fingerprint(update.genesis), update.head.note
        signer = Signer(self._seed, cluster)
        text, time_s = note_text(cluster, note.size, note.root), self._clock.unix_ms() // 1000
        signature = signer.sign_note(cosigned_text(text, time_s))
        name = f"witness-{signer.public_key.hex()[:16]}"
        members = {member.node: member.profile.name for member in update.genesis.members}
        line = cosignature_line(name, signer.public_key, time_s, signature)
        self._write(NOTE_FILE, (signed_note(cluster, note, members) + line).encode())

    def _keep_evidence(self, evidence: SplitView) -> Path:
        data = encode(evidence)
        name = f"{sha256(data).hex()[:16]}{SPLIT_SUFFIX}"
        if not (self._folder / name).exists():
            self._write(name, data)
        return self._folder / name

    def _write(self, name: str, data: bytes) -> None:
        draft = self._folder / f".{name}"
        try:
            replace_synced(self._folder / name, draft, data)
        except OSError as error:
            msg = f"{self._folder / name}: cannot be written: {error.strerror}"
            raise StoreError(msg) from error


def check_evidence(data: bytes) -> SplitProven | str:
    """Check evidence of a split view; give the finding, or why it shows none."""
    try:
        evidence: SplitView = decode(data, SplitView, FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        return f"this is no evidence of a split view: {error}"
    return check_split(evidence, follow_epochs)
