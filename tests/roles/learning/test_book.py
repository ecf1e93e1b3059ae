"""A book: budgets only go down, one update a round, one kind of share of each node."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ambientd.adapters.private_book_file import PrivateBookFile
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256, tagged
from ambientd.errors import ConfigError
from ambientd.ledger.learning_entries import NOTHING_SCORED
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import RoundReceipt, RoundState, StudyId
from ambientd.model.private_book import Book, StudyBook
from ambientd.roles.learning import book as lines
from ambientd.rules.learning.privacy import Terms, spent

STUDY, OTHER = StudyId(sha256(b"study")), StudyId(sha256(b"other"))
ME, THEM = NodeId(b"m" * 32), NodeId(b"t" * 32)
TERMS = Terms(1_000_000, 4_000, 3)
FIRST, SECOND = Digest(sha256(b"first")), Digest(sha256(b"second"))
ONCE_MICRO = spent(TERMS, 1).epsilon_micro or 0


def kept(after: Book | lines.Refusal) -> Book:
    assert isinstance(after, Book), after
    return after


def begun(number: int = 1, limit_micro: int | None = 10_000_000) -> Book:
    allowed = lines.allow(Book(), STUDY, limit_micro)
    return kept(lines.begin(allowed, STUDY, number, b"s" * 32))


def shown(book: Book, number: int = 1, update: Digest = FIRST) -> Book:
    return kept(lines.release(book, STUDY, number, update, TERMS))


def receipt(number: int, state: RoundState, survivors: tuple[NodeId, ...]) -> RoundReceipt:
    return RoundReceipt(
        study=STUDY,
        round=number,
        plan=FIRST,
        state=state,
        before=FIRST,
        after=FIRST,
        contributed=(),
        survivors=survivors,
        left_out=(),
        aggregators=(),
        score=NOTHING_SCORED,
        began_ms=0,
        ended_ms=0,
    )


def own(book: Book) -> StudyBook:
    found = book.of(STUDY)
    assert found is not None
    return found


def test_a_study_without_an_owners_limit_gets_no_secret_and_so_nothing() -> None:
    assert "allowed this study no budget" in str(lines.begin(Book(), STUDY, 1, b"s" * 32))
    assert "no secret" in str(lines.release(Book(), STUDY, 1, FIRST, TERMS))
    assert "no secret" in str(lines.open_for(Book(), STUDY, 1, (ME,)))


def test_a_round_keeps_its_secret_whoever_begins_it_again() -> None:
    book = begun()
    assert lines.begin(book, STUDY, 1, b"t" * 32) == book


def test_the_same_update_again_costs_nothing_and_another_is_refused() -> None:
    once = shown(begun())
    assert lines.release(once, STUDY, 1, FIRST, TERMS) == once
    assert "another update" in str(lines.release(once, STUDY, 1, SECOND, TERMS))
    assert lines.spent(own(once)) == spent(TERMS, 1)


def test_shares_are_opened_for_one_set_alone_and_nothing_is_shown_after_them() -> None:
    opened = kept(lines.open_for(shown(begun()), STUDY, 1, (ME, THEM)))
    assert lines.open_for(opened, STUDY, 1, (ME, THEM)) == opened
    assert "other survivors" in str(lines.open_for(opened, STUDY, 1, (ME,)))
    unshown = kept(lines.open_for(begun(), STUDY, 1, (THEM,)))
    assert "opened" in str(lines.release(unshown, STUDY, 1, FIRST, TERMS))
    assert "none" in str(lines.open_for(begun(), STUDY, 1, ()))


def test_a_release_beyond_the_limit_is_refused() -> None:
    book = begun(limit_micro=ONCE_MICRO)
    again = kept(lines.begin(shown(book), STUDY, 2, b"u" * 32))
    assert "the budget is spent" in str(lines.release(again, STUDY, 2, SECOND, TERMS))
    scant = begun(limit_micro=ONCE_MICRO - 1)
    assert "the budget is spent" in str(lines.release(scant, STUDY, 1, FIRST, TERMS))


def test_without_noise_a_limit_has_room_for_nothing() -> None:
    bare = Terms(1_000_000, 0, 3)
    assert "no bound" in str(lines.release(begun(), STUDY, 1, FIRST, bare))
    free = kept(lines.release(begun(limit_micro=None), STUDY, 1, FIRST, bare))
    assert lines.spent(own(free)).epsilon_micro is None


def test_a_round_that_fails_is_paid_for_and_its_secret_is_dropped() -> None:
    book = lines.heard(shown(begun()), receipt(1, RoundState.FAILED, ()), ME)
    assert own(book).rounds == ()
    assert (own(book).releases, own(book).wasted) == (1, 1)
    assert lines.heard(book, receipt(1, RoundState.FAILED, ()), ME) == book, "and counted once"
    good = lines.heard(shown(begun()), receipt(1, RoundState.DONE, (ME,)), ME)
    assert own(good).wasted == 0
    without = lines.heard(shown(begun()), receipt(1, RoundState.DONE, (THEM,)), ME)
    assert own(without).wasted == 1


def test_a_round_of_whose_end_nothing_was_heard_counts_as_wasted_once_the_next_begins() -> None:
    book = kept(lines.begin(shown(begun()), STUDY, 2, b"u" * 32))
    assert [each.round for each in own(book).rounds] == [2]
    assert own(book).wasted == 1
    assert "over" in str(lines.begin(book, STUDY, 1, b"v" * 32))


def test_a_round_that_was_heard_to_be_over_begins_no_more_even_where_it_never_began_here() -> None:
    book = lines.heard(shown(begun(2), 2), receipt(2, RoundState.FAILED, ()), ME)
    for number in (1, 2):
        assert f"round {number} is over" in str(lines.begin(book, STUDY, number, b"t" * 32))
    assert kept(lines.begin(book, STUDY, 3, b"t" * 32)) != book
    late = lines.heard(book, receipt(1, RoundState.DONE, ()), ME)
    assert late == book, "a ledger that lags behind takes nothing back"
    unseen = lines.heard(lines.allow(Book(), STUDY, 5), receipt(1, RoundState.DONE, ()), ME)
    assert "over" in str(lines.begin(unseen, STUDY, 1, b"t" * 32))
    left = lines.allow(lines.take_back(unseen, STUDY, None), STUDY, 5)
    assert "over" in str(lines.begin(left, STUDY, 1, b"t" * 32)), "whoever joins again knows it"


def test_liars_make_nobody_burn_its_budget_without_bound() -> None:
    book, rounds = begun(limit_micro=None), 0
    for number in range(1, 100):
        if lines.worn(book, STUDY, TERMS) is not None:
            break
        book = kept(lines.begin(book, STUDY, number, b"%032d" % number))
        book = shown(book, number, Digest(sha256(b"%d" % number)))
        book = lines.heard(book, receipt(number, RoundState.FAILED, ()), ME)
        rounds = number
    assert rounds == lines.WASTED_MAX
    fresh = lines.allow(book, STUDY, None)
    assert lines.worn(fresh, STUDY, TERMS) is None, "the owner may consent anew"
    assert own(fresh).releases == rounds, "but what was spent stays spent"


def test_a_study_that_wastes_little_goes_on() -> None:
    book = begun(limit_micro=None)
    for number in range(1, 41):
        book = kept(lines.begin(book, STUDY, number, b"%032d" % number))
        book = shown(book, number, Digest(sha256(b"%d" % number)))
        state = RoundState.FAILED if number % 8 == 0 else RoundState.DONE
        book = lines.heard(book, receipt(number, state, (ME,)), ME)
    assert own(book).wasted == 5
    assert lines.worn(book, STUDY, TERMS) is None


def test_a_join_that_was_refused_leaves_the_book_as_it_was() -> None:
    assert lines.take_back(lines.allow(Book(), STUDY, 5), STUDY, None) == Book()
    known = shown(begun(limit_micro=9_000_000))
    raised = lines.allow(known, STUDY, 99_000_000)
    assert lines.take_back(raised, STUDY, known.of(STUDY)) == known


def test_studies_together_cost_more_than_each_and_no_more_than_their_sum() -> None:
    one = shown(begun())
    two = kept(lines.begin(lines.allow(one, OTHER, 9_000_000), OTHER, 1, b"o" * 32))
    two = kept(lines.release(two, OTHER, 1, SECOND, TERMS))
    together = lines.spent(*two.studies).epsilon_micro
    assert together == spent(TERMS, 2).epsilon_micro
    assert together is not None
    assert ONCE_MICRO < together <= 2 * ONCE_MICRO


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 4), st.binary(min_size=32, max_size=32)),
    st.tuples(st.just("release"), st.integers(1, 4), st.sampled_from([FIRST, SECOND])),
    st.tuples(st.just("open"), st.integers(1, 4), st.sampled_from([(ME,), (ME, THEM)])),
    st.tuples(st.just("heard"), st.integers(1, 4), st.sampled_from(list(RoundState)[-2:])),
    st.tuples(st.just("allow"), st.just(0), st.sampled_from([None, 1, ONCE_MICRO, 9_000_000])),
    st.tuples(st.just("crash"), st.just(0), st.booleans()),
)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
@example(
    steps=[
        ("begin", 1, b"s" * 32),
        ("release", 1, FIRST),
        ("heard", 1, RoundState.FAILED),
        ("begin", 1, b"t" * 32),
        ("release", 1, SECOND),
    ]
)
@example(
    steps=[
        ("begin", 2, b"s" * 32),
        ("open", 2, (ME,)),
        ("heard", 2, RoundState.DONE),
        ("begin", 2, b"t" * 32),
        ("open", 2, (ME, THEM)),
    ]
)
def test_budgets_only_go_down_whatever_happens_and_wherever_it_crashes(
    steps: list[tuple[str, int, object]],
) -> None:
    """A crash loses the write that was under way, or what should have followed it: never both."""
    disk = lines.allow(Book(), STUDY, 9_000_000)
    left: set[tuple[int, object]] = set()
    opened: dict[int, object] = {}
    loses_write = loses_effect = False
    for what, number, value in steps:
        before = lines.curve_of(own(disk))
        match what:
            case "begin":
                after = lines.begin(disk, STUDY, number, bytes(value))  # type: ignore[call-overload]
            case "release":
                after = lines.release(disk, STUDY, number, value, TERMS)  # type: ignore[arg-type]
            case "open":
                after = lines.open_for(disk, STUDY, number, value)  # type: ignore[arg-type]
            case "heard":
                after = lines.heard(disk, receipt(number, RoundState(value), (ME,)), ME)  # type: ignore[call-overload]
            case "allow":
                after = lines.allow(disk, STUDY, value)  # type: ignore[arg-type]
            case _:
                loses_write, loses_effect = bool(value), not value
                continue
        if isinstance(after, lines.Refusal) or loses_write:
            loses_write = loses_effect = False
            continue
        disk = after
        now = lines.curve_of(own(disk))
        assert before is not None
        assert now is not None
        assert all(a >= b for a, b in zip(now, before, strict=True)), "nothing is given back"
        if not loses_effect:
            if what == "release":
                left.add((number, value))
            if what == "open":
                assert opened.setdefault(number, value) == value, "shares for two sets"
        loses_effect = False
        numbers = [each for each, _ in left]
        assert len(numbers) == len(set(numbers)), "two updates left in one round"
        assert own(disk).releases >= len(left), "what left was paid for"


def test_the_epsilon_of_a_book_is_that_of_dp_accounting_to_one_percent() -> None:
    """Their figure for these terms is in the vectors; ours is of the book after as many rounds."""
    path = Path(__file__).parents[3] / "protocols" / "vectors" / "privacy.json"
    for case in json.loads(path.read_text())["cases"]:
        terms = Terms(case["clip_micro"], case["noise_milli"], case["survivors_min"])
        book = lines.allow(Book(), STUDY, None)
        for number in range(1, min(case["releases"], 60) + 1):
            book = kept(lines.begin(book, STUDY, number, b"%032d" % number))
            update = Digest(sha256(b"%d" % number))
            book = kept(lines.release(book, STUDY, number, update, terms))
            book = lines.heard(book, receipt(number, RoundState.DONE, (ME,)), ME)
        if case["releases"] <= 60:
            found = lines.spent(own(book)).epsilon_micro
            assert found is not None
            assert math.isclose(found / 1e6, case["dp_accounting"]["of_our_curve"], rel_tol=0.01)


def of_version_1(book: Book) -> bytes:
    """Give the file as it was written before it kept which rounds are over."""
    studies = [[e.study, e.limit_micro, e.charges, e.rounds, e.wasted] for e in book.studies]
    return encode([1, [studies], tagged("ambient/private-book/1", encode([studies]))])


def test_a_book_of_version_1_is_read_with_all_that_was_spent_and_kept_as_the_present_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "learning.book"
    path.write_bytes(of_version_1(Book()))
    assert PrivateBookFile(path).load() == Book()
    path.write_bytes(of_version_1(shown(begun(3), 3)))
    book = PrivateBookFile(path).load()
    assert own(book).releases == 1
    assert lines.own_round(book, STUDY, 3) == lines.own_round(shown(begun(3), 3), STUDY, 3)
    assert own(book).over == 2
    idle = begun(limit_micro=None)
    for number in (1, 4):
        idle = kept(lines.begin(idle, STUDY, number, b"s" * 32))
        idle = shown(idle, number, Digest(sha256(b"%d" % number)))
        idle = lines.heard(idle, receipt(number, RoundState.DONE, (ME,)), ME)
    path.write_bytes(of_version_1(idle))
    found = PrivateBookFile(path).load()
    assert own(found).over == own(found).releases == 2, "each release was in a round of its own"
    assert "over" in str(lines.begin(found, STUDY, 2, b"v" * 32))
    assert kept(lines.begin(found, STUDY, 5, b"v" * 32))
    path.write_bytes(of_version_1(shown(begun(3), 3)))
    PrivateBookFile(path).keep(book)
    assert path.read_bytes() != of_version_1(book)
    assert PrivateBookFile(path).load() == book
    data = bytearray(of_version_1(book))
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        PrivateBookFile(path).load()


def test_a_book_of_version_2_is_read_and_bounds_no_studies_together(tmp_path: Path) -> None:
    path, book = tmp_path / "learning.book", shown(begun(3), 3)
    second = [list(book.studies)]
    digest = tagged("ambient/private-book/1", encode(second))
    path.write_bytes(encode([2, second, digest]))
    assert PrivateBookFile(path).load() == book
    bounded = lines.allow_all(book, 5_000_000)
    PrivateBookFile(path).keep(bounded)
    assert PrivateBookFile(path).load() == bounded


@pytest.mark.parametrize("limit_micro", [None, 0, 7])
def test_a_damaged_or_foreign_book_is_refused(tmp_path: Path, limit_micro: int | None) -> None:
    path = tmp_path / "learning.book"
    file = PrivateBookFile(path)
    assert file.load() == Book()
    book = lines.allow(Book(), STUDY, limit_micro)
    file.keep(book)
    assert file.load() == book
    assert path.stat().st_mode & 0o077 == 0, "its secrets are nobody else's"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="no private study goes on"):
        file.load()
