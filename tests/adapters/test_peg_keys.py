"""A member's key of the peg: its file, its passphrase, and what it signs."""

from pathlib import Path

import pytest
from embit import bip32

from ambientd.adapters.peg_keys import SeedSigner, create_peg_key, load_peg_key
from ambientd.codec import secp256k1
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError
from ambientd.rules.peg_payments import digests
from tests.rules.peg import coin, compact, peg_out, wallet


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_a_key_comes_back_from_its_file(tmp_path: Path, passphrase: str) -> None:
    path = tmp_path / "peg.key"
    seed = create_peg_key(path, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_peg_key(path, passphrase) == seed
    assert (seed in path.read_bytes()) == (not passphrase)
    with pytest.raises(ConfigError, match="exists already"):
        create_peg_key(path)
    assert load_peg_key(path, passphrase) == seed


@pytest.mark.parametrize("wrong", ["", "correct hors"])
def test_a_wrong_passphrase_opens_nothing(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "peg.key"
    create_peg_key(path, "correct horse")
    with pytest.raises(ConfigError, match="passphrase"):
        load_peg_key(path, wrong)


def test_a_passphrase_for_a_file_that_is_not_sealed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peg.key"
    create_peg_key(path)
    with pytest.raises(ConfigError, match="not sealed"):
        load_peg_key(path, "correct horse")


def test_a_file_that_is_open_to_others_broken_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peg.key"
    with pytest.raises(ConfigError, match="backup"):
        load_peg_key(path)
    create_peg_key(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_peg_key(path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="no key file"):
        load_peg_key(path)
    with pytest.raises(ConfigError, match="cannot write"):
        create_peg_key(tmp_path / "nowhere" / "peg.key")


async def test_a_seed_signs_as_embit_does() -> None:
    seed = sha256(b"peg 0")
    signer, root = SeedSigner(seed), bip32.HDKey.from_seed(seed)
    assert signer.key == root.get_public_key().serialize()
    assert signer.chain_code == root.chain_code
    ours = wallet(1, 1)
    payment = peg_out(ours, (coin(50_000, 5), coin(60_000, 0, number=2)), 100_000, 900)
    signatures = await signer.sign(payment, 0, {1: ours})
    for spent, digest, signature in zip(
        payment.coins, digests(payment, 0, {1: ours}), signatures, strict=True
    ):
        child = root.derive([spent.index]).key
        assert secp256k1.verify(child.get_public_key().serialize(), digest, signature)
        # Without the extra draws for a short r, both are RFC 6979.
        assert compact(child.sign(digest, grind=False)) == signature
    proof = await signer.prove(bytes(32))
    assert secp256k1.verify(signer.key, bytes(32), proof)
