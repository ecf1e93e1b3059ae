"""The last headers of a Bitcoin network, as far as a cluster must know them: by their work alone.

No clock and no checkpoint: all nodes must come to the same. What is kept is what took most work,
and its first header is believed until others outweigh all that is kept. So is its height, which
only counts: headers follow each other by their hashes, whatever height anybody claims for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ambientd.errors import RemoteProtocolError
from ambientd.rules.bitcoin import linkage_fault, proof_of_work_fault
from ambientd.rules.bitcoin_codec import Header, decode_header
from ambientd.rules.bitcoin_networks import Network
from ambientd.rules.header_chain import work_of

HEADERS_KEPT = 144
"""A day of them: an audit is drawn within some hours."""

RETARGET_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Headers that follow each other, and the height of the first; none at the beginning."""

    first: int = 0
    headers: tuple[bytes, ...] = ()

    @property
    def tip(self) -> int | None:
        """Give the height of the last one."""
        return self.first + len(self.headers) - 1 if self.headers else None

    def at(self, height: int) -> bytes | None:
        """Give the header at a height, if it is kept."""
        is_kept = 0 <= height - self.first < len(self.headers)
        return self.headers[height - self.first] if is_kept else None


def extended(window: Window, network: Network, start: int, raws: Sequence[bytes]) -> Window | str:
    """Take headers whose first has the height `start`; say what is wrong with them otherwise."""
    try:
        headers = [decode_header(raw) for raw in raws]
    except RemoteProtocolError as error:
        return str(error)
    if not headers:
        return "no headers"
    kept_headers = [decode_header(raw) for raw in window.headers]
    hashes = [header.hash for header in kept_headers]
    is_linked = headers[0].previous in hashes
    place = hashes.index(headers[0].previous) + 1 if is_linked else 0
    start = window.first + place if is_linked else _counted(window, start, raws)
    known = kept_headers[place - 1 : place] if is_linked else []
    fault = _fault([*known, *headers], start - len(known), network)
    if fault is not None:
        return fault
    replaced = window.headers[place:]
    if replaced[: len(raws)] == tuple(raws):
        return window
    if replaced and _work(headers) <= _work([decode_header(raw) for raw in replaced]):
        return "the headers at hand took as much work, or more"
    kept = (*window.headers[:place], *raws)
    first = start - place + max(0, len(kept) - HEADERS_KEPT)
    return Window(first, kept[-HEADERS_KEPT:])


def _counted(window: Window, start: int, raws: Sequence[bytes]) -> int:
    """Count from a header that is kept, if there is one: else a claim could choose what draws."""
    for place, raw in enumerate(raws):
        if raw in window.headers:
            return window.first + window.headers.index(raw) - place
    return start


def _fault(headers: Sequence[Header], start: int, network: Network) -> str | None:
    """Say why headers do not follow each other, or took too little work."""
    limit = min(network.pow_limit, network.target_max)
    for header in headers:
        fault = proof_of_work_fault(header, limit)
        if fault is not None:
            return fault
    unlinked = linkage_fault(headers)
    if unlinked is not None:
        return f"the header at height {start + unlinked} does not follow its predecessor"
    changes = 0
    for place in range(1, len(headers)):
        before, after = headers[place - 1].target, headers[place].target
        changes += before != after
        is_near = before <= after * RETARGET_FACTOR and after <= before * RETARGET_FACTOR
        # 2,016 headers lie between two changes, and so many are never brought together.
        if changes > 1 or not is_near:
            return f"the header at height {start + place} has another target than it may"
    return None


def _work(headers: Sequence[Header]) -> int:
    return sum(work_of(header.bits) for header in headers)
