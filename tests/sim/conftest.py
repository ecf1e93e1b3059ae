"""Worlds of the tests are cheap ones; `test_quick.py` shows that this changes nothing in them."""

from collections.abc import Iterator

import pytest

from sim.quick import quick


@pytest.fixture(autouse=True)
def _cheap_worlds(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("real_keys"):
        yield
        return
    with quick():
        yield
