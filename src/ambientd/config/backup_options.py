"""Copies of the log that a node makes by itself: the section `backup` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

HOUR_MS = 3_600_000


class BackupOptions(Options, frozen=True):
    """Where copies of the log go, how often, and whom they are sealed to.

    No key is in such a copy. Put the folder on another disk than the node's.
    """

    folder: Annotated[
        str,
        Meta(
            max_length=4096,
            pattern=r"^(/.*|s3://[^/]+(/.*)?)?$",
            description=(
                "Folder that is there, by its whole path, or s3://BUCKET/FOLDER (docs/cli.md#backup"
                "-create-backup-verify-backup-restore-backup-key); empty: no copies are made."
            ),
        ),
    ] = ""
    every_hours: Annotated[
        int, Meta(ge=1, le=8_760, description="Hours from one copy to the next.")
    ] = 24
    kept: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Copies that stay; older ones of this node are deleted."),
    ] = 7
    recipients: Annotated[
        tuple[Annotated[str, Meta(max_length=128, pattern=r"^age1[0-9a-z]+$")], ...],
        Meta(
            max_length=16,
            description=(
                "Whom copies are sealed to, age's public keys (`ambientctl backup key`); "
                "empty: they lie in the clear."
            ),
        ),
    ] = ()

    @property
    def every_ms(self) -> int:
        """Give the time from one copy to the next, in ms."""
        return self.every_hours * HOUR_MS
