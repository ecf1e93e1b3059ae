"""Finds what the section `proving` of the config names: a prover, and what verifies proofs."""

from pathlib import Path

from ambientd.adapters.proved_places import ProvedFiles
from ambientd.adapters.prover_program import ProverProgram
from ambientd.adapters.verifier_program import VerifierProgram, find_verifier, image_id
from ambientd.config.proving_options import ProvingOptions
from ambientd.errors import ConfigError, UsageError
from ambientd.ports.proving import ProofTools
from ambientd.rules.proofs import UNIVERSAL_IMAGE

PROVED_FOLDER = "proved"


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
    image = Path(options.image)
    try:
        found = image_id(program, image)
    except UsageError as error:
        msg = f"proving.image: {error}; `python -m scripts.proof_image --universal` makes it"
        raise ConfigError(msg) from error
    if found != UNIVERSAL_IMAGE.hex():
        msg = f"proving.image: {image} is the image {found}, members take {UNIVERSAL_IMAGE.hex()}"
        raise ConfigError(msg)
    prover = ProverProgram(options.prover, image.absolute(), options.memory_bytes_max)
    return ProofTools(places, prover, verifier)
