"""`receipt verify` takes a proof by the module's own image on the word of the receipt's members."""

from pathlib import Path

import pytest

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.ledger.images import image_row
from ambientd.model.base import Digest
from ambientd.model.image import ImageFile
from ambientd.rules.images import FILE_VERSION, TRANSLATION
from tests.api.test_proof_checks import OWN_IMAGE, OWN_MODULE, OWN_PROOF, by_own_image
from tests.cli.conftest import Ctl
from tests.ledger.imaging import gone_over, named
from tests.proofs.images import program

Words = list[str | Path]


@pytest.fixture
def asked(tmp_path: Path) -> Words:
    """Give the command that verifies a receipt with its proof; `it.image` has members' words."""
    report, words = by_own_image()
    for kind, data in (("receipt", encode(report.file)), ("image", words), ("proof", OWN_PROOF)):
        (tmp_path / f"it.{kind}").write_bytes(data)
    verifier = ("--verifier", program("ambient-verify"))
    file, proof = (tmp_path / f"it.{kind}" for kind in ("receipt", "proof"))
    return ["receipt", "verify", file, "--proof", proof, *verifier]


def test_the_words_of_the_receipts_members_are_taken_and_named(
    ctl: Ctl, asked: Words, tmp_path: Path
) -> None:
    code, out, _ = ctl(*asked, "--images", tmp_path / "it.image")
    assert code == 0, out
    assert f"by the image {OWN_IMAGE.hex()}: this module" in out
    assert "That the module becomes this image is the word of " in out
    assert "2 of the 4 members" in out


def test_whoever_has_the_compiler_names_the_image_and_is_told_so(ctl: Ctl, asked: Words) -> None:
    code, out, _ = ctl(*asked, "--image", OWN_IMAGE.hex())
    assert (code, "Yourself, who named the image" in out) == (0, True)
    code, out, _ = ctl(*asked, "--image", "ab" * 32)
    assert (code, "it is a proof of the image" in out) == (4, True)


def test_the_provers_word_alone_is_nobodys(ctl: Ctl, asked: Words) -> None:
    code, out, _ = ctl(*asked)
    assert code == 4
    [line] = [each for each in out.splitlines() if each.startswith("FAIL")]
    assert OWN_IMAGE.hex() in line
    assert "--images FILE" in line


def test_another_clusters_members_vouch_for_nothing(ctl: Ctl, asked: Words, tmp_path: Path) -> None:
    other, module = gone_over(7), Digest(sha256(OWN_MODULE))
    other.block(*(named(other, n, OWN_IMAGE, module, TRANSLATION) for n in range(3)))
    row = image_row(other.state, module)
    assert row is not None
    assert row.is_decided
    words = tmp_path / "other.image"
    words.write_bytes(encode(ImageFile(FILE_VERSION, other.genesis, (), row.claims)))
    code, out, _ = ctl(*asked, "--images", words)
    assert code == 4
    [line] = [each for each in out.splitlines() if each.startswith("FAIL")]
    assert f"its words are of the cluster {other.id.hex()}" in line


def test_an_epoch_that_the_words_do_not_lead_through_vouches_for_nothing(
    ctl: Ctl, asked: Words, tmp_path: Path
) -> None:
    code, out, _ = ctl(*asked, "--images", tmp_path / "it.image", "--epoch", "ab" * 32)
    assert code == 4
    assert "no epoch on the way from the founders has the hash" in out


def test_options_that_say_nothing_are_refused(ctl: Ctl, asked: Words, tmp_path: Path) -> None:
    words = tmp_path / "it.image"
    code, _, err = ctl(*asked, "--images", words, "--image", OWN_IMAGE.hex())
    assert (code, "leave one away" in err) == (2, True)
    code, _, err = ctl("receipt", "verify", tmp_path / "it.receipt", "--images", words)
    assert (code, "are for a proof" in err) == (2, True)
