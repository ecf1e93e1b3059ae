"""What takes minutes to compile is compiled once for the same sources, in however many clones."""

import sys
from pathlib import Path

import pytest

from scripts.kept import HASH, KEPT_MAX, main


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return enter(tmp_path / "clone", "one", monkeypatch)


def enter(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("source").write_text(source)
    return folder


def built(*more: str, code: int = 0) -> tuple[str, bool]:
    """Build; give what came, and whether anything was done for it."""
    Path("done").unlink(missing_ok=True)
    text = "import pathlib as p; p.Path('done').touch(); s = p.Path('source').read_text()"
    text += f"; p.Path('out/made').write_text(s.upper()); raise SystemExit({code})"
    assert main(["out", "source", "--", sys.executable, "-c", text, *more]) == code
    return Path("out/made").read_text(), Path("done").exists()


def test_another_clone_of_the_same_sources_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built() == ("ONE", True)
    assert built() == ("ONE", False)
    enter(tmp_path / "another", "one", monkeypatch)
    assert built() == ("ONE", False)


def test_a_byte_of_a_source_or_a_word_of_the_command_or_a_setting_makes_another_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert built() == ("ONE", True)
    Path("source").write_text("two")
    assert built() == ("TWO", True)
    assert built("--more") == ("TWO", True)
    monkeypatch.setenv("RUSTFLAGS", "-C target-cpu=native")
    assert built() == ("TWO", True)
    Path("source").write_text("one")
    monkeypatch.delenv("RUSTFLAGS")
    assert built() == ("ONE", False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CC", "cc -m64"), ("CXX", "c++ -m64"), ("CC_x86_64_unknown_linux_gnu", "clang")),
        *(("TARGET_CFLAGS", "-O0"), ("LDFLAGS", "-s"), ("CARGO_ENCODED_RUSTFLAGS", "-g")),
        *(("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"), ("CARGO_BUILD_RUSTFLAGS", "-g")),
        *(("RUSTC_WRAPPER", "true"), ("MATURIN_PEP517_ARGS", "--offline"), ("RUSTC", "rustc")),
    ],
)
def test_what_the_environment_says_to_a_compiler_makes_another_build(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    assert built() == ("ONE", True)
    monkeypatch.setenv(name, value)
    assert built() == ("ONE", True)
    monkeypatch.delenv(name)
    assert built() == ("ONE", False)


@pytest.mark.parametrize("name", ["CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "UNHEARD_OF"])
def test_where_a_build_lies_and_what_it_shows_makes_no_other_build(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert built() == ("ONE", True)
    monkeypatch.setenv(name, "elsewhere")
    assert built() == ("ONE", False)


def test_another_compiler_of_c_under_the_same_name_makes_another_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, "one"))
    assert built() == ("ONE", True)
    assert built() == ("ONE", False)
    compiler(tmp_path, "two")
    assert built() == ("ONE", True)


def compiler(folder: Path, version: str) -> str:
    """Put a program there that calls itself a version of a compiler; give its path."""
    path = folder / "some-cc"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o700)
    return str(path)


def test_another_configuration_of_cargo_makes_another_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    assert built() == ("ONE", True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[build]\nrustflags = ['-g']\n")
    assert built() == ("ONE", True)
    assert built() == ("ONE", False)


@pytest.mark.parametrize("damage", ["changed", "gone", "more", "executable", "no hash"])
def test_what_is_kept_is_built_again_where_it_is_not_what_was_kept(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert built() == ("ONE", True)
    [place] = (tmp_path / "cache/ambientd/built/out").iterdir()
    file = place / "out" / "made"
    match damage:
        case "changed":
            file.write_text("ONe")
        case "gone":
            file.unlink()
        case "more":
            (place / "out" / "other").touch()
        case "executable":
            file.chmod(0o700)
        case _:
            (place / HASH).unlink()
    assert built() == ("ONE", True)
    assert "not what was kept there" in capsys.readouterr().err
    assert built() == ("ONE", False)


def test_a_build_that_fails_is_not_kept() -> None:
    assert built(code=3) == ("ONE", True)
    assert built() == ("ONE", True)


def test_what_was_in_the_folder_before_is_not_taken_for_built() -> None:
    Path("out").mkdir()
    Path("out/old").touch()
    assert built() == ("ONE", True)
    assert not Path("out/old").exists()


def test_few_builds_of_a_name_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_MAX + 3):
        Path("source").write_text(f"{number}")
        assert built() == (f"{number}", True)
    assert len(list((tmp_path / "cache/ambientd/built/out").iterdir())) == KEPT_MAX
    assert built() == (f"{KEPT_MAX + 2}", False)
