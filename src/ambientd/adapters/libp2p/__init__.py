"""The transport over py-libp2p (docs/adr/0001-transport.md); the only importer of libp2p."""

from ambientd.adapters.libp2p import slim
from ambientd.adapters.libp2p.transport import Libp2pTransport, open_transport

__all__ = ["Libp2pTransport", "open_transport", "slim"]
