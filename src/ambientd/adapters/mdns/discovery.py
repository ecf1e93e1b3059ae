"""The `Discovery` port over multicast DNS: one socket an interface, IPv4 (RFC 6762)."""

import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from ambientd.adapters.interfaces import listening_on
from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.mdns.messages import MESSAGE_BYTES_MAX
from ambientd.adapters.mdns.talk import Talk, service_of
from ambientd.ports.discovery import Seal, Search
from ambientd.ports.transport import HostPort

log = structlog.get_logger("ambientd.discovery")

GROUP, PORT = "224.0.0.251", 5353
TICK_S = 0.5
INTERFACES_MAX = 8
MESSAGES_PER_S, MESSAGES_BURST = 200.0, 400.0
_ALL_GROUPS = 49
"""Linux's IP_MULTICAST_ALL: off, or every socket hears what came in by any interface."""


class MulticastDns:
    """Finds members in the networks that this node listens in; IPv4 alone."""

    name = "mdns"

    def __init__(
        self,
        cluster_id: bytes,
        seal: Seal,
        listen: HostPort,
        interfaces: Callable[[], tuple[str, ...]],
        rng: random.Random,
    ) -> None:
        self._service = service_of(cluster_id)
        # A name of this run alone, which tells nothing.
        self._instance = f"{rng.getrandbits(128):032x}"
        self._seal = seal
        self._listen = listen
        self._interfaces = interfaces
        self._running: dict[str, trio.CancelScope] = {}
        self._refused: set[str] = set()

    async def run(self, search: Search) -> None:
        """Talk on every interface that is there, as they come and go."""
        self._running.clear()  # what an earlier run that failed has left
        async with trio.open_nursery() as nursery:
            while True:
                here = listening_on(self._listen, self._interfaces())[:INTERFACES_MAX]
                for gone in self._running.keys() - set(here):
                    self._running.pop(gone).cancel()
                for address in here:
                    if address not in self._running:
                        self._open(nursery, address, search)
                await trio.sleep(TICK_S)

    def _open(self, nursery: trio.Nursery, address: str, search: Search) -> None:
        try:
            opened = _open_socket(address)
        except OSError as error:
            if address not in self._refused and len(self._refused) < INTERFACES_MAX:
                self._refused.add(address)
                log.warning("cannot look for members here", address=address, error=str(error))
            return
        self._running[address] = trio.CancelScope()
        nursery.start_soon(self._talk, self._running[address], opened, address, search)

    async def _talk(
        self, scope: trio.CancelScope, plain: socket.socket, address: str, search: Search
    ) -> None:
        """Say and hear on one interface until it goes."""
        talk = Talk(self._service, self._instance, self._seal)
        addresses = (HostPort(address, self._listen.port),)
        with scope, trio.socket.from_stdlib_socket(plain) as opened:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_hear, opened, talk, search)
                while True:
                    for said in talk.tick(addresses, search.wanted(), _now_ms()):
                        await _say(opened, said)
                    await trio.sleep(TICK_S)


async def _hear(opened: trio.socket.SocketType, talk: Talk, search: Search) -> None:
    bucket = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST)
    while True:
        try:
            message = await opened.recv(MESSAGE_BYTES_MAX + 1)
        except OSError:  # the interface went; the next look at all of them ends this
            await trio.sleep(TICK_S)
            continue
        found, answers = talk.heard(message, _now_ms())
        for each in found:
            search.found(each)
        for answer in answers:
            await _say(opened, answer)
        await trio.sleep(bucket.charge(1, trio.current_time()))


async def _say(opened: trio.socket.SocketType, message: bytes) -> None:
    with suppress(OSError):  # nobody to hear it; it is said again
        await opened.sendto(message, (GROUP, PORT))


def _now_ms() -> int:
    return int(trio.current_time() * 1000)


def _open_socket(address: str) -> socket.socket:
    """Share the port with the machine's own responder, and hear this interface alone."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            with suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with suppress(OSError):
            opened.setsockopt(socket.IPPROTO_IP, _ALL_GROUPS, 0)
        opened.bind(("", PORT))
        interface = socket.inet_aton(address)
        member = struct.pack("4s4s", socket.inet_aton(GROUP), interface)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
