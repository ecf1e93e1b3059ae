"""protocols/vectors/modules.json holds for this implementation."""

import json

import pytest

from ambientd.codec.digest import sha256
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, Refused, prepare
from tests.wasm.make_vectors import DEPTH_MAX, PATH, execute

VECTORS = json.loads(PATH.read_text())


def test_the_vectors_are_of_this_rewriter() -> None:
    assert VECTORS["rewriter_version"] == REWRITER_VERSION
    assert VECTORS["document"] == "protocols/04-modules.md"


@pytest.mark.parametrize("vector", VECTORS["prepared"], ids=lambda vector: vector["name"])
def test_a_module_is_prepared_to_the_same_bytes_and_gas(vector: dict[str, object]) -> None:
    outcome = prepare(bytes.fromhex(str(vector["module"])))
    assert isinstance(outcome, Prepared)
    assert sha256(outcome.module).hex() == vector["prepared_sha256"]
    assert outcome.interface.value == vector["interface"]
    assert list(outcome.imports) == vector["imports"]
    calls = vector["calls"]
    assert isinstance(calls, list)
    for call in calls:
        assert execute(outcome.module, call["export"], call["arguments"], DEPTH_MAX) == call


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_a_module_is_refused_for_the_same_reason(vector: dict[str, str]) -> None:
    outcome = prepare(bytes.fromhex(vector["module"]))
    assert isinstance(outcome, Refused)
    assert vector["reason_contains"] in outcome.reason
