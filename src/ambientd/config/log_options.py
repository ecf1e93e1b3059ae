"""How much of the log a node keeps: the section `log` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options


class LogOptions(Options, frozen=True):
    """How much of the log this node keeps beside the newest snapshot of the ledger."""

    snapshot_blocks: Annotated[
        int,
        Meta(
            ge=16,
            le=1_000_000,
            description=(
                "Blocks from one snapshot to the next; with the same number everywhere, a node "
                "that is new or was away fetches from all others at once."
            ),
        ),
    ] = 128
    kept_blocks: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description=(
                "Blocks kept below the newest snapshot, for nodes that lag a little and for "
                "backups that reach back; those below the next older snapshot are deleted."
            ),
        ),
    ] = 8192
    trusted_epoch: Annotated[
        str,
        Meta(
            pattern=r"^([1-9][0-9]{0,14}:[0-9a-f]{64})?$",
            description=(
                "NUMBER:HASH of an epoch, from `ambientctl member list` of a node that you trust; "
                "this node then believes no committee that does not lead there, whatever members "
                "of long ago sign with their old keys."
            ),
        ),
    ] = ""
    whole: Annotated[
        bool,
        Meta(description="Keep every block from the first on; the disk fills for ever."),
    ] = False
    says_next_version: Annotated[
        bool,
        Meta(
            description=(
                "Say in the log that this program knows the next version of the ledger's rules; "
                "once a quorum of the members has said so, an epoch begins with it, for everybody."
            )
        ),
    ] = False
