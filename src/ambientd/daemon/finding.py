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
from ambientd.runtime.finding import Introductions

if TYPE_CHECKING:
    from ambientd.adapters.libp2p.relays import Relays


def introductions_of(identity: Identity) -> Introductions:
    """Give whom a newcomer's token names; nobody for a member."""
    token = identity.invitation
    if token is None:
        return Introductions()
    peers = (parse_bootstrap(address) for address in token.addresses)
    return Introductions(PeerAddress(peer.node, peer.host, peer.port) for peer in peers)


def open_relays(config: RelayOptions, transport: Libp2pTransport) -> "Relays | None":
    """Carry others and be carried, as the configuration says; None where it says neither."""
    if not config.use and not config.serve:
        return None
    limits = RelayLimits(
        serves=config.serve,
        uses=config.use,
        reservations_max=config.reservations_max,
        circuits_max=config.circuits_max,
        circuit_bytes_max=config.circuit_bytes_max,
        circuit_s_max=config.circuit_s_max,
    )
    from ambientd.adapters.libp2p.relays import Relays  # its price is for those who use it

    return Relays(transport.inside, limits)


def ways_to_find(
    identity: Identity,
    transport: Libp2pTransport,
    rng: random.Random,
    relays: "Relays | None",
) -> tuple[Discovery, ...]:
    """Open what the configuration asks for; what it does not is never imported."""
    config = identity.config
    ways: list[Discovery] = [] if relays is None else [relays]
    if not config.looks_nearby and not config.discovery.dht:
        return tuple(ways)
    from ambientd.adapters.interfaces import interface_addresses, listening_on
    from ambientd.adapters.libp2p.statements import seal_of

    seal, listen = seal_of(identity.seed), transport.address
    if config.looks_nearby:
        from ambientd.adapters.mdns import MulticastDns

        cluster = fingerprint(identity.genesis)
        ways.append(MulticastDns(cluster, seal, listen, interface_addresses, rng))
    if config.discovery.dht:
        named = _named(config.transport.advertise)

        def addresses() -> tuple[HostPort, ...]:
            """Give where this node can be dialled now."""
            here = listening_on(listen, interface_addresses())
            return (*named, *(HostPort(each, listen.port) for each in here))

        from ambientd.adapters.libp2p.dht import Directory

        ways.append(Directory(transport.inside, seal, addresses))
    return tuple(ways)


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
