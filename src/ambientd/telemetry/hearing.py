"""Who hears what all nodes tell of themselves (protocols/07 section 10)."""

from collections.abc import Collection

from ambientd.model.base import NodeId

HEARD_BY_ALL_MAX = 32
"""Up to so many nodes each hears every other; in a larger cluster only the committee does."""


def hears_all(node: NodeId, members: Collection[NodeId], nodes: int) -> bool:
    """Tell whether a node takes everybody's telemetry: else each would pay for all of them."""
    return nodes <= HEARD_BY_ALL_MAX or node in members
