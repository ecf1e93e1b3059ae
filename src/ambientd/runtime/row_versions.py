"""How rows of an older version become those of this one, when a node starts.

A change of what a row holds raises `ROW_VERSION` and adds a step here. Each step and the version it
leads to are one transaction: killed amid it, a node starts from the version before. What the
ledger's entries hold has a version of its own (`ledger.versions`), which all nodes share; the
tables themselves are the store's.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ambientd.codec.canonical import decode, encode
from ambientd.errors import StoreError
from ambientd.ports.store import Put, Store, StoreTable, Write

VERSION_KEY = b"row-version"
ROW_VERSION = 2

Step = Callable[[Store], list[Write]]


def _name_the_state(store: Store) -> list[Write]:
    """Say in the head's row that the ledger's rows are of state version 1, where it is not said."""
    row = store.get(StoreTable.LOCAL, b"head")
    fields: list[Any] = [] if row is None else decode(row, list)
    return [Put(StoreTable.LOCAL, b"head", encode([*fields, 1]))] if len(fields) == 3 else []


STEPS: Mapping[int, Step] = MappingProxyType({1: _name_the_state})
"""By the version that a step begins with; it leads to the next. Rows that name none are of 1."""


def bring_up(store: Store) -> None:
    """Bring a store's rows to this version; raise StoreError, unchanged, where they are newer."""
    row = store.get(StoreTable.LOCAL, VERSION_KEY)
    version = 1 if row is None else decode(row, int)
    if version > ROW_VERSION:
        msg = (
            f"the store's rows are of version {version}, this program knows {ROW_VERSION}: run the "
            "version that wrote them, or a newer one; nothing was changed"
        )
        raise StoreError(msg)
    while version < ROW_VERSION:
        step, version = STEPS[version], version + 1
        store.write([*step(store), Put(StoreTable.LOCAL, VERSION_KEY, encode(version))])
