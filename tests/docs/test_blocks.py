"""Whoever types what README and tutorials say gets what they say."""

import os
import re
from pathlib import Path

import pytest

from tests.docs.reader import (
    BLOCK,
    OF_THE_CHECKOUT,
    ROOT,
    Block,
    Reader,
    blocks_of,
    is_there,
    lacking,
)
from tests.missing import missing

# What not every machine has that has all else: a clang of half a gigabyte, of which ziglang brings
# the same; a target that rustup must be able to fetch; a compiler that its block has npm fetch
# anew; what takes minutes of all cores to build. `make test-blocks` types these as well.
RARE = {"asc", "clang wasm-ld", "wasm32-wasip1", "ambient-prove"}
IS_EVERY = os.environ.get("AMBIENT_BLOCKS") == "every"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
EXAMPLES = (
    "csv-stats",
    "federated-mnist",
    "file-hash",
    "hello-compute",
    "image-classify",
    "int8-cnn",
)
DOCUMENTS += [ROOT / "examples" / name / "README.md" for name in EXAMPLES]


def name_of(path: Path) -> str:
    """Name a document by its file, and one of an example by its folder."""
    return path.parent.name if "examples" in path.parts else path.name


@pytest.mark.mesh
@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_what_a_reader_types_does_what_the_document_says(tmp_path: Path, path: Path) -> None:
    with Reader(tmp_path / "reader") as reader:
        wrong = list(reader.read(blocks_of(path)))
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_block_is_one_that_is_typed(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n```") == 2 * len(BLOCK.findall(text))
    assert {"sh"} <= {block.language for block in blocks_of(path)} <= {"sh", "text"}
    assert all(block.text.strip() for block in blocks_of(path)), "nothing to type or to compare"
    assert not re.search(r"^    (?:ambient|make|\$)", text, re.MULTILINE), "indented commands"


def test_every_block_is_typed_where_all_programs_are_there_but_for_those_named_here() -> None:
    needs = {b.value for path in DOCUMENTS for b in blocks_of(path) if b.kind == "needs"}
    assert needs >= RARE
    wanted = needs if IS_EVERY else needs - RARE
    absent = sorted(need for need in wanted if not is_there(need))
    if absent:
        missing(f"blocks are left out, for lack of {', '.join(absent)}")


def test_targets_that_the_reader_does_not_make_are_made_by_every_change() -> None:
    passed = (ROOT / ".ci" / "run").read_text("utf-8")
    for path in DOCUMENTS:
        for block in blocks_of(path):
            for said in OF_THE_CHECKOUT.findall(block.text):
                assert said.startswith(". ") or re.search(rf"\b{said}\b", passed), said


def test_what_a_reader_should_have_to_interrupt_may_not_end_by_itself(tmp_path: Path) -> None:
    with Reader(tmp_path / "reader") as reader:
        for said in ("ambientctl --version", "ambientctl no-such-command"):
            assert "code 1" in reader.type(f"{said}      # live; Ctrl-C\n")[1]


def test_an_answer_has_every_line_that_is_told_where_dots_are_anything() -> None:
    told = Block("text", "", "", "HELLO\ncluster a, fingerprint …\n")
    assert list(lacking(told, "cluster a, fingerprint 12\n  HELLO\n")) == []
    assert list(lacking(told, "HELLO!\ncluster a, fingerprint 12\n")) == ["HELLO"]
