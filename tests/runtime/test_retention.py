"""Blobs go when their time is over, never while anything needs them, and a crash undoes nothing."""

import os
from pathlib import Path

import pytest

from ambientd.adapters.blob_files import BLOCK_BYTES, BlobFiles
from ambientd.codec.digest import sha256
from ambientd.config.retention_options import DAY_MS, HOUR_MS, RetentionOptions
from ambientd.errors import StoreError
from ambientd.ledger.needs import need_of
from ambientd.model.base import TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import Anchor
from ambientd.model.task import Assurance
from ambientd.runtime.retention import PARTS, Sweeper
from sim.traces import TraceVice
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import OUTPUT, TestCluster, result
from tests.ledger.games import Match

OPTIONS = RetentionOptions(inputs_ms=HOUR_MS, outputs_ms=3 * HOUR_MS)
MODULE, INPUT = sha256(b"module"), sha256(b"input")


class Kept:
    """A ledger, and a device that has what its tasks use."""

    def __init__(self, folder: Path, options: RetentionOptions = OPTIONS, **rules: int) -> None:
        self.cluster = TestCluster(rules=Rules(**rules))  # type: ignore[arg-type]
        self.folder, self.options = folder, options
        self.later_ms = 0
        self.reopen()
        for data in (b"module", b"input", OUTPUT):
            self.files.put(data)

    def reopen(self) -> None:
        """Begin anew with what is on disk."""
        self.files = BlobFiles(self.folder / "blobs", memory_bytes=0)
        self.sweeper = Sweeper(self.files, self.cluster.state, self.options, lambda: self.now)

    @property
    def now(self) -> int:
        return self.cluster.time_ms + self.later_ms

    async def sweep(self, parts: int = PARTS) -> int:
        return sum([await self.sweeper.sweep() for _ in range(parts)])

    def left(self) -> set[bytes]:
        return {data for data in (b"module", b"input", OUTPUT) if self.files.has(sha256(data))}

    def age(self) -> None:
        """Let all files be as old as the ledger is now."""
        for file in self.folder.glob("blobs/[0-9a-f][0-9a-f]/*"):
            os.utime(file, (self.cluster.time_ms / 1000, self.cluster.time_ms / 1000))

    def anchor(self) -> None:
        cluster = self.cluster
        cluster.close_batch()
        size = cluster.state.receipt_log_size()
        root = cluster.state.receipt_log_root(size)
        cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))


