"""A real proof is accepted, and nothing like it (protocols/18 §5, §6)."""

import json
import struct
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.main import main
from scripts.proof_image import build, build_universal, prepared
from tests.missing import missing
from tests.modules.compiled import module
from tests.proofs.images import program

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocols" / "vectors"
PROOF, INPUT, OUTPUT = (VECTORS / f"execution.{kind}" for kind in ("proof", "input", "output"))
MODULE = ROOT / "examples" / "image-classify" / "classify.wasm"
# Where each field of the file lies, and how long it is.
FIELDS = {
    "magic": (0, 8), "version": (8, 4), "image": (12, 32), "module": (44, 32), "input": (76, 32),
    "output": (108, 32), "salted": (140, 4), "outcome": (144, 4), "reason": (148, 4),
    "detail": (152, 4), "gas_max": (156, 8), "gas": (164, 8), "memory_bytes_max": (172, 8),
    "output_bytes_max": (180, 8), "segments": (188, 4), "words": (192, 4),
}  # fmt: skip
SEAL_AT = 196
WORDS_AT = 192
PO2_AT = SEAL_AT + 4 * 91  # behind the seal's version and the circuit's 90 public values
NOT_VERIFIED = 4
WHOLE = PROOF.read_bytes()
# Of the universal image, about a trap, in two segments: tests/modules/divide.wat, given a zero.
INTERPRETED = VECTORS / "interpreted.proof"
# Of the image of steps, in two segments: tests/proofs/make_step_vectors.py.
STEP = VECTORS / "step.proof"
# Of the same image, one that ends at a checkpoint: it ended the dispute of a mesh (18 §11).
PAUSED = VECTORS / "paused.proof"
PROOFS = {
    "own image": PROOF,
    "universal image, two segments": INTERPRETED,
    "step": STEP,
    "step, paused": PAUSED,
}


