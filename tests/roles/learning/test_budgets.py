"""What all studies of a device may spend together, and who leaves a study for which cause."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.learning import RoundState, StudyId
from ambientd.model.private_book import Book
from ambientd.roles.learning import book as lines
from ambientd.roles.learning.book import Cause, Refusal
from ambientd.rules.learning.privacy import Terms, spent
from tests.roles.learning.test_book import (
    FIRST,
    ME,
    OTHER,
    SECOND,
    STUDY,
    TERMS,
    begun,
    kept,
    receipt,
    shown,
)

TWICE_MICRO = spent(TERMS, 2).epsilon_micro or 0
COARSE = Terms(500_000, 8_000, 5)
STUDIES = (STUDY, OTHER, StudyId(sha256(b"third")))


def cause(after: Book | Refusal | None) -> Cause:
    assert isinstance(after, Refusal), after
    return after.cause


def beside(book: Book, study: StudyId = OTHER, number: int = 1) -> Book:
    """Let another study begin a round on the same device."""
    return kept(lines.begin(lines.allow(book, study, None), study, number, b"o" * 32))


def test_a_release_that_takes_all_studies_together_beyond_the_owners_bound_is_refused() -> None:
    book = beside(shown(lines.allow_all(begun(), TWICE_MICRO)))
    both = kept(lines.release(book, OTHER, 1, SECOND, TERMS))
    assert lines.spent(*both.studies).epsilon_micro == TWICE_MICRO
    third = beside(both, STUDIES[2])
    after = lines.release(third, STUDIES[2], 1, SECOND, TERMS)
    assert cause(after) is Cause.ALL_SPENT
    assert "all studies here" in str(after)
    assert cause(lines.worn(third, STUDIES[2], TERMS)) is Cause.ALL_SPENT, "before it begins, too"
    assert kept(lines.release(lines.allow_all(third, None), STUDIES[2], 1, SECOND, TERMS))


def test_what_was_shown_without_noise_leaves_no_room_under_a_bound_over_all() -> None:
    bare = kept(lines.release(beside(begun()), OTHER, 1, SECOND, Terms(1_000_000, 0, 3)))
    bounded = lines.allow_all(bare, 1_000_000_000)
    assert cause(lines.release(bounded, STUDY, 1, FIRST, TERMS)) is Cause.ALL_SPENT


def test_a_study_that_joins_or_does_not_after_all_leaves_the_bound_over_all_as_it_was() -> None:
    book = lines.allow_all(shown(begun()), TWICE_MICRO)
    tried = lines.take_back(lines.allow(book, OTHER, 5), OTHER, None)
    assert tried == book
    heard = lines.heard(book, receipt(1, RoundState.DONE, (ME,)), ME)
    assert heard.limit_micro == TWICE_MICRO


STEPS = st.tuples(
    st.sampled_from(["release", "release", "heard", "allow", "allow all"]),
    st.sampled_from(STUDIES),
    st.integers(1, 3),
    st.sampled_from([None, 0, TWICE_MICRO // 2, TWICE_MICRO, 4 * TWICE_MICRO]),
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEPS, max_size=40))
def test_no_release_takes_studies_together_beyond_what_was_allowed_when_it_was_made(
    steps: list[tuple[str, StudyId, int, int | None]],
) -> None:
    book = Book()
    for study in STUDIES:
        book = lines.allow(book, study, None)
    for place, (what, study, number, limit_micro) in enumerate(steps, start=1):
        before, terms = lines.curve_of(*book.studies), (TERMS, COARSE)[number % 2]
        after: Book | Refusal
        match what:
            case "release":
                begun_now = kept(lines.begin(book, study, place, bytes([place]) * 32))
                update = Digest(sha256(study + bytes([place])))
                after = lines.release(begun_now, study, place, update, terms)
            case "heard":
                ended = receipt(place - 1, RoundState.DONE, (ME,))
                after = lines.heard(book, replace(ended, study=study), ME)
            case "allow":
                after = lines.allow(book, study, limit_micro)
            case _:
                after = lines.allow_all(book, limit_micro)
        if isinstance(after, Refusal):
            continue
        now = lines.curve_of(*after.studies)
        assert before is not None
        assert now is not None
        assert all(a >= b for a, b in zip(now, before, strict=True)), "nothing is given back"
        if now != before and after.limit_micro is not None:
            total = lines.spent(*after.studies).epsilon_micro
            assert total is not None
            assert total <= after.limit_micro
        if what != "allow all":
            assert after.limit_micro == book.limit_micro, "only the owner changes it"
        book = after


def test_of_all_causes_only_those_that_an_owner_alone_can_change_end_a_nodes_part() -> None:
    final = {each for each in Cause if each.is_final}
    assert final == {Cause.NOT_ALLOWED, Cause.WASTED, Cause.SPENT, Cause.ALL_SPENT}


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (lines.begin(Book(), STUDY, 1, b"s" * 32), Cause.NOT_ALLOWED),
        (lines.begin(begun(2), STUDY, 1, b"s" * 32), Cause.OVER),
        (lines.release(begun(), STUDY, 2, FIRST, TERMS), Cause.OVER),
        (lines.release(shown(begun()), STUDY, 1, SECOND, TERMS), Cause.SHOWN),
        (lines.open_for(begun(), STUDY, 1, ()), Cause.SURVIVORS),
        (lines.release(begun(limit_micro=1), STUDY, 1, FIRST, TERMS), Cause.SPENT),
    ],
)
def test_each_refusal_says_its_cause(after: Book | Refusal, wanted: Cause) -> None:
    assert cause(after) is wanted
