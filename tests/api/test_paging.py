"""Pages hold every item once, in the order of the keys."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.api.paging import page


@given(st.sets(st.text(max_size=3)), st.integers(1, 5))
def test_all_pages_together_are_the_list_in_order(items: set[str], limit: int) -> None:
    items -= {""}
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = page(items, str, limit, after)
        assert len(found) == limit or after is None
        seen += found
    assert seen == sorted(items)
