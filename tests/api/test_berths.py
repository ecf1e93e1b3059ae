"""Who brings something large slowly keeps its place until somebody else needs it."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import trio

from ambientd.api.berths import FAIR_BYTES_A_SECOND, GRACE_S, Berths
from ambientd.api.operations import OperationError


async def pieces(bytes_a_second: int, seconds: int) -> AsyncIterator[bytes]:
    for _ in range(seconds):
        await trio.sleep(1)
        yield bytes(bytes_a_second)


async def bring(
    berths: Berths, rate: int, seconds: int, told: list[str], wait_s: float = 0
) -> None:
    try:
        async with (
            berths.take(wait_s) as berth,
            aclosing(berth.counted(pieces(rate, seconds))) as counted,
        ):
            async for _ in counted:
                pass
        told.append(f"{rate} done")
    except OperationError as error:
        told.append(f"{rate} {error.code}: {error.message}")


async def test_the_slowest_gives_its_place_to_one_who_comes(autojump_clock: object) -> None:
    berths, told = Berths(2), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, berths, 1, 10_000, told)
        nursery.start_soon(bring, berths, 2, 60, told)
        await trio.sleep(GRACE_S + 2)
        nursery.start_soon(bring, berths, FAIR_BYTES_A_SECOND, 2, told)
    assert told == [
        "1 busy: others waited, and this came in too slowly to keep its place",
        f"{FAIR_BYTES_A_SECOND} done",
        "2 done",
    ]


async def test_who_is_fast_enough_or_has_just_come_keeps_its_place(autojump_clock: object) -> None:
    berths, told = Berths(1), list[str]()
    fast = 2 * FAIR_BYTES_A_SECOND
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, berths, fast, 30, told)
        await trio.sleep(1)
        nursery.start_soon(bring, berths, 7, 1, told)
        await trio.sleep(20)
        nursery.start_soon(bring, berths, 8, 1, told)
    assert [each.split(":")[0] for each in told] == ["7 busy", "8 busy", f"{fast} done"]


async def test_who_may_wait_gets_the_place_that_becomes_free(autojump_clock: object) -> None:
    berths, told = Berths(1), list[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, berths, FAIR_BYTES_A_SECOND, 5, told)
        await trio.sleep(0.5)
        nursery.start_soon(bring, berths, 9, 1, told, 20)
    assert told == [f"{FAIR_BYTES_A_SECOND} done", "9 done"]


async def test_a_place_is_free_again_whatever_its_block_raises() -> None:
    berths = Berths(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with berths.take(0):
                raise ValueError("broken")
