"""What `ambientctl proof verify` asks of the program that verifies, and what it takes from it."""

import json
from pathlib import Path

import pytest

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.main import main

HASH = "0f" * 32
NAMES = ("image", "module", "input", "output", "outcome", "gas", "limits", "segments")
TOLD = "\n".join(f"{name} 1" for name in NAMES)


@pytest.fixture
def proof(tmp_path: Path) -> str:
    path = tmp_path / "a.proof"
    path.write_bytes(b"AMBPROOF")
    return str(path)


def verifier(folder: Path, *, told: str = "", complaint: str = "", code: int = 0) -> str:
    program = folder / "verifier"
    program.write_text(
        f"#!/bin/sh\necho \"$@\" > {folder}/asked\necho '{told}'\n"
        f"echo '{complaint}' >&2\nexit {code}\n"
    )
    program.chmod(0o700)
    return str(program)


def test_what_the_program_says_is_passed_on(
    tmp_path: Path, proof: str, capfd: pytest.CaptureFixture[str]
) -> None:
    program = verifier(tmp_path, told=TOLD)
    asked = ["--image", HASH, "--input", "-", "--salt", HASH.upper()]
    assert main(["proof", "verify", proof, *asked, "--verifier", program]) == ExitCode.DONE
    assert "outcome 1" in capfd.readouterr().out
    words = (tmp_path / "asked").read_text().split()
    assert words[0] == proof
    assert words[1:] == ["--input", "/dev/stdin", "--image", HASH, "--salt", HASH.upper()]
    module = tmp_path / "a.prepared"
    module.write_bytes(b"\0asm")
    command = ["proof", "verify", proof, "--verifier", program, "--prepared", str(module)]
    assert main(command) == ExitCode.DONE
    assert (tmp_path / "asked").read_text().split()[1:] == ["--prepared", str(module)]
    program = verifier(tmp_path, complaint="not verified: it is empty", code=4)
    assert main(["proof", "verify", proof, "--verifier", program]) == ExitCode.NOT_VERIFIED
    assert "not verified: it is empty" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("told", "code"), [("", 0), ("image 1", 0), ("AMBPROOF", 0), (TOLD, 4), ("", 3)]
)
def test_a_program_that_says_nothing_of_a_proof_verifies_none(
    tmp_path: Path, proof: str, told: str, code: int
) -> None:
    program = verifier(tmp_path, told=told, code=code)
    assert main(["proof", "verify", proof, "--verifier", program]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["nowhere"], "nowhere: no proof: there is no such file"),
        (["."], ".: no proof: it is a folder"),
        (["PROOF", "--module", "nowhere"], "nowhere: no module: there is no such file"),
        (["PROOF", "--prepared", "."], ".: no prepared: it is a folder"),
        (["PROOF", "--image", "0f"], "0f: no image: there is no such file"),
        (["PROOF", "--salt", "zz"], "--salt 'zz' is no salt: 64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_read_is_no_verdict(
    tmp_path: Path,
    proof: str,
    capfd: pytest.CaptureFixture[str],
    asked: list[str],
    words: str,
) -> None:
    program = verifier(tmp_path, told=TOLD)
    asked = [proof if word == "PROOF" else word for word in asked]
    assert main(["proof", "verify", *asked, "--verifier", program]) == ExitCode.USAGE
    assert words in capfd.readouterr().err


def test_programs_are_told_what_was_not_checked(
    tmp_path: Path, proof: str, capfd: pytest.CaptureFixture[str]
) -> None:
    unchecked = "not checked: that the image is of the module"
    program = verifier(tmp_path, told=f"{TOLD}\n{unchecked}\nverified in 1 ms")
    assert main(["proof", "verify", proof, "--json", "--verifier", program]) == ExitCode.DONE
    assert json.loads(capfd.readouterr().out)["trust"] == [unchecked]


def test_words_of_members_that_do_not_hold_verify_no_proof(
    tmp_path: Path, proof: str, capfd: pytest.CaptureFixture[str]
) -> None:
    module, words = tmp_path / "a.wasm", tmp_path / "words"
    module.write_bytes(b"\0asm")
    words.write_bytes(b"bent")
    program = verifier(tmp_path, told=TOLD)
    command = ["proof", "verify", proof, "--images", str(words), "--module", str(module)]
    command += ["--verifier", program]
    assert main(command) == ExitCode.NOT_VERIFIED
    said = f"not verified: {words}: the file vouches for no image"
    assert capfd.readouterr().out.startswith(said)
    assert main([*command, "--json"]) == ExitCode.NOT_VERIFIED
    told = json.loads(capfd.readouterr().out)
    assert (told["valid"], told["trust"]) == (False, [])
    assert told["reason"].startswith(said)
    assert not (tmp_path / "asked").exists()
