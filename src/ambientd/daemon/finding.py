"""Picks the ways in which a node finds members that are elsewhere than it knows."""

import ipaddress
import random
from typing import TYPE_CHECKING

from ambientd.adapters.libp2p import Libp2pTransport
from ambientd.api.identity import Identity
from ambientd.codec.statements import fingerprint
from ambientd.config.options import parse_bootstrap, split_address
from ambientd.config.relay_options import RelayOptions
from ambientd.ports.discovery import Discovery, RelayLimits
from ambientd.ports.transport import HostPort, PeerAddress
from ambientd.runtime.finding import Introductions, look_for_members

if TYPE_CHECKING:
    from ambientd.adapters.libp2p.dht import Directory
    from ambientd.adapters.libp2p.relays import Relays


def introductions_of(identity: Identity) -> Introductions:
    """Give whom a newcomer's token names; nobody for a member."""
    token = identity.invitation
    if token is None:
        return Introductions()
    peers = (parse_bootstrap(address) for address in token.addresses)
    return Introductions(PeerAddress(peer.node, peer.host, peer.port) for peer in peers)


class Finding:
    """The ways in which a node finds members, and what it answers those that look."""

    def __init__(self, identity: Identity, rng: random.Random) -> None:
        self._identity = identity
        self._rng = rng
        self._relays: Relays | None = None
        self._directory: Directory | None = None

    def register(self, transport: Libp2pTransport) -> None:
        """Answer what the configuration says; what it does not say is never imported."""
        config = self._identity.config
        if config.relay.use or config.relay.serve:
            from ambientd.adapters.libp2p.relays import Relays  # its price is for who uses it

            self._relays = Relays(transport.inside, _limits(config.relay))
        if config.discovery.dht:
            from ambientd.adapters.interfaces import interface_addresses, listening_on
            from ambientd.adapters.libp2p.dht import Directory
            from ambientd.adapters.libp2p.statements import seal_of

            named = _named(config.transport.advertise)

            def addresses() -> tuple[HostPort, ...]:
                """Give where this node can be dialled now."""
                listen = transport.address
                here = listening_on(listen, interface_addresses())
                return (*named, *(HostPort(each, listen.port) for each in here))

            self._directory = Directory(transport.inside, seal_of(self._identity.seed), addresses)

    def reserved(self) -> int:
        """Count the members through which this node can be reached."""
        return 0 if self._relays is None else self._relays.reserved()

    async def look_for_members(
        self, transport: Libp2pTransport, introductions: Introductions
    ) -> None:
        """Look in all ways, now that the node listens, until cancelled."""
        await look_for_members(self._ways(transport), introductions.over(transport.search))

    def _ways(self, transport: Libp2pTransport) -> tuple[Discovery, ...]:
        registered = (self._relays, self._directory)
        ways: list[Discovery] = [each for each in registered if each is not None]
        if self._identity.config.looks_nearby:
            from ambientd.adapters.interfaces import interface_addresses
            from ambientd.adapters.libp2p.statements import seal_of
            from ambientd.adapters.mdns import MulticastDns

            cluster, seal = fingerprint(self._identity.genesis), seal_of(self._identity.seed)
            listen = transport.address
            ways.append(MulticastDns(cluster, seal, listen, interface_addresses, self._rng))
        return tuple(ways)


def _limits(config: RelayOptions) -> RelayLimits:
    return RelayLimits(
        serves=config.serve,
        uses=config.use,
        reservations_max=config.reservations_max,
        circuits_max=config.circuits_max,
        circuit_bytes_max=config.circuit_bytes_max,
        circuit_s_max=config.circuit_s_max,
    )


def _named(advertise: str) -> tuple[HostPort, ...]:
    """Give the address that the operator names, where it is one: names are for configurations."""
    if not advertise:
        return ()
    host, port = split_address(advertise)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ()
    return (HostPort(host, port),)
