"""A source install goes on without Node.js, and says that it has no dashboard then."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.packages import PAGES, ROOT, lacking

TAKES_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
BUILD = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist")
SETUP = ("make", "--no-print-directory", "setup", f"PYTHON={sys.executable}")
WITHOUT = "no dashboard: Node.js is missing, version 20 or newer with npm; the rest is installed; "
NPM_WORDS = """
echo 'npm error code SOME_CODE' >&2
echo 'npm error errno SOME_CODE' >&2
echo 'npm error request to a host failed, reason: no trust' >&2
echo 'npm error A complete log of this run can be found in: debug.log' >&2
exit 1
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Copy what a clone has of all this, and none of what was built in it."""
    root = tmp_path / "clone"
    built = shutil.ignore_patterns("__pycache__", "dashboard")
    for name in ("src", "sim", "scripts"):
        shutil.copytree(ROOT / name, root / name, ignore=built)
    (root / "dashboard").mkdir()
    (root / "requirements").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "Makefile", "dashboard/package.json"):
        shutil.copy(ROOT / name, root / name)
    for name in ("runtime", "dev"):
        (root / "requirements" / f"{name}.txt").touch()
    (root / ".venv").mkdir()
    for done in (".runtime", ".dev"):  # as if all packages were installed
        (root / ".venv" / done).touch()
    return root


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Give a folder of programs, the only ones that are found, without Node.js."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "make", "grep", "test", "touch", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def run(sources: Path, programs: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    done = subprocess.run(
        command,
        cwd=sources,
        env=environment | {"PATH": str(programs)},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def says(folder: Path, name: str, script: str) -> None:
    """Put a program there that stands for another."""
    path = folder / name
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)


def wheel_of(sources: Path) -> Path:
    [wheel] = (sources / "dist").glob("*.whl")
    return wheel


def test_a_wheel_is_built_without_node_and_its_build_says_so(sources: Path, programs: Path) -> None:
    done = run(sources, programs, *BUILD)
    assert WITHOUT in done.stdout + done.stderr
    assert lacking(wheel_of(sources)) == list(PAGES)
    with zipfile.ZipFile(wheel_of(sources)) as opened:
        names = opened.namelist()
    assert "ambientd/cli/main.py" in names
    assert any(name.endswith("/man1/ambientctl.1") for name in names)


def test_who_sits_at_a_terminal_is_told_though_the_installer_keeps_what_a_build_says(
    sources: Path, programs: Path
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as terminal:
        done = subprocess.run(
            [sys.executable, "-c", TAKES_THE_TERMINAL, *BUILD],
            cwd=sources,
            env=os.environ | {"PATH": str(programs)},
            stdin=theirs,
            start_new_session=True,
            capture_output=True,
            check=True,
        )
        assert WITHOUT.encode() in done.stdout + done.stderr
        os.close(theirs)
        assert terminal.readline() == b"\r\n"
        assert terminal.readline().decode().startswith(WITHOUT)


def test_setup_ends_well_without_node_and_says_so(sources: Path, programs: Path) -> None:
    assert run(sources, programs, *SETUP).stderr.startswith(WITHOUT)
    pages = sources / "src" / "ambientd" / "dashboard"
    pages.mkdir()
    (pages / "index.html").touch()  # built elsewhere, and brought
    assert run(sources, programs, *SETUP).stderr == ""


@pytest.mark.parametrize(
    ("node", "npm", "told"),
    [
        ("echo v18.19.0", "", "Node.js 20 or newer is needed, and this is v18.19.0; "),
        ("exit 1", "", "Node.js 20 or newer is needed, and this is unknown; "),
        ("echo v22.1.0", "echo 'no way there' >&2; exit 1", "`npm ci --loglevel=error "),
        ("echo v22.1.0", NPM_WORDS, "failed: request to a host failed, reason: no trust; the rest"),
        ("echo v22.1.0", "echo 'no way there' >&2; exit 1", "failed: no way there; the rest is"),
    ],
)
def test_a_node_that_cannot_build_it_is_told_of_as_well(
    sources: Path, programs: Path, node: str, npm: str, told: str
) -> None:
    says(programs, "node", node)
    says(programs, "npm", npm or "exit 0")
    assert told in run(sources, programs, *SETUP).stderr


def test_where_node_is_the_pages_are_built_into_the_wheel(sources: Path, programs: Path) -> None:
    says(programs, "node", "echo v22.1.0")
    pages = sources / "src" / "ambientd" / "dashboard"
    make = f"mkdir -p {pages}; for each in index verify; do echo page > {pages}/$each.html; done"
    says(programs, "npm", f'test "$3" = ci || {{ {make}; }}')
    done = run(sources, programs, *BUILD)
    assert "no dashboard" not in done.stdout + done.stderr
    assert lacking(wheel_of(sources)) == []
