"""protocols/vectors/host.json holds on every engine here."""

import json
from functools import cache
from typing import Any

import pytest

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256
from ambientd.ports.engine import Engine
from ambientd.wasm.host_crypto import CRYPTO_SERVED
from ambientd.wasm.host_wasi import WASI_SERVED
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from tests.engines import engines
from tests.wasm.make_host_vectors import PATH, Run, described, outcome_of, runs
from tests.wasm.signatures import cases

VECTORS = json.loads(PATH.read_text())
MODULES = {name: bytes.fromhex(text) for name, text in VECTORS["modules"].items()}


@cache
def opened(name: str) -> Engine:
    return open_engine(name)


@cache
def prepared(name: str) -> Prepared:
    outcome = prepare(MODULES[name])
    assert isinstance(outcome, Prepared)
    return outcome


def run_of(vector: dict[str, Any]) -> Run:
    return Run(
        name=vector["name"],
        module=MODULES[vector["module"]],
        data=bytes.fromhex(vector["input"]),
        seed=bytes.fromhex(vector["seed"]),
        gas_max=vector["gas_max"],
        output_bytes_max=vector["output_bytes_max"],
        memory_bytes_max=vector["memory_bytes_max"],
    )


def test_the_vectors_are_of_this_rewriter_and_of_these_runs() -> None:
    assert VECTORS["rewriter_version"] == REWRITER_VERSION
    assert [run_of(vector) for vector in VECTORS["executions"]] == runs()
    assert all(sha256(module).hex() == name for name, module in MODULES.items())


def test_every_served_function_is_called_by_some_vector() -> None:
    called = {name for digest in MODULES for name in prepared(digest).imports}
    assert called >= set(WASI_SERVED) | set(CRYPTO_SERVED)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("vector", VECTORS["executions"], ids=lambda vector: vector["name"])
def test_an_execution_ends_alike_on_every_engine(vector: dict[str, Any], engine: str) -> None:
    run = run_of(vector)
    module = prepared(vector["module"]).module
    result = outcome_of(opened(engine), module, run)
    assert described(run, result) == vector


@pytest.mark.parametrize("vector", VECTORS["executions"], ids=lambda vector: vector["name"])
def test_its_gas_is_exactly_what_it_takes(vector: dict[str, Any]) -> None:
    if vector["outcome"] != "completed":
        return
    module = prepared(vector["module"]).module
    for gas_max, outcome in ((vector["gas"], "completed"), (vector["gas"] - 1, "out_of_gas")):
        run = run_of({**vector, "gas_max": gas_max})
        result = outcome_of(opened("wasmtime"), module, run)
        assert (result.kind.name.lower(), result.gas) == (outcome, gas_max)


def test_signatures_hold_where_the_equation_and_the_forms_do() -> None:
    answers = {
        vector["name"]: vector["output_start"] == "01000000"
        for vector in VECTORS["executions"]
        if vector["name"].startswith("ed25519: ")
    }
    assert answers == {f"ed25519: {name}": holds for name, *_, holds in cases()}
    assert len(answers) == len(cases())
