"""Where a proven step of an execution leads: its file and statement (protocols/18 §10).

That its seals hold is for the program `ambient-verify` to say; nothing here does.
"""

from dataclasses import dataclass, replace

from ambientd.codec.statements import end_point
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, Digest
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import OutcomeKind, TrapReason
from ambientd.model.task import Result
from ambientd.rules.proofs import PROVEN_KINDS, read_proof

STEP_IMAGE = Digest(
    bytes.fromhex("cf352b6cce4e346e546dc41b04ade85809b59c357a0bd2621fca124d5dfdfb71")
)
"""The one image that goes on from a state of any pausable module."""

STEP_VERSION = 2
_REASONS = ("", *(reason.value for reason in TrapReason))


@dataclass(frozen=True, slots=True)
class ProvenStep:
    """What a proof of a step states, once its seals hold: from `start`, it stood there."""

    start: TracePoint
    until_gas: int
    paused: TracePoint | None
    """The checkpoint it came to; None where the execution is over by then."""

    outcome: int
    reason: str
    output: Digest
    output_size_bytes: int
    gas: int
    powers: tuple[int, ...] = ()
    """Of the cycles of each segment of the proof, as powers of two; none for a bare statement."""

    @property
    def segments(self) -> int:
        """Give how many segments a verifier has to look at."""
        return len(self.powers)

    @property
    def cycles(self) -> int:
        """Give the padded cycles that are proven."""
        return sum(1 << power for power in self.powers)

    def end(self, prepared: Digest, rewriter_version: int) -> TracePoint:
        """Give where it stood; an end is the result's, which names its prepared module."""
        if self.paused is not None:
            return self.paused
        result = Result(
            kind=self.outcome,
            reason=self.reason,
            output=self.output,
            output_size_bytes=self.output_size_bytes,
            gas=self.gas,
            prepared=prepared,
            rewriter_version=rewriter_version,
        )
        return end_point(result)


def decode_step(statement: bytes) -> ProvenStep:
    """Read a statement; raise RemoteProtocolError unless it can come from an execution."""
    digests = [statement[at : at + DIGEST_BYTES] for at in range(0, 3 * DIGEST_BYTES, DIGEST_BYTES)]
    ended, outcome, reason, size_bytes = (_number(statement, at, 4) for at in range(96, 112, 4))
    start_gas, until_gas, gas, gas_max = (_number(statement, at, 8) for at in range(112, 144, 8))
    is_trap = outcome == OutcomeKind.TRAPPED
    is_paused_well = ended == 1 or (outcome, reason, size_bytes) == (0, 0, 0)
    if (
        ended > 1
        or outcome not in PROVEN_KINDS
        or reason >= len(_REASONS)
        or is_trap != (reason != 0)
        or bool(ended) != (digests[1] == bytes(DIGEST_BYTES))
        or not is_paused_well
        or until_gas <= start_gas
        or not start_gas <= gas <= gas_max
        or (not ended and gas < until_gas)
    ):
        msg = "it states a step that no execution takes"
        raise RemoteProtocolError(msg)
    return ProvenStep(
        start=TracePoint(gas_index=start_gas, root=digests[0]),
        until_gas=until_gas,
        paused=None if ended else TracePoint(gas_index=gas, root=digests[1]),
        outcome=outcome,
        reason=_REASONS[reason],
        output=Digest(digests[2]),
        output_size_bytes=size_bytes,
        gas=gas,
    )


def read_step(data: bytes) -> ProvenStep:
    """Read a proof's file; raise RemoteProtocolError unless it is one of a step by the image."""
    file = read_proof(data, STEP_VERSION)
    if file.image != STEP_IMAGE:
        msg = "it is a proof of another image than that of steps"
        raise RemoteProtocolError(msg)
    return replace(decode_step(file.statement), powers=file.powers)


def _number(data: bytes, at: int, size_bytes: int) -> int:
    return int.from_bytes(data[at : at + size_bytes], "big")
