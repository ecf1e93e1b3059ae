"""Writes what a release changes in the tree: python -m scripts.release VERSION.

The version goes where it is kept, the fragments of changelog.d become a chapter of CHANGELOG.md
and are deleted. It commits nothing; it says what to do next. With --tag TAG it says whether that is
the tag of this tree; with --sums it puts requirements and hashes beside the packages in dist/.
"""

import datetime
import hashlib
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Place = tuple[str, re.Pattern[str]]
KINDS = ("security", "removed", "changed", "added", "fixed")
KEPT_IN = (
    ("pyproject.toml", re.compile(r'^version = "(.+)"$', re.MULTILINE)),
    ("src/ambientd/__init__.py", re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)),
    ("deploy/chart/Chart.yaml", re.compile(r'^appVersion: "(.+)"$', re.MULTILINE)),
    ("deploy/chart/Chart.yaml", re.compile(r"^version: (.+)$", re.MULTILINE)),
)
# The wheel of the engines, and the build of it that the daemon takes: always one version.
ENGINES_IN = (
    ("native/engines/pyproject.toml", re.compile(r'^version = "(.+)"$', re.MULTILINE)),
    ("src/ambientd/adapters/engines.py", re.compile(r'^NATIVE_VERSION = "(.+?)"', re.MULTILINE)),
)
# The wheels of native/. A release gives them its version; before the first one they have numbers
# of their own, so that a changed build is told from an older one; the crates keep theirs.
NATIVE_IN = (
    ("native/proofs/pyproject.toml", re.compile(r'^version = "(.+)"$', re.MULTILINE)),
    *ENGINES_IN,
)
SUMS = "SHA256SUMS"
PACKAGES = ("ambientd-{}-*.whl", "ambientd-{}.tar.gz")
ENGINES = "ambientd_engines-{}-*.whl"
BILLS = ("ambientd.cdx.json", "dashboard.cdx.json")
HEAD = "# Changelog\n"
# Where a fragment of the first release stands: the first of these that its topic, or else its first
# sentence, has a word of.
AREAS = (
    (
        "Learning together",
        "fl federated study studies learning epsilon train training private aggregation sums",
    ),
    ("Proofs of executions", "proof proofs proven validity prover universal"),
    ("Bitcoin", "anchor anchors anchoring anchored peg bitcoin chain chains"),
    (
        "Simulator, tests, measurements",
        "simulator simulated fuzz bench soak chaos population interop model race byzantine museum",
    ),
    ("Dashboard, HTTP, library", "dashboard rest http metrics library webhook traces python Mesh"),
    (
        "Verification",
        "blame audit audits audited bisected assurance witness receipt receipts vesting convicted",
    ),
    ("Devices and networks", "owner telemetry sensors heat hot fleet slim relay discovery peers"),
    ("Clusters", "committee member members epoch epochs snapshot backup backups store state keys"),
    ("Tasks and modules", "task tasks module modules run engine engines blobs bundle chunks wasi"),
    ("Command line", "ambientctl completion man quiet"),
)
OTHERS = "Everything else"
FIRST = """\
The first release: all of it is new. What was changed and mended on the way, {count} times, is in
the history alone, for nobody had it before.
"""
NEXT = """\
written: {version}. Next:
  make manifests
  .ci/run && make audit
  git add -A && git commit -m "Release {version}" && git tag v{version}
  make check-tag TAG=v{version}
  make check-wheel native-wheels sums
The packages come last, as the time written into them is that of the last commit: so they are, byte
for byte, those that the tag makes. Then let tests/before.py name this commit: the next version must
work beside this one.
"""


class ReleaseError(Exception):
    """What keeps a release from being made."""


