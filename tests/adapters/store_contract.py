"""What every store must do; run on the real one and on the one in memory."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.errors import StoreError
from ambientd.ports.store import (
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Delete,
    Put,
    Store,
    StoreTable,
    Write,
)

MakeStore: TypeAlias = Callable[[], Store]
LOCAL, BLOCK = StoreTable.LOCAL, StoreTable.BLOCK

keys = st.binary(min_size=1, max_size=3)
values = st.binary(max_size=40)
tables = st.sampled_from([LOCAL, BLOCK])
writes = st.one_of(st.builds(Put, tables, keys, values), st.builds(Delete, tables, keys))
batches = st.lists(st.lists(writes, max_size=6), max_size=8)
# One contract runs in several classes, and each example makes a store of its own.
shared = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]


class StoreContract:
    """Inherit and provide the fixture `make`, which gives an empty store."""

    def test_what_was_put_is_given_back(self, make: MakeStore) -> None:
        store = make()
        store.write([Put(LOCAL, b"k", b"v"), Put(BLOCK, b"k", b"")])
        assert store.get(LOCAL, b"k") == b"v"
        assert store.get(BLOCK, b"k") == b""
        assert store.get(LOCAL, b"other") is None
        assert store.get(StoreTable.LEDGER, b"k") is None

    def test_the_writes_of_a_batch_apply_in_order(self, make: MakeStore) -> None:
        store = make()
        store.write([Put(LOCAL, b"k", b"1"), Delete(LOCAL, b"k"), Put(LOCAL, b"k", b"2")])
        store.write([Put(LOCAL, b"j", b"3"), Delete(LOCAL, b"j"), Delete(LOCAL, b"never")])
        assert list(store.scan(LOCAL)) == [(b"k", b"2")]

    def test_an_empty_batch_is_no_error(self, make: MakeStore) -> None:
        make().write([])

    @pytest.mark.parametrize(
        "bad",
        [
            Put(LOCAL, b"", b"v"),
            Put(LOCAL, b"k" * (KEY_BYTES_MAX + 1), b"v"),
            Put(LOCAL, b"k", bytes(VALUE_BYTES_MAX + 1)),
            Delete(LOCAL, b""),
        ],
        ids=["empty key", "long key", "large value", "delete of an empty key"],
    )
    def test_a_write_out_of_bounds_refuses_the_whole_batch(
        self, make: MakeStore, bad: Write
    ) -> None:
        store = make()
        with pytest.raises(ValueError, match="bytes"):
            store.write([Put(LOCAL, b"good", b"v"), bad])
        assert list(store.scan(LOCAL)) == []

    def test_the_largest_row_is_kept(self, make: MakeStore) -> None:
        store = make()
        row = (b"k" * KEY_BYTES_MAX, b"v" * VALUE_BYTES_MAX)
        store.write([Put(LOCAL, *row)])
        assert list(store.scan(LOCAL)) == [row]

    def test_a_scan_crosses_many_portions_both_ways(self, make: MakeStore) -> None:
        store = make()
        rows = [(number.to_bytes(2, "big"), b"%d" % number) for number in range(1, 1200)]
        store.write([Put(LOCAL, *row) for row in reversed(rows)])
        assert list(store.scan(LOCAL)) == rows
        assert list(store.scan(LOCAL, reverse=True)) == rows[::-1]
        assert list(store.scan(LOCAL, limit=700)) == rows[:700]
        assert list(store.scan(LOCAL, limit=0)) == []
        assert list(store.scan(LOCAL, reverse=True, limit=256)) == rows[::-1][:256]

    def test_a_scan_survives_writes_on_the_way(self, make: MakeStore) -> None:
        store = make()
        names = [number.to_bytes(2, "big") for number in range(600)]
        store.write([Put(LOCAL, name, b"old") for name in names])
        seen = []
        for key, _ in store.scan(LOCAL):
            store.write([Put(LOCAL, key, b"new")])
            seen.append(key)
        assert seen == names
        assert {value for _, value in store.scan(LOCAL)} == {b"new"}

    def test_a_closed_store_says_so(self, make: MakeStore) -> None:
        store = make()
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.get(LOCAL, b"k")
        with pytest.raises(StoreError, match="closed"):
            store.write([Put(LOCAL, b"k", b"v")])

    @settings(max_examples=60, deadline=None, suppress_health_check=shared)
    @given(batches=batches, start=st.binary(max_size=3), end=st.none() | st.binary(max_size=3))
    def test_it_is_an_ordered_map(
        self, make: MakeStore, batches: list[list[Write]], start: bytes, end: bytes | None
    ) -> None:
        store = make()
        model: dict[StoreTable, dict[bytes, bytes]] = {LOCAL: {}, BLOCK: {}}
        for batch in batches:
            store.write(batch)
            for write in batch:
                if isinstance(write, Put):
                    model[write.table][write.key] = write.value
                else:
                    model[write.table].pop(write.key, None)
        for table, rows in model.items():
            chosen = [
                row
                for row in sorted(rows.items())
                if row[0] >= start and (end is None or row[0] < end)
            ]
            assert list(store.scan(table, start, end)) == chosen
            assert list(store.scan(table, start, end, reverse=True)) == chosen[::-1]
            assert list(store.scan(table, start, end, 2)) == chosen[:2]
        store.close()
