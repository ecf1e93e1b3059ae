"""What every prover and verifier do, the fake ones and, where they are built, the real programs."""

import dataclasses
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ambientd.adapters.prover_program import OwnImages, ProverProgram, segment_power
from ambientd.adapters.verifier_program import VerifierProgram, image_id
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.execution import ExecutionLimits, OutcomeKind
from ambientd.model.task import Result
from ambientd.ports.proving import NotProven, ProofVerifier, Prover
from ambientd.rules.proofs import UNIVERSAL_IMAGE, proof_fault, read_proof
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from scripts.proof_image import build as build_own
from tests.fakes.prover import FakeProver, FakeVerifier, spec_of
from tests.mesh.modules import rounds, spin
from tests.proofs.images import by_engine, program
from tests.proofs.test_universal import universal

LIMITS = ExecutionLimits(
    memory_bytes_max=1 << 20, gas_max=1_000_000, output_bytes_max=1_000, wall_ms_max=10_000
)
CYCLES = 1 << 18
MEMORY_BYTES = 700 << 20


@dataclass(frozen=True)
class Pair:
    """A prover, and who believes it."""

    prover: Prover
    verifier: ProofVerifier


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.prover)])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    if request.param == "fake":
        return Pair(FakeProver(), FakeVerifier())
    image = tmp_path / "universal.elf"
    image.write_bytes(universal())
    prover = ProverProgram(str(program("ambient-prove")), image, MEMORY_BYTES)
    return Pair(prover, VerifierProgram(str(program("ambient-verify"))))


def prepared(module: bytes) -> bytes:
    made = prepare(module)
    assert isinstance(made, Prepared)
    return made.module


def result_by_engine(module: bytes, data: bytes) -> Result:
    kind, reason, output, gas = by_engine(module, data, LIMITS)
    return Result(
        kind=OutcomeKind[kind.upper()],
        reason=reason,
        output=Digest(sha256(output)),
        output_size_bytes=len(output),
        gas=gas,
        prepared=Digest(sha256(prepared(module))),
        rewriter_version=REWRITER_VERSION,
    )


async def test_a_proof_is_of_what_the_engine_finds_and_of_nothing_else(pair: Pair) -> None:
    module, data = spin(), rounds(5)
    made = await pair.prover.prove(prepared(module), data, LIMITS, CYCLES)
    assert isinstance(made, bytes), made
    proof, found = read_proof(made), result_by_engine(module, data)
    assert proof.cycles <= CYCLES
    assert proof_fault(proof, spec_of(data, LIMITS), found, prepared(module)) is None
    assert await pair.verifier.holds(made, UNIVERSAL_IMAGE) is True
    assert await pair.verifier.holds(made, Digest(bytes(32))) is False
    at = 12 + 32 + 120 + 7  # the last byte of the gas that it states
    other = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
    assert proof_fault(read_proof(other), spec_of(data, LIMITS), found) is not None
    assert await pair.verifier.holds(other, UNIVERSAL_IMAGE) is False
    broken = made[:-1] + bytes([made[-1] ^ 1])
    assert await pair.verifier.holds(broken, UNIVERSAL_IMAGE) is False


async def test_running_out_of_gas_is_proven_as_well(pair: Pair) -> None:
    few = replace(LIMITS, gas_max=20)
    module, data = spin(), rounds(1_000)
    made = await pair.prover.prove(prepared(module), data, few, CYCLES)
    assert isinstance(made, bytes), made
    kind, reason, output, gas = by_engine(module, data, few)
    assert kind == "out_of_gas"
    found = replace(
        result_by_engine(module, data),
        kind=OutcomeKind.OUT_OF_GAS,
        reason=reason,
        output=Digest(sha256(output)),
        output_size_bytes=0,
        gas=gas,
    )
    assert proof_fault(read_proof(made), spec_of(data, few), found, prepared(module)) is None


async def test_more_cycles_than_allowed_and_what_is_no_module_are_final(pair: Pair) -> None:
    made = await pair.prover.prove(prepared(spin()), rounds(5), LIMITS, 1 << 13)
    assert isinstance(made, NotProven)
    assert made.is_final, made.reason
    none = await pair.prover.prove(b"\0asm\1\0\0\0", rounds(5), LIMITS, CYCLES)
    assert isinstance(none, NotProven)
    assert none.is_final, none.reason


async def test_a_cancelled_proof_is_given_up_at_once(pair: Pair) -> None:
    if isinstance(pair.prover, FakeProver):
        pair.prover.pause_s = 60
    with trio.fail_after(60), trio.move_on_after(0.2) as scope:
        await pair.prover.prove(prepared(spin()), rounds(5), LIMITS, CYCLES)
    assert scope.cancelled_caught


def test_less_memory_makes_smaller_segments_and_too_little_none() -> None:
    powers = [segment_power(mib << 20) for mib in (16_384, 2560, 1536, 700, 400, 192, 100)]
    assert powers == [20, 18, 17, 16, 15, 14, None]


async def test_a_program_that_does_not_work_is_a_reason_and_no_proof(tmp_path: Path) -> None:
    prover = ProverProgram(str(tmp_path / "none"), tmp_path / "image", MEMORY_BYTES)
    made = await prover.prove(b"", b"", LIMITS, CYCLES)
    assert isinstance(made, NotProven)
    assert not made.is_final
    assert await VerifierProgram(str(tmp_path / "none")).holds(b"", UNIVERSAL_IMAGE) is None
    assert dataclasses.is_dataclass(made)


