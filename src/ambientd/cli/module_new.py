"""ambientctl module new: a folder with a module that works, its test, and how to build it."""

import re
import shlex
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_json, print_line, tell
from ambientd.cli.exit_codes import ExitCode
from ambientd.errors import UsageError

LANGUAGES = {"assemblyscript": "AssemblyScript", "c": "C", "go": "Go", "rust": "Rust"}
_COMPILERS = {
    "assemblyscript": ("npm", "install Node.js 20 or newer, nodejs.org"),
    "c": (
        "clang",
        "install it with lld, or `pip install ziglang` and say "
        '`make test CC="python3 -m ziglang cc"`',
    ),
    "go": ("go", "install Go 1.21 or newer, go.dev/dl"),
    "rust": ("cargo", "install Rust, rustup.rs, and `rustup target add wasm32-wasip1`"),
}
"""What each language is compiled with, and where that comes from."""
_COMMON = {
    "README.md": "README.md",
    "test.mk": "test.mk",
    "module.toml": "module.toml",
    "hello.input": "tests/hello.input",
    "hello.output": "tests/hello.output",
}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")


class NewArguments(CommonArguments, Protocol):
    """Options of `module new`."""

    folder: str
    lang: str


def new(arguments: NewArguments) -> int:
    """Write the folder; nothing that is there already is touched."""
    folder = Path(arguments.folder)
    name = folder.name
    if not _NAME.match(name):
        msg = f"{name!r} cannot name a module; take lower-case letters, digits, - and _"
        raise UsageError(msg)
    written = _files(arguments.lang, name)
    try:
        folder.mkdir()
        for path, text in written.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError as error:
        msg = f"{folder} is there already; name a folder that is not"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror}; choose another place"
        raise UsageError(msg) from error
    if arguments.as_json:
        print_json({"folder": str(folder), "language": arguments.lang, "files": sorted(written)})
    else:
        print_line(f"{folder}: a module in {LANGUAGES[arguments.lang]} that turns text upper case")
        print_line(f"next: cd {shlex.quote(str(folder))} && make test")
        program, remedy = _COMPILERS[arguments.lang]
        if shutil.which(program) is None:
            tell(f"{program} is not on this machine's search path: {remedy}")
    return ExitCode.DONE


def _files(language: str, name: str) -> dict[str, str]:
    """Give the files of a new module with its name in them, by their paths in its folder."""
    templates = resources.files("ambientd.cli") / "templates"
    chosen = {path: templates / source for source, path in _COMMON.items()}
    chosen |= _below(templates / language)
    words = {"$name": name, "$language": LANGUAGES[language]}
    return {path: _filled(source.read_text("utf-8"), words) for path, source in chosen.items()}


def _below(folder: Traversable, prefix: str = "") -> dict[str, Traversable]:
    found: dict[str, Traversable] = {}
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + each.name
        found |= _below(each, f"{path}/") if each.is_dir() else {path: each}
    return found


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
