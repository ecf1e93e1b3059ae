"""What is contained, and what is not."""

import pytest
import trio

from ambientd.adapters.libp2p.guard import Counters, contain


async def test_an_exception_is_counted_and_its_result_is_none() -> None:
    counters = Counters()

    async def broken(number: int) -> int:
        return number // 0

    assert await contain(broken, "broken", counters)(3) is None
    assert await contain(broken, "broken", counters)(4) is None
    assert counters.snapshot() == {"broken": 2}


async def test_a_result_passes_through() -> None:
    async def double(number: int) -> int:
        return number * 2

    assert await contain(double, "double", Counters())(3) == 6


async def test_cancellation_is_not_an_exception_to_contain() -> None:
    counters = Counters()
    with trio.CancelScope() as scope:
        scope.cancel()
        await contain(trio.sleep, "sleep", counters)(1)
        pytest.fail("the scope was left running")
    assert scope.cancelled_caught
    assert counters.snapshot() == {}