async def test_a_disk_without_room_is_this_hosts_reason_and_no_word_on_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = ProverProgram(sys.executable, tmp_path / "image", MEMORY_BYTES)
    verifier = VerifierProgram(sys.executable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    assert await verifier.holds(b"", UNIVERSAL_IMAGE) is None
    made = await prover.prove(b"", b"", LIMITS, CYCLES)
    assert isinstance(made, NotProven)
    assert not made.is_final


@pytest.fixture
def shelf(tmp_path: Path) -> tuple[OwnImages, Path, Digest]:
    """A folder of own images, the file of one in it, and its id."""
    folder, made = tmp_path / "own", build_own(spin())
    folder.mkdir()
    draft = tmp_path / "spin.elf"
    draft.write_bytes(made)
    verifier = str(program("ambient-verify"))
    image = Digest(bytes.fromhex(image_id(verifier, draft)))
    place = folder / f"{image.hex()}.elf"
    place.write_bytes(made)
    return OwnImages(folder, verifier), place, image


def test_an_own_image_is_found_by_its_id_and_only_if_it_is_that_image(
    shelf: tuple[OwnImages, Path, Digest],
) -> None:
    images, place, image = shelf
    assert images.find(image) == place
    other = Digest(bytes(32))
    assert images.find(other) is None
    (place.parent / f"{other.hex()}.elf").write_bytes(place.read_bytes())
    assert images.find(other) is None, "it is not the image that its name says"
    place.write_bytes(b"no image")
    assert images.find(image) is None


@pytest.mark.parametrize(
    ("own", "universal", "proof", "is_final"),
    [
        ("echo made by its own >proof", "exit 1", b"made by its own\n", None),
        ("echo it was killed >&2; exit 9", "echo universal >proof", b"universal\n", None),
        ("echo the image gave up >&2; exit 1", "echo universal >proof", b"universal\n", None),
        ("echo it was killed >&2; exit 9", "echo the image gave up >&2; exit 1", None, False),
        ("echo the image gave up >&2; exit 1", "echo the image gave up >&2; exit 1", None, True),
        ("echo raise --cycles-max >&2; exit 1", "echo universal >proof", None, True),
    ],
)
async def test_what_a_modules_own_image_does_not_prove_the_universal_one_may(
    tmp_path: Path, own: str, universal: str, proof: bytes | None, is_final: bool | None
) -> None:
    """A proven task must end: an image in the owner's folder may be at fault, or its prover."""
    image, folder = Digest(sha256(b"own")), tmp_path / "own"
    folder.mkdir()
    (folder / f"{image.hex()}.elf").write_bytes(b"own")
    prover, verifier = tmp_path / "prover", tmp_path / "verifier"
    prover.write_text(f"#!/bin/sh\ncase $2 in {folder}/*) {own} ;; *) {universal} ;; esac\n")
    verifier.write_text(f"#!/bin/sh\necho {image.hex()}\n")
    for each in (prover, verifier):
        each.chmod(0o755)
    images = OwnImages(folder, str(verifier))
    program = ProverProgram(str(prover), tmp_path / "universal.elf", MEMORY_BYTES, images)
    made = await program.prove(b"", b"", LIMITS, CYCLES, image)
    if proof is not None:
        assert made == proof
        return
    assert isinstance(made, NotProven)
    assert made.is_final is is_final, made.reason


@pytest.mark.prover
async def test_a_module_is_proven_with_its_own_image_in_fewer_cycles(
    shelf: tuple[OwnImages, Path, Digest], tmp_path: Path
) -> None:
    images, _, image = shelf
    universal_image = tmp_path / "universal.elf"
    universal_image.write_bytes(universal())
    prover = ProverProgram(str(program("ambient-prove")), universal_image, MEMORY_BYTES, images)
    module, data = spin(), rounds(5)
    made = await prover.prove(prepared(module), data, LIMITS, CYCLES, image)
    assert isinstance(made, bytes), made
    proof, found = read_proof(made), result_by_engine(module, data)
    spec = replace(spec_of(data, LIMITS), module=Digest(sha256(module)))
    assert proof_fault(proof, spec, found, prepared(module), image) is None
    assert proof_fault(proof, spec, found, prepared(module)) is not None
    assert await VerifierProgram(str(program("ambient-verify"))).holds(made, image) is True
    assert proof.cycles < 1 << 16, "the universal image takes as many"


@pytest.mark.prover
def test_a_prover_whose_daemon_was_killed_ends_with_its_next_line(tmp_path: Path) -> None:
    image = tmp_path / "universal.elf"
    image.write_bytes(universal())
    (tmp_path / "module").write_bytes(prepared(spin()))
    (tmp_path / "input").write_bytes(rounds(20_000))
    adapter = ProverProgram(str(program("ambient-prove")), image, 192 << 20)
    command = adapter._command(replace(LIMITS, gas_max=10_000_000), 1 << 24)
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    assert running.stderr is not None
    assert b"proving" in running.stderr.readline()
    running.stderr.close()
    assert running.wait(timeout=120) != 0
    assert not (tmp_path / "proof").exists()
