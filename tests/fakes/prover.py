"""A prover that proves nothing and a verifier that believes it, with files of the true form."""

import trio
from msgspec.structs import replace

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256, tagged
from ambientd.model.base import Digest
from ambientd.model.effect import Assignment
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.model.task import Assurance, TaskSpec
from ambientd.ports.engine import ModuleInvalidError
from ambientd.ports.proving import NotProven
from ambientd.rules.executions import result_of
from ambientd.rules.proofs import (
    MAGIC,
    POWER_AT,
    UNIVERSAL_IMAGE,
    VERSION,
    WORD_BYTES,
    own_statement_of,
    read_proof,
    statement_of,
)
from ambientd.worker.execution import execute

POWER = 16
SEED = bytes(32)


class FakeProver:
    """Executes on an engine and writes the file that a proof of it would be.

    By a module's own image only where that one is at hand, of the module that it is said to be.
    """

    def __init__(self) -> None:
        self.made = 0
        self.own: dict[Digest, Digest] = {}
        self.pause_s = 0.0

    async def prove(
        self,
        prepared: bytes,
        data: bytes,
        limits: ExecutionLimits,
        cycles_max: int,
        own_image: Digest | None = None,
    ) -> bytes | NotProven:
        """Give a file whose seal holds for the fake verifier, another one each time."""
        await trio.sleep(self.pause_s)
        if cycles_max < 1 << POWER:
            return NotProven(f"{1 << POWER} cycles to prove", is_final=True)
        try:
            done = execute(open_engine("wasmtime").compile(prepared), data, limits, SEED)
        except ModuleInvalidError as invalid:
            return NotProven(str(invalid), is_final=True)
        if not isinstance(done, ExecutionResult) or done.kind is OutcomeKind.REFUSED:
            return NotProven(done.reason, is_final=True)
        asked, found = spec_of(data, limits), result_of(done, sha256(prepared))
        image = own_image if own_image in self.own else UNIVERSAL_IMAGE
        if own_image is not None and image == own_image:
            statement = own_statement_of(replace(asked, module=self.own[own_image]), found)
        else:
            statement = statement_of(asked, found, prepared)
        assert statement is not None, "what ended is stated"
        self.made += 1
        return sealed(statement, self.made, image)


def spec_of(data: bytes, limits: ExecutionLimits) -> TaskSpec:
    """Give a specification of as much as a statement is about."""
    return TaskSpec(
        module=Digest(bytes(32)),
        input=Digest(sha256(data)),
        module_size_bytes=1,
        input_size_bytes=len(data),
        gas_max=limits.gas_max,
        memory_bytes_max=limits.memory_bytes_max,
        wall_ms_max=limits.wall_ms_max,
        output_bytes_max=limits.output_bytes_max,
        assurance=Assurance.NONE,
        replicas=1,
        price_msat_per_mgas=1,
    )


def sealed(
    statement: bytes, number: int = 0, image: bytes = UNIVERSAL_IMAGE, version: int = VERSION
) -> bytes:
    """Give a file of one segment whose seal is a hash over what it states."""
    salt = number.to_bytes(WORD_BYTES, "little")
    words = bytes(POWER_AT * WORD_BYTES) + POWER.to_bytes(WORD_BYTES, "little") + salt
    words += _seal(statement)
    count = (1).to_bytes(WORD_BYTES, "big")
    size = (len(words) // WORD_BYTES).to_bytes(WORD_BYTES, "big")
    start = MAGIC + version.to_bytes(WORD_BYTES, "big") + image
    return start + statement + count + size + words


def _seal(statement: bytes) -> bytes:
    return tagged("tests/seal/1", statement)


class FakeVerifier:
    """Believes what the fake prover has sealed."""

    def __init__(self) -> None:
        self.works = True

    async def holds(self, proof: bytes, image: Digest) -> bool | None:
        """Tell whether the seal is over the statement."""
        await trio.lowlevel.checkpoint()
        if not self.works:
            return None
        told = read_proof(proof, int.from_bytes(proof[8:12], "big"))
        return told.image == image and proof.endswith(_seal(told.statement))


class RememberedPlaces:
    """Which proof was made for which assignment, in memory."""

    def __init__(self) -> None:
        self.kept: dict[Assignment, Digest] = {}

    def find(self, place: Assignment) -> Digest | None:
        """Give the proof of an assignment."""
        return self.kept.get(place)

    def keep(self, place: Assignment, proof: Digest) -> None:
        """Keep it."""
        self.kept[place] = proof
