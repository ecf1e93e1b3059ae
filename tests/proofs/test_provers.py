"""Provers of every kind of kernels say the same, and the published verifier believes all of them.

`make test-proofs` builds and runs this; whatever provers are built beside this Python are compared.
"""

import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.proof_image import build, build_universal, prepared
from tests.missing import missing
from tests.proofs.images import program
from tests.proofs.test_images import EXAMPLES, module

pytestmark = pytest.mark.prover
ROOT = Path(__file__).parents[2]
KERNELS = ("avx512", "avx2", "portable")
STATED_BYTES = 8 + 4 + 32 + 144 + 4
PUBLIC_WORDS = 1 + 90 + 1  # the seal's version, the circuit's public values, the cycles
DRAWN = slice(1 + 49, 1 + 53)  # of the public values, what each prover draws anew
SUM = "(i64.div_u (i64.const 1) (i64.extend_i32_u (local.get $size)))"


@dataclass(frozen=True)
class Given:
    """What is proven, and what must come of it."""

    image: Callable[[], bytes]
    outcome: str
    segments: int = 1
    input: bytes = b""
    options: tuple[str, ...] = ()
    prepared: bytes | None = None


def noop() -> bytes:
    return (EXAMPLES / "noop" / "noop.wasm").read_bytes()


GIVEN = {
    "completed": Given(lambda: build(noop()), "completed"),
    "trapped": Given(lambda: build(module(SUM)), "trapped (integer_divide_by_zero)"),
    "out of gas": Given(lambda: build(noop()), "out_of_gas", options=("--gas", "3")),
    "salted": Given(lambda: build(noop()), "completed", options=("--salt", "5a" * 32)),
    "segments": Given(
        lambda: build((EXAMPLES / "image-classify" / "classify.wasm").read_bytes()),
        "completed",
        segments=0,
        input=b"\1\0\0\0" + (EXAMPLES / "image-classify" / "digits-100.bin").read_bytes()[4:68],
        options=("--segment", "14"),
    ),
    "interpreted": Given(build_universal, "completed", prepared=prepared(noop())),
}


def player() -> list[str]:
    """Give what plays an arm64 program here."""
    if platform.machine() in {"aarch64", "arm64"}:
        return []
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None:
        missing("no qemu-user-static")
    return [qemu, "-L", "/usr/aarch64-linux-gnu"]


def provers() -> list[Path]:
    """Find those that are built; the published one must be among them."""
    beside = Path(sys.executable).parent
    built = [beside / f"ambient-prove-{name}" for name in KERNELS]
    ours = [place for place in built if place.is_file()]
    if not ours:
        missing("no prover of ours is built: say make test-proofs")
    return [program("ambient-prove-published"), *ours]


def stated(proof: bytes) -> tuple[bytes, list[tuple[int, ...]]]:
    """Give what a file says outside its seals, and what each seal says in the open."""
    at, public = STATED_BYTES, []
    while at < len(proof):
        words = int.from_bytes(proof[at : at + 4])
        seen = list(struct.unpack_from(f"<{PUBLIC_WORDS}I", proof, at + 4))
        del seen[DRAWN]
        public.append(tuple(seen))
        at += 4 + 4 * words
    return proof[:STATED_BYTES], public


def test_pip_puts_the_programs_beside_a_python_that_had_none(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [
        str(folder / "bin" / "pip"),
        "install",
        "--no-index",
        str(ROOT / "native" / "proofs"),
    ]
    subprocess.run(
        install, check=True, env={**os.environ, "AMBIENT_KERNELS": provers()[1].name[14:]}
    )
    image = tmp_path / "image.elf"
    image.write_bytes(build(noop()))
    for name, words in (("ambient-prove", ["prove"]), ("ambient-execute", ["execute"])):
        command = [str(folder / "bin" / name), *words, str(image)]
        if name == "ambient-prove":
            command += ["--proof", str(tmp_path / "a.proof")]
        subprocess.run(command, check=True)
    verify = [str(folder / "bin" / "ambient-verify"), str(tmp_path / "a.proof"), "--image"]
    subprocess.run([*verify, str(image)], check=True)


def proven(
    prover: list[str], command: list[str], given: Given
) -> tuple[bytes, list[tuple[int, ...]]]:
    """Prove, let the published verifier judge, and give what is stated."""
    image, proof = command[1], Path(command[command.index("--proof") + 1])
    subprocess.run([*prover, *command], check=True, capture_output=True)
    told = subprocess.run(
        [str(program("ambient-verify")), str(proof), "--image", image],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert f"outcome   {given.outcome}\n" in told
    return stated(proof.read_bytes())


def asked(given: Given, folder: Path) -> list[str]:
    """Lay out what a prover reads, and say what it is asked."""
    image, data, proof = (folder / each for each in ("image.elf", "input", "a.proof"))
    image.write_bytes(given.image())
    data.write_bytes(given.input)
    command = ["prove", str(image), "--input", str(data), "--proof", str(proof), *given.options]
    if given.prepared is not None:
        (folder / "module").write_bytes(given.prepared)
        command += ["--module", str(folder / "module")]
    return command


@pytest.mark.parametrize("name", GIVEN)
def test_our_kernels_prove_what_the_published_crates_prove(name: str, tmp_path: Path) -> None:
    given = GIVEN[name]
    command = asked(given, tmp_path)
    said = [proven([str(prover)], command, given) for prover in provers()]
    assert len(said) > 1
    assert all(each == said[0] for each in said)
    segments = len(said[0][1])
    assert segments == given.segments or (given.segments == 0 and segments > 1)


@pytest.mark.neon
def test_neon_proves_what_other_kernels_prove(tmp_path: Path) -> None:
    """Played by QEMU where the processor is another: `make test-neon`."""
    given = GIVEN["completed"]
    command = asked(given, tmp_path)
    ours = proven([str(provers()[1])], command, given)
    assert proven([*player(), str(program("ambient-prove-neon"))], command, given) == ours
