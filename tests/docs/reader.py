"""Somebody who types what a document says, in a folder of their own, and compares what comes.

Blocks marked `sh` are typed; one with title="terminals" has a terminal for each line, which ends
with the document; one with needs="PROGRAM ..." is left out where one of those is missing. A block
`text` is what the block before it printed: each of its lines, where … stands for anything.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.mesh.cluster import POLL_S
from tests.own_ports import fresh_port, own_port

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: (?P<kind>\w+)=\"(?P<value>[^\"]*)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Said once in a checkout; the targets are run by what every change must pass.
OF_THE_CHECKOUT = re.compile(r"^(?:make [a-z][a-z-]*|\. \.venv/bin/activate)", re.MULTILINE)
# What finds a device well once the nodes have found each other and the disk has time for it.
UNTIL_WELL = re.compile(r"^(ambientctl (?:--data-dir \S+ )?doctor)$", re.MULTILINE)
UNTIL_INTERRUPTED = re.compile(r"^(ambientctl .*?) +#.*Ctrl-C.*$", re.MULTILINE)
# It shows something, goes on, and is interrupted then, which whoever is begun with & is deaf to.
# Where it has ended by itself, `kill` finds nobody.
INTERRUPTED = (
    r"env --default-signal=INT \1 > shown & until test -s shown; do kill -0 $!; sleep 0.1; done; "
    "sleep 2; kill -INT $!; code=0; wait $! || code=$?; test $code = 130"
)
SECONDS_MAX = 300


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    kind: str
    value: str
    text: str


def blocks_of(path: Path) -> list[Block]:
    """Give the blocks of a document, in their order."""
    found = BLOCK.finditer(path.read_text("utf-8"))
    return [Block(m["language"], m["kind"] or "", m["value"] or "", m["text"]) for m in found]


def is_there(need: str) -> bool:
    """Tell whether this machine has what a block needs: each of its words."""
    if " " in need:
        return all(map(is_there, need.split()))
    if need == "ziglang":
        return importlib.util.find_spec(need) is not None
    if not need.startswith("wasm32-"):
        return shutil.which(need, path=search_path()) is not None
    if shutil.which("rustup") is None:
        return False
    asked = ["rustup", "target", "list", "--installed"]
    return need in subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()


def search_path() -> str:
    """Give where a reader's shell looks for programs: first in the environment of this one."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@dataclass
class Reader:
    """A shell in a folder, and terminals beside it."""

    folder: Path
    exports: str = ""
    terminals: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Sit down."""
        self.folder.mkdir()
        for name in ("examples", "protocols", "scripts"):
            (self.folder / name).symlink_to(ROOT / name)
        return self

    def __exit__(self, *_: object) -> None:
        """Close every terminal."""
        for terminal in self.terminals:
            terminal.terminate()
        for terminal in self.terminals:
            terminal.wait(60)

    def environment(self) -> dict[str, str]:
        """Give what a shell of the reader has."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMBIENT")}
        return kept | {"PATH": search_path()}

    def read(self, blocks: list[Block]) -> Iterator[str]:
        """Type each block; tell what went otherwise than the document says."""
        printed, is_typed = "", True
        for block in blocks:
            if block.language == "sh":
                is_typed = block.kind != "needs" or is_there(block.value)
            if not is_typed:
                continue
            if block.language == "text":
                yield from (f"no line {line!r} in:\n{printed}" for line in lacking(block, printed))
            elif block.value == "terminals":
                self.open_terminals(block.text)
                printed = ""
            else:
                printed, fault = self.type(block.text)
                if fault:
                    yield fault
                    return

    def type(self, text: str) -> tuple[str, str]:
        """Type some lines; give what they printed, and what went wrong."""
        typed = OF_THE_CHECKOUT.sub(":", text)
        typed = UNTIL_WELL.sub(r"until \1; do sleep 1; done", typed)
        typed = UNTIL_INTERRUPTED.sub(INTERRUPTED, typed)
        typed = typed.replace("cluster create", f"cluster create --base-port {own_port()}")
        newcomer = f"ambientctl join --listen 0.0.0.0:{fresh_port()}"
        typed = typed.replace("ambientctl join", newcomer)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{self.exports}{typed}"],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        self.exports += "".join(
            f"{line}\n" for line in re.findall(r"^export .*$", text, re.MULTILINE)
        )
        fault = f"code {done.returncode} of:\n{typed}{done.stderr}" if done.returncode else ""
        return done.stdout, fault

    def open_terminals(self, text: str) -> None:
        """Start each line by itself, and wait as a person does until the nodes answer."""
        folders = []
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            with (self.folder / f"terminal{len(self.terminals)}.log").open("wb") as log:
                begun = subprocess.Popen(
                    words, cwd=self.folder, env=self.environment(), stdout=log, stderr=log
                )
            self.terminals.append(begun)
            folders.append(words[words.index("--data-dir") + 1])
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end:
            asked = "".join(f"ambientctl --data-dir {folder} status\n" for folder in folders)
            if not self.type(asked)[1]:
                return
            time.sleep(POLL_S)
        logs = sorted(self.folder.glob("terminal*.log"))
        told = "\n".join(f"{path.name}: {path.read_text('utf-8')[-500:]}" for path in logs)
        raise AssertionError(f"not every node answers of {folders}\n{told}")


def lacking(block: Block, printed: str) -> Iterator[str]:
    """Give the lines of a block that were not printed."""
    for line in block.text.splitlines():
        form = ".*".join(map(re.escape, line.split("…")))
        if line and not any(re.fullmatch(form, each.strip()) for each in printed.splitlines()):
            yield line
