"""A task is executed again here, for its log, and for whether the ledger has the same end."""

from pathlib import Path

import msgspec
import pytest

from ambientd.api.material_values import Material
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import ECHO, DeskNode
from tests.modules import compiled

pytestmark = pytest.mark.net


@pytest.fixture
def task(live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path) -> str:
    """Give a final task whose module says "hi" on the way, with the end that it has here."""
    (tmp_path / "m.wasm").write_bytes(ECHO)
    name = ctl("run", tmp_path / "m.wasm", "--no-wait")[1].strip()
    node.material = Material(
        task_id=name,
        module=compiled.module("wasi"),
        input=b"",
        seed=bytes(32),
        gas_max=10**9,
        memory_bytes_max=1 << 26,
        wall_ms_max=30_000,
        output_bytes_max=1 << 20,
    )
    here = msgspec.json.decode(ctl("task", "logs", name, "--json")[1])
    shown, data = node.tasks[name]
    kept = {key: here[key] for key in ("outcome", "gas", "output_sha256")}
    node.tasks[name] = (msgspec.structs.replace(shown, **kept), data)
    return name


def test_a_log_is_printed_and_where_it_comes_from_is_told(ctl: Ctl, task: str) -> None:
    code, out, err = ctl("task", "logs", task[:8])
    assert (code, out) == (0, "hi\n")
    assert err.startswith("executed again here on wasmtime: completed, ")
    assert err.endswith(" gas, as the ledger has it\n")
    told = msgspec.json.decode(ctl("task", "logs", task, "--json")[1])
    assert (told["log"], told["agrees"], told["task_id"]) == ("hi", True, task)


def test_another_end_than_the_ledger_has_is_told_and_ends_with_four(
    ctl: Ctl, task: str, node: DeskNode
) -> None:
    shown, data = node.tasks[task]
    node.tasks[task] = (msgspec.structs.replace(shown, gas=5), data)
    code, out, err = ctl("task", "logs", task, "--quiet")
    assert (code, out) == (4, "hi\n")
    assert "the ledger has completed, 5 gas" in err


def test_outcomes_that_a_worker_made_up_are_another_end_than_the_one_here(
    ctl: Ctl, task: str, node: DeskNode
) -> None:
    shown, _ = node.tasks[task]
    node.tasks[task] = (msgspec.structs.replace(shown, items=3), b"no outcomes")
    code, out, err = ctl("task", "logs", task, "--item", "2", "--quiet")
    assert (code, out) == (4, "hi\n")
    assert "the ledger has completed" in err


def test_a_task_that_has_not_ended_has_a_log_and_nothing_to_compare(
    ctl: Ctl, task: str, node: DeskNode
) -> None:
    shown, data = node.tasks[task]
    node.tasks[task] = (msgspec.structs.replace(shown, state="assigned"), data)
    code, out, err = ctl("task", "logs", task)
    assert (code, out) == (0, "hi\n")
    assert "which the ledger has not yet" in err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": "cancelled", "outcome": "none"}, "the task was cancelled"),
        ({"state": "expired", "outcome": "none"}, "the task was expired"),
        ({"outcome": "none", "verdict": "inconclusive"}, "the task is without an answer"),
    ],
)
def test_the_log_of_a_task_that_will_have_no_answer_says_that_nothing_confirms_it(
    ctl: Ctl, task: str, node: DeskNode, changed: dict[str, str], words: str
) -> None:
    shown, data = node.tasks[task]
    node.tasks[task] = (msgspec.structs.replace(shown, **changed), data)
    code, out, err = ctl("task", "logs", task)
    assert (code, out) == (0, "hi\n")
    assert f"which nothing confirms: {words}, and the ledger will never have one" in err


def test_a_log_of_nothing_says_so(ctl: Ctl, task: str, node: DeskNode) -> None:
    node.material = msgspec.structs.replace(node.material, module=compiled.module("echo"))
    assert "the module wrote nothing" in ctl("task", "logs", task)[2]


def test_an_execution_that_does_not_end_here_is_no_verdict(
    ctl: Ctl, task: str, node: DeskNode
) -> None:
    node.material = msgspec.structs.replace(
        node.material, module=compiled.module("loop"), wall_ms_max=100, gas_max=10**15
    )
    code, out, err = ctl("task", "logs", task)
    assert (code, out) == (1, "")
    assert "the execution here did not end" in err
