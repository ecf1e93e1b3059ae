"""Whom a request is from: what trusted proxies say is believed, and nobody else."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.http_addresses import HOPS_MAX, Address, Proxies, address_in, counted, hop_in

OURS = Proxies(("10.0.0.0/8", "::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", ["7.7.7.7"], "7.7.7.7"),
        ("10.0.0.1", ["1.1.1.1, 7.7.7.7"], "7.7.7.7"),  # the first was written by the caller
        ("10.0.0.1", ["1.1.1.1", "7.7.7.7, 10.2.3.4"], "7.7.7.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["7.7.7.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["7.7.7.7:47011, 10.2.3.4:80"], "7.7.7.7"),
        ("10.0.0.1", ["[2001:db8::7]:47011"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["7.7.7.7:_hidden"], "7.7.7.7"),
        ("10.0.0.1", ["_hidden"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::1", ["::ffff:7.7.7.7"], "7.7.7.7"),
        ("9.9.9.9", ["7.7.7.7"], "9.9.9.9"),
        ("9.9.9.9", ["10.0.0.1"], "9.9.9.9"),
    ],
)
def test_the_caller_is_the_last_address_that_no_proxy_of_ours_has(
    peer: str, forwarded: list[str], caller: str
) -> None:
    assert str(OURS.caller_of(ip_address(peer), forwarded)) == caller


@given(st.ip_addresses(), st.integers(0, 65_535), st.sampled_from(["", " ", "\t"]))
def test_a_port_beside_an_address_says_nothing(address: Address, port: int, space: str) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    told = {
        hop_in(space + each + space)
        for each in (str(address), host, f"{host}:{port}", f"{host}:_x")
    }
    assert told == {address_in(str(address))}


@pytest.mark.parametrize(
    "word",
    [
        *("", ":", ":80", "7.7.7.7:", "7.7.7.7:123456", "7.7.7.7:-1", "7.7.7.7:8a", "[7.7.7.7]"),
        *("[", "[]", "[]:80", "[::1", "::1]", "[::1]80", "[::1]:", "[[::1]]", "7.7.7.7:80:80"),
        *("[::1]:80:80", "unknown", "_gazonk", "7.7.7", "7.7.7.7.7", "\u0667.7.7.7"),
    ],
)
def test_what_is_no_node_of_the_standard_names_nobody(word: str) -> None:
    assert hop_in(word) is None


@given(st.text("0123456789abcdef.:[]_% ", max_size=60))
def test_an_address_is_read_as_the_standard_reads_it_or_not_at_all(text: str) -> None:
    found = hop_in(text)
    assert found is None or hop_in(str(found)) == found


@given(
    st.lists(st.text(max_size=60), max_size=4),
    st.sampled_from(["9.9.9.9", "2001:db8::1", "127.0.0.1"]),
)
def test_nobody_else_is_believed_whatever_it_says(forwarded: list[str], peer: str) -> None:
    assert OURS.caller_of(ip_address(peer), forwarded) == ip_address(peer)


@given(st.lists(st.text("0123456789abcdef.:, ", max_size=60), max_size=4), st.ip_addresses())
def test_what_a_caller_wrote_before_the_proxy_added_its_address_changes_nothing(
    written: list[str], caller: object
) -> None:
    seen = address_in(str(caller))
    assert seen is not None
    expected = seen if not OURS.trusts(seen) else OURS.caller_of(seen, written)
    assert OURS.caller_of(ip_address("10.0.0.1"), [*written, str(caller)]) == expected


def test_a_long_way_is_followed_so_far() -> None:
    way = ", ".join(["10.0.0.2"] * (HOPS_MAX + 5))
    assert str(OURS.caller_of(ip_address("10.0.0.1"), [f"7.7.7.7, {way}"])) == "10.0.0.2"


def test_an_ipv6_host_counts_by_its_network() -> None:
    assert counted(ip_address("2001:db8::5")) == "2001:db8::/64"
    assert [counted(ip_address(each)) for each in ("::1", "7.7.7.7")] == ["::1", "7.7.7.7"]
