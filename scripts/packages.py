"""Builds wheel and sdist into dist/, and again from the sdist elsewhere: the same bytes or failure.

So is the dashboard, which the sdist has as it was built, again from its sources. `make packages`
calls it. SOURCE_DATE_EPOCH, the time that is written into both, is the last
commit's unless the environment has another.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
BUILT = "src/ambientd/dashboard"
PAGES = ("ambientd/dashboard/index.html", "ambientd/dashboard/verify.html")


def source_date() -> str:
    """Give the time of everything in the packages, in Unix seconds."""
    chosen = os.environ.get("SOURCE_DATE_EPOCH")
    if chosen:
        return chosen
    asked = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(
        asked, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def build(source: Path, into: Path, date: str) -> dict[str, str]:
    """Build both packages of a source tree; give their names and hashes."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": date}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    built = packages_in(into)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built}


def packages_in(folder: Path) -> list[Path]:
    """Give our wheel and sdist; what else is built lies beside them."""
    return sorted([*folder.glob("ambientd-*.whl"), *folder.glob("ambientd-*.tar.gz")])


def lacking(wheel: Path) -> list[str]:
    """Name the pages of the dashboard that a wheel lacks."""
    with zipfile.ZipFile(wheel) as opened:
        return [page for page in PAGES if page not in opened.namelist()]


def pages_elsewhere(folder: Path) -> Path:
    """Build the dashboard from its sources in another folder; give where its pages are."""
    here, there = ROOT / "dashboard", folder / "dashboard"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("node_modules"))
    (there / "node_modules").symlink_to(here / "node_modules")
    for config in ("vite.config.ts", "vite.verify.ts"):
        command = ["node_modules/.bin/vite", "build", "--logLevel", "error", "--config", config]
        subprocess.run(command, cwd=there, check=True)
    return folder / BUILT


def differing(one: Path, other: Path) -> list[str]:
    """Name the files that are not the same in two folders, or only in one of them."""
    first, second = (
        {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        for root in (one, other)
    )
    return sorted(
        name
        for name in first.keys() | second.keys()
        if name not in first
        or name not in second
        or first[name].read_bytes() != second[name].read_bytes()
    )


def main() -> int:
    """Build, build again from what was built, compare."""
    DIST.mkdir(exist_ok=True)
    for old in packages_in(DIST):
        old.unlink()
    date = source_date()
    first = build(ROOT, DIST, date)
    wheel, sdist = packages_in(DIST)
    if missing := lacking(wheel):
        print(f"{wheel}: without {', '.join(missing)}; say `make dashboard` first", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as opened:
            opened.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        again = build(unpacked, Path(folder) / "again", date)
        wrong = differing(ROOT / BUILT, pages_elsewhere(Path(folder)))
    if wrong:
        print(f"pages not reproducible from their sources: {', '.join(wrong)}", file=sys.stderr)
        return 1
    if again != first:
        print(f"not reproducible: {first} here, {again} from the sdist", file=sys.stderr)
        return 1
    for name, digest in first.items():
        print(f"{digest}  dist/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
