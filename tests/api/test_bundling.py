"""Bundles as callers ask for them and for what came of one item, each refusal with what to do."""

import json
import math
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.api.bundling import for_items, input_of, item_output, item_receipt
from ambientd.api.counting import outcome_in_words
from ambientd.api.material_values import GetTaskLog, TaskLog
from ambientd.api.materials import Materials
from ambientd.api.offline import check_receipt
from ambientd.api.operations import OperationError
from ambientd.api.replies import Output, Task, TaskLine
from ambientd.api.requests import SubmitTask
from ambientd.api.tallies import AGAIN_S, BRING_S, Tallies, Tally, tally_of
from ambientd.api.views import task_reply
from ambientd.codec.bundles import (
    bundle_of_items,
    bundle_of_outcomes,
    decode_items,
    encode_items,
    encode_outcomes,
)
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.config.options import SandboxPolicy
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.bundle import Bundle, ItemOutcome, ItemReceipt
from ambientd.model.execution import GAS_CEILING, WALL_MS_CEILING
from ambientd.model.task import TaskSpec
from ambientd.rules.file_checks import Check
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.service import Parts
from scripts.make_vectors import FOLDER
from tests.ledger.cluster import TestCluster, result, spec
from tests.modules.compiled import module
from tests.rules.receipts import agreed, file_of

ITEMS = (b"one", b"two", b"three")
OUTCOMES = (
    ItemOutcome(kind=0, reason="", gas=7, output=b"ONE"),
    ItemOutcome(kind=1, reason="unreachable", gas=100, output=b""),
    ItemOutcome(kind=0, reason="", gas=9, output=b"THREE"),
)
GIVEN, CAME = encode_items(ITEMS), encode_outcomes(OUTCOMES)
ANSWER = replace(result(CAME), output_size_bytes=bundle_of_outcomes(OUTCOMES, len(CAME)))


def settled(answer: object = ANSWER) -> tuple[TestCluster, TaskId]:
    cluster = TestCluster()
    bundle = bundle_of_items(ITEMS, len(GIVEN))
    task = cluster.admit(input=sha256(GIVEN), input_size_bytes=bundle)
    cluster.work(task, {0: answer, 1: answer})  # type: ignore[dict-item]
    cluster.close_batch()
    return cluster, task


CLUSTER, TASK = settled()
STRANGER = NodeId(b"\xee" * 32)
RECEIPT = encode(file_of(CLUSTER, b"n"))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    kept = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), nobody, list)

    async def put() -> None:
        await kept.put(GIVEN)
        await kept.put(CAME)

    trio.run(put)
    return kept


def file_of_item(blobs: Blobs, place: int) -> bytes:
    return trio.run(item_receipt, blobs, CLUSTER.task(TASK), place, RECEIPT)


def failed(data: bytes, output: bytes | None = None) -> list[Check]:
    return [check for check in check_receipt(data, output=output).checks if not check.ok]


def test_limits_are_those_of_an_item_and_what_is_signed_is_for_all() -> None:
    alone = spec(gas_max=1_000, wall_ms_max=20_000)
    together = for_items(alone, 100)
    assert (together.gas_max, together.wall_ms_max) == (100_000, 2_000_000)
    assert for_items(alone, 256).wall_ms_max == WALL_MS_CEILING
    assert for_items(alone, 0) == alone
    most = for_items(replace(alone, gas_max=GAS_CEILING), 256)
    assert (most.gas_max, decode(encode(most), TaskSpec)) == (GAS_CEILING, most)


def test_items_become_the_bundle_that_the_task_names() -> None:
    data, bundle = input_of(SubmitTask(items=ITEMS), b"")
    assert isinstance(bundle, Bundle)
    assert decode_items(data, bundle) == ITEMS
    assert input_of(SubmitTask(input=b"x"), b"x") == (b"x", 1)
    with pytest.raises(OperationError, match="one input or several items"):
        input_of(SubmitTask(input=b"x", items=ITEMS), b"x")


