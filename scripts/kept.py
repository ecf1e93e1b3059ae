"""Builds a folder once for the same sources: `kept.py FOLDER SOURCE ... -- COMMAND ...`.

What the command has put into the folder is kept outside the clone, for the next clone whose
sources, command, compilers, platform, cargo's configuration and SETTINGS are the same to the byte.
What is kept lies beside its own hash, and is built anew where it does not have that hash any more:
this finds what was damaged, not what somebody changed who can write there. Not looked at are
programs that a build script calls besides these compilers. cargo's own cache goes by paths and
times, so in a fresh clone it compiles again whatever lies in it.
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

KEPT_MAX = 4
HASH = "sha256"
# What cargo, rustc, the crate cc and maturin take out of the environment: for all targets, or one.
SETTINGS = re.compile(
    r"AMBIENT_KERNELS|DOCS_RS|SOURCE_DATE_EPOCH|RUSTC|RUSTFLAGS|(?:CARGO|MATURIN|PYO3|RUSTC)_\w+"
    r"|(?:\w+_)?(?:AR|LD|CC|CXX|RANLIB|CXXSTDLIB|(?:AR|C|CXX|CPP|LD)FLAGS)(?:_\w+)?"
)
# These say where something lies, how it is fetched or what is shown, and nothing of what comes out.
OF_THE_PLACE = re.compile(r"CARGO_(?:TARGET_DIR|HOME|(?:TERM|HTTP|NET|REGISTR(?:Y|IES))_\w+)")


def cache() -> Path:
    """Give where `make` keeps what it builds for the next run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ambientd" / "built"


def said(*command: str) -> str:
    """Give what a program says; nothing where there is none."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def compilers() -> list[str]:
    """Say which compilers these are, of Rust, C and C++."""
    named = (os.environ.get(name) or default for name, default in (("CC", "cc"), ("CXX", "c++")))
    return [said("rustc", "-vV"), *(said(*shlex.split(words), "--version") for words in named)]


def configuration() -> list[str]:
    """Give what cargo's configuration says, that of its home and those above this folder."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    here = Path.cwd()
    folders = [home, *(folder / ".cargo" for folder in (here, *here.parents))]
    files = dict.fromkeys(folder / name for folder in folders for name in ("config.toml", "config"))
    return [path.read_text("utf-8", "replace") for path in files if path.is_file()]


def settings() -> list[str]:
    """Give what the environment says to the build."""
    return sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if SETTINGS.fullmatch(name) and not OF_THE_PLACE.fullmatch(name)
    )


def key_of(sources: list[Path], command: list[str]) -> str:
    """Name what a build depends on, as far as it is looked at here."""
    platform_name = f"{sysconfig.get_platform()} {platform.libc_ver()}"
    digest = hashlib.sha256()
    for parts in ([platform_name], compilers(), configuration(), settings(), command):
        digest.update(f"{len(parts)} ".encode())
        for part in parts:
            digest.update(f"{len(part)} {part}".encode())
    for source in sorted(sources):
        content = hashlib.sha256(source.read_bytes()).hexdigest()
        digest.update(f"{len(str(source))} {source} {content}".encode())
    return digest.hexdigest()


def hash_of(folder: Path) -> str:
    """Give the hash of all that is in a folder: names, what may be executed, bytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name, content = str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{len(name)} {name} {os.access(path, os.X_OK)} {content}".encode())
    return digest.hexdigest()


def keep(made: Path, place: Path) -> None:
    """Keep what was built, whole or not at all, and forget the oldest of the same name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
        kept = Path(folder) / "kept"
        shutil.copytree(made, kept / made.name)
        (kept / HASH).write_text(hash_of(made), "ascii")
        try:
            kept.rename(place)
        except OSError:
            if not place.is_dir():  # else another run has kept the same
                raise
    others = sorted(place.parent.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime)
    for old in others[:-KEPT_MAX]:
        shutil.rmtree(old, ignore_errors=True)


def take(place: Path, made: Path) -> bool:
    """Take what is kept, if it is what was kept; else forget it."""
    if not place.is_dir():
        return False
    try:
        shutil.copytree(place / made.name, made)
        if hash_of(made) == (place / HASH).read_text("ascii"):
            os.utime(place)
            return True
    except (OSError, ValueError):
        pass  # as good as changed
    print(f"{place}: not what was kept there; building it again", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(made, ignore_errors=True)
    return False


def main(words: list[str]) -> int:
    """Fill the folder, from what is kept or by the command; give the exit code."""
    at = words.index("--")
    made, sources, command = Path(words[0]), [Path(word) for word in words[1:at]], words[at + 1 :]
    place = cache() / made.name / key_of(sources, command)
    shutil.rmtree(made, ignore_errors=True)
    if take(place, made):
        return 0
    made.mkdir(parents=True)
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        keep(made, place)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
