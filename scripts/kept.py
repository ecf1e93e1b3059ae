"""Builds a folder once for the same sources: `kept.py FOLDER SOURCE ... -- COMMAND ...`.

What the command has put into the folder is kept outside the clone, for the next clone whose
sources, command, Rust, platform and SETTINGS are the same to the byte. A C compiler's version,
cargo's own configuration and its further variables are not looked at: where one of these was
changed, remove the folder `built`. cargo's own cache goes by paths and times, so in a fresh clone
it compiles again whatever lies in it.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

KEPT_MAX = 4
SETTINGS = ("AMBIENT_KERNELS", "CARGO_BUILD_TARGET", "CFLAGS", "CXXFLAGS", "RUSTFLAGS")


def cache() -> Path:
    """Give where `make` keeps what it builds for the next run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ambientd" / "built"


def compiler() -> str:
    """Say which Rust this is; nothing where there is none."""
    if shutil.which("rustc") is None:
        return ""
    return subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=False).stdout


def key_of(sources: list[Path], command: list[str]) -> str:
    """Name what a build depends on, as far as it is looked at here."""
    platform_name = f"{sysconfig.get_platform()} {platform.libc_ver()}"
    settings = [f"{name}={os.environ.get(name, '')}" for name in SETTINGS]
    digest = hashlib.sha256()
    for part in (platform_name, compiler(), *settings, *command):
        digest.update(f"{len(part)} {part}".encode())
    for source in sorted(sources):
        content = hashlib.sha256(source.read_bytes()).hexdigest()
        digest.update(f"{len(str(source))} {source} {content}".encode())
    return digest.hexdigest()


def keep(made: Path, place: Path) -> None:
    """Keep what was built, whole or not at all, and forget the oldest of the same name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
        shutil.copytree(made, Path(folder) / "made")
        try:
            (Path(folder) / "made").rename(place)
        except OSError:
            if not place.is_dir():  # else another run has kept the same
                raise
    others = sorted(place.parent.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime)
    for old in others[:-KEPT_MAX]:
        shutil.rmtree(old, ignore_errors=True)


def main(words: list[str]) -> int:
    """Fill the folder, from what is kept or by the command; give the exit code."""
    at = words.index("--")
    made, sources, command = Path(words[0]), [Path(word) for word in words[1:at]], words[at + 1 :]
    place = cache() / made.name / key_of(sources, command)
    shutil.rmtree(made, ignore_errors=True)
    if place.is_dir():
        shutil.copytree(place, made)
        os.utime(place)
        return 0
    made.mkdir(parents=True)
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        keep(made, place)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
