"""What describes the API describes what is served."""

import argparse
from pathlib import Path

from ambientd.api.operations import OPERATIONS
from ambientd.api.rest.openapi import describe
from ambientd.api.rest.reference import html_page
from ambientd.api.routes import BASE_PATH
from ambientd.cli.parser import build_parser
from scripts.make_api_docs import PATH, with_table
from tests.api.rest.support import site
from tests.fakes.desk_node import DeskNode

# What a command does without any node, or with a file.
OTHERWISE_AT_A_TERMINAL = {"receipt.verify", "blame.verify", "blame.export", "proof.verify"}
DOCUMENT = describe(OPERATIONS.values())


def references(value: object) -> set[str]:
    match value:
        case {"$ref": str(name)}:
            return {name.rpartition("/")[2]}
        case dict():
            return set().union(*map(references, value.values()))
        case list():
            return set().union(*map(references, value))
        case _:
            return set()


def test_the_document_has_every_operation_once_and_every_schema_it_names() -> None:
    told = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert sorted(told) == sorted(OPERATIONS)
    assert references(DOCUMENT) <= set(DOCUMENT["components"]["schemas"])


def test_the_list_in_the_documents_is_that_of_the_table() -> None:
    text = PATH.read_text()
    assert with_table(text) == text, "run: python -m scripts.make_api_docs"


def test_the_page_names_every_operation_and_asks_nobody_else_for_anything() -> None:
    page = html_page(DOCUMENT)
    for row in OPERATIONS.values():
        assert f"id='{row.name}'" in page
    for word in ("<script", "<link", "<img", "src=", "http://", "https://", "@import", "url("):
        assert word not in page


async def test_document_and_page_are_served_to_everybody(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        document = await it.get("/openapi.json")
        assert document.value["openapi"] == "3.1.0"
        page = await it.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await it.ask("POST", "/docs")).status == 404
        assert BASE_PATH in page.body.decode()


def helps(parser: argparse.ArgumentParser, name: str = "") -> dict[str, str]:
    """Give what each command's help says it does."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {name + each.dest: str(each.help) for each in action._choices_actions}
            for word, below in action.choices.items():
                found |= helps(below, f"{name}{word}.")
    return found


def test_a_command_and_the_operation_behind_it_say_the_same_of_themselves() -> None:
    told = helps(build_parser())
    shared = set(told) & set(OPERATIONS) - OTHERWISE_AT_A_TERMINAL
    assert len(shared) > 25
    for name in shared:
        assert told[name] == OPERATIONS[name].route.summary
