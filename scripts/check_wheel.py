"""Installs the wheel where nothing else is, uses it, removes it.

What it depends on comes from requirements/runtime.txt, by hash: libp2p pins a package without
wheels, so that plain resolution would need a compiler (requirements/overrides.txt). What was
installed is written beside the wheel as a CycloneDX bill of materials.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from scripts.packages import DIST, ROOT

PINNED = ROOT / "requirements" / "runtime.txt"
# How the demo ends: every liar was named, and the receipt holds.
TOLD = r"^accuracy [\d.]+%, liars named ([1-9]\d*) of \1, receipt valid, "
# Runs inside: everything that the wheel says it needs is there in a version that it takes.
UNMET = """
from importlib.metadata import PackageNotFoundError, requires, version
from pip._vendor.packaging.requirements import Requirement
for line in requires("ambientd"):
    need = Requirement(line)
    if need.marker is None or need.marker.evaluate({"extra": "regtest"}):
        try:
            has = version(need.name)
        except PackageNotFoundError:
            has = "none"
        if has == "none" or not need.specifier.contains(has, prereleases=True):
            print(f"{line}: has {has}")
"""


class Empty:
    """An environment of its own, without this checkout on any path."""

    def __init__(self, folder: Path) -> None:
        """Make it; pip is all that it has."""
        self.folder = folder / "environment"
        self.home = folder / "home"
        self.temporary = self.home / "tmp"
        self.temporary.mkdir(parents=True)
        venv.create(self.folder, with_pip=True)

    def __call__(self, program: str, *words: str) -> str:
        """Run one of its programs; give what it printed."""
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        environment = kept | {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
        }
        command = [str(self.folder / "bin" / program), *words]
        done = subprocess.run(
            command,
            check=False,
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{program} {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def pip(self, *words: str) -> None:
        """Run pip, with the registry that this machine is set up for."""
        python = str(self.folder / "bin" / "python")
        quiet = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([python, *quiet, *words], check=True, cwd=self.home)

    def ours(self) -> list[str]:
        """Name what is there of Ambient."""
        found = [*self.folder.rglob("*ambient*"), *self.folder.rglob("site-packages/sim")]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def made(self) -> list[str]:
        """Name what its programs have made at home and in the folder for what is temporary."""
        return sorted(str(path) for path in self.home.rglob("*") if path != self.temporary)


def check(environment: Empty, wheel: Path) -> list[str]:
    """Use what was installed; give what is wrong with it."""
    wrong = environment("python", "-c", UNMET).splitlines()
    place = environment("python", "-c", "import ambientd; print(ambientd.__file__)")
    if not place.startswith(str(environment.folder)):
        wrong.append(f"ambientd was imported from {place}")
    if not Path(place).with_name("py.typed").is_file():
        wrong.append("type checkers are not told that the library is typed (PEP 561)")
    version = wheel.name.split("-")[1]
    for program in ("ambientctl", "ambientd"):
        said = environment(program, "--version")
        if said != f"{program} {version}":
            wrong.append(f"{program} --version says {said!r}, the wheel is {version}")
    if not (environment.folder / "share" / "man" / "man1" / "ambientctl.1").is_file():
        wrong.append("the manual pages were not installed")
    with tempfile.TemporaryDirectory() as root:
        for word in ("install", "uninstall"):
            environment("ambientctl", "service", word, "--root", root, "--quiet")
            if any(path.is_file() for path in Path(root).rglob("*")) is (word == "uninstall"):
                wrong.append(f"ambientctl service {word}: {list(Path(root).rglob('*'))}")
    story = environment("ambientctl", "demo", "--nodes", "4")
    if not re.search(TOLD, story, re.MULTILINE):
        wrong.append(f"the demo told of no named liar, or of no valid receipt:\n{story}")
    return wrong


def main() -> int:
    """Install, check, describe, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--describe", required=True, metavar="PROGRAM", help="cyclonedx-py")
    describe = parser.parse_args().describe
    wheels = sorted(DIST.glob("ambientd-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"{DIST}: {len(wheels)} wheels, want one; say `make packages` first")
    with tempfile.TemporaryDirectory() as folder:
        environment = Empty(Path(folder))
        pinned = ["--no-deps", "--require-hashes", "--prefer-binary", "-r", str(PINNED)]
        environment.pip("install", *pinned)
        before = environment.ours()
        environment.pip("install", "--no-deps", str(wheels[0]))
        wrong = check(environment, wheels[0])
        inside = str(environment.folder / "bin" / "python")
        bill = DIST / "ambientd.cdx.json"
        form = ["environment", "--output-reproducible", "-o", str(bill)]
        subprocess.run([describe, *form, inside], check=True)
        # Where the wheel lay is nobody's business.
        bill.write_text(bill.read_text("utf-8").replace(f"{DIST.as_uri()}/", ""), "utf-8")
        environment.pip("uninstall", "--yes", "ambientd")
        left = [path for path in environment.ours() if path not in before]
        wrong += [f"{path} stayed after the removal" for path in left]
        # The demo's nodes are gone with their folders: that is all that there was.
        wrong += [f"{path} stayed after all was used and removed" for path in environment.made()]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if not wrong:
        print(f"{wheels[0].name}: installs, runs, and leaves nothing")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
