"""A member's key of the peg: its file, its passphrase, and what it signs."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from embit import bip32

from ambientd.adapters.peg_keys import (
    SeedSigner,
    open_signing,
    replace_signing,
    replaced_signing,
)
from ambientd.codec import secp256k1
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError
from ambientd.model.base import Digest
from ambientd.roles.pegging.book import PegBook, Pledge
from ambientd.rules.peg_payments import digests
from tests.adapters.crash_points import memory_folder, moments
from tests.rules.peg import coin, compact, peg_out, wallet

MARKED = PegBook(pledges=(Pledge(payment=7, content=Digest(bytes(32)), outpoints=()),))


def test_a_node_that_never_had_a_key_is_given_one_with_its_book(tmp_path: Path) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    signer, file = open_signing(key, book, "correct horse", is_said=False)
    assert key.stat().st_mode & 0o777 == 0o600
    assert file.load() == PegBook()
    again, _ = open_signing(key, book, "correct horse", is_said=True)
    assert again.key == signer.key


@pytest.mark.parametrize("is_said", [False, True])
def test_a_key_without_its_book_signs_nothing(tmp_path: Path, is_said: bool) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    open_signing(key, book, is_said=False)
    book.unlink()
    with pytest.raises(ConfigError, match=r"peg\.book is missing: .* never an older copy") as told:
        open_signing(key, book, is_said=is_said)
    assert "ambientctl key replace-peg" in str(told.value)


def test_a_key_that_the_ledger_knows_and_that_is_gone_is_not_drawn_anew(tmp_path: Path) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    with pytest.raises(ConfigError, match="put back the copy that you kept, or let another key"):
        open_signing(key, book, is_said=True)
    assert not key.exists()


def test_another_key_takes_the_place_and_nothing_is_deleted(tmp_path: Path) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    first, _ = open_signing(key, book, is_said=False)
    for number in (1, 2):
        moved = replace_signing(key, book)
        assert [path.name for path in moved] == [
            f"peg.key.replaced-{number}",
            f"peg.book.replaced-{number}",
        ]
        signer, file = open_signing(key, book, is_said=True)
        assert signer.key != first.key
        assert file.load() == PegBook()
    kept, _ = open_signing(
        tmp_path / "peg.key.replaced-1", tmp_path / "peg.book.replaced-1", is_said=True
    )
    assert kept.key == first.key
    assert replaced_signing(key, book)[0][0].key == first.key
    key.unlink()
    assert [path.name for path in replace_signing(key, book)] == ["peg.book.replaced-3"]
    found = [each.key for each, _ in replaced_signing(key, book)]
    assert (len(found), found[0]) == (2, first.key), "a book alone is no key"
    (tmp_path / "peg.book.replaced-1").unlink()
    assert [each.key for each, _ in replaced_signing(key, book)] == found[1:]


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")
@pytest.mark.parametrize("lost", ["", "peg.key", "peg.book"])
def test_a_change_of_keys_that_a_crash_interrupts_is_finished_by_the_next(
    tmp_path: Path, lost: str
) -> None:
    place = memory_folder(tmp_path)
    folder = place / "live"
    folder.mkdir()
    first, file = open_signing(folder / "peg.key", folder / "peg.book", is_said=False)
    file.save(MARKED)
    (folder / (lost or "nothing")).unlink(missing_ok=True)

    def change(at: Path) -> Iterator[None]:
        replace_signing(at / "peg.key", at / "peg.book")
        yield

    seen = set()
    for moment in moments(change, folder):
        left = place / f"{moment.number}"
        moment.copy_to(left)
        key, book = left / "peg.key", left / "peg.book"
        is_under_way = (left / "peg.key.replacing").exists()
        seen.add(is_under_way)
        if is_under_way:
            with pytest.raises(ConfigError, match="was interrupted: finish it with"):
                open_signing(key, book, is_said=True)
        if is_under_way or not list(left.glob("*.replaced-1")):
            replace_signing(key, book)
        signer, own = open_signing(key, book, is_said=True)
        assert (signer.key != first.key, own.load()) == (True, PegBook())
        pairs = [(each.key, kept.load()) for each, kept in replaced_signing(key, book)]
        if not lost:
            assert pairs == [(first.key, MARKED)]
        assert all(pair == (first.key, MARKED) for pair in pairs), "a key beside another's book"
    assert seen == {False, True}
    if place != tmp_path:
        shutil.rmtree(place)


def test_what_was_taken_away_amid_a_change_does_not_hold_it_up(tmp_path: Path) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    first, _ = open_signing(key, book, is_said=False)
    (tmp_path / "peg.key.replacing").write_bytes(b"1 peg.key peg.book")
    key.unlink()
    assert replace_signing(key, book) == [tmp_path / "peg.book.replaced-1"]
    signer, own = open_signing(key, book, is_said=True)
    assert (signer.key != first.key, own.load()) == (True, PegBook())


def test_a_damaged_plan_is_left_to_people(tmp_path: Path) -> None:
    key, book = tmp_path / "peg.key", tmp_path / "peg.book"
    open_signing(key, book, is_said=False)
    (tmp_path / "peg.key.replacing").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is damaged: keys and books"):
        replace_signing(key, book)
    assert key.exists()
    assert book.exists()


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
