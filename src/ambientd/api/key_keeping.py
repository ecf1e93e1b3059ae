"""A node's keys, for the owner at its folder: no daemon is asked, and none may run beside a change.

Everything that signs is in two files: `node.key`, from which the anchors' key is derived too, and
`peg.key`. One passphrase seals both, or none.
"""

from pathlib import Path

import msgspec

from ambientd.adapters.anchor_wallet import anchor_wallet
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.keys import KeyKind, change_passphrase, load_key
from ambientd.adapters.passphrases import ask_passphrase, find_passphrase, read_passphrase
from ambientd.adapters.peg_keys import PEG_KEY, SeedSigner, replace_signing
from ambientd.api.genesis_files import load_genesis
from ambientd.api.identity import key_files, sealed_keys
from ambientd.codec.signing import Signer
from ambientd.config.places import Places
from ambientd.errors import ConfigError, UsageError
from ambientd.rules.bitcoin import NETWORKS
from ambientd.rules.peg_script import extended_key


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node signs with; everything here is public."""

    node: str
    sealed: tuple[str, ...]
    open: tuple[str, ...]
    anchor_address: str
    anchor_descriptor: str
    """Of the wallet that pays for anchors; empty in a cluster without Bitcoin."""
    peg_key: str
    """This node's key for the peg's wallets; empty when it has none here."""


def show_keys(data_dir: Path, passphrase_file: Path | None = None) -> KeyFacts:
    """Read a node's keys, and give their public sides."""
    places = Places(data_dir)
    passphrase = find_passphrase(passphrase_file, sealed_keys(places))
    seed = load_key(places.key, passphrase)
    network = load_genesis(places.genesis).bitcoin_network
    wallet = anchor_wallet(seed, network) if network in NETWORKS else None
    peg = ""
    if places.peg_key.exists():
        signer = SeedSigner(load_key(places.peg_key, passphrase, PEG_KEY))
        peg = extended_key(signer.key, signer.chain_code, network)
    sealed = sealed_keys(places)
    return KeyFacts(
        node=Signer(seed, b"").public_key.hex(),
        sealed=tuple(path.name for path in sealed),
        open=tuple(path.name for path, _ in key_files(places) if path not in sealed),
        anchor_address="" if wallet is None else wallet.address,
        anchor_descriptor="" if wallet is None else wallet.descriptor,
        peg_key=peg,
    )


def reseal(
    data_dir: Path, old_file: Path | None, new_file: Path | None, *, removes: bool
) -> tuple[str, ...]:
    """Seal a node's keys with a new passphrase, or with none; give the files' names.

    A file that the new passphrase opens already is left: a change that was interrupted goes on.
    """
    places = Places(data_dir)
    with DataDir(data_dir):
        files, sealed = key_files(places), sealed_keys(places)
        old = find_passphrase(old_file, sealed)
        new = "" if removes else _new_passphrase(new_file)
        for path, kind in files:
            if not _opens(path, new, kind):
                change_passphrase(path, old if path in sealed else "", new, kind)
    return tuple(path.name for path, _ in files)


def replace_peg_key(data_dir: Path, passphrase_file: Path | None = None) -> tuple[Path, ...]:
    """Let a new key, with a book of its own, take the place of one that is lost or given up.

    What is there is set aside, never deleted: earlier wallets may need it. A change that was
    interrupted is finished, and no other begun.
    """
    places = Places(data_dir)
    with DataDir(data_dir):
        sealed = sealed_keys(places)
        passphrase = find_passphrase(passphrase_file, sealed)
        load_key(places.key, passphrase)  # it is this node's folder, and the passphrase is right
        moved = replace_signing(places.peg_key, places.peg_book, passphrase)
    return tuple(moved)


def _opens(path: Path, passphrase: str, kind: KeyKind) -> bool:
    try:
        load_key(path, passphrase, kind)
    except ConfigError:
        return False
    return True


def _new_passphrase(file: Path | None) -> str:
    if file is not None:
        return read_passphrase(file)
    otherwise = "standard input is no terminal to ask at: give the new passphrase with --new-file"
    new = ask_passphrase("new passphrase", otherwise)
    if not new:
        raise UsageError("an empty passphrase seals nothing: to have none, say --remove")
    if ask_passphrase("once more", otherwise) != new:
        raise UsageError("the two passphrases differ: nothing was changed")
    return new