def test_an_item_s_output_is_its_own_and_a_trap_is_said_with_its_place(blobs: Blobs) -> None:
    async def output(place: int) -> Output:
        return await item_output(CLUSTER.state, blobs, TASK, CLUSTER.task(TASK), place)

    found = trio.run(output, 2)
    assert (found.data, found.sha256) == (b"THREE", sha256(b"THREE").hex())
    with pytest.raises(OperationError, match="item 1 has no output, it ended trapped: unreach"):
        trio.run(output, 1)
    with pytest.raises(OperationError, match="no item 3: the bundle has 3, the first is 0"):
        trio.run(output, 3)


def test_a_task_that_is_no_bundle_has_no_items(blobs: Blobs) -> None:
    cluster = agreed()
    task = cluster.admit(nonce=b"other")
    with pytest.raises(OperationError, match="it is assigned"):
        trio.run(item_output, cluster.state, blobs, task, cluster.task(task), 0)
    cluster.work(task)
    with pytest.raises(OperationError, match="is no bundle"):
        trio.run(item_output, cluster.state, blobs, task, cluster.task(task), 0)


def test_every_item_has_a_receipt_that_a_stranger_can_check(blobs: Blobs) -> None:
    for place, outcome in enumerate(OUTCOMES):
        data = file_of_item(blobs, place)
        names = [check.name for check in check_receipt(data).checks]
        assert names[-2:] == ["item input", "item outcome"]
        assert failed(data, outcome.output) == []
        assert [each.name for each in failed(data, b"other")] == ["output"]


def test_a_receipt_that_is_changed_anywhere_holds_no_more(blobs: Blobs) -> None:
    data = file_of_item(blobs, 2)
    file: ItemReceipt = decode(data, ItemReceipt)
    before = failed(data)
    other: ItemReceipt = decode(file_of_item(blobs, 0), ItemReceipt)
    long_path = (*file.given_path, Digest(bytes(32)))
    for changed in (
        replace(file, item=1),
        replace(file, item=3),
        replace(file, item=-1),
        replace(file, given=other.given),
        replace(file, given=Digest(b"short")),
        replace(file, given_path=long_path),
        replace(file, given_path=()),
        replace(file, came=other.came),
        replace(file, came=replace(file.came, gas=8)),
        replace(file, came=replace(file.came, kind=7)),
        replace(file, came=replace(file.came, reason="\x1b[2J")),
        replace(file, came_path=other.came_path),
        replace(file, version=2),
        replace(file, receipt=encode(file_of(agreed(), b"n"))),
        replace(file, receipt=b""),
    ):
        assert len(failed(encode(changed))) > len(before), changed


def test_the_item_receipts_of_the_vectors_hold_in_their_cluster_and_no_other() -> None:
    written = json.loads((FOLDER / "bundles.json").read_text("utf-8"))
    for each in written["item_receipts"]:
        data = bytes.fromhex(each)
        assert check_receipt(data, pinned=bytes.fromhex(written["cluster"])).valid
        assert not check_receipt(data, pinned=bytes(32)).valid


def test_what_no_execution_gives_is_no_item_s_outcome_though_a_lone_worker_signed_it() -> None:
    written = json.loads((FOLDER / "bundles.json").read_text("utf-8"))
    for what, each in written["made_up_item_receipts"].items():
        assert [check.name for check in failed(bytes.fromhex(each))] == ["item outcome"], what


@settings(max_examples=40)
@given(st.data())
def test_no_changed_byte_of_an_item_receipt_passes_and_none_raises(drawn: st.DataObject) -> None:
    written = json.loads((FOLDER / "bundles.json").read_text("utf-8"))
    data = bytearray.fromhex(written["item_receipts"][2])
    place = drawn.draw(st.integers(0, len(data) - 1))
    data[place] ^= drawn.draw(st.integers(1, 255))
    pinned = bytes.fromhex(written["cluster"])
    assert not check_receipt(bytes(data), pinned=pinned).valid
    assert not check_receipt(bytes(data[:place]), pinned=pinned).valid


