"""The addresses of this machine's network interfaces, and at which of them a node is found."""

import ipaddress
import socket

import psutil

from ambientd.ports.transport import HostPort


def interface_addresses() -> tuple[str, ...]:
    """Give the IPv4 addresses that are there now, loopback's among them."""
    return tuple(
        each.address
        for _, found in sorted(psutil.net_if_addrs().items())
        for each in found
        if each.family == socket.AF_INET
    )


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
