"""Whether a proof is about a task's execution: its file and statement (protocols/18 §2, §5, §9).

That its seals hold is for the program `ambient-verify` to say; nothing here does.
"""

from dataclasses import dataclass

from ambientd.codec.digest import sha256, tagged
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, Digest
from ambientd.model.execution import OutcomeKind, TrapReason
from ambientd.model.proof import STEP_SEGMENTS_MAX
from ambientd.model.task import Result, TaskSpec

UNIVERSAL_IMAGE = Digest(
    bytes.fromhex("b889664c6e55731d6f8cad33964c6e4f32c14b5a22ed0732eafd532503ad533f")
)
"""The one image that every module is interpreted by (18 §8)."""

MAGIC = b"AMBPROOF"
VERSION = 1
STATEMENT_BYTES = 144
SEGMENTS_MAX = 64
SEAL_WORDS_MAX = 1 << 17
WORD_BYTES = 4
HEADER_BYTES = len(MAGIC) + WORD_BYTES + DIGEST_BYTES + STATEMENT_BYTES + WORD_BYTES
PROOF_BYTES_MAX = HEADER_BYTES + SEGMENTS_MAX * WORD_BYTES * (1 + SEAL_WORDS_MAX)
STEP_PROOF_BYTES_MAX = HEADER_BYTES + STEP_SEGMENTS_MAX * WORD_BYTES * (1 + SEAL_WORDS_MAX)
"""What members fetch as the proof of a disputed stretch, at most."""

POWER_AT = 91
"""The word of a seal that says how many cycles: behind its version and 90 public values."""

POWERS = range(13, 21)
DETAIL_DIGITS_MAX = 10
PROVEN_KINDS = (OutcomeKind.COMPLETED, OutcomeKind.TRAPPED, OutcomeKind.OUT_OF_GAS)
_REASONS = {reason.value: number for number, reason in enumerate(TrapReason, 1)}


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof as it lies in its file, not believed yet; `powers` are of each segment's cycles."""

    image: Digest
    statement: bytes
    powers: tuple[int, ...]

    @property
    def cycles(self) -> int:
        """Give the padded cycles that are proven."""
        return sum(1 << power for power in self.powers)


def read_proof(data: bytes, version: int = VERSION) -> ProofFile:
    """Read a proof file; raise RemoteProtocolError unless it is exactly one, of this version."""
    start = MAGIC + version.to_bytes(WORD_BYTES, "big")
    if not HEADER_BYTES <= len(data) <= PROOF_BYTES_MAX or not data.startswith(start):
        msg = f"it is no proof of version {version}"
        raise RemoteProtocolError(msg)
    place = len(start)
    image, place = Digest(data[place : place + DIGEST_BYTES]), place + DIGEST_BYTES
    statement, place = data[place : place + STATEMENT_BYTES], place + STATEMENT_BYTES
    count, place = int.from_bytes(data[place : place + WORD_BYTES], "big"), place + WORD_BYTES
    if not 1 <= count <= SEGMENTS_MAX:
        msg = f"it has {count} segments, 1 to {SEGMENTS_MAX} are possible"
        raise RemoteProtocolError(msg)
    powers = []
    for _ in range(count):
        words = int.from_bytes(data[place : place + WORD_BYTES], "big")
        begin, place = place + WORD_BYTES, place + WORD_BYTES * (1 + words)
        if not POWER_AT < words <= SEAL_WORDS_MAX or place > len(data):
            msg = "a segment's seal is too short or too long"
            raise RemoteProtocolError(msg)
        at = begin + POWER_AT * WORD_BYTES
        powers.append(int.from_bytes(data[at : at + WORD_BYTES], "little"))
    if place != len(data) or not set(powers) <= set(POWERS):
        msg = "something follows its last segment, or a segment has impossible cycles"
        raise RemoteProtocolError(msg)
    return ProofFile(image=image, statement=statement, powers=tuple(powers))


def _told(result: Result) -> tuple[int, int] | None:
    """Give a result's reason and detail as numbers; None where an engine gives no such reason."""
    if result.kind != OutcomeKind.TRAPPED:
        return None if result.reason else (0, 0)
    name, _, digits = result.reason.partition(":")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= DETAIL_DIGITS_MAX
    detail = int(digits) if is_number else 0
    # Said in one way only: what is settled as proven has no word in it that was not.
    said = f"{name}:{detail}" if name == TrapReason.EXIT_CODE else name
    if name not in _REASONS or said != result.reason or detail >= 1 << 32:
        return None
    return _REASONS[name], detail


def statement_of(spec: TaskSpec, result: Result, prepared: bytes) -> bytes | None:
    """Give what a proof of this result states; None for an outcome that is never proven.

    `prepared` is the prepared module, which the universal image names by a hash of its own.
    """
    return _statement(tagged("ambient/prepared/1", prepared), spec, result)


def own_statement_of(spec: TaskSpec, result: Result) -> bytes | None:
    """Give the same of a proof by the module's own image, which names the submitted module."""
    return _statement(spec.module, spec, result)


def _statement(module: bytes, spec: TaskSpec, result: Result) -> bytes | None:
    is_plain = isinstance(result.output_size_bytes, int)
    told = _told(result)
    if result.kind not in PROVEN_KINDS or not is_plain or told is None:
        return None
    reason, detail = told
    numbers = (
        (0, 4),
        (int(result.kind), 4),
        (reason, 4),
        (detail, 4),
        (spec.gas_max, 8),
        (result.gas, 8),
        (spec.memory_bytes_max, 8),
        (spec.output_bytes_max, 8),
    )
    named = module, spec.input, result.output
    return b"".join((*named, *(number.to_bytes(size, "big") for number, size in numbers)))


def image_fault(image: Digest, own_image: Digest | None) -> str | None:
    """Say why a proof by an image tells nothing of a module, or None.

    `own_image` is what the module becomes by the word of members. One that a prover alone
    calls the module's is its maker's, and states what that one likes.
    """
    if image in (UNIVERSAL_IMAGE, own_image):
        return None
    other = "" if own_image is None else f", nor {own_image.hex()}, which the module becomes"
    return f"it is a proof of the image {image.hex()}, which is not the universal one{other}"


def proof_fault(
    proof: ProofFile,
    spec: TaskSpec,
    result: Result,
    prepared: bytes | None = None,
    own_image: Digest | None = None,
) -> str | None:
    """Say why a proof is not of this result, or None; without the module all but its name.

    A proof by the module's own image names the module itself: there nothing is left open.
    """
    fault = image_fault(proof.image, own_image)
    if fault is not None:
        return fault
    if proof.image == UNIVERSAL_IMAGE:
        expected = statement_of(spec, result, prepared or b"")
        start = 0 if prepared is not None else DIGEST_BYTES
    else:
        expected, start = own_statement_of(spec, result), 0
    if expected is None:
        return "such an outcome is never proven"
    if prepared is not None and sha256(prepared) != result.prepared:
        return "the result is of another prepared module"
    if (result.output_size_bytes == 0) != (result.output == sha256(b"")):
        return "the result's output has another size than it says"
    if proof.statement[start:] != expected[start:]:
        return "it proves another statement than the receipt makes"
    return None
