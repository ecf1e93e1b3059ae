"""The journal in a node: kept as it comes, and a disk that refuses ends nothing."""

import errno
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.batch_journal import BatchJournal, read_journal
from ambientd.model.base import Digest, NodeId
from ambientd.model.telemetry import Observation, TelemetryBatch
from ambientd.runtime.telemetry_journal import AHEAD_MAX, EACH_MS, SYNC_S, TelemetryJournal
from ambientd.telemetry.batch import decode_batch


def batch(seq: int, node: int = 0) -> TelemetryBatch:
    return TelemetryBatch(
        node=NodeId(bytes([node]) * 32),
        epoch=1,
        seq=seq,
        observations=(Observation(name="cpu_percent", value=seq, source="kernel"),),
        prev_hash=Digest(bytes(32)),
        signature=bytes(64),
    )


def kept(folder: Path) -> list[int]:
    return [decode_batch(each.data).seq for each in read_journal(folder)]


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_batches_come_to_disk_while_it_runs_and_none_after_it_has_stopped(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    inner = BatchJournal(tmp_path / "telemetry", bytes_max=1 << 20)
    journal = TelemetryJournal(inner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for seq in range(3):
            journal.note(batch(seq), seq)
        assert inner.is_dirty
        while inner.is_dirty:  # a thread does it, for which this clock does not wait
            await trio.sleep(SYNC_S)
        journal.note(batch(3), 3)
        nursery.cancel_scope.cancel()
    journal.note(batch(4), 4)
    assert kept(tmp_path / "telemetry") == [0, 1, 2, 3]
    assert journal.lost == 0


async def test_a_disk_that_refuses_ends_no_node_neither_amid_its_work_nor_at_its_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = TelemetryJournal(BatchJournal(tmp_path / "telemetry", bytes_max=1 << 20))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        await trio.testing.wait_all_tasks_blocked()
        journal.note(batch(0), 0)
        with monkeypatch.context() as full:
            full.setattr(os, "write", refuse)
            for seq in range(1, 5):
                journal.note(batch(seq), seq)
        assert journal.lost == 4
        journal.note(batch(5), 5)
        monkeypatch.setattr(os, "fdatasync", refuse)
        await trio.sleep(SYNC_S * 2.5)
        journal.note(batch(6), 6)
        nursery.cancel_scope.cancel()
    assert kept(tmp_path / "telemetry") == [0, 5, 6]


def test_one_that_floods_fills_no_more_than_its_share_and_pushes_nobody_out(tmp_path: Path) -> None:
    journal = TelemetryJournal(BatchJournal(tmp_path / "telemetry", bytes_max=64 << 20))
    lasted_ms = 60_000
    for now in range(lasted_ms):
        journal.note(batch(now), now)
        if now % 10_000 == 0:
            journal.note(batch(now, node=1), now)
    said = [decode_batch(each.data) for each in read_journal(tmp_path / "telemetry")]
    assert [each.seq for each in said if each.node[0]] == list(range(0, lasted_ms, 10_000))
    flooder = sum(not each.node[0] for each in said)
    assert flooder + journal.flooded == lasted_ms
    assert flooder <= AHEAD_MAX + lasted_ms // EACH_MS + 1


def test_a_clock_that_was_ahead_for_a_while_silences_nobody(tmp_path: Path) -> None:
    journal = TelemetryJournal(BatchJournal(tmp_path / "telemetry", bytes_max=1 << 20))
    ahead_ms = 3_600_000
    journal.note(batch(0), ahead_ms)
    for seq in range(1, 11):
        journal.note(batch(seq), seq * 1_000)
    assert kept(tmp_path / "telemetry")[-9:] == list(range(2, 11))
