import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.errors import RemoteProtocolError
from ambientd.rules.learning import noise, vectors
from ambientd.rules.learning.privacy import Terms


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-vectors.RANGE, vectors.RANGE), min_size=1, max_size=300),
    norm_max=st.integers(1, 1 << 24),
)
def test_clipping_keeps_the_norm_exactly(values: list[int], norm_max: int) -> None:
    found = noise.clipped(np.array(values, dtype=np.int64), norm_max)
    assert sum(int(value) ** 2 for value in found) <= norm_max**2
    if sum(value**2 for value in values) <= norm_max**2:
        assert list(found) == values
    else:
        assert all(abs(int(f)) <= abs(v) and f * v >= 0 for f, v in zip(found, values, strict=True))


@pytest.mark.parametrize("variance", [1, 7, 400, 1_525_202])
def test_what_the_first_bits_decide_is_what_the_whole_draw_does(variance: int) -> None:
    """At each end of what begins alike, at each boundary, beside it, and at chance."""
    table, bits = noise._table(variance), 64 - noise._GUIDE_BITS
    first = np.arange(1 << noise._GUIDE_BITS, dtype=np.uint64) << np.uint64(bits)
    last = first | np.uint64((1 << bits) - 1)
    inner = table.leading[(table.leading > 0) & (table.leading < np.uint64(2**64 - 1))]
    chance = np.frombuffer(hashlib.shake_256(b"draws").digest(80_000), dtype="<u8")
    beside = [inner - np.uint64(1), inner + np.uint64(1)]
    draws = np.concatenate([first, last, *beside, chance])
    draws = draws[~np.isin(draws, table.leading)]  # ties ask for more bits: below
    slowly = np.searchsorted(table.leading, draws, side="left") - table.reach
    assert np.array_equal(noise._drawn(table, draws, 0, b"seed"), slowly)


def test_a_tie_is_decided_by_more_bits_of_its_own_place() -> None:
    table, at, seed = noise._table(400), 70_000, b"seed"
    middle = len(table.leading) // 2
    draws = np.array([table.leading[middle]] * 3, dtype=np.uint64)
    found = noise._drawn(table, draws, at, seed)
    for number, value in enumerate(found):
        place = b"skellam tie" + (at + number).to_bytes(8, "big")
        more = int.from_bytes(noise.stream(noise.derived(seed, place), 16), "big")
        whole = int(draws[number]) << 128 | more
        assert value + table.reach == noise.bisect_right(table.exact, whole)


@pytest.mark.parametrize("variance", [1, 7, 400, 1_525_202])
def test_noise_follows_the_distribution_of_skellam(variance: int) -> None:
    drawn = noise.skellam(variance, 200_000, b"one seed")
    scale = variance / math.sqrt(len(drawn))
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / len(drawn))
    assert abs(drawn.var() - variance) < 5 * scale * math.sqrt(2 + 1 / variance)
    if variance == 7:
        # The difference of two Poisson variables of mean 3.5, worked out by convolution.
        poisson = [math.exp(-3.5) * 3.5**k / math.factorial(k) for k in range(60)]
        for value in range(-6, 7):
            chance = sum(
                poisson[k] * poisson[k - value] for k in range(max(0, value), min(60, 60 + value))
            )
            seen = int((drawn == value).sum())
            assert abs(seen - chance * len(drawn)) < 5 * math.sqrt(chance * len(drawn))


def test_the_table_is_the_distribution_to_two_to_the_minus_160() -> None:
    table = noise._table(16)
    scale = 1 << 256
    # e^-16 I_k(16), by its series in integers.
    exponential, term = 0, scale
    for number in range(1, 400):
        exponential, term = exponential + term, term * 16 // number
    previous = 0
    for value in range(-20, 20):
        total, part = 0, scale * 8 ** abs(value) // math.factorial(abs(value))
        for number in range(1, 200):
            total, part = total + part, part * 64 // (number * (number + abs(value)))
        place = value + table.reach
        previous = table.exact[place - 1]
        found = (table.exact[place] - previous) << 64
        assert abs(found - total * scale // exponential) < scale >> 160


def test_draws_that_64_bits_do_not_decide_are_decided_by_more() -> None:
    table = noise._table(3)
    entry = int(table.leading[table.reach])
    # The seed's stream would have to hit 1 of 2^64: the rule is checked on the table itself.
    for more in (0, (1 << 128) - 1):
        whole = entry << 128 | more
        place = sum(bound <= whole for bound in table.exact)
        assert place in {table.reach, table.reach + 1}
    assert list(table.exact) == sorted(table.exact)
    assert all(
        int(top) == exact >> 128 for top, exact in zip(table.leading, table.exact, strict=True)
    )


TERMS = Terms(clip_micro=500_000, noise_milli=4_000, survivors_min=6)


def test_the_same_seed_gives_the_same_bytes_and_no_other_does() -> None:
    update = np.arange(-500, 500, dtype="<i4").tobytes()
    assert noise.quantised(TERMS, update, b"a") == noise.quantised(TERMS, update, b"a")
    assert noise.quantised(TERMS, update, b"a") != noise.quantised(TERMS, update, b"b")
    assert hashlib.sha256(noise.quantised(TERMS, update, b"a")).hexdigest() == (
        "1d1c8c2e154910464ec801b1d8606d1ea2f5d7fdd0c2ee090409d6b85f24eed6"
    )


def test_the_mean_of_a_group_without_noise_is_the_mean_of_its_updates() -> None:
    terms = Terms(clip_micro=2_000_000, noise_milli=0, survivors_min=3)
    rng = np.random.default_rng(3)
    updates = [rng.integers(-2000, 2000, 1000).astype("<i4") for _ in range(5)]
    total = sum(np.frombuffer(noise.quantised(terms, u.tobytes(), b""), "<i4") for u in updates)
    found = noise.mean_of(terms, total.astype("<i4").tobytes(), 5)
    assert np.abs(found - sum(u.astype(float) for u in updates) / 5).max() <= 0.5


def test_an_update_or_a_sum_of_the_wrong_form_is_refused() -> None:
    for bad in (b"", b"abc", (1 << 23).to_bytes(4, "little")):
        with pytest.raises(RemoteProtocolError):
            noise.quantised(TERMS, bad, b"a")
    for total, survivors in ((b"abc", 1), (bytes(4), 0)):
        with pytest.raises(RemoteProtocolError):
            noise.mean_of(TERMS, total, survivors)
