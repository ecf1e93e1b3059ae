"""Which of a machine's addresses are used first, where only a few are."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.interfaces import in_order_of_use, interface_addresses, listening_on
from ambientd.adapters.mdns.discovery import INTERFACES_MAX
from ambientd.ports.discovery import ADDRESSES_MAX
from ambientd.ports.transport import HostPort

EVERYWHERE = HostPort("0.0.0.0", 7_000)

NAMES = st.sampled_from(["br-", "docker", "eth", "lo", "tun", "veth", "virbr", "wlan", "wg"])
FOUND = st.dictionaries(
    st.builds("{}{}".format, NAMES, st.integers(0, 9)),
    st.lists(st.ip_addresses(v=4).map(str), max_size=3),
    max_size=24,
)


def is_hardware(name: str) -> bool:
    return name.startswith(("eth", "wlan"))


def test_a_busy_container_host_is_spoken_for_on_its_networks_first() -> None:
    """By name docker0 and a dozen bridges came first, and eth0 and wlan0 were left out."""
    found = {f"br-{n:012x}": [f"172.{18 + n}.0.1"] for n in range(12)}
    found |= {"docker0": ["172.17.0.1"], "veth1": [], "lo": ["127.0.0.1"]}
    found |= {"wlan0": ["192.168.1.7"], "eth0": ["10.0.0.5", "10.0.0.6"], "wg0": ["10.8.0.2"]}
    order = in_order_of_use(found, is_hardware)
    outer = listening_on(EVERYWHERE, order)
    assert outer[:3] == ("10.0.0.5", "192.168.1.7", "10.8.0.2")
    assert {"10.0.0.5", "192.168.1.7", "10.8.0.2"} <= set(outer[:ADDRESSES_MAX])
    assert ADDRESSES_MAX < INTERFACES_MAX


def test_further_addresses_of_one_interface_crowd_out_no_other() -> None:
    found = {"eth0": [f"10.0.0.{n}" for n in range(20)], "wlan0": ["192.168.1.7"]}
    assert in_order_of_use(found, is_hardware)[:2] == ("10.0.0.0", "192.168.1.7")


def test_a_node_that_listens_at_a_further_address_is_found_there() -> None:
    found = {"eth0": ["10.0.0.5", "10.0.0.6"], "lo": ["127.0.0.1"]}
    at = HostPort("10.0.0.6", 7_000)
    assert listening_on(at, in_order_of_use(found, is_hardware)) == ("10.0.0.6",)


@given(FOUND)
def test_the_order_leaves_nothing_out_and_is_always_the_same(found: dict[str, list[str]]) -> None:
    order = in_order_of_use(found, is_hardware)
    assert sorted(order) == sorted(each for addresses in found.values() for each in addresses)
    assert order == in_order_of_use(dict(reversed(found.items())), is_hardware)


def test_this_machine_has_its_loopback_address() -> None:
    assert "127.0.0.1" in interface_addresses()