def test_a_lone_liar_s_outcomes_of_no_bundle_give_no_receipt(tmp_path: Path) -> None:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), nobody, list)
    other = bundle_of_items(ITEMS[::-1], len(GIVEN))  # which the named bytes do not hold
    cluster = TestCluster()
    task = cluster.admit(input=sha256(GIVEN), input_size_bytes=other)
    cluster.work(task, {0: ANSWER, 1: ANSWER})
    entry = cluster.task(task)

    async def get() -> bytes:
        await blobs.put(GIVEN)
        await blobs.put(CAME)
        return await item_receipt(blobs, entry, 0, RECEIPT)

    with pytest.raises(OperationError, match="made outcomes up"):
        trio.run(get)


class LongestStep(trio.abc.Instrument):
    """How much of the loop's thread its longest step took: what waits beside it waited as long."""

    def __init__(self) -> None:
        self.seconds, self._begun_s = 0.0, math.inf  # it comes in the middle of a step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._begun_s = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.seconds = max(self.seconds, time.thread_time() - self._begun_s)


def test_the_receipt_of_an_item_of_a_large_bundle_leaves_the_node_s_loop_alone(
    tmp_path: Path,
) -> None:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 26), nobody, list)
    items = (bytes(1 << 20),) * 24
    data = encode_items(items)
    cluster = TestCluster()
    task = cluster.admit(input=sha256(data), input_size_bytes=bundle_of_items(items, len(data)))
    outcomes = (ItemOutcome(kind=0, reason="", gas=1, output=b"x"),) * 24
    came = encode_outcomes(outcomes)
    extent = bundle_of_outcomes(outcomes, len(came))
    answer = replace(result(came), output_size_bytes=extent)
    cluster.work(task, {0: answer, 1: answer})
    entry, longest = cluster.task(task), LongestStep()

    async def get() -> bytes:
        await blobs.put(data)
        await blobs.put(came)
        trio.lowlevel.add_instrument(longest)
        return await item_receipt(blobs, entry, 3, RECEIPT)

    trio.run(get)
    begun_s = time.thread_time()
    decode_items(data, bundle_of_items(items, len(data)))
    assert longest.seconds < (time.thread_time() - begun_s) / 4


@pytest.mark.parametrize("kept", [True, False])
def test_a_log_tells_outcomes_that_a_worker_made_up_from_ones_that_nobody_holds(
    tmp_path: Path, kept: bool
) -> None:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    blobs = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), nobody, list)
    wasi, made_up = module("wasi"), b"no outcomes"
    cluster = TestCluster()
    task = cluster.admit(
        module=sha256(wasi),
        module_size_bytes=len(wasi),
        input=sha256(GIVEN),
        input_size_bytes=bundle_of_items(ITEMS, len(GIVEN)),
    )
    extent = bundle_of_outcomes(OUTCOMES, len(made_up))
    answer = replace(result(made_up), output_size_bytes=extent)
    cluster.work(task, {0: answer, 1: answer})
    parts = SimpleNamespace(node=SimpleNamespace(ledger=cluster.state), blobs=blobs)
    materials = Materials(cast("Parts", parts), SandboxPolicy.BEST_EFFORT)

    async def get() -> TaskLog:
        for data in (wasi, GIVEN, made_up) if kept else (wasi, GIVEN):
            await blobs.put(data)
        return await materials.log(GetTaskLog(task=task.hex(), item=1))

    told = trio.run(get)
    assert (told.log, told.agrees) == ("hi", False if kept else None)


async def shown_at(me: NodeId, blobs: Blobs, task: TaskId = TASK) -> Task:
    """Give what a node shows of a task, with its items if they are known there."""
    entry = CLUSTER.task(task)
    shown = task_reply(CLUSTER.state, task, entry, ())
    return await Tallies(me, blobs).told(shown, entry, is_brought=True)


def in_list(blobs: Blobs) -> TaskLine:
    return trio.run(Tallies(STRANGER, blobs).line, TASK, CLUSTER.task(TASK))