def numbers(version: str) -> tuple[int, ...]:
    """Give a version's numbers; raise ReleaseError if it has another form than 1.2.3."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        msg = f"{version!r}: a version is three numbers, such as 0.2.0"
        raise ReleaseError(msg)
    return tuple(map(int, version.split(".")))


def version_of(root: Path, places: tuple[Place, ...] = KEPT_IN) -> str:
    """Give the version that places of a tree tell; raise ReleaseError if they tell several."""
    told: dict[str, list[str]] = {}
    for name, form in places:
        match = form.search((root / name).read_text("utf-8"))
        told.setdefault(match[1] if match else "none", []).append(name)
    if len(told) != 1:
        each = "; ".join(f"{version} in {', '.join(names)}" for version, names in told.items())
        msg = f"the files disagree about the version: {each}. Write one version into all of them"
        raise ReleaseError(msg)
    return next(iter(told))


def check_tag(root: Path, tag: str) -> None:
    """Raise ReleaseError for a tag that is not the one of the release that this tree tells of."""
    version = version_of(root)
    if tag != f"v{version}":
        msg = f"the tag is {tag!r}, and the version here {version}: it takes v{version}"
        raise ReleaseError(msg)
    changelog = root / "CHANGELOG.md"
    told = changelog.read_text("utf-8") if changelog.exists() else ""
    if not told.startswith(f"{HEAD}\n## {version} ("):
        msg = f"{changelog} does not begin with {version}: say make release VERSION={version}"
        raise ReleaseError(msg)
    version_of(root, (*KEPT_IN, *NATIVE_IN))


def sums(root: Path) -> list[str]:
    """Put the requirements beside the packages, write down the hashes of all, and give them.

    A tree with something new to tell is no release: it may go without the engines' wheels, whose
    version is then their own.
    """
    is_release = not any(fragments(root).values())
    version = version_of(root, (*KEPT_IN, *NATIVE_IN) if is_release else KEPT_IN)
    engines = ENGINES.format(version_of(root, ENGINES_IN))
    dist = root / "dist"
    packages = [form.format(version) for form in PACKAGES]
    requirements = f"ambientd-{version}-requirements.txt"
    known = (*packages, engines, *BILLS, requirements, SUMS)
    files = sorted(path for path in dist.glob("*") if path.is_file())
    needed = [*packages, engines] if is_release else packages
    lacking = [form for form in needed if not any(path.match(form) for path in files)]
    others = [path.name for path in files if not any(map(path.match, known))]
    if lacking:
        how = "make packages" if lacking[0] in packages else "make native-wheels, which needs Rust"
        msg = f"{dist} lacks {', '.join(lacking)}: say {how}"
        raise ReleaseError(msg)
    if others:
        msg = (
            f"{dist} has {', '.join(others)} besides, which are not of this version: move them away"
        )
        raise ReleaseError(msg)
    shutil.copy(root / "requirements" / "runtime.txt", dist / requirements)
    (dist / SUMS).unlink(missing_ok=True)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted({*files, dist / requirements} - {dist / SUMS})
    ]
    (dist / SUMS).write_text("\n".join([*lines, ""]), "ascii")
    return lines


def fragments(root: Path) -> dict[str, list[Path]]:
    """Give the fragments by kind; raise ReleaseError for one whose name says none."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted((root / "changelog.d").glob("*.md")):
        if path.name == "README.md":
            continue
        parts = path.name.split(".")
        if len(parts) != 3 or parts[1] not in KINDS:
            msg = f"{path}: call it TOPIC.KIND.md, KIND one of {', '.join(KINDS)}"
            raise ReleaseError(msg)
        found[parts[1]].append(path)
    return found


def first_sentence(text: str) -> str:
    """Give what a fragment says first, on one line."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0]


def area_of(topic: str, sentence: str) -> str:
    """Give where a fragment of the first release stands."""
    for text in (topic, sentence):
        words = set(re.findall(r"[a-z]+", text.lower()))
        for area, known in AREAS:
            if not words.isdisjoint(known.lower().split()):
                return area
    return OTHERS


def first_chapter(version: str, date: str, by_kind: dict[str, list[Path]]) -> str:
    """Give the changelog of the first release: what there is, by area, a sentence each."""
    by_area: dict[str, list[str]] = {area: [] for area in (*(name for name, _ in AREAS), OTHERS)}
    for path in by_kind["added"]:
        sentence = first_sentence(path.read_text("utf-8"))
        by_area[area_of(path.name.split(".")[0], sentence)].append(sentence)
    count = sum(len(paths) for kind, paths in by_kind.items() if kind != "added")
    lines = [f"## {version} ({date})", "", FIRST.format(count=count)]
    for area, sentences in by_area.items():
        if sentences:
            lines += [f"### {area}", "", *(f"- {each}" for each in sentences), ""]
    return "\n".join(lines)


def chapter(version: str, date: str, by_kind: dict[str, list[Path]]) -> str:
    """Give what a release adds to the changelog."""
    lines = [f"## {version} ({date})", ""]
    for kind, paths in by_kind.items():
        if paths:
            lines += [f"### {kind.capitalize()}", ""]
            lines += [f"- {' '.join(path.read_text('utf-8').split())}" for path in paths]
            lines += [""]
    return "\n".join(lines)


def release(root: Path, version: str, date: str) -> None:
    """Write version and changelog of a release into a tree."""
    present = version_of(root)
    changelog = root / "CHANGELOG.md"
    # The tree calls itself by the first release's name before there has been any.
    is_first = not changelog.exists()
    if numbers(version) < numbers(present) or (version == present and not is_first):
        msg = f"{version} does not come after {present}"
        raise ReleaseError(msg)
    by_kind = fragments(root)
    if not any(by_kind.values()):
        msg = "changelog.d has nothing to tell; a release changes something"
        raise ReleaseError(msg)
    before = "" if is_first else changelog.read_text("utf-8").removeprefix(HEAD)
    told = (first_chapter if is_first else chapter)(version, date, by_kind)
    changelog.write_text(f"{HEAD}\n{told}{before}", "utf-8")
    for name, form in (*KEPT_IN, *NATIVE_IN):
        text = (root / name).read_text("utf-8")
        start, end = form.search(text).span(1)  # type: ignore[union-attr]  # a test holds this
        (root / name).write_text(text[:start] + version + text[end:], "utf-8")
    for paths in by_kind.values():
        for path in paths:
            path.unlink()


def main(words: list[str]) -> str:
    """Do what the words ask for; give what there is to say."""
    match words:
        case ["--tag", tag]:
            check_tag(ROOT, tag)
            return f"{tag} is the tag of this version\n"
        case ["--sums"]:
            return "\n".join([*sums(ROOT), ""])
        case [version]:
            release(ROOT, version, datetime.datetime.now(datetime.UTC).date().isoformat())
            return NEXT.format(version=version)
    msg = "say which: make release VERSION=0.2.0"
    raise ReleaseError(msg)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]), end="")
    except ReleaseError as error:
        sys.exit(f"no release: {error}")
