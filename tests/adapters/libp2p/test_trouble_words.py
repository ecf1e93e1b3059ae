"""The log tells of trouble with peers in words, and of each kind that the sources count."""

import re
from pathlib import Path

from structlog.testing import capture_logs

from ambientd.adapters import libp2p
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.trouble_words import TROUBLE_WORDS

SOURCES = sorted(Path(libp2p.__file__).parent.glob("*.py"))
NOTED = re.compile(r'\.note\(\s*"([a-z_]+)"|"([a-z_]+_raised)"')


def test_every_kind_that_is_noted_has_words_and_no_other() -> None:
    others = [path for path in SOURCES if path.name != "trouble_words.py"]
    found = {
        "".join(each) for path in others for each in NOTED.findall(path.read_text(encoding="utf-8"))
    }
    assert found == set(TROUBLE_WORDS)


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


def test_what_is_nobodys_fault_is_counted_without_a_line() -> None:
    counters = Counters()
    with capture_logs() as lines:
        counters.count("hung_up_after_keys")
    assert (counters.snapshot(), lines) == ({"hung_up_after_keys": 1}, [])