def test_a_bundle_tells_how_many_items_have_an_output_and_why_others_have_none(
    blobs: Blobs,
) -> None:
    shown = trio.run(shown_at, STRANGER, blobs)
    assert (shown.outcome, shown.items, shown.items_completed) == ("completed", 3, 2)
    assert shown.reason == "1 trapped; the first is item 1: unreachable"
    line = in_list(blobs)
    assert (line.items, line.items_completed) == (3, 2)
    assert outcome_in_words(line.outcome, 3, 2) == "in part, 2 of 3 items completed"


def test_a_list_reads_no_large_outcomes(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambientd.api.tallies.LISTED_BYTES_MAX", len(CAME) - 1)
    assert in_list(blobs).items_completed is None
    assert trio.run(shown_at, STRANGER, blobs).items_completed == 2


def test_outcomes_of_an_own_task_are_brought_and_of_others_are_not(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def holder(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        asked.append(digest)
        return CAME

    nothing = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), holder, list)
    assert trio.run(shown_at, STRANGER, nothing).items_completed is None
    assert asked == []
    assert trio.run(shown_at, CLUSTER.task(TASK).submitter, nothing).items_completed == 2
    assert asked == [sha256(CAME)]
    assert in_list(nothing).items_completed == 2


def test_who_finds_nobody_with_the_outcomes_does_not_ask_at_every_look(tmp_path: Path) -> None:
    asked: list[NodeId] = []

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        asked.append(peer)
        await trio.sleep_forever()

    blobs = Blobs(BlobFiles(tmp_path, quota_bytes=1 << 20), nobody, list)
    entry = CLUSTER.task(TASK)
    shown = task_reply(CLUSTER.state, TASK, entry, ())
    workers = [slot.worker for slot in entry.slots]

    async def look() -> None:
        tallies = Tallies(entry.submitter, blobs)
        for _ in range(5):
            assert await tallies.told(shown, entry, is_brought=True) == shown
        assert trio.current_time() == BRING_S
        assert Counter(asked) == Counter(workers), "each who may have them, once"
        await trio.sleep(AGAIN_S)
        assert await tallies.told(shown, entry, is_brought=True) == shown
        assert Counter(asked) == Counter(workers * 2)

    trio.run(look, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (OUTCOMES[:1], Tally(1, "")),
        (OUTCOMES[1:2], Tally(0, "1 trapped; the first is item 0: unreachable")),
        (
            (OUTCOMES[0], *OUTCOMES[1:2] * 2, ItemOutcome(kind=2, reason="", gas=5, output=b"")),
            Tally(1, "2 trapped, 1 out_of_gas; the first is item 1: unreachable"),
        ),
        (
            (ItemOutcome(kind=2, reason="", gas=5, output=b""),),
            Tally(0, "1 out_of_gas; the first is item 0"),
        ),
    ],
)
def test_failed_items_are_counted_by_how_they_ended(
    outcomes: tuple[ItemOutcome, ...], said: Tally
) -> None:
    data = encode_outcomes(outcomes)
    assert tally_of(data, bundle_of_outcomes(outcomes, len(data))) == said


@pytest.mark.parametrize("made_up", [b"", b"no outcomes", encode_outcomes(OUTCOMES[:2])])
def test_what_a_lone_worker_made_up_counts_as_no_output_at_all(made_up: bytes) -> None:
    found = tally_of(made_up, bundle_of_outcomes(OUTCOMES, len(CAME)))
    assert found.completed == 0
    assert "something else than outcomes" in found.reason


def test_words_for_a_bundle_say_what_came_of_its_items() -> None:
    assert outcome_in_words("completed", None, None) == "completed"
    assert outcome_in_words("completed", 256, 256) == "completed, 256 items"
    assert outcome_in_words("completed", 1, 0) == "failed, none of 1 item completed"
    assert outcome_in_words("completed", 2_000, None) == "ended, 2,000 items"
    assert outcome_in_words("trapped", 5, None) == "trapped"
