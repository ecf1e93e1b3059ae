"""Execution states: everything a paused execution is, its canonical bytes and root (protocols/08).

The root is the head of an RFC 9162 tree over a header and the pages of memory, so a single page
can be shown to belong to it. Zero pages are not carried. Where only one stretch of gas is to be
executed, the pages that it does not touch may be left out; hashes stand for them (§6).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from ambientd.codec import canonical, merkle
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, Value
from ambientd.model.execution import (
    LOG_BYTES_CEILING,
    MEMORY_BYTES_CEILING,
    OUTPUT_BYTES_CEILING,
    PAGE_BYTES,
    ExecutionLimits,
)
from ambientd.wasm.left_out import LeftOut, blocks, hashes_of

STATE_VERSION = 1
VALUE_BYTES = 8
# A frame keeps at most four values for each unit of its weight (protocols/04 §6).
VALUES_MAX = 1 << 21
HOST_BYTES_MAX = OUTPUT_BYTES_CEILING + LOG_BYTES_CEILING + 1_024
PAGES_MAX = MEMORY_BYTES_CEILING // PAGE_BYTES

ZERO_PAGE = bytes(PAGE_BYTES)
_LENGTH_BYTES = 4
_PARTIAL_MARK = b"\xff" * _LENGTH_BYTES  # where other states have the length of their header
_HEADER_BYTES_MAX = 1_024
STATE_BYTES_MAX = (
    _LENGTH_BYTES
    + _HEADER_BYTES_MAX
    + PAGES_MAX // 8
    + VALUES_MAX * VALUE_BYTES
    + HOST_BYTES_MAX
    + MEMORY_BYTES_CEILING
)
_HEADER_TAG, _PAGE_TAG = b"ambient/state-header/1\0", b"ambient/state-page/1\0"
_ZERO_LEAF = merkle.leaf_hash(_PAGE_TAG + ZERO_PAGE)


class Stage(IntEnum):
    """Which of the host's calls is under way."""

    START = 0
    ALLOC = 1
    RUN = 2
    COMMAND = 3


class StateHeader(Value, frozen=True):
    """What the root says besides memory; the digests are SHA-256."""

    version: int
    module: bytes  # digest of the pausable module
    input: bytes  # digest
    seed: bytes
    limits: ExecutionLimits
    stage: int
    gas_left: int
    values: bytes  # digest of the frames and globals
    values_count: int
    host: bytes  # digest of the host's snapshot
    host_bytes: int
    pages: int


@dataclass(frozen=True, slots=True)
class State:
    """A paused execution; `values` are its frames, innermost first, then its globals."""

    header: StateHeader
    values: bytes
    host: bytes
    pages: tuple[bytes, ...]
    left_out: LeftOut | None = None
    """Pages that are not known: zero among `pages`, and not to be read there."""

    @property
    def gas_index(self) -> int:
        """Return the gas taken before the pause."""
        return self.header.limits.gas_max - self.header.gas_left

    def leaves(self) -> list[bytes]:
        """Return the leaf hashes of the state's tree."""
        return [header_leaf(self.header), *map(page_leaf, self.pages)]

    def root(self) -> bytes:
        """Return what two executions must agree on at the same gas index."""
        leaves = self.leaves()
        return merkle.root(leaves) if self.left_out is None else self.left_out.root(leaves)

    def proof(self, page: int) -> list[bytes]:
        """Return the inclusion proof of a page, or of the header for page -1."""
        return merkle.inclusion_proof(self.leaves(), page + 1)


def header_leaf(header: StateHeader) -> bytes:
    """Hash the first leaf."""
    return merkle.leaf_hash(_HEADER_TAG + canonical.encode(header))


def page_leaf(page: bytes) -> bytes:
    """Hash the leaf of one page; most pages of a large memory are zero, and known."""
    return _ZERO_LEAF if page == ZERO_PAGE else merkle.leaf_hash(_PAGE_TAG + page)


def verify_header(root: bytes, header: StateHeader, path: list[bytes]) -> bool:
    """Tell whether a header belongs to a root; it says how many pages there are."""
    found = merkle.root_from_inclusion(header_leaf(header), 0, header.pages + 1, path)
    return found == root


def verify_page(
    root: bytes, header: StateHeader, index: int, page: bytes, path: list[bytes]
) -> bool:
    """Tell whether a page belongs to a root whose header has been verified."""
    if len(page) != PAGE_BYTES or not 0 <= index < header.pages:
        return False
    found = merkle.root_from_inclusion(page_leaf(page), index + 1, header.pages + 1, path)
    return found == root


def leave_out(state: State, pages: Collection[int]) -> State:
    """Give a state without these pages, of the same root."""
    assert state.left_out is None, "of pages that are not known nothing can be said"
    kept = tuple(ZERO_PAGE if index in pages else page for index, page in enumerate(state.pages))
    return replace(state, pages=kept, left_out=hashes_of(pages, state.leaves()))