def verified(path: Path, *more: object) -> tuple[int, str]:
    done = subprocess.run(
        [str(program("ambient-verify")), str(path), *map(str, more)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def changed(at: int, bit: int = 1, whole: bytes = WHOLE) -> bytes:
    data = bytearray(whole)
    data[at] ^= bit
    return bytes(data)


def seals(proof: bytes) -> list[bytes]:
    """Give what stands for each segment, its number of words and its seal."""
    at, found = WORDS_AT, []
    while at < len(proof):
        size = 4 + 4 * int.from_bytes(proof[at : at + 4])
        found.append(proof[at : at + size])
        at += size
    return found


def with_seals(proof: bytes, chosen: list[bytes]) -> bytes:
    """Give the same proof with other segments."""
    return proof[: WORDS_AT - 4] + len(chosen).to_bytes(4) + b"".join(chosen)


def test_a_real_proof_is_verified_with_all_that_it_is_about() -> None:
    code, told = verified(PROOF, "--module", MODULE, "--input", INPUT, "--output", OUTPUT)
    assert code == 0, told
    assert "outcome   completed" in told
    assert "gas       7487 of 10000000000" in told
    assert "not checked: that the image is the module's" in told
    assert PROOF.stat().st_size < 256 << 10


def test_a_digit_that_the_convolutional_network_read_is_proven(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "int8-cnn"
    submitted, given, proof = (
        folder / f"{name}" for name in ("classify.wasm", "digit.input", "digit.proof")
    )
    image, output = tmp_path / "image.elf", tmp_path / "output"
    image.write_bytes(build(submitted.read_bytes()))
    output.write_bytes((folder / "digits-100.output").read_bytes()[:1])
    options = ("--image", image, "--module", submitted, "--input", given, "--output", output)
    code, told = verified(proof, *options)
    assert code == 0, told
    assert "outcome   completed" in told
    assert proof.stat().st_size < 256 << 10
    output.write_bytes(b"\2")
    assert verified(proof, *options)[0] == NOT_VERIFIED


def test_a_proof_by_the_universal_image_is_verified_for_who_has_the_module(tmp_path: Path) -> None:
    given, image, other = (tmp_path / name for name in ("a.prepared", "universal.elf", "other"))
    submitted = module("divide")
    given.write_bytes(prepared(submitted))
    image.write_bytes(build_universal())
    other.write_bytes(bytes(4))  # its input
    code, told = verified(INTERPRETED, "--prepared", given, "--image", image, "--input", other)
    assert code == 0, told
    assert "outcome   trapped (integer_divide_by_zero)" in told
    assert "segments  2" in told
    assert "not checked" not in told
    assert max(map(len, seals(INTERPRETED.read_bytes()))) < 256 << 10
    other.write_bytes(submitted)
    code, told = verified(INTERPRETED, "--prepared", other)
    assert code == NOT_VERIFIED
    assert "it is about another prepared module" in told
    assert verified(INTERPRETED, "--module", other)[0] == NOT_VERIFIED
    where = ["--verifier", str(program("ambient-verify"))]
    assert main(["proof", "verify", str(INTERPRETED), "--prepared", str(given), *where]) == 0


def test_segments_are_one_execution_in_its_order_and_whole(tmp_path: Path) -> None:
    proof = INTERPRETED.read_bytes()
    first, last = seals(proof)
    (stranger,) = seals(WHOLE)
    assert with_seals(proof, [first, last]) == proof
    begins, follows = (
        "of another image than it says",
        "does not begin where the one before it ended",
    )
    path = tmp_path / "segments.proof"
    for chosen, words in (
        ([last, first], begins),
        ([last], begins),
        ([last, last], begins),
        ([first], "its last segment is not the end"),
        ([first, first], f"segment 1 {follows}"),
        ([first, first, last], f"segment 1 {follows}"),
        ([first, last, last], "segment 1 is the end already"),
        ([first, last, first], "segment 1 is the end already"),
        ([first, stranger], f"segment 1 {follows}"),
        ([stranger, last], begins),
        ([], "it has 0 segments"),
    ):
        path.write_bytes(with_seals(proof, chosen))
        code, told = verified(path)
        assert code == NOT_VERIFIED
        assert words in told


def test_the_image_of_the_proof_is_the_one_that_its_module_is_translated_into(
    tmp_path: Path,
) -> None:
    try:
        import ziglang  # noqa: F401
    except ImportError:
        missing("the compiler of images is missing: say make verifier")
    image = tmp_path / "image.elf"
    image.write_bytes(build(MODULE.read_bytes()))
    code, told = verified(PROOF, "--image", image)
    assert code == 0, told
    assert "not checked" not in told


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("field", FIELDS)
def test_a_proof_with_any_field_changed_is_refused(field: str, proof: str, tmp_path: Path) -> None:
    (start, size), whole = FIELDS[field], PROOFS[proof].read_bytes()
    for at in {start, start + size // 2, start + size - 1}:
        for bit in (1, 0x80):
            path = tmp_path / "changed.proof"
            path.write_bytes(changed(at, bit, whole))
            code, told = verified(path)
            assert code == NOT_VERIFIED, (field, at, bit, told)
            assert "verified in" not in told


def places(proof: bytes) -> Iterator[int]:
    """Each seal's first words, which are its claim; then a place in each of its regions."""
    ends = [WORDS_AT]
    for seal in seals(proof):
        ends.append(ends[-1] + len(seal))
    for start, end in pairwise(ends):
        yield from range(start + 4, start + 4 * 64, 12)
        yield from range(start + 4 * 64, end, (end - start) // 96)
        yield end - 1


@pytest.mark.parametrize("proof", PROOFS)
def test_a_proof_with_any_part_of_its_seals_changed_is_refused(proof: str, tmp_path: Path) -> None:
    path, tried, whole = tmp_path / "changed.proof", 0, PROOFS[proof].read_bytes()
    for at in places(whole):
        path.write_bytes(changed(at, 1, whole))
        code, told = verified(path)
        assert code == NOT_VERIFIED, (at, told)
        tried += 1
    assert tried >= 100


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: b"", "it is empty"),
        (lambda: WHOLE[:5], "it ends too early, after 5 bytes"),
        (lambda: WHOLE[:190], "it ends too early"),
        (lambda: WHOLE[:-1], "it ends too early"),
        (lambda: WHOLE[: len(WHOLE) // 2], "it ends too early"),
        (lambda: WHOLE + b"\0", "1 bytes follow behind its end"),
        (MODULE.read_bytes, "it is no proof of an execution"),
        (lambda: changed(11, 2), "it is of version 3"),
        (lambda: changed(191, 1), "it has 0 segments"),
        (lambda: changed(12), "it is a proof of another image than it says"),
        (lambda: changed(171), "it proves another statement than it says"),
        (lambda: changed(147, 4), "names no known outcome"),
    ],
)
def test_words_tell_what_is_wrong(data: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.proof"
    path.write_bytes(data())
    code, told = verified(path)
    assert code == NOT_VERIFIED
    assert words in told


@pytest.mark.parametrize("po2", [0, 12, 21, 24, 25, 63, (1 << 32) - 1])
def test_a_segment_of_a_length_that_no_soundness_is_stated_for_is_refused(
    po2: int, tmp_path: Path
) -> None:
    data = bytearray(WHOLE)
    assert int.from_bytes(data[PO2_AT : PO2_AT + 4], "little") == 15
    data[PO2_AT : PO2_AT + 4] = po2.to_bytes(4, "little")
    path = tmp_path / "long.proof"
    path.write_bytes(data)
    code, told = verified(path)
    assert code == NOT_VERIFIED
    assert f"2^{po2} cycles, 2^13 to 2^20 are possible" in told


def test_files_that_would_take_memory_are_refused_before_they_do(tmp_path: Path) -> None:
    path = tmp_path / "huge.proof"
    path.write_bytes(WHOLE)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    code, told = verified(path)
    assert code == NOT_VERIFIED
    assert "it has more than 33554880 bytes" in told
    longer = bytearray(WHOLE)
    longer[WORDS_AT:SEAL_AT] = (1 << 17 | 1).to_bytes(4)
    path.write_bytes(longer)
    assert "a seal of 131073 words" in verified(path)[1]


def test_an_image_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    header = b"\x7fELF\1\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, 0, 52, 0, 0, 52, 32, 2, 40, 0, 0)
    loaded = struct.pack("<IIIIIIII", 1, 52, 0, 0, 4, (40 << 20), 7, 4)
    path = tmp_path / "huge.elf"
    path.write_bytes(header + 2 * loaded)
    done = subprocess.run(
        [str(program("ambient-verify")), "image", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == NOT_VERIFIED
    assert f"it fills {80 << 20} bytes" in done.stderr
    path.write_bytes(header)
    code, told = verified(PROOF, "--image", path)
    assert code == NOT_VERIFIED
    assert "its headers are cut" in told


def test_a_proof_of_something_else_is_refused_by_what_it_differs_in() -> None:
    for options, words in (
        (("--image", "00" * 32), "you asked about 0000"),
        (("--module", INPUT), "it is about another module"),
        (("--input", OUTPUT), "it is about another input"),
        (("--output", INPUT), "it is about another output"),
        (("--salt", "00" * 32), "without a salt"),
    ):
        code, told = verified(PROOF, *options)
        assert code == NOT_VERIFIED
        assert words in told


def test_the_command_line_hands_it_to_the_verifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--verifier", str(program("ambient-verify"))]
    assert main(["proof", "verify", str(PROOF), *where, "--json"]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["valid"]
    assert told["outcome"] == "completed"
    path = tmp_path / "cut.proof"
    path.write_bytes(WHOLE[:1000])
    assert main(["proof", "verify", str(path), *where]) == ExitCode.NOT_VERIFIED
    assert "ends too early" in capsys.readouterr().out


def test_without_a_verifier_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["proof", "verify", str(PROOF), "--verifier", str(tmp_path / "none")])
    assert code == ExitCode.USAGE
    assert "make verifier" in capsys.readouterr().err
