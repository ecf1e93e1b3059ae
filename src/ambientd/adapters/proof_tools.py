"""Finds what the section `proving` of the config names: a prover, and what verifies proofs."""

from pathlib import Path

from ambientd.adapters.proved_places import ProvedFiles
from ambientd.adapters.prover_program import (
    OwnImages,
    ProverProgram,
    StepProverProgram,
    segment_power,
)
from ambientd.adapters.verifier_program import VerifierProgram, find_verifier, image_id
from ambientd.config.proving_options import ProvingOptions
from ambientd.errors import ConfigError, UsageError
from ambientd.ledger.assigning import SLOW_CYCLES_A_MS
from ambientd.model.base import Digest
from ambientd.model.dispute import SEGMENT_GAS
from ambientd.model.proof import STEP_GAS_MIN, STEP_SEGMENTS_MAX
from ambientd.ports.proving import ProofTools
from ambientd.roles.step_prover import NO_STEPS, StepTerms
from ambientd.rules.proofs import UNIVERSAL_IMAGE
from ambientd.rules.steps import STEP_IMAGE

PROVED_FOLDER = "proved"

STEP_CYCLES_FIXED = 500_000
"""The pages of a small module, some of its memory read and written, and padding: measured ones
take 270,000 to 460,000."""

STEP_CYCLES_A_GAS = 20
"""Measured ones take 17 (ADR 75)."""

STEP_MS_FIXED = 60_000


def open_proof_tools(options: ProvingOptions, data_dir: Path) -> ProofTools:
    """Find the programs; raise ConfigError where what is named does not work."""
    places = ProvedFiles(data_dir / PROVED_FOLDER)
    try:
        program = find_verifier(options.verifier or None)
    except UsageError as error:
        if options.verifier or options.prover:
            msg = f"[proving]: {error}"
            raise ConfigError(msg) from error
        return ProofTools(places, None, None)
    verifier = VerifierProgram(program)
    if not options.prover:
        return ProofTools(places, None, verifier)
    if not Path(options.prover).is_file():
        msg = f"proving.prover: there is no program {options.prover}; `make proofs` builds it"
        raise ConfigError(msg)
    image = _image(program, "image", options.image, UNIVERSAL_IMAGE, "--universal")
    own = _own_images(options, program)
    prover = ProverProgram(options.prover, image, options.memory_bytes_max, own)
    if not options.step_image:
        return ProofTools(places, prover, verifier)
    image = _image(program, "step_image", options.step_image, STEP_IMAGE, "--step")
    memory, cycles = options.memory_bytes_max, options.cycles_max
    steps = StepProverProgram(options.prover, image, memory, cycles)
    return ProofTools(places, prover, verifier, steps)


def _own_images(options: ProvingOptions, program: str) -> OwnImages | None:
    """Give the folder of modules' own images; it is looked into when one is wanted."""
    if not options.own_images:
        return None
    folder = Path(options.own_images)
    if not folder.is_dir():
        msg = f"proving.own_images: there is no folder {folder}; make it, or leave the option empty"
        raise ConfigError(msg)
    return OwnImages(folder.absolute(), program)


def _image(program: str, option: str, stated: str, wanted: Digest, how: str) -> Path:
    """Give the path of an image that is the one wanted; raise ConfigError, else."""
    image = Path(stated)
    try:
        found = image_id(program, image)
    except UsageError as error:
        msg = f"proving.{option}: {error}; `python -m scripts.proof_image {how}` makes it"
        raise ConfigError(msg) from error
    if found != wanted.hex():
        msg = f"proving.{option}: {image} is the image {found}, members take {wanted.hex()}"
        raise ConfigError(msg)
    return image.absolute()


def step_terms(options: ProvingOptions) -> StepTerms:
    """Give how long a disputed stretch the prover takes on, and how long it says it may take."""
    power = segment_power(options.memory_bytes_max)
    if not options.prover or not options.step_image or power is None:
        return NO_STEPS
    cycles = min(options.cycles_max, STEP_SEGMENTS_MAX << power)
    gas_max = min(SEGMENT_GAS, (cycles - STEP_CYCLES_FIXED) // STEP_CYCLES_A_GAS)
    if gas_max < STEP_GAS_MIN:
        return NO_STEPS
    return StepTerms(gas_max, STEP_MS_FIXED + cycles // SLOW_CYCLES_A_MS)
