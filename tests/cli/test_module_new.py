"""ambientctl module new: what it writes builds, and gives the output that its test expects."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ctl
from tests.missing import missing

ROOT = Path(__file__).parents[2]
COMPILERS = {"assemblyscript": "asc", "c": "wasm-ld", "go": "go", "rust": "cargo"}
ASC = ROOT / "tests/programs/as/node_modules/.bin"
"""Where `npm ci` puts the compiler of this repository's own programs."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiler(language: str) -> str:
    """Find what a language is compiled with; where all programs must be there, its lack fails."""
    found = shutil.which(COMPILERS[language], path=f"{ASC}{os.pathsep}{os.environ['PATH']}")
    # rustup's cargo is there without a toolchain, too, and then compiles nothing.
    works = found and (language != "rust" or build(Path(), found, "--version").returncode == 0)
    if found is None or not works:
        missing(f"{COMPILERS[language]} is missing")
    return found


def settings(language: str) -> list[str]:
    """Give what to tell `make`: for C, where clang has no wasm-ld, the compiler in ziglang."""
    if language != "c" or shutil.which("wasm-ld"):
        compiler(language)
        return []
    if importlib.util.find_spec("ziglang") is None:
        missing("wasm-ld is missing, and ziglang as well: make .venv/.wasm")
    return ["CC=python3 -m ziglang cc"]


def made(ctl: Ctl, language: str) -> Path:
    code, out, _ = ctl("module", "new", "shout", "--lang", language)
    assert (code, "make test" in out) == (0, True)
    return Path("shout")


def build(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.parametrize("language", COMPILERS)
def test_a_compiler_that_is_not_there_is_told_with_where_it_comes_from(
    ctl: Ctl, folder: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    code, out, err = ctl("module", "new", "shout", "--lang", language)
    assert (code, "next: cd shout && make test" in out) == (0, True)
    assert "is not on this machine's search path: install " in err


@pytest.mark.slow
# Go's runtime takes long to prepare, and the tutorial's block has it done once with each change.
@pytest.mark.parametrize("language", ["c", pytest.param("go", marks=pytest.mark.hunt)])
def test_a_new_module_builds_and_its_own_test_passes_on_a_real_engine(
    ctl: Ctl, folder: Path, language: str
) -> None:
    told = settings(language)
    done = build(made(ctl, language), "make", *told, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shout.wasm: accepted" in done.stdout
    (folder / "shout" / "tests" / "hello.output").write_text("something else\n")
    assert build(folder / "shout", "make", *told, "test").returncode != 0


@pytest.mark.slow
def test_a_new_module_in_assemblyscript_builds_and_its_own_test_passes(
    ctl: Ctl, folder: Path
) -> None:
    asc = compiler("assemblyscript")
    new = made(ctl, "assemblyscript")
    done = build(folder / new, "make", "test", f"ASC={asc}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shout.wasm: accepted" in done.stdout


@pytest.mark.slow
def test_a_new_rust_module_is_a_program_that_turns_its_input_upper_case(
    ctl: Ctl, folder: Path
) -> None:
    assert folder.is_dir()
    cargo = compiler("rust")
    new = made(ctl, "rust")
    built = build(new, cargo, "build", "--quiet", "--offline", "--target-dir", "here")
    assert built.returncode == 0, built.stderr
    said = (new / "tests" / "hello.input").read_bytes()
    answer = subprocess.run(["here/debug/shout"], cwd=new, input=said, capture_output=True)
    assert answer.stdout == (new / "tests" / "hello.output").read_bytes()


def test_nothing_that_is_there_is_touched(ctl: Ctl, folder: Path) -> None:
    (folder / "shout").mkdir()
    code, _, err = ctl("module", "new", "shout", "--lang", "c")
    assert (code, "shout is there already" in err) == (2, True)
    assert list((folder / "shout").iterdir()) == []


@pytest.mark.parametrize("name", ["Shout", "1st", "a b", "..", "naïve", "x" * 64])
def test_a_name_that_compilers_would_refuse_is_refused_first(
    ctl: Ctl, folder: Path, name: str
) -> None:
    before = sorted(folder.iterdir())
    code, _, err = ctl("module", "new", name, "--lang", "go")
    assert (code, "cannot name a module" in err) == (2, True)
    assert sorted(folder.iterdir()) == before


def test_the_header_for_c_is_the_one_of_the_examples() -> None:
    template = ROOT / "src/ambientd/cli/templates/c/ambient.h"
    assert template.read_bytes() == (ROOT / "examples/ambient.h").read_bytes()
