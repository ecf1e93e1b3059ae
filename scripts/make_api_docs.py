"""Writes the list of operations into docs/api.md, from the table that serves them."""

from pathlib import Path

from ambientd.api.operations import OPERATIONS
from ambientd.api.rest.openapi import describe
from ambientd.api.rest.reference import markdown_table

PATH = Path(__file__).parent.parent / "docs" / "api.md"
BEGIN = "<!-- made by scripts/make_api_docs.py from here -->\n"
END = "<!-- to here -->\n"


def with_table(text: str) -> str:
    """Give the document with the list as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + markdown_table(describe(OPERATIONS.values())) + END + after


if __name__ == "__main__":
    PATH.write_text(with_table(PATH.read_text()))
