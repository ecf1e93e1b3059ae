"""How much of itself a daemon keeps loaded: the section `memory` of config.toml."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options


class MemoryProfile(StrEnum):
    """What is in memory before anybody needs it."""

    FULL = "full"
    SLIM = "slim"


class MemoryOptions(Options, frozen=True):
    """What this daemon keeps in memory while nobody asks anything of it."""

    profile: Annotated[
        MemoryProfile,
        Meta(
            description=(
                '"full": everything is ready; "slim", for small devices: what answers '
                "ambientctl, and the worker processes, start when somebody first asks, and "
                "SHA-256 goes without OpenSSL, at a tenth of its speed for large blobs. HTTP, "
                "backups, webhooks and traces that are switched on need what answers at once."
            )
        ),
    ] = MemoryProfile.FULL
