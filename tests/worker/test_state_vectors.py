"""The vectors of protocols/08: the same pausable bytes, states and roots, on every engine."""

import json

import pytest

from ambientd.codec.digest import sha256
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits
from ambientd.wasm.pausing import PAUSER_VERSION, Refused, make_pausable
from ambientd.wasm.state import STATE_VERSION, decode_partial
from tests.engines import engines
from tests.worker.make_state_vectors import PATH, partial_states, states
from tests.worker.test_pausing import made

VECTORS = json.loads(PATH.read_text("utf-8"))


def test_the_vectors_are_of_these_versions() -> None:
    assert (VECTORS["pauser_version"], VECTORS["state_version"]) == (PAUSER_VERSION, STATE_VERSION)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("vector", VECTORS["pausable"], ids=lambda vector: vector["name"])
def test_an_execution_has_the_same_states(engine: str, vector: dict[str, object]) -> None:
    source = bytes.fromhex(str(vector["module"]))
    assert sha256(made(source).module).hex() == vector["pausable_sha256"]
    gas_max, pages = vector["gas_max"], vector["memory_pages_max"]
    assert isinstance(gas_max, int)
    assert isinstance(pages, int)
    limits = ExecutionLimits(gas_max=gas_max, memory_bytes_max=pages * PAGE_BYTES)
    found = states(source, bytes.fromhex(str(vector["input"])), limits, engine)
    assert found == {key: vector[key] for key in found}


def test_what_stands_for_pages_that_are_left_out_is_the_same() -> None:
    found = partial_states()
    assert found == VECTORS["partial"]
    state = decode_partial(bytes.fromhex(str(found["state"])))
    assert state.root().hex() == found["root"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["reason_contains"])
def test_a_module_is_refused_for_the_same_reason(vector: dict[str, str]) -> None:
    outcome = make_pausable(bytes.fromhex(vector["module"]))
    assert isinstance(outcome, Refused)
    assert vector["reason_contains"] in outcome.reason
