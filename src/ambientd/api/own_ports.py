"""Ports of this machine: which are free, and how a process keeps others from those it takes."""

import errno
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ambientd.config.load import load_config
from ambientd.errors import ConfigError

LISTEN_HOST = "127.0.0.1"
WILDCARD_HOST = "0.0.0.0"  # noqa: S104 - a newcomer may be dialled from anywhere in its network


def free_ports(
    base_port: int, count: int, host: str = LISTEN_HOST, *, but: Collection[int] = ()
) -> list[int]:
    """Give the first `count` ports of `host` from `base_port` up that nobody listens on."""
    found: list[int] = []
    port = base_port
    while len(found) < count:
        if port > 65_535:
            msg = f"fewer than {count} free ports from {base_port} up; choose another base port"
            raise ConfigError(msg)
        if port not in but and _is_free(host, port):
            found.append(port)
        port += 1
    return found


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                msg = f"{host}: is no address of this machine; `ip address` lists those it has"
                raise ConfigError(msg) from error
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def own_ports(firsts: range) -> tuple[int, socket.socket]:
    """Claim as many ports as one step of `firsts`, for as long as the socket is open.

    Gives the first of them, and the socket, which is at the last. Processes begin to look each
    elsewhere, and two that look at the same ports at once do not both get them.
    """
    begin = os.getpid() % len(firsts)
    for first in (*firsts[begin:], *firsts[:begin]):
        claim = claimed(first, firsts.step)
        if claim is not None:
            return first, claim
    msg = (
        f"no {firsts.step} ports in a row are free from {firsts.start} to {firsts.stop}: "
        "end other meshes of this machine that are for the time being"
    )
    raise ConfigError(msg)


def claimed(first: int, count: int) -> socket.socket | None:
    """Claim some ports, by a socket at the last of them, unless anybody has any of them."""
    claim = socket.socket()
    last = first + count - 1
    try:
        claim.bind((LISTEN_HOST, last))
    except OSError:
        claim.close()
        return None
    if free_ports(first, count - 1, WILDCARD_HOST) == list(range(first, last)):
        return claim
    claim.close()
    return None


@contextmanager
def port_beside(folder: Path, base_port: int) -> Iterator[int]:
    """Keep the first free port from `base_port` up that no node has whose folder lies beside this.

    Such a node may not have been started yet, so its port counts as its config names it.
    """
    with ports_beside(folder, base_port, 1, WILDCARD_HOST) as [port]:
        yield port


@contextmanager
def ports_beside(folder: Path, base_port: int, count: int, host: str) -> Iterator[list[int]]:
    """Keep so many ports of `host`, as `port_beside` does one."""
    taken: set[int] = set()
    while True:
        ports = free_ports(base_port, count, host, but=taken)
        with ExitStack() as claims:
            lost = {port for port in ports if not _is_kept(host, port, claims)}
            # Not before the ports are ours: who had one a moment ago has written its config by now.
            taken |= lost | _ports_of_neighbours(folder)
            if taken.isdisjoint(ports):
                yield ports
                return


def _is_kept(host: str, port: int, claims: ExitStack) -> bool:
    """Keep a port until `claims` are given back; tell whether nobody else has it."""
    claim = claims.enter_context(socket.socket(_family(host), socket.SOCK_STREAM))
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        claim.bind((host, port))
        claim.listen()
    except OSError:
        return False
    return True


def _ports_of_neighbours(folder: Path) -> set[int]:
    """Read the ports of nodes in folders beside this one, and in those of clusters beside it.

    Unreadable configs count for nothing.
    """
    found: set[int] = set()
    parent = folder.absolute().parent
    for path in (*parent.glob("*/config.toml"), *parent.glob("*/*/config.toml")):
        with suppress(ConfigError, OSError):
            if path.is_file():  # and no pipe, in a folder that is open to everybody
                found.add(load_config(path.parent).listen_address()[1])
    return found
