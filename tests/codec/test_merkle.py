import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.merkle import (
    EMPTY_ROOT,
    Frontier,
    branch_hash,
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    root,
    root_from_inclusion,
    verify_consistency,
)

# The reference tree of the certificate-transparency test suite (RFC 6962 and 9162 alike).
DATA = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes([index])) for index in range(40)]


@pytest.mark.parametrize("size", range(1, 9))
def test_heads_are_those_of_the_reference_tree(size: int) -> None:
    assert root([leaf_hash(each) for each in DATA[:size]]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert root([]) == EMPTY_ROOT == Frontier().root()


def by_definition(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return branch_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


@given(st.integers(1, 40), st.integers(0, 40))
def test_a_frontier_grows_to_the_same_head_in_any_steps(size: int, first: int) -> None:
    grown = Frontier().extended(LEAVES[: min(first, size)]).extended(LEAVES[first:size])
    assert grown.root() == by_definition(LEAVES[:size])
    assert grown.size == size


@pytest.mark.parametrize(("size", "hashes"), [(-1, ()), (1, ()), (3, (bytes(32),))])
def test_a_frontier_of_the_wrong_shape_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="edge hashes"):
        Frontier(size, hashes)


@given(st.integers(0, 40))
def test_all_paths_at_once_are_the_paths_one_by_one(size: int) -> None:
    head, paths = inclusion_proofs(LEAVES[:size])
    assert head == root(LEAVES[:size])
    assert paths == [inclusion_proof(LEAVES[:size], index) for index in range(size)]


@given(st.data())
def test_every_leaf_is_proved_and_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    head = root(LEAVES[:size])
    path = inclusion_proof(LEAVES[:size], index)
    assert root_from_inclusion(LEAVES[index], index, size, path) == head
    assert root_from_inclusion(bytes(32), index, size, path) != head
    assert root_from_inclusion(LEAVES[index], index, size, [*path, bytes(32)]) is None
    for other in range(size):
        if other != index:
            assert root_from_inclusion(LEAVES[index], other, size, path) != head
    if path:
        assert root_from_inclusion(LEAVES[index], index, size, path[:-1]) is None


@given(st.data())
def test_a_grown_tree_is_consistent_and_a_rewritten_one_is_not(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    old = data.draw(st.integers(1, size))
    old_head, head = root(LEAVES[:old]), root(LEAVES[:size])
    path = consistency_proof(LEAVES[:size], old)
    assert verify_consistency(old, old_head, size, head, path)
    assert not verify_consistency(old, bytes(32), size, head, path)
    assert not verify_consistency(old, old_head, size, bytes(32), path)
    assert not verify_consistency(old, old_head, size, head, [*path, bytes(32)])
    if path:
        assert not verify_consistency(old, old_head, size, head, path[:-1])
        rewritten = [bytes(32), *LEAVES[1:size]]
        assert not verify_consistency(old, old_head, size, root(rewritten), path)


@given(st.integers(-2, 70), st.integers(-2, 70), st.lists(st.binary(min_size=32, max_size=32)))
def test_garbage_proves_nothing_and_never_raises(
    first: int, second: int, path: list[bytes]
) -> None:
    assert root_from_inclusion(bytes(32), first, second, path) in {None, bytes(32)} or path
    assert not verify_consistency(first, b"a" * 32, second, b"b" * 32, path)


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    for index in (-1, 5):
        with pytest.raises(ValueError, match="outside"):
            inclusion_proof(LEAVES[:5], index)
    for old in (0, 6):
        with pytest.raises(ValueError, match="prefix"):
            consistency_proof(LEAVES[:5], old)
