"""The log tells of trouble with peers in words, and of each kind that the sources count."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from structlog.testing import capture_logs

from ambientd.adapters import libp2p
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.trouble_words import TROUBLE_WORDS

SOURCES = [
    (path, ast.parse(path.read_text(encoding="utf-8")))
    for path in sorted(Path(libp2p.__file__).parent.glob("*.py"))
]
RAISED = re.compile(r"[a-z_]+_raised")


def first_words(method: str) -> Iterator[tuple[str, str]]:
    """Give where each call of a method stands in the sources, and its first argument."""
    for path, tree in SOURCES:
        for each in ast.walk(tree):
            if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == method:
                yield path.name, ast.unparse(each.args[0])


def literals(method: str) -> set[str]:
    return {word.strip("'") for _, word in first_words(method) if word.startswith("'")}


def test_every_kind_that_is_noted_has_words_and_no_other() -> None:
    members_only, closing = literals("members_only"), literals("closing")
    assert {"frames", "blob"} < members_only
    found = literals("note")
    found |= {f"{name}_from_stranger" for name in members_only}
    found |= {f"{name}_handler_raised" for name in members_only | closing}
    for path, tree in SOURCES:
        words = (each.value for each in ast.walk(tree) if isinstance(each, ast.Constant))
        if path.name != "trouble_words.py":
            found |= {each for each in words if isinstance(each, str) and RAISED.fullmatch(each)}
    assert found - {"_handler_raised"} == set(TROUBLE_WORDS)


def test_no_kind_is_put_together_anywhere_else() -> None:
    made = {each for each in first_words("note") if not each[1].startswith("'")}
    assert made == {
        ("admission.py", "f'{name}_from_stranger'"),
        ("admission.py", "f'{name}_handler_raised'"),
        ("guard.py", "kind"),
    }


def test_a_line_has_the_words_and_who_and_how_often_and_why() -> None:
    counters = Counters()
    with capture_logs() as lines:
        for _ in range(3):
            counters.note("look_failed", error=EOFError(), peer="ab")
        counters.note("link_not_opened", error=ValueError("no protocol selected"))
    assert [(line["event"], line["count"], line["error"]) for line in lines] == [
        (TROUBLE_WORDS["look_failed"], 1, "EOFError"),
        (TROUBLE_WORDS["look_failed"], 2, "EOFError"),
        (TROUBLE_WORDS["link_not_opened"], 1, "ValueError: no protocol selected"),
    ]
    assert (lines[0]["peer"], lines[0]["kind"]) == ("ab", "look_failed")


def test_a_stranger_is_told_of_in_words() -> None:
    counters = Counters()
    with capture_logs() as lines:
        counters.note("frames_from_stranger", peer="ab")
    assert lines[0]["event"] == "a node that is not of the cluster wants a link; refused"


def test_what_is_nobodys_fault_is_counted_without_a_line() -> None:
    counters = Counters()
    with capture_logs() as lines:
        counters.count("hung_up_after_keys")
    assert (counters.snapshot(), lines) == ({"hung_up_after_keys": 1}, [])
