"""Hash chains, COORDINATION "Messages" (beacon)."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.consensus import beacon
from ambientd.consensus.beacon import LINKS, BeaconLink, follow, reveal, step, tip


def test_each_reveal_leads_to_the_one_before_across_chains() -> None:
    link = BeaconLink(tip(b"secret"), 0)
    for count in range(2 * LINKS + 3):
        following = follow(link, reveal(b"secret", count))
        assert following is not None
        assert following.count == count + 1
        link = following


@given(st.integers(0, 3 * LINKS), st.integers(0, 3 * LINKS))
def test_no_other_link_fits(count: int, other: int) -> None:
    values = beacon._links(b"secret", count // LINKS)
    link = BeaconLink(values[count % LINKS], count)
    fits = follow(link, reveal(b"secret", other)) is not None
    assert fits == (other == count)


def test_a_chains_end_names_the_next_and_nothing_else_may_be_long() -> None:
    end = LINKS - 1
    link = BeaconLink(beacon._links(b"s", 0)[end], end)
    assert follow(link, reveal(b"s", end)[:32]) is None
    assert len(reveal(b"s", end)) == 64
    first = BeaconLink(tip(b"s"), 0)
    assert follow(first, reveal(b"s", 0) + b"x" * 32) is None
    assert step(reveal(b"s", 0)) == tip(b"s")


def test_different_secrets_have_different_chains() -> None:
    assert tip(b"a") != tip(b"b")
