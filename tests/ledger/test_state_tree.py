from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.state_pages import PAGE_ENTRIES_MAX, decode_page, root_of_pages
from ambientd.ledger.entries import Account, Key, Table, encode_entry, encode_key
from ambientd.ledger.state_tree import FIRST_FORM, StateTree

Change = tuple[int, int | None]
CHANGES = st.lists(
    st.lists(st.tuples(st.integers(0, 200), st.none() | st.integers(0, 3)), max_size=80),
    max_size=12,
)


def key(number: int) -> Key:
    return Table.ACCOUNT, number.to_bytes(32, "big")


def writes(changes: list[Change]) -> dict[Key, Account | None]:
    return {
        key(number): None if amount is None else Account(balance_msat=amount)
        for number, amount in changes
    }


def grown(blocks: list[list[Change]]) -> tuple[StateTree, dict[Key, Account]]:
    tree, held = StateTree(), {}
    for block in blocks:
        tree = tree.updated(writes(block))
        for each, entry in writes(block).items():
            if entry is None:
                held.pop(each, None)
            else:
                held[each] = entry
    return tree, held


@given(CHANGES)
def test_the_root_depends_on_the_entries_and_on_nothing_else(blocks: list[list[Change]]) -> None:
    tree, held = grown(blocks)
    assert tree.root == StateTree().updated(held).root
    assert tree.root == StateTree().updated(dict(reversed(held.items()))).root


@given(CHANGES)
def test_a_subtree_is_a_page_exactly_when_it_fits(blocks: list[list[Change]]) -> None:
    tree, held = grown(blocks)
    pages = tree.pages()
    assert sum(len(page.items) for _, page in pages) == len(held)
    assert all(len(page.items) <= PAGE_ENTRIES_MAX for _, page in pages)
    assert (len(pages) == 1) == (len(held) <= PAGE_ENTRIES_MAX)


@given(CHANGES)
def test_pages_lead_to_the_root_and_their_entries_to_the_pages(
    blocks: list[list[Change]],
) -> None:
    tree, held = grown(blocks)
    pages = tree.pages()
    assert root_of_pages([(depth, page.digest) for depth, page in pages]) == tree.root
    found = {}
    for _, page in pages:
        assert decode_page(page.encoded(FIRST_FORM))[0] == page.digest
        found |= dict(decode_page(page.encoded(FIRST_FORM))[1])
    assert found == {encode_key(each): encode_entry(entry) for each, entry in held.items()}


def test_an_older_tree_stays_as_it_was() -> None:
    before = StateTree().updated(writes([(number, 1) for number in range(100)]))
    root, pages = before.root, [page.encoded(FIRST_FORM) for _, page in before.pages()]
    before.updated(writes([(number, None) for number in range(90)]))
    assert (before.root, [page.encoded(FIRST_FORM) for _, page in before.pages()]) == (root, pages)


def test_every_changed_entry_changes_the_root() -> None:
    tree, _ = grown([[(number, 1) for number in range(50)]])
    roots = {tree.updated(writes([(number, 2)])).root for number in range(50)}
    assert len(roots | {tree.root}) == 51