async def test_inputs_and_outputs_go_when_their_own_time_is_over(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.cluster.work(kept.cluster.admit())
    kept.anchor()
    kept.age()
    assert await kept.sweep() == 0
    kept.later_ms = HOUR_MS + 60_000
    assert await kept.sweep() == 2
    assert kept.left() == {OUTPUT}
    kept.later_ms = 3 * HOUR_MS + 60_000
    assert await kept.sweep() == 1
    assert kept.left() == set()


async def test_what_is_pinned_stays_until_it_is_let_go(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.cluster.work(kept.cluster.admit())
    kept.anchor()
    kept.age()
    kept.later_ms = 400 * DAY_MS
    pins = {MODULE}
    ledger, options = kept.cluster.state, kept.options
    kept.sweeper = Sweeper(kept.files, ledger, options, lambda: kept.now, lambda: pins)
    assert await kept.sweep() == 2
    assert kept.left() == {b"module"}
    pins.clear()
    assert await kept.sweep() == 0, "it was needed until now"
    kept.later_ms += DAY_MS
    assert await kept.sweep() == 1


async def test_what_is_still_needed_stays_however_old(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    cluster = kept.cluster
    task = cluster.admit()
    kept.later_ms = 400 * DAY_MS
    assert await kept.sweep() == 0, "the task is open"
    cluster.work(task, {1: result(b"a lie")})
    assert await kept.sweep() == 0, "it is disputed"
    cluster.block(*(cluster.finding(task, referee, result()) for referee in range(3)))
    assert await kept.sweep() == 0, "its receipt has no anchor"
    kept.anchor()
    kept.age()
    assert await kept.sweep() == 3


async def test_an_answer_that_may_be_audited_keeps_what_an_audit_needs(tmp_path: Path) -> None:
    window_ms = 2 * HOUR_MS
    kept = Kept(tmp_path, audit_window_ms=window_ms)
    task = kept.cluster.admit(assurance=Assurance.NONE, replicas=1)
    kept.cluster.work(task)
    kept.anchor()
    entry = kept.cluster.task(task)
    assert need_of(kept.cluster.state, task, entry).ended_ms is None
    kept.later_ms = 400 * DAY_MS
    assert await kept.sweep() == 0


async def test_what_the_conviction_of_its_worker_would_audit_stays_as_long_as_its_task(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path, audit_window_ms=HOUR_MS, keep_ms=9 * HOUR_MS)
    cluster = kept.cluster
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task)
    kept.anchor()
    cluster.block(after_ms=2 * HOUR_MS)
    assert cluster.state.audits.awaiting(cluster.time_ms, 1) == [], "the draw is over"
    kept.later_ms = 5 * HOUR_MS
    assert await kept.sweep() == 0


async def test_a_dispute_keeps_the_states_that_its_parties_go_on_from(tmp_path: Path) -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    match.step()
    match.cluster.block(match.tell(0, match.trace(0)))
    said = [trace for trace in (*match.game.traces, *match.game.claimed) if trace is not None]
    states = {trace.state for trace in said if trace.state_size_bytes}
    assert states
    assert states <= set(need_of(match.cluster.state, match.task, match.entry).inputs)


async def test_what_was_put_again_after_its_time_is_as_new(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.cluster.work(kept.cluster.admit())
    kept.anchor()
    kept.age()
    kept.later_ms = HOUR_MS + 60_000
    kept.files._place.note_ms(MODULE, kept.now)
    assert await kept.sweep() == 1
    assert b"module" in kept.left(), "whoever put it is about to submit its task"
    kept.later_ms += 3 * HOUR_MS + 60_000
    assert await kept.sweep() == 2


async def test_a_pin_holds_for_ever(tmp_path: Path) -> None:
    pins = RetentionOptions(inputs_ms=HOUR_MS, outputs_ms=HOUR_MS, pinned=(MODULE.hex(),))
    kept = Kept(tmp_path, pins)
    kept.age()
    kept.later_ms = 400 * DAY_MS
    assert await kept.sweep() == 2
    assert kept.left() == {b"module"}


async def test_what_no_task_names_goes_after_the_longest_time(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.age()
    kept.later_ms = 3 * HOUR_MS - 60_000
    assert await kept.sweep() == 0
    kept.later_ms = 3 * HOUR_MS + 60_000
    assert await kept.sweep() == 3


async def test_after_the_ledger_forgot_a_task_its_blobs_keep_their_time(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.cluster.work(kept.cluster.admit())
    kept.anchor()
    kept.age()
    await kept.sweep()
    forgetful = TestCluster()
    kept.cluster, kept.later_ms = forgetful, kept.cluster.time_ms - forgetful.time_ms
    kept.reopen()
    assert await kept.sweep() == 0
    kept.later_ms += HOUR_MS + 60_000
    assert await kept.sweep() == 2
    assert kept.left() == {OUTPUT}


async def test_what_is_used_while_a_sweep_is_under_way_is_not_removed(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.age()
    kept.later_ms = 400 * DAY_MS
    plan = await kept.sweeper._plan(MODULE[0] % PARTS)
    kept.files.begin_sweep()
    assert kept.files.get(MODULE) == b"module"
    kept.files.sweep(plan)
    assert b"module" in kept.left()


@pytest.mark.parametrize("parts", range(0, PARTS + 1, 4))
async def test_a_crash_between_sweeps_loses_nothing_and_the_rest_is_done_later(
    tmp_path: Path, parts: int
) -> None:
    kept = Kept(tmp_path)
    task = kept.cluster.admit(nonce=b"open", input=sha256(b"input"))
    kept.age()
    junk = [kept.files.put(b"%d" % number) for number in range(40)]
    kept.age()
    kept.later_ms = 400 * DAY_MS
    await kept.sweep(parts)
    kept.reopen()
    await kept.sweep()
    assert not any(kept.files.has(name) for name in junk)
    assert {b"module", b"input"} <= kept.left()
    kept.cluster.work(task)


async def test_the_quota_takes_nothing_that_is_needed(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.cluster.admit()
    await kept.sweep()
    kept.files._quota_bytes = kept.files.used_bytes
    kept.files.put(b"0123456")  # in the place of the output that nobody needs yet
    assert kept.left() == {b"module", b"input"}
    with pytest.raises(StoreError, match="do not fit"):
        kept.files.put(b"x" * (BLOCK_BYTES + 1))
    assert kept.left() == {b"module", b"input"}


def test_a_task_names_what_it_used_and_brought() -> None:
    cluster = TestCluster()
    task: TaskId = cluster.admit()
    cluster.work(task)
    need = need_of(cluster.state, task, cluster.task(task))
    assert set(need.inputs) == {MODULE, INPUT}
    assert set(need.outputs) == {sha256(OUTPUT)}
