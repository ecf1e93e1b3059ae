"""The node's key as libp2p sees it: a peer id is a fixed prefix and the 32-byte public key."""

from typing import TypeAlias

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from ambientd.ports.transport import NODE_ID_BYTES, NodeId

PeerId: TypeAlias = ID

# Identity multihash (0x00), 36 bytes, of a protobuf: type Ed25519 (1), 32 bytes of key.
_PREFIX = b"\x00\x24\x08\x01\x12\x20"


def key_pair(seed: bytes) -> KeyPair:
    """Make the libp2p key pair of the same seed that signs the node's records."""
    if len(seed) != NODE_ID_BYTES:
        raise ValueError(f"an identity seed has 32 bytes, not {len(seed)}")
    return create_new_key_pair(seed)


def peer_id_of(node_id: NodeId) -> PeerId:
    """Give the libp2p peer id of a node."""
    return ID(_PREFIX + node_id)


def node_id_of(peer_id: PeerId) -> NodeId | None:
    """Give the node of a peer id; None for any key that is not Ed25519."""
    raw: bytes = peer_id.to_bytes()
    if len(raw) != len(_PREFIX) + NODE_ID_BYTES or not raw.startswith(_PREFIX):
        return None
    return raw[len(_PREFIX) :]
