import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec import merkle
from ambientd.rules.receipt_tree import ReceiptTree

LEAVES = [merkle.leaf_hash(bytes([index])) for index in range(70)]


@given(st.integers(0, 70))
def test_heads_of_every_earlier_size_stay_available(size: int) -> None:
    assert ReceiptTree(LEAVES).root(size) == merkle.root(LEAVES[:size])


@given(st.data())
def test_inclusion_paths_are_those_of_the_rfc(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    path = ReceiptTree(LEAVES).inclusion_path(index, size)
    assert path == merkle.inclusion_proof(LEAVES[:size], index)
    assert merkle.root_from_inclusion(LEAVES[index], index, size, path) == merkle.root(
        LEAVES[:size]
    )


@given(st.data())
def test_consistency_paths_are_those_of_the_rfc(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    old = data.draw(st.integers(1, size))
    path = ReceiptTree(LEAVES).consistency_path(old, size)
    assert path == merkle.consistency_proof(LEAVES[:size], old)
    old_root, root = merkle.root(LEAVES[:old]), merkle.root(LEAVES[:size])
    assert merkle.verify_consistency(old, old_root, size, root, path)


@pytest.mark.parametrize("size", [-1, 71])
def test_a_size_that_the_tree_never_had_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="70 leaves"):
        ReceiptTree(LEAVES).root(size)


@pytest.mark.parametrize("index", [-1, 70])
def test_a_leaf_outside_the_tree_has_no_path(index: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        ReceiptTree(LEAVES).inclusion_path(index, 70)


@pytest.mark.parametrize("old", [0, 71])
def test_only_prefixes_are_consistent(old: int) -> None:
    with pytest.raises(ValueError, match="prefix"):
        ReceiptTree(LEAVES).consistency_path(old, 70)
