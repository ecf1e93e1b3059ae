"""Lists in pages: every list that grows has them, and whoever asks puts them together."""

from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.api.operations import ACCOUNT_LIST, OPERATIONS, Operation
from ambientd.api.paging import page
from ambientd.api.requests import Cursor, PageSize
from ambientd.api.routes import Method
from ambientd.api.whole_lists import pages, whole

BOUNDED = {
    "backup.look": "a few copies are written at once",
    "cluster.show": "figures",
    "status": "",
    "ready": "",
    "node.show": "one node",
    "telemetry.show": "one line a measure",
    "task.show": "one task",
    "task.wait": "one task",
    "task.why": "one task",
    "module.show": "a module has so many versions",
    "image.show": "one word a member",
    "owner.show": "rules",
    "doctor.look": "a few peers are asked",
    "anchor.plan": "one line a rate",
    "fl.budget": "the studies of this device alone",
}
"""What holds a list and has no pages, and why its list does not grow with the mesh."""


def holds_lists(kind: type) -> bool:
    kinds = get_type_hints(kind).values()
    items = [get_args(each)[0] for each in kinds if get_origin(each) in (tuple, list)]
    return any(isinstance(each, type) and issubclass(each, msgspec.Struct) for each in items)


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=OPERATIONS)
def test_a_list_that_grows_comes_in_pages(row: Operation[Any, Any]) -> None:
    if row.route.method is not Method.GET or row.streaming or not holds_lists(row.response):
        return
    has_pages = "next" in row.response.__struct_fields__
    assert has_pages != (row.name in BOUNDED), row.name
    if has_pages and row.name != "fl.show":  # whose rounds are named by their numbers
        asked = get_type_hints(row.request, include_extras=True)
        assert (asked["limit"], asked["after"]) == (PageSize, Cursor)


class Asked(msgspec.Struct, frozen=True):
    limit: int = 3
    after: str = ""


class Told(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    next: str | None = None


@given(st.sets(st.text("abc", min_size=1, max_size=3)), st.none() | st.integers(1, 30))
def test_pages_put_together_are_the_list_as_far_as_it_is_wanted(
    names: set[str], most: int | None
) -> None:
    asked: list[Asked] = []

    def call(_: object, request: Asked) -> Told:
        asked.append(request)
        found, following = page(names, str, min(request.limit, 3), request.after)
        return Told(tuple(found), following)

    operation: Any = ACCOUNT_LIST
    told = whole(pages(call, operation, Asked(), most), "names")
    if most is None:
        assert (list(told.names), told.next) == (sorted(names), None)
    else:
        assert list(told.names) == sorted(names)[: len(told.names)]
        assert len(told.names) <= most
    assert all(each.limit <= (most or 3) for each in asked)
