import hashlib
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.errors import RemoteProtocolError
from ambientd.rules.learning import averaging, krum, vectors
from ambientd.rules.learning.privacy import Terms

numbers = st.integers(-vectors.RANGE, vectors.RANGE) | st.integers(-1000, 1000)
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=9
    )
)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def packed(rows: list[list[int]], weights: list[int] | None = None) -> list[tuple[bytes, int]]:
    given_weights = weights or [1] * len(rows)
    return [
        (np.array(row, dtype="<i4").tobytes(), weight)
        for row, weight in zip(rows, given_weights, strict=True)
    ]


@settings(deadline=None)
@given(rows=tables, data=st.data())
def test_the_weighted_mean_is_exact(rows: list[list[int]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 2**20), min_size=len(rows), max_size=len(rows)))
    found = averaging.average("fedavg", packed(rows, weights), len(rows[0]), 0)
    assert list(found.update) == [
        half_up(Fraction(sum(w * n for w, n in zip(weights, column, strict=True)), sum(weights)))
        for column in zip(*rows, strict=True)
    ]
    assert found.left_out == ()


@settings(deadline=None)
@given(rows=tables)
def test_the_median_and_the_trimmed_mean_are_exact(rows: list[list[int]]) -> None:
    columns = [sorted(column) for column in zip(*rows, strict=True)]
    count = len(rows)
    middle = [Fraction(c[(count - 1) // 2] + c[count // 2], 2) for c in columns]
    found = averaging.average("median", packed(rows), len(rows[0]), 333)
    assert list(found.update) == [half_up(value) for value in middle]
    trimmed = min(-(-count * 333 // 1000), (count - 1) // 2)
    kept = [c[trimmed : count - trimmed] for c in columns]
    found = averaging.average("trimmed-mean", packed(rows), len(rows[0]), 333)
    assert list(found.update) == [half_up(Fraction(sum(c), len(c))) for c in kept]


@settings(deadline=None)
@given(rows=tables, liars=st.integers(0, 3))
def test_krum_scores_are_exact_and_ties_go_to_the_earlier_place(
    rows: list[list[int]], liars: int
) -> None:
    def distance(one: list[int], other: list[int]) -> int:
        return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))

    count = len(rows)
    scores = []
    for place, row in enumerate(rows):
        others = sorted(distance(row, other) for at, other in enumerate(rows) if at != place)
        scores.append((sum(others[: max(1, count - liars - 2)]), place))
    keep = max(1, count - 2 * liars - 2)
    expected = sorted(place for _, place in sorted(scores)[:keep])
    assert krum.chosen([np.array(row, dtype="<i4") for row in rows], liars) == expected


def test_krum_leaves_out_a_third_that_lies_together() -> None:
    rng = np.random.default_rng(1)
    honest = [rng.normal(1000, 50, 40) for _ in range(20)]
    liars = [rng.normal(-10_000, 1, 40) for _ in range(10)]
    updates = [(row.astype("<i4").tobytes(), 1) for row in (*liars, *honest)]
    found = averaging.average("multi-krum", updates, 40, 334)
    assert set(range(10)) <= set(found.left_out)
    assert np.abs(found.update - 1000).max() < 100


@pytest.mark.parametrize("rule", sorted(averaging.RULES))
def test_malformed_updates_are_left_out_by_their_places(rule: str) -> None:
    good = np.array([10, 20, 30], dtype="<i4").tobytes()
    bad = [b"", b"abc", good[:8], good + b"1234", (1 << 30).to_bytes(4, "little") * 3]
    updates = [(update, 5) for update in (bad[0], good, *bad[1:3], good, *bad[3:], good)]
    found = averaging.average(rule, updates, 3, 0)
    assert list(found.update) == [10, 20, 30]
    assert {0, 2, 3, 5, 6} <= set(found.left_out)
    nothing = averaging.average(rule, [(b"", 1)], 3, 0)
    assert (list(nothing.update), nothing.left_out) == ([0, 0, 0], (0,))


@pytest.mark.parametrize("rule", ["multi-krum", "trimmed-mean", "median"])
def test_rules_that_hold_all_updates_hold_so_many_bytes_at_most(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averaging, "HELD_BYTES_MAX", 4 * 2 * 5)
    updates = packed([[number, 1] for number in range(6)])
    averaging.average(rule, updates[:5], 2, 200)
    with pytest.raises(RemoteProtocolError, match="holds all updates"):
        averaging.average(rule, updates, 2, 200)


def test_an_update_of_no_samples_or_of_too_many_updates_has_no_weight() -> None:
    one = np.array([7], dtype="<i4").tobytes()
    other = np.array([-7], dtype="<i4").tobytes()
    found = averaging.average("fedavg", [(one, 1), (other, 0), (other, -3)], 1, 0)
    assert (list(found.update), found.left_out) == ([7], (1, 2))
    many = [(one, 1)] * averaging.UPDATES_MAX + [(other, 2**40)]
    assert averaging.average("fedavg", many, 1, 0).left_out == (averaging.UPDATES_MAX,)
    assert averaging.average("median", many, 1, 0).left_out == (averaging.UPDATES_MAX,)


@pytest.mark.parametrize(
    ("rule", "digest"),
    [
        ("fedavg", "f2e0da74905a057d"),
        ("median", "35e70efa0ac8c814"),
        ("multi-krum", "c58748f7698ecb5e"),
        ("trimmed-mean", "944105b154a5ec6c"),
    ],
)
def test_an_aggregate_has_the_same_digest_everywhere(rule: str, digest: str) -> None:
    """Updates from SHA-256 in counter mode, over more numbers than one stripe holds."""
    count = 40_000
    updates = []
    for member in range(9):
        blocks = [hashlib.sha256(b"%d %d" % (member, at)).digest() for at in range(count // 8)]
        words = np.frombuffer(b"".join(blocks), dtype="<u4")
        updates.append(((words >> 9).astype("<i4").tobytes(), member + 1))
    found = averaging.average(rule, updates, count, 200)
    assert hashlib.sha256(vectors.encoded(found.update)).hexdigest()[:16] == digest


def test_groups_are_put_together_by_survivors_or_by_the_median() -> None:
    terms = Terms(clip_micro=1_000_000, noise_milli=0, survivors_min=3)
    sums = [
        (np.array([mean * survivors], dtype="<i4").tobytes(), survivors)
        for mean, survivors in ((10, 8), (20, 8), (1000, 4))
    ]
    model = np.array([5], dtype="<i4").tobytes()

    def after(rule: str) -> int:
        return int(vectors.decoded(averaging.model_of_groups(rule, terms, model, sums))[0])

    assert (after("fedavg"), after("median")) == (5 + 212, 5 + 20)
    assert averaging.model_of_groups("median", terms, model, []) == model
    for bad in (b"abc", bytes(8)):
        with pytest.raises(RemoteProtocolError):
            averaging.model_of_groups("fedavg", terms, model, [(bad, 1)])


@given(rows=tables)
def test_numbers_survive_floats_and_a_model_takes_an_update(rows: list[list[int]]) -> None:
    row = rows[0]
    data = np.array(row, dtype="<i4").tobytes()
    assert vectors.from_floats(vectors.to_floats(data)) == data
    added = vectors.decoded(vectors.applied(data, vectors.decoded(data)))
    assert list(added) == [max(-vectors.RANGE, min(vectors.RANGE, 2 * n)) for n in row]


def test_floats_that_are_none_or_too_large_do_not_get_through() -> None:
    floats = np.array([float("nan"), float("inf"), -float("inf"), 1e300, 0.5])
    assert list(vectors.to_floats(vectors.from_floats(floats)) * 65_536) == [
        0,
        vectors.RANGE,
        -vectors.RANGE,
        vectors.RANGE,
        32_768,
    ]
