"""How a node finds members that have moved: the section `discovery` of config.toml."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options


class LocalSearch(StrEnum):
    """Whether a node is found, and finds others, in the networks that it listens in."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class DiscoveryOptions(Options, frozen=True):
    """How this node finds members that are elsewhere than it knows, and is found by them.

    Only members of the cluster are dialled, at addresses that they have signed themselves.
    """

    mdns: Annotated[
        LocalSearch,
        Meta(
            description=(
                "By multicast DNS, in the networks that this node listens in: everybody there can "
                "read its key, its address and a tag of the cluster. A node that listens on this "
                'machine alone tells no other. "auto": on, and off for a slim node.'
            )
        ),
    ] = LocalSearch.AUTO
    dht: Annotated[
        bool,
        Meta(
            description=(
                "By asking connected members, as libp2p's DHT does: finds those that have moved "
                "across networks. What they answer tells them which addresses a node has."
            )
        ),
    ] = False
