"""What private studies have spent on a node, as `status` tells it."""

import msgspec


class PrivacyStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What they have spent, together; no `epsilon` where nothing bounds it."""

    studies: int = 0
    epsilon: float | None = 0.0
