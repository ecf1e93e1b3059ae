"""What every writer must do; run on the daemon's thread and on the one without a thread."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest
import trio
import trio.testing

from ambientd.errors import StoreError
from ambientd.ports.store import Put, Store, StoreTable, Write, Writer
from tests.fakes.memory_store import MemoryStore

LOCAL = StoreTable.LOCAL

OpenWriter: TypeAlias = Callable[[Store], AbstractAsyncContextManager[Writer]]


class NarrowStore(MemoryStore):
    """Refuses what is marked as bad, and survives being closed."""

    def write(self, batch: Sequence[Write]) -> None:
        if any(write.key == b"bad" for write in batch):
            raise StoreError("this one does not fit")
        super().write(batch)


class WriterContract:
    """Inherit and provide the fixture `opened`, an `OpenWriter`."""

    async def test_a_returned_write_is_in_the_store(self, opened: OpenWriter) -> None:
        store = MemoryStore()
        async with opened(store) as writer:
            await writer.write([Put(LOCAL, b"k", b"v")])
            assert store.get(LOCAL, b"k") == b"v"
            assert writer.read_now(lambda own: own.get(LOCAL, b"k")) == b"v"

    async def test_a_bad_batch_fails_alone(self, opened: OpenWriter) -> None:
        outcome = {}

        async def write(name: bytes) -> None:
            try:
                await writer.write([Put(LOCAL, name, b"")])
                outcome[name] = "kept"
            except StoreError as error:
                outcome[name] = str(error)

        async with opened(NarrowStore()) as writer:
            async with trio.open_nursery() as nursery:
                for name in (b"a", b"bad", b"b"):
                    nursery.start_soon(write, name)
            keys = await writer.call(lambda store: [key for key, _ in store.scan(LOCAL)])
        assert keys == [b"a", b"b"]
        assert outcome == {b"a": "kept", b"b": "kept", b"bad": "this one does not fit"}

    async def test_a_read_sees_the_writes_called_before_it(self, opened: OpenWriter) -> None:
        seen = []

        async def read() -> None:
            seen.extend(await writer.call(lambda store: [key for key, _ in store.scan(LOCAL)]))

        async with opened(MemoryStore()) as writer, trio.open_nursery() as nursery:
            for name in (b"0", b"1", None):
                if name is None:
                    nursery.start_soon(read)
                else:
                    nursery.start_soon(writer.write, [Put(LOCAL, name, b"")])
                await trio.testing.wait_all_tasks_blocked()
        assert seen == [b"0", b"1"]

    async def test_the_batches_of_one_moment_are_applied_in_the_order_of_the_calls(
        self, opened: OpenWriter
    ) -> None:
        store = MemoryStore()
        async with opened(store) as writer, trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(writer.write, [Put(LOCAL, b"k", b"%d" % number)])
                await trio.testing.wait_all_tasks_blocked()
        async with opened(store.copy()) as writer:
            assert writer.read_now(lambda own: own.get(LOCAL, b"k")) == b"19"

    async def test_errors_reach_the_caller_and_the_writer_lives_on(
        self, opened: OpenWriter
    ) -> None:
        async with opened(MemoryStore()) as writer:
            with pytest.raises(ZeroDivisionError):
                await writer.call(lambda _: 1 // 0)
            with pytest.raises(ValueError, match="0 bytes"):
                await writer.write([Put(LOCAL, b"", b"")])
            await writer.write([Put(LOCAL, b"k", b"v")])

    async def test_leaving_writes_what_is_queued_and_later_use_is_refused(
        self, opened: OpenWriter
    ) -> None:
        store = MemoryStore()
        async with opened(store) as writer, trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(writer.write, [Put(LOCAL, b"%d" % number, b"v")])
        assert len(list(store.copy().scan(LOCAL))) == 100
        with pytest.raises(StoreError, match="closed"):
            await writer.write([Put(LOCAL, b"late", b"")])
