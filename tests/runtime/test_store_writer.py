"""The store for coroutines: durability before return, groups, errors, order."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.errors import StoreError
from ambientd.ports.store import Put, StoreTable, Write
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore
from tests.runtime.writer_contract import OpenWriter, WriterContract

LOCAL = StoreTable.LOCAL


class GatedStore(MemoryStore):
    """Holds the first write until the gate opens, and refuses what is marked as bad."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.started = threading.Event()
        self.groups: list[int] = []

    def write(self, batch: Sequence[Write]) -> None:
        self.started.set()
        self.gate.wait()
        if any(write.key == b"bad" for write in batch):
            raise StoreError("this one does not fit")
        self.groups.append(len(batch))
        super().write(batch)


@pytest.fixture
def opened() -> OpenWriter:
    return StoreWriter


class TestStoreWriter(WriterContract):
    """The contract, with a thread."""


async def test_a_returned_write_is_in_the_file(tmp_path: Path) -> None:
    async with StoreWriter(SqliteStore(tmp_path / "node.db")) as writer:
        await writer.write([Put(LOCAL, b"k", b"v")])
        assert await writer.call(lambda store: store.get(LOCAL, b"k")) == b"v"
    store = SqliteStore(tmp_path / "node.db")
    assert store.get(LOCAL, b"k") == b"v"
    store.close()


async def test_those_who_wait_together_share_one_transaction() -> None:
    store = GatedStore()
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, [Put(LOCAL, b"first", b"")])
        await trio.to_thread.run_sync(store.started.wait)
        for number in range(50):
            nursery.start_soon(writer.write, [Put(LOCAL, b"%d" % number, b"")])
        await trio.testing.wait_all_tasks_blocked()
        store.gate.set()
    assert store.groups == [1, 50]


async def test_a_bad_batch_fails_alone() -> None:
    store = GatedStore()
    outcome = {}

    async def write(name: bytes) -> None:
        try:
            await writer.write([Put(LOCAL, name, b"")])
            outcome[name] = "kept"
        except StoreError as error:
            outcome[name] = str(error)

    async with StoreWriter(store) as writer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, b"first")
            await trio.to_thread.run_sync(store.started.wait)
            for name in (b"a", b"bad", b"b"):
                nursery.start_soon(write, name)
            await trio.testing.wait_all_tasks_blocked()
            store.gate.set()
        keys = await writer.call(lambda store: [key for key, _ in store.scan(LOCAL)])
    assert keys == [b"a", b"b", b"first"]
    bad = "this one does not fit"
    assert outcome == {b"first": "kept", b"a": "kept", b"b": "kept", b"bad": bad}


async def test_a_read_sees_the_writes_called_before_it_and_not_those_after() -> None:
    store = GatedStore()
    seen = []

    async def read() -> None:
        seen.extend(await writer.call(lambda store: [key for key, _ in store.scan(LOCAL)]))

    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, [Put(LOCAL, b"0", b"")])
        await trio.to_thread.run_sync(store.started.wait)
        for name in (b"1", None, b"2"):
            if name is None:
                nursery.start_soon(read)
            else:
                nursery.start_soon(writer.write, [Put(LOCAL, name, b"")])
            await trio.testing.wait_all_tasks_blocked()
        store.gate.set()
    assert seen == [b"0", b"1"]


async def test_a_cancelled_caller_harms_nobody() -> None:
    store = GatedStore()
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, [Put(LOCAL, b"first", b"")])
        await trio.to_thread.run_sync(store.started.wait)
        async with trio.open_nursery() as short:
            short.start_soon(writer.write, [Put(LOCAL, b"abandoned", b"")])
            await trio.testing.wait_all_tasks_blocked()
            short.cancel_scope.cancel()
        store.gate.set()
        await writer.write([Put(LOCAL, b"last", b"")])
    assert sum(store.groups) == 3


async def test_leaving_writes_what_is_queued_and_later_use_is_refused(tmp_path: Path) -> None:
    writer = StoreWriter(SqliteStore(tmp_path / "node.db"))
    async with writer, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(writer.write, [Put(LOCAL, b"%d" % number, b"v")])
    with pytest.raises(StoreError, match="closed"):
        await writer.write([Put(LOCAL, b"late", b"")])
    store = SqliteStore(tmp_path / "node.db")
    assert len(list(store.scan(LOCAL))) == 100
    store.close()


async def test_large_batches_are_not_merged_without_bound() -> None:
    store = GatedStore()
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, [Put(LOCAL, b"first", b"")])
        await trio.to_thread.run_sync(store.started.wait)
        for number in range(6):
            nursery.start_soon(writer.write, [Put(LOCAL, b"%d" % number, bytes(3 << 20))])
        await trio.testing.wait_all_tasks_blocked()
        store.gate.set()
    assert store.groups == [1, 3, 3]
