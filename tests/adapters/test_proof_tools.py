"""What the section `proving` names is looked at when a daemon starts, and refused."""

from pathlib import Path

import pytest

from ambientd.adapters.proof_tools import open_proof_tools
from ambientd.config.proving_options import ProvingOptions
from ambientd.errors import ConfigError
from tests.proofs.images import program
from tests.proofs.test_universal import universal


def options(folder: Path, own_images: str) -> ProvingOptions:
    image = folder / "universal.elf"
    image.write_bytes(universal())
    verifier = str(program("ambient-verify"))
    # Whether it proves is seen when it is asked to; here it only has to be there.
    return ProvingOptions(
        prover=verifier, image=str(image), own_images=own_images, verifier=verifier
    )


def test_a_folder_of_own_images_must_be_there_and_may_be_left_out(tmp_path: Path) -> None:
    own = tmp_path / "own"
    with pytest.raises(ConfigError, match=r"proving\.own_images: there is no folder"):
        open_proof_tools(options(tmp_path, str(own)), tmp_path)
    own.mkdir()
    assert open_proof_tools(options(tmp_path, str(own)), tmp_path).prover is not None
    assert open_proof_tools(options(tmp_path, ""), tmp_path).prover is not None


def test_another_image_than_the_universal_one_is_refused(tmp_path: Path) -> None:
    chosen = options(tmp_path, "")
    Path(chosen.image).write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"scripts\.proof_image --universal"):
        open_proof_tools(chosen, tmp_path)
