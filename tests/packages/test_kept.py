"""What takes minutes to compile is compiled once for the same sources, in however many clones."""

import sys
from pathlib import Path

import pytest

from scripts.kept import KEPT_MAX, main


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
