"""The hostile and the plain modules of this folder, assembled."""

from functools import cache
from pathlib import Path

import wasmtime

from ambientd.wasm.prepare import Prepared, prepare


@cache
def module(name: str) -> bytes:
    """Assemble one of the sources; types are not checked, so an ill-typed one comes through."""
    return bytes(wasmtime.wat2wasm((Path(__file__).parent / f"{name}.wat").read_text("utf-8")))


@cache
def prepared(name: str) -> bytes:
    outcome = prepare(module(name))
    assert isinstance(outcome, Prepared), outcome
    return outcome.module
