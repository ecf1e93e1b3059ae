"""What waits for the log is on disk, and a row that does not read stops no start."""

import logging
from pathlib import Path

import pytest

from ambientd.model.base import TaskId
from ambientd.model.effect import PersistAsked
from ambientd.model.record import Admit
from ambientd.ports.store import Put, StoreTable
from ambientd.runtime.persistence import ASKED_KEYS, keeps_asked, recover, writes_of
from tests.fakes.memory_store import MemoryStore
from tests.ledger.cluster import UNTIL_MS, spec
from tests.runtime.support import found_cluster

ADMIT = Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)
FIRST, LAST = TaskId(bytes(32)), TaskId(b"\xff" * 32)


def keep(store: MemoryStore, task: TaskId, admit: Admit | None) -> None:
    writes = writes_of(PersistAsked(task, admit))
    assert writes is not None
    store.write(writes)


def test_a_task_that_waits_is_there_after_a_start_until_its_wait_is_over(tmp_path: Path) -> None:
    genesis, _ = found_cluster(tmp_path)
    store = MemoryStore()
    assert recover(store, genesis).asked == {}
    for task in (FIRST, LAST):
        keep(store, task, ADMIT)
    assert recover(store, genesis).asked == {FIRST: ADMIT, LAST: ADMIT}
    assert keeps_asked(store, LAST)
    keep(store, LAST, None)
    keep(store, LAST, None)
    assert recover(store, genesis).asked == {FIRST: ADMIT}
    assert not keeps_asked(store, LAST)


def test_a_row_that_does_not_read_is_said_and_forgotten_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    genesis, _ = found_cluster(tmp_path)
    store = MemoryStore()
    keep(store, FIRST, ADMIT)
    store.write([Put(StoreTable.LOCAL, ASKED_KEYS + LAST, b"\xc1 no row of ours")])
    with caplog.at_level(logging.ERROR):
        assert recover(store, genesis).asked == {FIRST: ADMIT}
    assert LAST.hex() in caplog.text
    assert "ask for it again" in caplog.text
    assert not keeps_asked(store, LAST)
