"""Callers' addresses: what limits count, and what proxies that are trusted say in their place."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HOPS_MAX = 32
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]{1,64}))?"
_NODE = re.compile(rf"\[([^\[\]]*:[^\[\]]*)\]{_PORT}|([0-9.]*){_PORT}")
"""A node of RFC 7239 §6, IPv6 in brackets; the port, which a proxy may hide, says nothing here."""


def address_in(text: str) -> Address | None:
    """Read an address, an IPv4 one in IPv6 as itself; None where there is none."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def hop_in(text: str) -> Address | None:
    """Read an address as proxies write it: with a port or without; None where there is none."""
    found = _NODE.fullmatch(text.strip())
    if found is None:
        return address_in(text)  # an IPv6 address without brackets, which no port can follow
    bracketed, plain = found.groups()
    return address_in(plain if bracketed is None else bracketed)


def counted(address: Address) -> str:
    """Give what limits count: an IPv4 address, or the /64 that an IPv6 host can choose from."""
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Proxies:
    """The addresses of proxies whose word about a caller is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, networks))

    def trusts(self, address: Address) -> bool:
        """Tell whether an address is one of theirs."""
        return any(address in each for each in self._networks)

    def caller_of(self, peer: Address, forwarded: Sequence[str]) -> Address:
        """Give who asks: the last address of `X-Forwarded-For` that no proxy of ours has.

        What stands before it was written by others. A word that is no address ends the search.
        """
        caller = peer
        hops = ",".join(forwarded).rsplit(",", HOPS_MAX)[-HOPS_MAX:]
        for hop in reversed(hops):
            if not self.trusts(caller):
                break
            found = hop_in(hop)
            if found is None:
                break
            caller = found
        return caller
