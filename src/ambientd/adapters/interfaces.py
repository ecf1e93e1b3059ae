"""The addresses of this machine's network interfaces, and at which of them a node is found."""

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from ambientd.ports.transport import HostPort

_HARDWARE = Path("/sys/class/net")
_INNER = (
    "br-",
    "bridge",
    "cali",
    "cni",
    "docker",
    "flannel",
    "lxc",
    "lxd",
    "podman",
    "vboxnet",
    "veth",
    "virbr",
    "vmnet",
)
"""How networks inside of one machine are named, for its containers and virtual machines."""


def interface_addresses() -> tuple[str, ...]:
    """Give the IPv4 addresses that are there now, loopback's among them, in the order of use."""
    found = {
        name: [each.address for each in addresses if each.family == socket.AF_INET]
        for name, addresses in psutil.net_if_addrs().items()
    }
    return in_order_of_use(found, lambda name: (_HARDWARE / name / "device").exists())


def in_order_of_use(
    found: Mapping[str, Sequence[str]], has_hardware: Callable[[str], bool]
) -> tuple[str, ...]:
    """Put addresses where others are first, for whoever uses but a few of them.

    One address an interface, then their further ones: of hardware, of whatever else leads out, such
    as tunnels, and last of the machine's own inner networks, which every other machine has as well.
    """

    def rank(name: str) -> tuple[int, str]:
        return 0 if has_hardware(name) else 2 if name.startswith(_INNER) else 1, name

    by_interface = [found[name] for name in sorted(found, key=rank) if found[name]]
    firsts = [addresses[0] for addresses in by_interface]
    return (*firsts, *(each for addresses in by_interface for each in addresses[1:]))


def listening_on(listen: HostPort, interfaces: tuple[str, ...]) -> tuple[str, ...]:
    """Give the addresses, one an interface, at which a node that listens there can be dialled.

    A node that listens for its own machine alone says nothing to any other.
    """
    host = ipaddress.ip_address(listen.host)
    if host.version != 4:
        return ()
    if not host.is_unspecified:
        return (str(host),) if host.is_loopback or str(host) in interfaces else ()
    outer = tuple(each for each in interfaces if not ipaddress.ip_address(each).is_loopback)
    return outer or ("127.0.0.1",)
