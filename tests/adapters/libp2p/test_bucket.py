"""Token buckets, without a clock."""

import pytest

from ambientd.adapters.libp2p.bucket import TokenBucket


def test_a_burst_is_free_and_what_follows_waits_for_its_tokens() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=20)
    assert bucket.charge(20, now_s=0.0) == 0
    assert bucket.charge(5, now_s=0.0) == pytest.approx(0.5)
    assert bucket.charge(0, now_s=0.5) == 0


def test_tokens_are_taken_only_when_all_are_there() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2)
    assert bucket.take(2, now_s=0.0)
    assert not bucket.take(1, now_s=0.9)
    assert bucket.take(1, now_s=1.1)


def test_a_long_rest_earns_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=100, burst=3)
    assert bucket.take(3, now_s=0.0)
    assert not bucket.take(4, now_s=1_000.0)
    assert bucket.take(3, now_s=1_000.0)
