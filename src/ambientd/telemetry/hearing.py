"""Who hears what all nodes tell of themselves (protocols/07 section 10)."""

from collections.abc import Collection

from ambientd.model.base import NodeId

HEARD_BY_ALL_MAX = 32
"""Up to so many nodes each hears every other; in a larger cluster only the committee does."""


def hears_all(node: NodeId, members: Collection[NodeId], nodes: int) -> bool:
    """Tell whether a node takes everybody's telemetry: else each would pay for all of them."""
    return nodes <= HEARD_BY_ALL_MAX or node in members


def heard_by(
    node: NodeId, members: Collection[NodeId], nodes: frozenset[NodeId]
) -> frozenset[NodeId]:
    """Give whose telemetry a node keeps: what it heard before it ceased to hear is no news."""
    return nodes if hears_all(node, members, len(nodes)) else frozenset((node,))
