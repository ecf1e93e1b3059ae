"""The audit of dependencies: what could not be asked about was not audited, and fails it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.audit import ROOT, asked, lists, question
from tests.missing import missing

TOOLS = ROOT / ".venv" / "tools" / "bin"
PROGRAMS = ("pip-audit", "cargo-audit", "npm")
# Files by which a package manager may pin what it brings, whatever their folder.
PINNING = re.compile(
    r"(?:Cargo|poetry|uv|pdm|Gemfile|composer|yarn|bun)\.lock|(?:package-lock|npm-shrinkwrap)\.json"
    r"|pnpm-lock\.yaml|requirements.*\.txt|pylock.*\.toml"
)


def tracked() -> list[Path]:
    told = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(line) for line in told.stdout.splitlines()]


def test_every_file_that_pins_packages_is_asked_about() -> None:
    pinning = {
        str(path)
        for path in tracked()
        if PINNING.fullmatch(path.name)
        or (path.parent.name == "requirements" and "--hash=" in (ROOT / path).read_text())
    }
    assert pinning == set(lists())
    assert {"requirements/runtime.txt", "native/engines/Cargo.lock"} <= pinning


def test_a_crate_that_we_mend_is_asked_about_as_it_was_published() -> None:
    """Nobody is asked about a crate that comes from a folder."""
    locks = [path for path in tracked() if path.name == "Cargo.lock"]
    packages = [
        package
        for path in locks
        for package in tomllib.loads((ROOT / path).read_text("utf-8"))["package"]
    ]
    published = {(each["name"], each["version"]) for each in packages if "source" in each}
    ours = {
        tomllib.loads((ROOT / path).read_text("utf-8"))["package"]["name"]
        for path in tracked()
        if path.name == "Cargo.toml"
    }
    local = {(each["name"], each["version"]) for each in packages if "source" not in each}
    assert {name for name, _ in local} - ours, "some are mended copies"
    assert {each for each in local if each[0] not in ours} <= published


def audit(folder: Path, **codes: int) -> subprocess.CompletedProcess[str]:
    """Audit with programs that answer at once, some of them for one list with a code of its own."""
    for program in PROGRAMS:
        code = "".join(
            f'case "$*" in *{name.replace("__", "/")}*) exit {code};; esac\n'
            for name, code in codes.items()
        )
        (folder / program).write_text(f'#!/bin/sh\necho "asked: $*"\n{code}')
        (folder / program).chmod(0o700)
    words = ["--tools", str(folder), "--cargo-audit", str(folder / "cargo-audit")]
    return subprocess.run(
        [sys.executable, "-m", "scripts.audit", *words],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_list_is_asked_about_once_and_all_must_be_clean(tmp_path: Path) -> None:
    done = audit(tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("asked: ") == len(lists())
    assert done.stdout.endswith(f"{len(lists())} of {len(lists())} lists asked about and clean\n")


def test_a_list_with_a_fault_is_named_and_the_others_are_asked_about_all_the_same(
    tmp_path: Path,
) -> None:
    done = audit(tmp_path, native__fuzz=1, rest=3)
    assert done.returncode == 1
    assert done.stdout.count("asked: ") == len(lists())
    named = re.findall(r"^(\S+): a fault is known", done.stdout, re.MULTILINE)
    assert named == ["native/fuzz/Cargo.lock", "requirements/rest.txt"]


def test_a_program_that_is_not_there_has_asked_nobody(tmp_path: Path) -> None:
    command = question("native/engines/Cargo.lock", tmp_path, tmp_path / "no-cargo-audit")
    assert not asked(command)


@pytest.mark.slow
def test_an_audit_of_packages_that_reaches_nobody_fails(tmp_path: Path) -> None:
    if not (TOOLS / "pip-audit").exists():
        missing("pip-audit is missing: make check-wheel sets it up")
    name = tmp_path / "requirements.txt"
    name.write_text(f"msgspec==0.19.0 --hash=sha256:{'0' * 64}\n")
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    command = question(str(name), TOOLS, tmp_path)
    assert "--strict" in command, "else a package that PyPI does not know passes"
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache")],
        env=kept | nobody,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert "No known vulnerabilities" not in done.stdout + done.stderr
