"""What a person writes about a study is read whole, and what is wrong with it is named."""

from pathlib import Path

import pytest

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.learning_commands import read_study
from ambientd.cli.main import main
from ambientd.errors import UsageError


def test_a_study_needs_a_name_and_a_model_and_has_defaults_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('name = "digits"\nmodel = "mlp:64,32,10"\nrate = 0.5\n')
    found = read_study(str(path))
    assert (found.name, found.model, found.rate) == ("digits", "mlp:64,32,10", 0.5)
    assert (found.rounds, found.aggregation) == (10, "fedavg")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "digits"\n', "model"),
        ('name = "a"\nmodel = "b"\nrounds = 0\n', "rounds"),
        ('name = "a"\nmodel = "b"\npoisoned = 0.9\n', "poisoned"),
        ('name = "a"\nmodel = "b"\nrunds = 3\n', "runds"),
        ("name = \n", "line 1"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"study.toml: .*{said}"):
        read_study(str(path))


def test_a_module_is_read_from_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "train.wasm").write_bytes(b"module")
    path = tmp_path / "study.toml"
    path.write_text('name = "a"\nmodel = "mlp:4,3,2"\nmodule = "train.wasm"\naudits = 2\n')
    found = read_study(str(path))
    assert (found.module, found.audits) == (b"module", 2)
    (tmp_path / "train.wasm").unlink()
    with pytest.raises(UsageError, match="train"):
        read_study(str(path))


def test_a_receipt_replaces_no_file_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "kept.round"
    there.write_bytes(b"kept")
    arguments = ["--data-dir", str(tmp_path), "fl", "receipt", "abcd1234", "1", "--out", str(there)]
    assert main(arguments) == ExitCode.USAGE
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == ExitCode.UNREACHABLE, "now it asks the daemon"
    assert there.read_bytes() == b"kept"
