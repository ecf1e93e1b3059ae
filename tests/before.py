"""The program as it was at an earlier commit, taken out of the repository's own history.

`BEFORE` is the version that this one must work with side by side, and take over from: the last
release, and until there is one, the last commit at which what is written, sent or agreed on
changed in a way that earlier programs do not understand (ADR 22).
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from functools import cache
from pathlib import Path

from ambientd import __version__
from tests.missing import missing

ROOT = Path(__file__).parents[1]
BEFORE = "1bdcddd700f498963237fc300d560d7091411a19"
RENAMED = re.compile(r"^(\s*(?:from|import) )(ambientd|sim)\b", re.MULTILINE)
VERSIONED = re.compile(r'^__version__ = ".*"', re.MULTILINE)
VERSION = "0.0.1"
"""What the earlier program calls itself here, so that nobody takes one for the other."""
NEXT_VERSION = "9.0.0"


def unpack_before(folder: Path) -> Path:
    """Unpack the sources of then; skip, or fail in CI, where a clone does not have them."""
    if not _has_history():
        missing(f"commit {BEFORE[:12]} is not here: run this in a clone with the whole history")
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / "before.tar"
    with packed.open("wb") as file:
        command = ["git", "archive", BEFORE, "src/ambientd", "sim"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=file)
    with tarfile.open(packed) as opened:
        opened.extractall(folder, filter="data")
    packed.unlink()
    place = folder / "src" / "ambientd" / "__init__.py"
    place.write_text(VERSIONED.sub(f'__version__ = "{VERSION}"', place.read_text()))
    return folder


@cache
def _has_history() -> bool:
    """Tell whether the commit is here; ask for it once, and only where a clone is shallow."""
    if _git("cat-file", "-e", f"{BEFORE}^{{commit}}") is not None:
        return True
    # A whole clone would become a shallow one, and an unpacked archive may lie in another's.
    where = _git("rev-parse", "--show-toplevel", "--is-shallow-repository")
    if where != f"{ROOT.resolve()}\ntrue\n":
        return False
    return _git("fetch", "--quiet", "--depth", "1", "origin", BEFORE) is not None


def _git(*words: str, timeout_s: float = 60.0) -> str | None:
    """Give what git says; None when it fails, is not there, asks for a password or hangs."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # no terminal to ask for a password
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def environment_before(folder: Path) -> Path:
    """Make an environment that runs the program of then on today's libraries; give its Python."""
    return environment_of(folder, unpack_before(folder / "sources") / "src", VERSION)


def environment_after(folder: Path) -> Path:
    """Make one of a program to come, whose next state version is one that nobody ships."""
    following = (ROOT / "sim" / "next_version.py").read_text()
    also = "from ambientd.ledger.next_version import NEXT_VERSIONS as VERSIONS  # noqa: E402\n"
    return _knowing(folder, also, NEXT_VERSION, following)


def environment_first(folder: Path) -> Path:
    """Make one of this program that knows the first state version alone."""
    only = "VERSIONS = Versions(StateVersion(FIRST_STATE_VERSION))\n"
    return _knowing(folder, only, __version__, "")


def _knowing(folder: Path, versions: str, name: str, following: str) -> Path:
    """Make an environment of today's sources that know other state versions."""
    source = folder / "sources" / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    place = source / "ambientd" / "__init__.py"
    place.write_text(VERSIONED.sub(f'__version__ = "{name}"', place.read_text()))
    ledger = source / "ambientd" / "ledger"
    (ledger / "next_version.py").write_text(following)
    text = (ledger / "versions.py").read_text()
    known = "VERSIONS = Versions(StateVersion(FIRST_STATE_VERSION), StateVersion(IMAGES_VERSION))\n"
    assert text.count(known) == 1
    (ledger / "versions.py").write_text(text.replace(known, versions))
    return environment_of(folder, source, name)


def environment_of(folder: Path, source: Path, version: str) -> Path:
    """Make an environment that runs these sources on today's libraries; give its Python."""
    python = folder / "environment" / "bin" / "python"
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder / "environment")]
    subprocess.run(made, check=True)
    names = {"base": str(folder / "environment"), "platbase": str(folder / "environment")}
    libraries = Path(sysconfig.get_path("purelib", vars=names))
    # What stands first counts first; files .pth of the second are not read, this checkout's least.
    places = (str(source), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    (libraries / "before.pth").write_text("\n".join(dict.fromkeys(places)) + "\n")
    told = [str(python), "-I", "-c", "import ambientd; print(ambientd.__version__)"]
    said = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    assert said == f"{version}\n"
    return python


def import_before(folder: Path, prefix: str, was: str = "", becomes: str = "") -> None:
    """Make the cores of then importable beside ours, their packages behind a prefix.

    Where something is to be otherwise in them, it is so in all their sources.
    """
    unpack_before(folder)
    for path in folder.rglob("*.py"):
        text = path.read_text("utf-8")
        changed = RENAMED.sub(rf"\1{prefix}\2", text)
        changed = changed.replace(was, becomes) if was else changed
        if changed != text:
            path.write_text(changed, "utf-8")
    os.rename(folder / "src" / "ambientd", folder / f"{prefix}ambientd")
    os.rename(folder / "sim", folder / f"{prefix}sim")
    sys.path.insert(0, str(folder))
