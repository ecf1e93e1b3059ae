"""How a state of an older version becomes one of this version (protocols/03-records.md section 5).

A change of what entries hold raises `STATE_VERSION` and adds a step here, from rows to rows: the
step and the application of a block commute, so that nodes may change at different heights.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ambientd.codec.state_pages import STATE_VERSION

Rows = Mapping[bytes, bytes]
"""Encoded keys and entries."""
Step = Callable[[Rows], Rows]

STEPS: Mapping[int, Step] = MappingProxyType({})
"""By the version that a step begins with; it leads to the next."""


def migrated(
    rows: Rows, version: int, to_version: int = STATE_VERSION, steps: Mapping[int, Step] = STEPS
) -> Rows:
    """Give the rows in this version; raise ValueError when no way leads there."""
    if version > to_version:
        msg = f"the state is of version {version}, this program knows {to_version}: update it"
        raise ValueError(msg)
    for each in range(version, to_version):
        step = steps.get(each)
        if step is None:
            msg = f"a state of version {each} is too old for this program: use one in between"
            raise ValueError(msg)
        rows = step(rows)
    return rows
