"""A real proof by a module's own image is taken by the members' word on it, without a compiler."""

import importlib.util
import json
from pathlib import Path

import pytest

from ambientd.adapters.verifier_program import image_id
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.main import main
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_image_claim
from ambientd.model.base import Digest
from ambientd.model.image import ImageFile
from ambientd.model.record import ImageClaimed
from ambientd.rules.images import FILE_VERSION, TRANSLATION
from scripts.proof_image import build
from tests.ledger.imaging import gone_over
from tests.missing import missing
from tests.proofs.images import program
from tests.proofs.test_verifier import MODULE, PROOF

FALSE = Digest(sha256(b"an image of the liar's own making"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Digest:
    """Translate the module as a member does."""
    if importlib.util.find_spec("ziglang") is None:
        missing("the compiler of images is missing: say make verifier")
    place = tmp_path_factory.mktemp("image") / "module.elf"
    place.write_bytes(build(MODULE.read_bytes()))
    return Digest(bytes.fromhex(image_id(str(program("ambient-verify")), place)))


def words(folder: Path, *said: Digest) -> tuple[Path, str]:
    """Let members of a real ledger say what they found; write what a node gives of it."""
    cluster, module = gone_over(), Digest(sha256(MODULE.read_bytes()))
    claims = [
        sign_image_claim(cluster.signer(member), module, TRANSLATION, each)
        for member, each in enumerate(said)
    ]
    cluster.block(*((n, ImageClaimed(claim=each)) for n, each in enumerate(claims)))
    file = ImageFile(version=FILE_VERSION, genesis=cluster.genesis, epochs=(), claims=tuple(claims))
    place = folder / "it.image"
    place.write_bytes(encode(file))
    return place, cluster.id.hex()


def verify(capsys: pytest.CaptureFixture[str], images: Path, *more: str) -> tuple[int, str]:
    verifier = ("--verifier", str(program("ambient-verify")))
    about = ("--module", str(MODULE), "--images", str(images))
    code = main(["proof", "verify", str(PROOF), *about, *verifier, *more])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_what_members_found_by_translating_is_what_the_proof_is_of(
    image: Digest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, cluster = words(tmp_path, FALSE, image, image)
    code, said = verify(capsys, file, "--cluster", cluster, "--json")
    assert code == ExitCode.DONE, said
    told = json.loads(said)
    assert told["image"] == image.hex()
    [trust] = told["trust"]
    assert "2 of the 4 members in epoch 1" in trust
    code, said = verify(capsys, file)
    assert code == ExitCode.DONE
    assert "trusted: that the module becomes this image is the word of" in said
    assert "anyone can invent a cluster" in said
    code, said = verify(capsys, file, "--cluster", "00" * 32)
    assert code == ExitCode.NOT_VERIFIED
    assert "you believe 00" in said


def test_members_that_lie_together_only_make_true_proofs_fail(
    image: Digest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = words(tmp_path, FALSE, FALSE, image)
    code, said = verify(capsys, file)
    assert code == ExitCode.NOT_VERIFIED
    assert f"it is a proof of the image {image.hex()}, you asked about {FALSE.hex()}" in said


def test_one_word_is_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = words(tmp_path, FALSE)
    code, said = verify(capsys, file)
    assert code == ExitCode.NOT_VERIFIED
    assert "no 2 of 4 members say the same: 1 do" in said
