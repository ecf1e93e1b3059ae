"""The last headers that a ledger keeps: which are taken, and what gives way to what."""

from dataclasses import replace

import pytest

from ambientd.rules.bitcoin import MAIN, REGTEST, decode_header
from ambientd.rules.header_window import HEADERS_KEPT, Window, extended
from tests.rules.headers import mine

HARDER = 0x207FFFFF - 0x400000
HARDEST = 0x200FFFFF
FIRST = 1_000


def row(count: int, before: bytes = REGTEST.genesis, *, salt: int = 0) -> list[bytes]:
    """Mine headers, each on the one before."""
    made = [before]
    for _ in range(count):
        made.append(mine(made[-1], decode_header(made[-1]).time_s + 600, salt=salt))
    return made[1:]


ROW = row(12)


def taken(window: Window, start: int, headers: list[bytes]) -> Window:
    found = extended(window, REGTEST, start, headers)
    assert isinstance(found, Window), found
    return found


def begun() -> Window:
    return taken(Window(), FIRST, ROW[:6])


def test_headers_continue_what_is_kept() -> None:
    window = taken(begun(), FIRST + 6, ROW[6:])
    assert (window.first, list(window.headers), window.tip) == (FIRST, ROW, FIRST + 11)
    assert window.at(FIRST + 7) == ROW[7]
    assert window.at(FIRST - 1) is None
    assert window.at(FIRST + 12) is None


def test_what_is_there_already_changes_nothing() -> None:
    assert extended(begun(), REGTEST, FIRST + 2, ROW[2:5]) == begun()


def test_a_branch_gives_way_to_more_work_only() -> None:
    branch = row(6, ROW[3], salt=7)
    same = extended(begun(), REGTEST, FIRST + 4, branch[:2])
    assert same == "the headers at hand took as much work, or more"
    window = taken(begun(), FIRST + 4, branch[:3])
    assert list(window.headers) == ROW[:4] + branch[:3]


def test_a_false_beginning_gives_way_to_headers_that_outweigh_all_of_it() -> None:
    other = row(7, salt=9)
    less = extended(begun(), REGTEST, 5_000, other[:6])
    assert less == "the headers at hand took as much work, or more"
    assert taken(begun(), 5_000, other).first == 5_000


def test_only_the_last_day_is_kept() -> None:
    long = row(HEADERS_KEPT + 3)
    window = taken(taken(Window(), FIRST, long[:100]), FIRST + 100, long[100:])
    assert list(window.headers) == long[3:]
    assert window.first == FIRST + 3


def test_headers_follow_each_other_whatever_heights_are_claimed_for_them() -> None:
    window = taken(begun(), 7, ROW[6:8])
    assert (window.first, list(window.headers)) == (FIRST, ROW[:8])
    later = taken(Window(), FIRST + 9, ROW[2:5])
    assert taken(later, 70, ROW[1:]).first == FIRST + 8, "a heavier row is counted from the kept"


def test_the_target_moves_once_and_by_four_at_most() -> None:
    time_s = decode_header(ROW[5]).time_s + 600
    harder, hardest = mine(ROW[5], time_s, HARDER), mine(ROW[5], time_s, HARDEST)
    back = mine(harder, time_s + 600)
    for headers, is_taken in (([harder], True), ([hardest], False), ([harder, back], False)):
        found = extended(begun(), REGTEST, FIRST + 6, headers)
        assert isinstance(found, Window) == is_taken, found


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "no headers"),
        ([b"short"], "header"),
        ([ROW[6], ROW[8]], "does not follow"),
        ([ROW[6][:72] + b"\xff\xff\x00\x1d" + ROW[6][76:]], "does not meet"),
    ],
)
def test_what_is_no_chain_of_headers_is_refused(headers: list[bytes], said: str) -> None:
    found = extended(begun(), REGTEST, FIRST + 6, headers)
    assert isinstance(found, str)
    assert said in found


def test_headers_that_took_too_little_work_are_refused() -> None:
    assert "easier than the limit" in str(extended(Window(), MAIN, FIRST, ROW))
    weak = replace(REGTEST, target_max=REGTEST.pow_limit >> 8)
    assert "easier than the limit" in str(extended(Window(), weak, FIRST, ROW))
