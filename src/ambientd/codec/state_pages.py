"""The state tree's hashes: entries, pages of entries, branches (protocols/03-records.md section 5).

A map of byte strings has one root, whatever its history. Its entries lie at places that a hash
chooses; a subtree of few entries is a page. Whoever knows the root checks the list of pages with
it, and then each page by itself, in any order.
"""

from collections.abc import Iterable, Sequence

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256, tagged
from ambientd.errors import RemoteProtocolError

PAGE_ENTRIES_MAX = 32
DEPTH_MAX = 255

PlacedPage = tuple[int, bytes]
"""A page's depth and digest; a list of all pages goes from left to right."""


PageEntries = tuple[tuple[bytes, bytes], ...]
"""A page's entries: keys and values, sorted by key."""


def is_right(place: bytes, depth: int) -> bool:
    """Tell on which side of its branch at this depth a place lies."""
    return bool(place[depth >> 3] >> (7 - (depth & 7)) & 1)


def place_of(key: bytes) -> bytes:
    """Give where an entry lies: nobody can crowd a page without as many hashes."""
    return sha256(key)


def entry_digest(key: bytes, value: bytes) -> bytes:
    """Hash an entry."""
    return tagged("ambient/state-entry/1", key, value)


def page_digest(entries: Iterable[bytes]) -> bytes:
    """Hash a page: the digests of its entries, which are sorted by key."""
    return tagged("ambient/state-page/1", b"".join(entries))


def branch_digest(left: bytes, right: bytes) -> bytes:
    """Hash a branch."""
    return tagged("ambient/state-branch/1", left, right)


def encode_page(entries: PageEntries) -> bytes:
    """Give a page's canonical bytes."""
    return encode(entries)


def decode_page(data: bytes) -> tuple[bytes, PageEntries]:
    """Read a page; give its digest and entries, or raise RemoteProtocolError."""
    entries: PageEntries = decode(data, PageEntries)
    keys = [key for key, _ in entries]
    if len(keys) > PAGE_ENTRIES_MAX or keys != sorted(set(keys)):
        msg = f"a page has at most {PAGE_ENTRIES_MAX} entries, sorted by key"
        raise RemoteProtocolError(msg)
    return page_digest(entry_digest(*each) for each in entries), entries


def root_of_pages(pages: Sequence[PlacedPage]) -> bytes | None:
    """Give the root that these pages have, from left to right; None when they make no tree."""
    open_: list[PlacedPage] = []
    for depth, digest in pages:
        # Only below a left side that waits for it, or at the tree's left edge, may a page stand.
        if not 0 <= depth <= DEPTH_MAX:
            return None
        open_.append((depth, digest))
        while len(open_) > 1 and open_[-1][0] == open_[-2][0]:
            (level, right), (_, left) = open_.pop(), open_.pop()
            open_.append((level - 1, branch_digest(left, right)))
    return open_[0][1] if len(open_) == 1 and open_[0][0] == 0 else None
