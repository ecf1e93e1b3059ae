"""What proves executions on this device, and what verifies proofs: the section `proving`."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

MIB = 1 << 20


class ProvingOptions(Options, frozen=True):
    """Validity proofs: this node makes them for pay where it has a prover, and checks others'."""

    prover: Annotated[
        str,
        Meta(
            max_length=4096,
            description="The program ambient-prove, as `make proofs` builds it; empty: this node "
            "proves nothing.",
        ),
    ] = ""
    image: Annotated[
        str,
        Meta(
            max_length=4096,
            description="The universal image, which `python -m scripts.proof_image --universal` "
            "writes; a prover needs it.",
        ),
    ] = ""
    own_images: Annotated[
        str,
        Meta(
            max_length=4096,
            description="A folder of modules' own images, each in ID.elf by its image id, from "
            "`python -m scripts.proof_image MODULE.wasm`: a task whose module the ledger knows to "
            "become one is proven with it, in a quarter of the time or less; empty: always "
            "with the universal image.",
        ),
    ] = ""
    step_image: Annotated[
        str,
        Meta(
            max_length=4096,
            description="The image of steps, which `python -m scripts.proof_image --step` writes: "
            "with it a prover also proves what disputes are about; empty: it does not.",
        ),
    ] = ""
    verifier: Annotated[
        str,
        Meta(
            max_length=4096,
            description="The program ambient-verify; empty: beside Python, or on the search path.",
        ),
    ] = ""
    cycles_max: Annotated[
        int,
        Meta(ge=1 << 13, le=64 << 20, description="Padded cycles of one proof, at most."),
    ] = 1 << 22
    memory_bytes_max: Annotated[
        int,
        Meta(
            ge=192 * MIB,
            le=1 << 40,
            description="Memory of the prover, in bytes; half as much makes proofs of about twice "
            "the segments.",
        ),
    ] = 1536 * MIB
