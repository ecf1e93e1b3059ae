"""Past finds and interesting modules: engines give what is written down, and always agree."""

import random

import pytest

from ambientd.adapters.engines import installed, open_engine
from ambientd.model.execution import ExecutionResult
from ambientd.wasm.prepare import Prepared, prepare
from tests.fuzz.differential import Comparison, Tally, observed, run
from tests.fuzz.finds import Kept, expected, load
from tests.fuzz.operations import OPERATIONS
from tests.fuzz.programs import WideProgram

PROGRAMS = 40


@pytest.mark.parametrize("kept", load(), ids=lambda kept: kept.name)
def test_every_engine_gives_what_the_corpus_says(kept: Kept) -> None:
    prepared = prepare(kept.module)
    assert isinstance(prepared, Prepared), prepared
    engines = [open_engine(name) for name in installed()]
    compiled = {engine.name: engine.compile(prepared.module) for engine in engines}
    for trial, known in kept.trials:
        seen = {}
        for name, module in compiled.items():
            result = run(module, trial)
            assert isinstance(result, ExecutionResult), (name, result)
            seen[name] = observed(result)
        assert len(set(seen.values())) == 1, seen
        assert known is None or expected(next(iter(seen.values()))) == known


def test_the_corpus_says_how_every_find_ends() -> None:
    for kept in load():
        assert kept.trials, kept.name
        assert all(known is not None for _, known in kept.trials), kept.name


def test_engines_agree_on_a_few_new_programs() -> None:
    comparison = Comparison([open_engine(name) for name in installed()])
    tally = Tally()
    for seed in range(PROGRAMS):
        comparison.examine(WideProgram(seed).binary(), "program", random.Random(seed), tally)
    assert tally.finds == []
    assert tally.counts["refused program"] == tally.counts["invalid program"] == 0
    assert tally.counts["executions"] > 4 * PROGRAMS


def test_random_programs_use_every_instruction_on_values() -> None:
    text = " ".join(WideProgram(seed).text() for seed in range(600))
    words = set(text.replace("(", " ").split())
    assert sorted(set(OPERATIONS) - words) == []


def test_a_seed_makes_one_program() -> None:
    assert WideProgram(7).binary() == WideProgram(7).binary() != WideProgram(8).binary()
