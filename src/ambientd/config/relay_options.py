"""Circuits through members, for who cannot be dialled: the section `relay` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

MIB = 1 << 20


class RelayOptions(Options, frozen=True):
    """Whether this node is reached through other members, and carries others' connections.

    Two nodes of which neither can dial the other meet through a member that both are connected to;
    it carries what it cannot read.
    """

    use: Annotated[
        bool,
        Meta(
            description="Be reached through members that serve, and reach others through them; for "
            "a device behind a router that forwards nothing."
        ),
    ] = False
    serve: Annotated[
        bool, Meta(description="Carry other members' connections, within the limits below.")
    ] = False
    reservations_max: Annotated[
        int, Meta(ge=1, le=1_024, description="Members that can be reached through this node.")
    ] = 64
    circuits_max: Annotated[
        int, Meta(ge=1, le=256, description="Connections carried at the same time.")
    ] = 16
    circuit_bytes_max: Annotated[
        int,
        Meta(
            ge=MIB,
            le=2**40,
            description="Bytes carried for one connection, both ways together; then it ends, and "
            "its ends make another.",
        ),
    ] = 128 * MIB
    circuit_s_max: Annotated[
        int, Meta(ge=10, le=604_800, description="Seconds after which a connection ends as well.")
    ] = 3_600
