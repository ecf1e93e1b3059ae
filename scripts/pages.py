"""Lays the tracked documents out for MkDocs, where they stand in the tree, so that links hold.

python -m scripts.pages makes build/pages and build/mkdocs.yml; with --check it looks
through build/site for anything that a browser would fetch from elsewhere.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
# What a page loads by itself; links that somebody may follow are another thing.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//[^"' >]+"""
    r"""|<link\b(?![^>]*\srel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^"' >]+"""
    r"""|@import\s+url\(["']?(?:https?:)?//[^)]+"""
)
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
    for name in (*names, *tracked("docs/images/*")):
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


def loaded_from_elsewhere() -> list[str]:
    """Give every address that a page of the site would load from the network."""
    found = []
    for path in sorted([*SITE.rglob("*.html"), *SITE.rglob("*.css")]):
        text = path.read_text("utf-8")
        found += [f"{path.relative_to(SITE)}: {match}" for match in LOADED.findall(text)]
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        wrong = loaded_from_elsewhere()
        print(*wrong, sep="\n", end="\n" if wrong else "")
        sys.exit(bool(wrong))
    lay_out()
