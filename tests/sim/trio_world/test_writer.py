"""The writer without a thread keeps the contract of the one with a thread, and crashes alike."""

from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from ambientd.errors import StoreError
from ambientd.ports.store import Put, Store, StoreTable
from sim.trio_world.writer import ThreadlessWriter, open_threadless
from tests.fakes.memory_store import MemoryStore
from tests.runtime.writer_contract import OpenWriter, WriterContract

LOCAL = StoreTable.LOCAL


@pytest.fixture
def opened() -> OpenWriter:
    def open_slow(store: Store) -> AbstractAsyncContextManager[ThreadlessWriter]:
        return open_threadless(store, lambda: 1)

    return open_slow


class TestThreadlessWriter(WriterContract):
    """The contract, in one thread."""


async def test_those_who_wait_together_share_one_sync(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_threadless(MemoryStore(), lambda: 8) as writer, trio.open_nursery() as nursery:
        begun = trio.current_time()
        for number in range(50):
            nursery.start_soon(writer.write, [Put(LOCAL, b"%d" % number, b"")])
    assert trio.current_time() - begun < 0.009


async def test_a_crash_amid_a_sync_leaves_nothing_of_it_and_tells_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, told = MemoryStore(), []
    async with open_threadless(store, lambda: 8) as writer, trio.open_nursery() as nursery:
        writer.tell_when_durable(lambda: told.append("first"))
        await writer.write([Put(LOCAL, b"first", b"")])
        writer.tell_when_durable(lambda: told.append("second"))
        nursery.start_soon(writer.write, [Put(LOCAL, b"second", b"")])
        await trio.sleep(0.004)
        writer.stop()
        await trio.sleep(1)
        assert [key for key, _ in store.scan(LOCAL)] == [b"first"]
        assert told == ["first"]
        with pytest.raises(StoreError, match="closed"):
            await writer.write([Put(LOCAL, b"third", b"")])
        nursery.cancel_scope.cancel()
