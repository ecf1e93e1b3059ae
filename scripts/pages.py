"""Lays the tracked documents out for MkDocs, where they stand in the tree, so that links hold.

python -m scripts.pages makes build/pages and build/mkdocs.yml; with --check it looks
through build/site for anything that a browser would fetch from elsewhere.
"""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
# A foreign address where one can begin: of an attribute, of each image to choose from, in a style.
FOREIGN = re.compile(
    r"""(?:^|,|\burl\(|@import)\s*["']?\s*((?:[a-z]+:)?//[^\s"'),]+)""", re.IGNORECASE
)
ADDRESS = re.compile(r"""\b(?:https?|wss?)://[^\s"'`<>)\\]+""", re.IGNORECASE)
# Addresses in the theme's scripts: those in remarks, and those that are asked for only where a page
# has what stands beside them. Every browser since 2020 has a ResizeObserver of its own.
IN_SCRIPTS = {
    **dict.fromkeys(("http://lunrjs.com", "http://tartarus.org/", "https://bit.ly/"), ""),
    **dict.fromkeys(("https://clipboardjs.com/", "https://unpkg.com/resize-observer-polyfill"), ""),
    "https://unpkg.com/mermaid@11/": 'class="mermaid"',
    "https://api.github.com/": 'data-md-component="source"',
    "https://${e}/api/v4/projects/": 'data-md-component="source"',
}
# Scripts for languages other than English, which search takes where its index asks for one.
OTHER_LANGUAGES = "assets/javascripts/lunr/"
ENGLISH = '{"config":{"lang":["en"],'
# What there is once a site was built, to be opened from files.
INDEX = "search/search_index.js"
NEEDED = ("index.html", "docs/deployment.html", INDEX, "docs/iframe-worker.js")
# What pages lead to that is no page itself.
LINKED = ("examples/SHA256SUMS", "examples/ambient.h")
# The order in which the pages are offered; folders are all that is in them.
NAVIGATION = (
    ("Ambient", ("README.md",)),
    (
        "Tutorials",
        tuple(
            f"docs/tutorials/{name}.md"
            for name in (
                "first-task",
                "write-a-module",
                "aeroplane",
                "prove-an-execution",
                "federated-study",
                "operate-a-cluster",
                "playbooks",
            )
        ),
    ),
    ("Architecture", ("docs/architecture.md",)),
    ("Reference", ("docs/cli.md", "docs/api.md", "docs/python.md")),
    (
        "Running it",
        (
            "docs/deployment.md",
            "deploy/README.md",
            "SECURITY.md",
            "docs/self-audit.md",
            "docs/observability.md",
            "docs/benchmarks.md",
            "docs/race.md",
        ),
    ),
    (
        "About",
        (
            "docs/faq.md",
            "docs/comparison.md",
            "docs/simulator.md",
            "docs/fuzzing.md",
            "docs/chaos.md",
            "CONTRIBUTING.md",
            "changelog.d/README.md",
        ),
    ),
    ("Examples", ("examples",)),
    ("Protocols", ("protocols",)),
    ("Decisions", ("docs/adr",)),
)


def tracked(*patterns: str) -> list[str]:
    """Name the files of the tree that match, those to come among them."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    told = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return told.stdout.split()


def lay_out() -> None:
    """Copy every document to where it stands, and write the navigation over them."""
    shutil.rmtree(PAGES, ignore_errors=True)
    names = [name for name in tracked("*.md") if not name.startswith(("src/", "tests/"))]
    for name in (*names, *tracked("docs/images/*", "docs/*.js", *LINKED)):
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, PAGES / name)
    navigation = [
        {title: [name for place in places for name in names if is_below(name, place)]}
        for title, places in NAVIGATION
    ]
    config = {"INHERIT": "../mkdocs.yml", "docs_dir": "pages", "site_dir": "site"}
    written = json.dumps(config | {"nav": navigation})  # which is YAML as well
    (PAGES.parent / "mkdocs.yml").write_text(written, "utf-8")


def is_below(name: str, place: str) -> bool:
    """Tell whether a document is the one that a place names, or in the folder that it names."""
    return name == place or name.startswith(f"{place}/")


class Loads(HTMLParser):
    """Collects what a page loads by itself; links that somebody may follow are another thing."""

    def __init__(self) -> None:
        """Begin with nothing, outside of scripts and styles."""
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at every attribute but those that name, and do not load."""
        self.inside = tag if tag in {"script", "style"} else ""
        if tag in {"a", "meta"} or (tag == "link" and ("rel", "canonical") in attrs):
            return
        for name, value in attrs:
            if not name.startswith("xmlns"):
                self.found += FOREIGN.findall(value or "")

    def handle_endtag(self, _tag: str) -> None:
        """Leave a script or a style."""
        self.inside = ""

    def handle_data(self, data: str) -> None:
        """Look at scripts and styles that stand in the page."""
        if self.inside:
            self.found += (scripted if self.inside == "script" else FOREIGN.findall)(data)


def scripted(text: str) -> list[str]:
    """Give the addresses in a script that are not known to be harmless."""
    return [each for each in ADDRESS.findall(text) if not each.startswith(tuple(IN_SCRIPTS))]


def loaded_by(path: Path) -> list[str]:
    """Give every address that a file of the site would load from the network."""
    text = path.read_text("utf-8")
    if path.suffix == ".css":
        return FOREIGN.findall(text)
    if path.suffix == ".js":
        return scripted(text)
    page = Loads()
    page.feed(text)
    page.close()
    marks = [mark for mark in IN_SCRIPTS.values() if mark and mark in text]
    return page.found + [f"{mark}, for which scripts ask elsewhere" for mark in marks]


def loaded_from_elsewhere(site: Path) -> list[str]:
    """Give every address that a page of a site would load, and what it lacks to be one."""
    lacking = [name for name in NEEDED if not (site / name).is_file()]
    files = [path for kind in ("html", "css", "js") for path in sorted(site.rglob(f"*.{kind}"))]
    found = [f"{site / name} is not there: say make site" for name in lacking]
    for path in files:
        name = path.relative_to(site).as_posix()
        if name == INDEX:  # the pages' own text, addresses in it included
            found += [] if ENGLISH in path.read_text("utf-8") else [f"{name}: not in English alone"]
        elif not name.startswith(OTHER_LANGUAGES):
            found += [f"{name}: {each}" for each in loaded_by(path)]
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        wrong = loaded_from_elsewhere(SITE)
        print(*wrong, sep="\n", end="\n" if wrong else "")
        sys.exit(bool(wrong))
    lay_out()
