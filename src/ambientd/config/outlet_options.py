"""Where a node tells of what happens, without being asked: a section of config.toml for each."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

ALERTS = ("task_ended", "node_convicted", "trouble_began", "trouble_ended")
"""What an owner who has named nothing is told of."""


class WebhookOptions(Options, frozen=True):
    """Where this node posts what its owner should hear of; nowhere unless `url` says where."""

    url: Annotated[
        str,
        Meta(
            max_length=2048,
            description=(
                'Address that gets a signed POST for each event, "https://host/path"; redirects '
                "are not followed. Empty: nothing is posted."
            ),
        ),
    ] = ""
    secret: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="File of what signs each POST, as `ambientctl webhook secret` makes it.",
        ),
    ] = "webhook.secret"  # noqa: S105 - a file's name
    events: Annotated[
        tuple[Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]+$")], ...],
        Meta(
            max_length=64,
            description=(
                "What is posted: kinds of `ambientctl events`, those of tasks for this node's own "
                "tasks alone, and trouble_began and trouble_ended for what `ambientctl status` "
                "calls trouble, safe mode and a disk that is nearly full."
            ),
        ),
    ] = ALERTS


class TraceOptions(Options, frozen=True):
    """Where this node tells what it did for tasks, as traces; nowhere unless `url` says where.

    A task is one trace, from its submission to its anchor, whichever nodes tell of it.
    """

    url: Annotated[
        str,
        Meta(
            max_length=2048,
            description=(
                'A collector that takes OTLP over HTTP in JSON, "http://localhost:4318"; spans go '
                "to /v1/traces below it. Empty: nothing is told."
            ),
        ),
    ] = ""
    share_permille: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How many tasks of a thousand are traced; every node chooses the same.",
        ),
    ] = 1000
