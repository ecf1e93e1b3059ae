"""What this node's own view of Bitcoin means to its roles."""

from ambientd.model.effect import RoleEffect
from ambientd.node.cores import Cores
from ambientd.node.event import AnchorProven, AnchorSigned, HeadersSeen
from ambientd.rules.header_window import Window


def on_bitcoin(
    event: AnchorProven | AnchorSigned | HeadersSeen, cores: Cores, now: int
) -> list[RoleEffect]:
    """Hand what was seen or sent there to the role that waits for it."""
    match event:
        case AnchorProven(size=size, root=root, proof=proof):
            return list(cores.anchorer.on_proven(size, root, proof, cores.ledger, now))
        case AnchorSigned(size=size, root=root, raw_tx=raw_tx):
            return list(cores.anchorer.on_signed(size, root, raw_tx))
        case HeadersSeen(height=height, headers=headers):
            cores.headers.on_headers(Window(height, headers))
            return []
