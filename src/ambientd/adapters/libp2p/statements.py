"""Signed statements of where a node listens: libp2p's signed peer records, read with suspicion.

https://github.com/libp2p/specs, RFC/0003-routing-records.md
"""

import ipaddress
import time
from collections.abc import Callable, Iterable

from google.protobuf.message import DecodeError
from libp2p.peer.envelope import ENVELOPE_DOMAIN, consume_envelope, seal_record
from libp2p.peer.pb import envelope_pb2
from libp2p.peer.peer_record import PeerRecord
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from ambientd.adapters.libp2p.identity import key_pair, peer_id_of
from ambientd.errors import ConfigError
from ambientd.ports.discovery import ADDRESSES_MAX, STATEMENT_BYTES_MAX, Seal, Whereabouts
from ambientd.ports.transport import NODE_ID_BYTES, HostPort, NodeId

_ED25519 = 1


def seal_of(seed: bytes, next_number: Callable[[], int] = time.time_ns) -> Seal:
    """Make the seal of a node's key; each statement takes a number, which only grows."""
    keys = key_pair(seed)
    me = peer_id_of(keys.public_key.to_bytes())

    def sign(addresses: tuple[HostPort, ...]) -> bytes:
        """State these addresses, as many as fit, in the order given."""
        told, number = list(addresses[:ADDRESSES_MAX]), next_number()
        while True:
            record = PeerRecord(me, [_multiaddr(at) for at in told], number)
            statement: bytes = seal_record(record, keys.private_key).marshal_envelope()
            if len(statement) <= STATEMENT_BYTES_MAX:
                return statement
            told.pop()

    return Seal(sign, whose, verify)


def whose(statement: bytes) -> NodeId | None:
    """Give whose statement it claims to be; None when it is none."""
    if len(statement) > STATEMENT_BYTES_MAX:
        return None
    try:
        envelope = envelope_pb2.Envelope.FromString(statement)
    except DecodeError:
        return None
    key = envelope.public_key
    if key.Type != _ED25519 or len(key.Data) != NODE_ID_BYTES:
        return None
    return bytes(key.Data)


def verify(statement: bytes) -> Whereabouts | None:
    """Read a statement that the node has signed which it is about; None for any other bytes."""
    signer = whose(statement)
    if signer is None:
        return None
    try:
        _, record = consume_envelope(statement, ENVELOPE_DOMAIN)
        addresses = tuple(_addresses(record.addrs))
        if record.peer_id != peer_id_of(signer):
            return None
    except Exception:  # noqa: BLE001 - whatever a stranger's bytes make three libraries raise
        return None
    return Whereabouts(signer, record.seq, addresses[:ADDRESSES_MAX])


def _multiaddr(at: HostPort) -> Multiaddr:
    kind = "ip6" if ":" in at.host else "ip4"
    return Multiaddr(f"/{kind}/{at.host}/tcp/{at.port}")


def _addresses(told: Iterable[Multiaddr]) -> Iterable[HostPort]:
    """Give those that a node can be dialled at: an IP address and a TCP port."""
    for each in told:
        parts = str(each).split("/")
        if len(parts) != 5 or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp":
            continue
        try:
            host, port = ipaddress.ip_address(parts[2]), int(parts[4])
            at = HostPort(str(host), port)
        except (ValueError, ConfigError, MultiaddrError):
            continue
        if port and not (host.is_multicast or host.is_unspecified or host.is_reserved):
            yield at
