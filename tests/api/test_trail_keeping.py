"""What changes something leaves who asked, short arguments without secrets, and what came of it."""

from collections.abc import Awaitable
from typing import Any, cast

import msgspec
import pytest
import trio

from ambientd.api.answering import Handler
from ambientd.api.callers import CALLER
from ambientd.api.operations import OPERATIONS, OperationError
from ambientd.api.owner_values import Pause, Resume
from ambientd.api.requests import GetStatus, SubmitTask
from ambientd.api.trail_keeping import (
    LINES_AT_ONCE,
    SUM_S,
    SYNC_S,
    TEXT_CHARS_MAX,
    TrailKeeper,
    arguments_of,
    trailed,
)
from ambientd.errors import StoreError


class Trail:
    def __init__(self) -> None:
        self.kept: list[tuple[int, str, str, dict[str, str], str]] = []
        self.times: list[int] = []
        self.is_full = False
        self.is_dirty = False
        self.syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        self.is_dirty = False

    def append(
        self,
        time_ms: int,
        caller: str,
        operation: str,
        arguments: dict[str, str],
        outcome: str,
        times: int,
    ) -> None:
        if self.is_full:
            raise StoreError("the disk is full")
        self.kept.append((time_ms, caller, operation, arguments, outcome))
        self.times.append(times)


def keeper_of(trail: Trail, now_ms: int = 7) -> TrailKeeper:
    return TrailKeeper(trail, lambda: now_ms)


async def ok(request: msgspec.Struct) -> msgspec.Struct:
    return request


async def refuses(request: msgspec.Struct) -> msgspec.Struct:
    raise OperationError("rejected", "no")


async def breaks(request: msgspec.Struct) -> msgspec.Struct:
    raise RuntimeError("a bug")


async def asked(handler: Handler, request: msgspec.Struct) -> Any:
    return await cast("Awaitable[Any]", handler(request))


async def test_only_what_changes_something_is_noted_with_who_asked() -> None:
    trail = Trail()
    handlers = trailed({"pause": ok, "status": ok}, keeper_of(trail))
    CALLER.set("user 1000")
    await asked(handlers["status"], GetStatus())
    await asked(handlers["pause"], Pause(for_ms=60_000))
    assert trail.kept == [(7, "user 1000", "pause", {"for_ms": "60000"}, "done")]


async def test_what_failed_is_noted_as_what_it_was() -> None:
    trail = Trail()
    handlers = trailed({"pause": refuses, "resume": breaks}, keeper_of(trail))
    with pytest.raises(OperationError):
        await asked(handlers["pause"], Pause())
    with pytest.raises(RuntimeError):
        await asked(handlers["resume"], Resume())
    assert [each[-1] for each in trail.kept] == ["rejected", "interrupted"]


async def test_a_full_disk_keeps_nobody_from_pausing() -> None:
    trail = Trail()
    trail.is_full = True
    handlers = trailed({"pause": ok}, keeper_of(trail))
    assert await asked(handlers["pause"], Pause()) == Pause()


def test_arguments_are_short_and_of_bytes_only_the_size_is_told() -> None:
    request = SubmitTask(module=b"secret" * 100, constraints=("x" * 128,) * 3)
    told = arguments_of(request)
    assert told["module"] == "600 bytes"
    assert len(told["constraints"]) == TEXT_CHARS_MAX + 1
    assert set(told) == {"module", "constraints"}


def test_nothing_that_changes_something_is_left_out() -> None:
    handlers = dict.fromkeys(OPERATIONS, ok)
    kept = trailed(handlers, keeper_of(Trail()))
    wrapped = {name for name in OPERATIONS if kept[name] is not ok}
    assert {"pause", "owner.set", "task.submit", "member.vote", "peg.withdraw"} <= wrapped
    assert not {"status", "task.list", "task.quote", "events"} & wrapped


async def test_entries_are_synced_soon_and_nothing_else(autojump_clock: object) -> None:
    trail = Trail()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper_of(trail).run)
        await trio.sleep(10 * SYNC_S)
        assert trail.syncs == 0
        trail.is_dirty = True
        # The clock leaps while the thread that syncs is at work, however busy the machine.
        with trio.fail_after(1_000_000 * SYNC_S):
            while not trail.syncs:
                await trio.sleep(SYNC_S)
        nursery.cancel_scope.cancel()
    assert trail.syncs == 1


async def test_what_comes_without_end_is_summed_and_order_and_other_callers_are_kept() -> None:
    trail = Trail()
    handlers = trailed({"pause": ok, "resume": refuses}, keeper_of(trail))
    CALLER.set("token flood")
    for number in range(LINES_AT_ONCE + 500):
        await asked(handlers["pause"], Pause(for_ms=number + 1))
    assert len(trail.kept) == LINES_AT_ONCE
    CALLER.set("user 1000")
    await asked(handlers["pause"], Pause(for_ms=77))
    with pytest.raises(OperationError):
        await asked(handlers["resume"], Resume())
    told = list(zip(trail.kept, trail.times, strict=True))[LINES_AT_ONCE:]
    assert told == [
        ((7, "token flood", "pause", {"for_ms": str(LINES_AT_ONCE + 500)}, "done"), 500),
        ((7, "user 1000", "pause", {"for_ms": "77"}, "done"), 1),
        ((7, "user 1000", "resume", {}, "rejected"), 1),
    ]
    assert sum(trail.times) == LINES_AT_ONCE + 502


async def test_sums_are_written_after_a_while_and_at_the_end(autojump_clock: object) -> None:
    trail = Trail()
    keeper = keeper_of(trail)
    handlers = trailed({"pause": ok}, keeper)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for _ in range(LINES_AT_ONCE + 2):
            await asked(handlers["pause"], Pause())
        assert len(trail.kept) == LINES_AT_ONCE
        await trio.sleep(2 * SUM_S)
        assert trail.times[LINES_AT_ONCE:] == [2]
        await asked(handlers["pause"], Pause())
        nursery.cancel_scope.cancel()
    assert trail.times[LINES_AT_ONCE:] == [2, 1]
