"""How long a node keeps what tasks bring: the section `retention` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_YEARS_10_MS = 3_650 * DAY_MS


class RetentionOptions(Options, frozen=True):
    """How long modules, inputs and outputs stay after the last task that used them.

    What an open task, a dispute, an audit or a receipt without an anchor needs stays in any case.
    The daemon's log goes to standard error, and whoever starts it keeps that; what modules write
    to theirs is not kept.
    """

    inputs_ms: Annotated[
        int, Meta(ge=HOUR_MS, le=_YEARS_10_MS, description="Modules and inputs, in ms.")
    ] = 7 * DAY_MS
    outputs_ms: Annotated[
        int,
        Meta(
            ge=HOUR_MS,
            le=_YEARS_10_MS,
            description="Outputs, and whatever no task is known to have used, in ms.",
        ),
    ] = 30 * DAY_MS
    pinned: Annotated[
        tuple[Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f]{64}$")], ...],
        Meta(max_length=256, description="Blobs that are never removed, by their SHA-256 in hex."),
    ] = ()