def encode_state(state: State) -> bytes:
    """Give the canonical bytes: header, which pages are not zero, values, host, those pages.

    Where pages are left out: a mark, and behind the rest which ones, and the hashes for them.
    """
    header = canonical.encode(state.header)
    carried = 0
    pages = []
    for index, page in enumerate(state.pages):
        if page != ZERO_PAGE:
            carried |= 1 << index
            pages.append(page)
    present = carried.to_bytes(_present_bytes(len(state.pages)), "little")
    size = len(header).to_bytes(_LENGTH_BYTES, "big")
    whole = b"".join((size, header, present, state.values, state.host, *pages))
    if state.left_out is None:
        return whole
    unknown = sum(1 << page for page in state.left_out.pages)
    which = unknown.to_bytes(_present_bytes(len(state.pages)), "little")
    hashes = (state.left_out.hashes[block] for block in blocks(state.left_out.pages))
    return b"".join((_PARTIAL_MARK, whole, which, *hashes))


def decode_state(data: bytes) -> State:
    """Read one state; raise RemoteProtocolError unless `data` is its canonical form."""
    pieces = _Pieces(data)
    state, _ = _decoded(pieces)
    if not pieces.done():
        raise _bad("is longer than its contents")
    return state


def is_partial(data: bytes) -> bool:
    """Tell whether these are the bytes of a state with pages left out."""
    return data.startswith(_PARTIAL_MARK)


def decode_partial(data: bytes) -> State:
    """Read a state with pages left out; raise RemoteProtocolError unless it is canonical."""
    pieces = _Pieces(data)
    if pieces.take(_LENGTH_BYTES) != _PARTIAL_MARK:
        raise _bad("leaves no pages out")
    state, carried = _decoded(pieces)
    count = state.header.pages
    bits = int.from_bytes(pieces.take(_present_bytes(count)), "little")
    if not bits or bits >> count or bits & carried:
        raise _bad("leaves out no pages, or such as it carries or does not have")
    pages = frozenset(page for page in range(count) if bits >> page & 1)
    hashes = {block: pieces.take(DIGEST_BYTES) for block in blocks(pages)}
    if not pieces.done():
        raise _bad("is longer than its contents")
    return replace(state, left_out=LeftOut(pages, hashes))


def _decoded(pieces: "_Pieces") -> tuple[State, int]:
    """Read header, values, host and pages, and which pages are carried."""
    header = _header(pieces)
    carried = int.from_bytes(pieces.take(_present_bytes(header.pages)), "little")
    if carried >> header.pages:
        raise _bad("names pages behind its memory")
    values = pieces.take(header.values_count * VALUE_BYTES)
    host = pieces.take(header.host_bytes)
    if sha256(values) != header.values or sha256(host) != header.host:
        raise _bad("does not hold the values that its header names")
    pages = tuple(_pages(pieces, carried, header.pages))
    return State(header, values, host, pages), carried


def decode_header(data: bytes) -> StateHeader:
    """Read the header alone: whether it is true of the rest is not looked at."""
    pieces = _Pieces(data)
    if is_partial(data):
        pieces.take(_LENGTH_BYTES)
    return _header(pieces)


def _header(pieces: "_Pieces") -> StateHeader:
    size_bytes = int.from_bytes(pieces.take(_LENGTH_BYTES), "big")
    header: StateHeader = canonical.decode(pieces.take(size_bytes), StateHeader, _HEADER_BYTES_MAX)
    _check_header(header)
    return header


def _pages(pieces: "_Pieces", carried: int, count: int) -> Iterator[bytes]:
    for index in range(count):
        if carried >> index & 1:
            page = pieces.take(PAGE_BYTES)
            if page == ZERO_PAGE:
                raise _bad("carries a zero page")
            yield page
        else:
            yield ZERO_PAGE


def _check_header(header: StateHeader) -> None:
    digests = (header.module, header.input, header.seed, header.values, header.host)
    if header.version != STATE_VERSION:
        raise _bad(f"is of version {header.version}, this node knows {STATE_VERSION}")
    if any(len(digest) != DIGEST_BYTES for digest in digests):
        raise _bad("has a digest or seed of another length than 32 bytes")
    if header.stage not in list(Stage):
        raise _bad(f"has the unknown stage {header.stage}")
    for name, value, highest in (
        ("gas_left", header.gas_left, header.limits.gas_max),
        ("values_count", header.values_count, VALUES_MAX),
        ("host_bytes", header.host_bytes, HOST_BYTES_MAX),
        ("pages", header.pages, header.limits.memory_bytes_max // PAGE_BYTES),
    ):
        if not 0 <= value <= highest:
            raise _bad(f"has {name} {value}; it must lie between 0 and {highest}")


def _present_bytes(pages: int) -> int:
    return -(-pages // 8)


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the execution state {what}")


class _Pieces:
    """Takes pieces off the front, never past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, size_bytes: int) -> bytes:
        start = self._position
        if size_bytes > len(self._data) - start:
            raise _bad("ends too early")
        self._position = start + size_bytes
        return self._data[start : self._position]

    def done(self) -> bool:
        return self._position == len(self._data)
