"""What a proof of a step may state, and what no execution comes to (protocols/18 §10)."""

from pathlib import Path

import pytest

from ambientd.codec.statements import end_point
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.dispute import TracePoint
from ambientd.model.task import Result
from ambientd.rules.proofs import read_proof
from ambientd.rules.steps import STEP_VERSION, decode_step, read_step

VECTORS = Path(__file__).parents[2] / "protocols" / "vectors"
PROOF = (VECTORS / "step.proof").read_bytes()
ENDED = read_proof(PROOF, STEP_VERSION).statement
ROOT, NOTHING, PREPARED = b"\x07" * 32, bytes(32), Digest(b"\x05" * 32)


def stated(statement: bytes, **changes: bytes) -> bytes:
    """Change fields of a statement by their names in the protocol."""
    sizes = {
        "start": 32, "end": 32, "output": 32, "ended": 4, "outcome": 4, "reason": 4,
        "output_size": 4, "start_gas": 8, "until_gas": 8, "gas": 8, "gas_max": 8,
    }  # fmt: skip
    made, at = bytearray(statement), 0
    for name, size in sizes.items():
        if name in changes:
            made[at : at + size] = changes[name]
        at += size
    assert at == len(statement)
    return bytes(made)


def number(value: int, size_bytes: int = 4) -> bytes:
    return value.to_bytes(size_bytes, "big")


PAUSED = stated(ENDED, end=ROOT, ended=number(0), output_size=number(0), until_gas=number(390, 8))


def test_an_end_is_the_results_with_the_prepared_module_that_is_asked_about() -> None:
    step = read_step(PROOF)
    result = Result(
        kind=0,
        reason="",
        output=step.output,
        output_size_bytes=4,
        gas=398,
        prepared=PREPARED,
        rewriter_version=3,
    )
    assert step.end(PREPARED, 3) == end_point(result)
    assert step.end(PREPARED, 3) != step.end(PREPARED, 4)


def test_a_pause_is_its_root_whatever_module_is_asked_about() -> None:
    assert decode_step(PAUSED).end(PREPARED, 9) == TracePoint(gas_index=398, root=ROOT)


def test_a_trap_has_its_reason_in_words() -> None:
    step = decode_step(stated(ENDED, outcome=number(1), reason=number(6)))
    assert step.reason == "integer_divide_by_zero"


@pytest.mark.parametrize(
    "statement",
    [
        stated(ENDED, ended=number(2)),
        stated(ENDED, ended=number(0)),
        stated(ENDED, end=ROOT),
        stated(ENDED, outcome=number(3)),
        stated(ENDED, outcome=number(1)),
        stated(ENDED, reason=number(1)),
        stated(ENDED, outcome=number(1), reason=number(14)),
        stated(ENDED, gas=number(10_000_001, 8)),
        stated(ENDED, gas=number(161, 8)),
        stated(PAUSED, end=NOTHING),
        stated(PAUSED, ended=number(1)),
        stated(PAUSED, outcome=number(2)),
        stated(PAUSED, output_size=number(1)),
        stated(PAUSED, until_gas=number(399, 8)),
        stated(ENDED, until_gas=number(162, 8)),
        stated(PAUSED, until_gas=number(0, 8)),
    ],
)
def test_what_no_execution_comes_to_is_refused(statement: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="no execution takes"):
        decode_step(statement)


def test_a_proof_of_another_image_or_kind_is_none_of_a_step() -> None:
    with pytest.raises(RemoteProtocolError, match="another image"):
        read_step(PROOF[:12] + bytes(32) + PROOF[44:])
    with pytest.raises(RemoteProtocolError, match="version 2"):
        read_step((VECTORS / "execution.proof").read_bytes())
    with pytest.raises(RemoteProtocolError, match="version 1"):
        read_proof(PROOF)
