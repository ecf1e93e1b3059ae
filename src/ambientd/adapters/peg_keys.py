"""A member's key of the peg, and the book of what it has signed: neither is used alone.

The key file is a seed (BIP 32), sealed or not. A key that lost its book may have signed a coin away
that it no longer knows of, so it signs nothing more: another key takes its place, with a book of
its own (protocols/14-peg.md section 5).
"""

import hmac
from collections.abc import Mapping
from hashlib import sha512
from pathlib import Path
from typing import Final

from ambientd.adapters.durable_files import replace_synced, sync_directory
from ambientd.adapters.keys import KeyKind, create_key, load_key
from ambientd.adapters.peg_file import PegFile
from ambientd.codec import secp256k1
from ambientd.errors import ConfigError, StoreError
from ambientd.model.peg import PegPayment, PegWallet
from ambientd.roles.pegging.book import PegBook
from ambientd.rules.peg_payments import digests
from ambientd.rules.peg_script import child_tweak

_REPLACE: Final = "`ambientctl key replace-peg`, with the daemon stopped"
PEG_KEY: Final = KeyKind(
    name="peg's key file",
    mark=b"AMBPEG\x00\x01",
    sealed_mark=b"AMBPEG\x00\x03",
    when_there=f"coins may depend on it; another one takes its place with {_REPLACE}",
    when_missing=f"put back the copy that you kept, or let another key take its place: {_REPLACE}",
    when_broken=f"put back the copy that you kept, or let another key take its place: {_REPLACE}",
)


def open_signing(
    key: Path, book: Path, passphrase: str = "", *, is_said: bool
) -> tuple["SeedSigner", PegFile]:
    """Give the signer and its book; make both for a node that never had them.

    `is_said` tells whether the ledger has a key of this node.

    Raises:
        ConfigError: when one of them is lost, or does not open.
        StoreError: when the disk refuses.
    """
    file = PegFile(book)
    if _plan_of(key).exists():
        msg = f"the change of the key in {key} was interrupted: finish it with {_REPLACE}"
        raise ConfigError(msg)
    if not is_said and not key.exists():
        return create_signing(key, book, passphrase)
    seed = load_key(key, passphrase, PEG_KEY)
    if not book.exists():
        msg = (
            f"{book} is missing: without it the key in {key} may sign a coin away twice, so it "
            "signs nothing more. Put the book back if it was moved, never an older copy of it; "
            f"else let another key take its place: {_REPLACE}"
        )
        raise ConfigError(msg)
    return SeedSigner(seed), file


def replaced_signing(
    key: Path, book: Path, passphrase: str = ""
) -> list[tuple["SeedSigner", PegFile]]:
    """Give the keys that others took the place of, and that still have their books.

    Raises:
        ConfigError: when one does not open.
    """
    found, number = [], 1
    while _aside(key, number).exists() or _aside(book, number).exists():
        if _aside(key, number).exists() and _aside(book, number).exists():
            seed = load_key(_aside(key, number), passphrase, PEG_KEY)
            found.append((SeedSigner(seed), PegFile(_aside(book, number))))
        number += 1
    return found


def create_signing(key: Path, book: Path, passphrase: str = "") -> tuple["SeedSigner", PegFile]:
    """Draw a key, after its book: one that is there without a book has lost it."""
    file = PegFile(book)
    if not book.exists():
        file.save(PegBook())
    return SeedSigner(create_key(key, passphrase, PEG_KEY)), file


def replace_signing(key: Path, book: Path, passphrase: str = "") -> list[Path]:
    """Let a new key with a book of its own take the place of what is there, which is set aside.

    A plan is on disk first. What a crash interrupts the next call finishes, under the same number:
    an old key stays beside its own book, and never comes to lie beside another's.

    Raises:
        ConfigError: when the plan is damaged, or the new key cannot be written.
        StoreError: when the disk refuses.
    """
    plan = _plan_of(key)
    try:
        number, names = _read_plan(plan) if plan.exists() else _write_plan(plan, key, book)
        moved = []
        for path in (key, book):
            place = _aside(path, number)
            if path.name not in names:
                continue
            if not place.exists() and path.exists():
                path.rename(place)
                sync_directory(path.parent)
            if place.exists():  # else somebody took it away in between
                moved.append(place)
        if not key.exists():
            create_signing(key, book, passphrase)
        plan.unlink()
        sync_directory(plan.parent)
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be replaced: {error.strerror}") from error
    return moved


def _plan_of(key: Path) -> Path:
    return key.with_name(f"{key.name}.replacing")


def _write_plan(plan: Path, key: Path, book: Path) -> tuple[int, list[str]]:
    """Choose the next free number for what is there, and write both down."""
    number = 1
    while any(_aside(path, number).exists() for path in (key, book)):
        number += 1
    names = [path.name for path in (key, book) if path.exists()]
    draft = plan.with_name(f"{plan.name}.new")
    replace_synced(plan, draft, " ".join([str(number), *names]).encode())
    return number, names


def _read_plan(plan: Path) -> tuple[int, list[str]]:
    words = plan.read_text("utf-8", "replace").split()
    if not words or not words[0].isdecimal():
        msg = (
            f"{plan} is damaged: keys and books beside it belong together by their numbers; put "
            "those that were in use back under their own names, and delete it"
        )
        raise ConfigError(msg)
    return int(words[0]), words[1:]


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.replaced-{number}")


class SeedSigner:
    """Signs in this process with a key that is derived from a seed."""

    def __init__(self, seed: bytes) -> None:
        """Derive the root key (BIP 32)."""
        root = hmac.new(b"Bitcoin seed", seed, sha512).digest()
        self._secret = int.from_bytes(root[:32], "big")
        self.key = secp256k1.key_of(self._secret)
        self.chain_code = root[32:]

    async def prove(self, digest: bytes) -> bytes:
        """Sign with the key itself."""
        return secp256k1.sign(self._secret, digest)

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        """Sign every coin of a version."""
        found = digests(payment, version, wallets)
        return tuple(
            secp256k1.sign(self._child(coin.index), digest)
            for coin, digest in zip(payment.coins, found, strict=True)
        )

    def _child(self, index: int) -> int:
        return (self._secret + child_tweak(self.key, self.chain_code, index)) % secp256k1.ORDER
