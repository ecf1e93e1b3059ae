"""The entries as a tree that never changes: an update shares what it leaves alone.

So a block's root is known before the block is taken, and a snapshot is a tree that is kept.
The hashes are those of `codec.state_pages`.
"""

from collections.abc import Iterator, Mapping

from ambientd.codec.state_pages import (
    PAGE_ENTRIES_MAX,
    branch_digest,
    encode_page,
    entry_digest,
    is_right,
    page_digest,
    place_of,
)
from ambientd.ledger.entries import Entry, Key, decode_key, encode_key
from ambientd.ledger.versions import VERSIONS, StateVersion
from ambientd.model.genesis import FIRST_STATE_VERSION

Items = dict[bytes, tuple[Entry, bytes]]
"""Entries with their digests, by encoded key."""
Change = tuple[bytes, bytes, tuple[Entry, bytes] | None]
"""A place, a key, and what it holds now; None when it is gone."""

FIRST_FORM = VERSIONS.of(FIRST_STATE_VERSION)


class Page:
    """A subtree of few entries."""

    __slots__ = ("digest", "items")

    def __init__(self, items: Items) -> None:
        self.items = items
        self.digest = page_digest(items[key][1] for key in sorted(items))

    def encoded(self, form: StateVersion) -> bytes:
        """Give the page's canonical bytes."""
        return encode_page(
            tuple(
                (key, form.encode(decode_key(key), self.items[key][0]))
                for key in sorted(self.items)
            )
        )


class _Branch:
    """A subtree of more entries than a page holds."""

    __slots__ = ("digest", "left", "right")

    def __init__(self, left: "Page | _Branch", right: "Page | _Branch") -> None:
        self.left = left
        self.right = right
        self.digest: bytes = branch_digest(left.digest, right.digest)


class StateTree:
    """One state's entries, all of them, under one root; encoded as one state version has them."""

    __slots__ = ("_top", "form")

    def __init__(self, form: StateVersion = FIRST_FORM, top: Page | _Branch | None = None) -> None:
        self.form = form
        self._top = Page({}) if top is None else top

    @property
    def root(self) -> bytes:
        """Give the state root."""
        return self._top.digest

    def updated(self, writes: Mapping[Key, Entry | None]) -> "StateTree":
        """Give the tree after these writes; this one stays as it is."""
        changes: list[Change] = []
        for table_and_name, entry in writes.items():
            key = encode_key(table_and_name)
            held = None
            if entry is not None:
                held = (entry, entry_digest(key, self.form.encode(table_and_name, entry)))
            changes.append((place_of(key), key, held))
        return StateTree(self.form, _updated(self._top, changes, 0)) if changes else self

    def pages(self) -> list[tuple[int, Page]]:
        """Give all pages with their depths, from left to right."""
        return list(_pages(self._top, 0))


def _updated(node: Page | _Branch, changes: list[Change], depth: int) -> Page | _Branch:
    if isinstance(node, Page):
        items = dict(node.items)
        for _, key, held in changes:
            if held is None:
                items.pop(key, None)
            else:
                items[key] = held
        return _built(items, depth)
    left = [each for each in changes if not is_right(each[0], depth)]
    right = [each for each in changes if is_right(each[0], depth)]
    return _joined(
        _updated(node.left, left, depth + 1) if left else node.left,
        _updated(node.right, right, depth + 1) if right else node.right,
    )


def _joined(left: Page | _Branch, right: Page | _Branch) -> Page | _Branch:
    """Put two halves together; a branch exists only while a page could not hold it."""
    if not isinstance(left, Page) or not isinstance(right, Page):
        return _Branch(left, right)
    if len(left.items) + len(right.items) <= PAGE_ENTRIES_MAX:
        return Page(left.items | right.items)
    return _Branch(left, right)


def _built(items: Items, depth: int) -> Page | _Branch:
    if len(items) <= PAGE_ENTRIES_MAX:
        return Page(items)
    halves: tuple[Items, Items] = ({}, {})
    for key, held in items.items():
        halves[is_right(place_of(key), depth)][key] = held
    return _Branch(_built(halves[0], depth + 1), _built(halves[1], depth + 1))


def _pages(node: Page | _Branch, depth: int) -> Iterator[tuple[int, Page]]:
    if isinstance(node, Page):
        yield depth, node
        return
    yield from _pages(node.left, depth + 1)
    yield from _pages(node.right, depth + 1)
