"""`receipt replay` says whose mark was false, and by its status that one was."""

from pathlib import Path

from ambientd.codec.digest import sha256
from ambientd.model.dispute import TracePoint
from tests.api.test_mark_replay import receipt, truth
from tests.cli.conftest import Ctl
from tests.rules.blames import DATA, SUM


def test_a_true_chain_of_marks_holds_and_a_false_mark_is_its_makers(
    ctl: Ctl, tmp_path: Path
) -> None:
    (tmp_path / "m.wasm").write_bytes(SUM)
    (tmp_path / "input").write_bytes(DATA)
    given = ("--module", tmp_path / "m.wasm", "--input", tmp_path / "input")
    first, second = truth()[0]
    false = TracePoint(first.gas_index, sha256(b"made up"))
    for points, status, says in (
        ((first, second), 0, "ok    mark 1"),
        ((false, second), 4, "its word was false"),
    ):
        (tmp_path / "a.receipt").write_bytes(receipt(*points))
        code, out, err = ctl("receipt", "replay", tmp_path / "a.receipt", *given)
        assert (code, says in out) == (status, True), out + err


def test_what_a_receipt_is_executed_again_with_must_be_named(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "a.receipt").write_bytes(receipt())
    code, _, err = ctl("receipt", "replay", tmp_path / "a.receipt")
    assert code == 2
    assert "--module" in err
