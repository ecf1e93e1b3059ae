"""Draw the layers out of what import-linter enforces, and say what each package is for.

`python -m scripts.architecture` writes the picture, and the tables of docs/architecture.md.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "ambientd"
PICTURE = ROOT / "docs" / "images" / "layers.svg"
PAGE = ROOT / "docs" / "architecture.md"
CONTRACT = "Dependencies point down"

WIDTH, ROW, GAP, LEFT = 760, 34, 8, 20
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}.n{font-weight:600}.w{fill:#57606a}"
    "rect{fill:#f6f8fa;stroke:#8c959f}.core{fill:#ddf4ff;stroke:#218bff}path{stroke:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.w{fill:#9198a1}"
    "rect{fill:#151b23;stroke:#656c76}.core{fill:#0c2d6b;stroke:#4493f8}path{stroke:#656c76}}"
)


def layers() -> list[list[str]]:
    """Give the layers from the top down, each with its packages."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    lines = next(each["layers"] for each in contracts if each["name"] == CONTRACT)
    return [[name.strip() for name in line.split("|")] for line in lines]


def cores() -> set[str]:
    """Give the packages that touch no world."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    named = next(each for each in contracts if each["name"] == "Cores touch no world")
    return {name.removeprefix("ambientd.") for name in named["source_modules"]}


def files_of(package: str) -> list[Path]:
    """Give the modules of a package, or the one module that bears its name."""
    folder = SOURCES / package
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def purpose_of(package: str) -> str:
    """Give the first line of what a package says of itself."""
    first = files_of(package)[0]
    said = ast.get_docstring(ast.parse(first.read_text("utf-8"))) or ""
    return said.partition("\n")[0].rstrip(".")


def libraries() -> dict[str, set[str]]:
    """Give, for each library of others, the packages that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in (name for layer in layers() for name in layer):
        for file in files_of(package):
            for node in _executed(ast.parse(file.read_text("utf-8"))):
                for name in _imported(node):
                    if name != "ambientd" and name not in sys.stdlib_module_names:
                        found[name].add(package)
    return found


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Give a tree's nodes, but for what only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def picture() -> str:
    """Draw the layers: whoever stands above may import whoever stands below."""
    pure, drawn, top = cores(), [], GAP
    for layer in layers():
        width = (WIDTH - 2 * LEFT - GAP * (len(layer) - 1)) / len(layer)
        for place, name in enumerate(layer):
            left = LEFT + place * (width + GAP)
            mark = ' class="core"' if name in pure else ""
            box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" rx="6"'
            middle = f'x="{left + width / 2:.1f}" y="{top + 22}" text-anchor="middle"'
            drawn.append(f'<rect{mark} {box}/><text class="n" {middle}>{escape(name)}</text>')
        top += ROW + GAP
    arrow = f'<path d="M8 {GAP}V{top - GAP}M4 {top - 16}L8 {top - GAP}L12 {top - 16}" fill="none"/>'
    words = "imports point down; blue touches no clock, no network, no disk, no chance"
    drawn.append(f'{arrow}<text class="w" x="{LEFT}" y="{top + 12}">{words}</text>')
    size = f'viewBox="0 0 {WIDTH} {top + 24}" width="{WIDTH}" role="img"'
    label = f"<title>The layers of ambientd: {escape(words)}</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{label}<style>{STYLE}</style>'
    return "\n".join([head, *drawn, "</svg>"]) + "\n"


def tables() -> dict[str, str]:
    """Give the tables of the page by their names."""
    packages = "| package | what it is |\n|---|---|\n"
    for layer in layers():
        for name in layer:
            packages += f"| `{name}` | {purpose_of(name)} |\n"
    foreign = "| library | imported by |\n|---|---|\n"
    for library, users in sorted(libraries().items()):
        foreign += f"| `{library}` | {', '.join(f'`{user}`' for user in sorted(users))} |\n"
    return {"packages": packages, "libraries": foreign}


def page(text: str) -> str:
    """Put the tables of today between their marks."""
    for name, table in tables().items():
        marks = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        between = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
        text = between.sub(lambda _, m=marks, t=table: f"{m[0]}\n{t}\n{m[1]}", text)
    return text


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
