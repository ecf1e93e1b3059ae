import hashlib

from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.state_pages import (
    DEPTH_MAX,
    branch_digest,
    entry_digest,
    is_right,
    page_digest,
    place_of,
    root_of_pages,
)


def by_hand(tag: str, *parts: bytes) -> bytes:
    name = tag.encode()
    data = bytes([len(name)]) + name
    for part in parts:
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).digest()


def test_the_hashes_are_those_of_the_document() -> None:
    entry = by_hand("ambient/state-entry/1", b"key", b"value")
    assert entry_digest(b"key", b"value") == entry
    assert page_digest([entry, entry]) == by_hand("ambient/state-page/1", entry + entry)
    assert branch_digest(b"l", b"r") == by_hand("ambient/state-branch/1", b"l", b"r")
    assert place_of(b"key") == hashlib.sha256(b"key").digest()


def test_a_place_is_read_bit_by_bit_from_its_first_byte() -> None:
    place = bytes([0b10100000, 0b01000000])
    assert [is_right(place, depth) for depth in range(10)] == [
        True, False, True, False, False, False, False, False, False, True,
    ]  # fmt: skip


def test_pages_fold_into_their_root() -> None:
    left, middle, right = b"l" * 32, b"m" * 32, b"r" * 32
    inner = branch_digest(middle, right)
    assert root_of_pages([(0, left)]) == left
    assert root_of_pages([(1, left), (2, middle), (2, right)]) == branch_digest(left, inner)


def test_pages_that_make_no_tree_have_no_root() -> None:
    page = bytes(32)
    for depths in ([], [1], [0, 0], [1, 1, 1], [2, 1], [2, 1, 2], [-1], [DEPTH_MAX + 1], [1, 2]):
        assert root_of_pages([(depth, page) for depth in depths]) is None, depths


@given(st.lists(st.tuples(st.integers(-3, 300), st.binary(min_size=32, max_size=32)), max_size=40))
def test_any_list_of_pages_has_a_root_or_none(pages: list[tuple[int, bytes]]) -> None:
    root = root_of_pages(pages)
    assert root is None or len(root) == 32
