"""A snapshot that four members have certified, made by hand."""

from dataclasses import dataclass

from ambientd.codec.canonical import encode
from ambientd.codec.state_pages import (
    PageEntries,
    decode_page,
    encode_page,
    root_of_pages,
)
from ambientd.consensus.messages import Offer, Snapshot
from ambientd.model.genesis import FIRST_STATE_VERSION
from tests.consensus.bench import Bench, record

VOTERS = (0, 1, 2)
DEPTHS = (1, 2, 2)
ENTRIES: tuple[PageEntries, ...] = (
    ((b"a", b"1"), (b"b", b"2")),
    ((b"c", encode((3, "three"))),),
    (),
)


@dataclass(frozen=True)
class Taken:
    """A snapshot with its pages, by digest."""

    snapshot: Snapshot
    pages: dict[bytes, bytes]

    @property
    def offer(self) -> Offer:
        return Offer((), self.snapshot)


def taken(
    bench: Bench,
    index: int = 2,
    entries: tuple[PageEntries, ...] = ENTRIES,
    depths: tuple[int, ...] = DEPTHS,
) -> Taken:
    """Give the snapshot after the block of this index, in a log of term 1 alone."""
    bodies = [encode_page(page) for page in entries]
    pages = {decode_page(body)[0]: body for body in bodies}
    listed = tuple(zip(depths, [decode_page(body)[0] for body in bodies], strict=True))
    root = root_of_pages(listed)
    blocks, qc = [], bench.genesis
    for number in range(index + 2):
        is_last = number == index + 1
        root_due = root if is_last else b"r" * 32 if number > 1 else b""
        records = (record(number),) if number == index - 1 else ()
        block = bench.block(0, 1, qc, *records, revealed=number, state_root=root_due)
        qc = bench.qc(block, *VOTERS)
        blocks.append((block, qc))
    top, child, grandchild = [(block.header, qc) for block, qc in blocks[index - 1 :]]
    snapshot = Snapshot(
        FIRST_STATE_VERSION, 0, blocks[index - 1][0], (top, child, grandchild), listed
    )
    return Taken(snapshot, pages)
