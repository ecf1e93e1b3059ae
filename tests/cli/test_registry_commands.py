"""Published modules at the command line: names are exact, and mistakes cost nothing."""

import shutil
from pathlib import Path

import pytest

from ambientd.api.module_names import is_exact_module
from tests.cli.conftest import Ctl
from tests.modules import compiled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "is_exact"),
    [
        ("acme/sums@1.0.0", True),
        ("23f1/sums@1.0.0-rc.1", True),
        ("acme/sums", False),
        ("sums@1.0.0", False),
        ("./sums@1.0.0", False),
        ("../sums@1.0.0", False),
        ("build/out/sums@1.0.0", False),
        ("sums.wasm", False),
        ("build/sums@2.wasm", False),
        ("-", False),
    ],
)
def test_names_are_told_from_files(text: str, *, is_exact: bool) -> None:
    assert is_exact_module(text) == is_exact


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("show", "sums"), "PUBLISHER/NAME@VERSION"),
        (("pin", "acme/sums"), "names no version"),
        (("unpin", "acme/sums"), "names no version"),
        (("yank", "acme/sums", "--reason", "r", "--yes"), "names no version"),
        (("yank", "acme/sums@1.0.0"), "--reason"),
    ],
)
def test_a_name_that_is_none_is_said_in_one_line(
    ctl: Ctl, words: tuple[str, ...], problem: str
) -> None:
    code, out, err = ctl("module", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert problem in err


def test_a_name_without_a_version_is_a_pinned_modules_where_no_folder_is_of_that_name(
    ctl: Ctl, folder: Path
) -> None:
    code, _, err = ctl("run", "acme/sums", "--yes")
    assert (code, err.count("\n")) == (3, 1), "the node is asked what is pinned, and none runs"
    (folder / "acme").mkdir()
    code, _, err = ctl("run", "acme/sums", "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert "a published module is run by `ambientctl run PUBLISHER/NAME@VERSION`" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "sums@1.0.0"), ", and 'sums' lacks its PUBLISHER/"),
        (("run", "acme/sums@0.1"), ", and '0.1' is no version: write MAJOR.MINOR.PATCH"),
        (("module", "run", "acme/sums@1.0.0"), "is run by `ambientctl run PUBLISHER/NAME@VERSION`"),
        (("module", "check", "acme/sums"), "is run by `ambientctl run PUBLISHER/NAME@VERSION`"),
    ],
)
def test_a_published_modules_name_in_the_place_of_a_file_is_answered_with_what_runs_it(
    ctl: Ctl, folder: Path, words: tuple[str, ...], said: str
) -> None:
    code, out, err = ctl(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "published" not in ctl("module", "check", "lost.wasm")[2]


def test_what_cannot_be_published_is_said_before_a_node_is_asked(ctl: Ctl, folder: Path) -> None:
    (folder / "echo.wasm").write_bytes(compiled.module("echo"))
    call = ("module", "publish", "echo.wasm", "--sandbox", "best-effort", "--yes")
    assert "module.toml: cannot read" in ctl(*call)[2]
    assert "or name another with --manifest FILE\n" in ctl(*call)[2]
    (folder / "sh1").mkdir()
    (folder / "sh1" / "module.toml").touch()
    err = ctl("module", "publish", "sh1/echo.wasm", "--yes")[2]
    assert "or name another with --manifest sh1/module.toml\n" in err
    (folder / "module.toml").write_text("name = 'echo'\nlimit = 3\n")
    code, _, err = ctl(*call)
    assert (code, "module.toml: does not read" in err, err.count("\n")) == (2, True, 1)
    (folder / "module.toml").write_text("name = ")
    assert "module.toml: does not read" in ctl(*call)[2]


def test_the_template_can_be_published_once_a_licence_is_chosen(ctl: Ctl, folder: Path) -> None:
    assert ctl("module", "new", "shout", "--lang", "c")[0] == 0
    shutil.copy(folder / "shout" / "module.toml", folder)
    (folder / "bad.wasm").write_bytes(b"\0asm\1\0\0\0")
    code, _, err = ctl("module", "publish", "bad.wasm", "--sandbox", "best-effort", "--yes")
    assert (code, "nodes do not take it" in err) == (2, True)
    (folder / "echo.wasm").write_bytes(compiled.module("echo"))
    call = ("module", "publish", "echo.wasm", "--sandbox", "best-effort", "--yes")
    text = (folder / "module.toml").read_text()
    (folder / "mine.toml").write_text(text.replace("1_000_000_000", "-1"))
    code, _, err = ctl(*call, "--manifest", "mine.toml")
    assert (code, "mine.toml: does not fit: " in err, "gas_max" in err) == (2, True, True)
    code, _, err = ctl(*call)
    assert code == 3, "what is left is that no daemon runs here"
