"""Bundles as callers meet them: how one is asked for, and what came of one of its items.

What walks over all items takes a tenth of a second with 64 MB, so it does so in a thread.
"""

import trio
from msgspec.structs import replace

from ambientd.api import requests
from ambientd.api.materials import brought
from ambientd.api.operations import OperationError
from ambientd.api.replies import Output
from ambientd.api.standing import standing
from ambientd.codec.bundles import (
    bundle_of_items,
    decode_outcomes,
    encode_items,
    item_paths,
    item_result,
)
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import leaf_hash
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, TaskId
from ambientd.model.bundle import Bundle, Extent, ItemOutcome, ItemReceipt, size_of
from ambientd.model.execution import GAS_CEILING, WALL_MS_CEILING, OutcomeKind
from ambientd.model.task import TaskSpec
from ambientd.rules.bundles import items_of
from ambientd.rules.item_check import ITEM_VERSION
from ambientd.runtime.blobs import Blobs

_AT_ONCE_BYTES = 256 * 1024
_HINT = "`ambientctl task show` says how many items it has"


def for_items(spec: TaskSpec, items: int) -> TaskSpec:
    """Give each of so many items the gas and the time that a task alone would have; 0 are none."""
    if not items:
        return spec
    return replace(
        spec,
        gas_max=min(GAS_CEILING, spec.gas_max * items),
        wall_ms_max=min(WALL_MS_CEILING, spec.wall_ms_max * items),
    )


def input_of(request: requests.SubmitTask, data: bytes) -> tuple[bytes, Extent]:
    """Give the input of a task as a blob: what was given, or the bundle of the items."""
    if not request.items:
        return data, len(data)
    if data or request.input_sha256 is not None:
        msg = "a task has one input or several items, and both are given"
        raise OperationError("invalid", msg, "leave one of them away")
    bundled = encode_items(request.items)
    return bundled, bundle_of_items(request.items, len(bundled))


async def put_together(request: requests.SubmitTask, data: bytes) -> tuple[bytes, Extent]:
    """Give the input as `input_of` does, in a thread where there is much of it."""
    if sum(map(len, request.items)) <= _AT_ONCE_BYTES:
        return input_of(request, data)
    return await trio.to_thread.run_sync(input_of, request, data)


async def outcomes_of(blobs: Blobs, entry: TaskEntry) -> tuple[ItemOutcome, ...]:
    """Bring what came of a bundle's items; raise OperationError where there is nothing."""
    if entry.settlement is None:
        msg = f"the task has no output: it is {entry.state.name.lower()}"
        raise OperationError("not_ready", msg, "`ambientctl task show` tells more")
    result, liars = entry.settlement.result, entry.settlement.liars
    extent = result.output_size_bytes
    if not isinstance(extent, Bundle):
        what = "is no bundle" if size_of(entry.spec.input_size_bytes) else "has no items"
        if isinstance(entry.spec.input_size_bytes, Bundle):
            what = f"ended without outcomes of its items: {result.reason}"
        raise OperationError("invalid", f"the task {what}", _HINT)
    holders = [slot.worker for slot in entry.slots if slot.worker not in liars]
    data = await brought(blobs, result.output, extent.size_bytes, holders, "the outcomes")
    try:
        return await trio.to_thread.run_sync(decode_outcomes, data, extent)
    except RemoteProtocolError as error:
        msg = f"its one worker answered with something else than outcomes: {error}"
        raise OperationError("invalid", msg, "run it again with --assurance replicated") from error


def chosen(outcomes: tuple[ItemOutcome, ...], place: int) -> ItemOutcome:
    """Give one outcome; raise OperationError where there is no such item."""
    if place >= len(outcomes):
        msg = f"there is no item {place}: the bundle has {len(outcomes)}, the first is 0"
        raise OperationError("not_found", msg, _HINT)
    return outcomes[place]


async def item_output(
    state: LedgerState, blobs: Blobs, task: TaskId, entry: TaskEntry, place: int
) -> Output:
    """Give an item's output; raise OperationError where it has none."""
    outcome = chosen(await outcomes_of(blobs, entry), place)
    if outcome.kind != OutcomeKind.COMPLETED:
        ending = OutcomeKind(outcome.kind).name.lower()
        msg = f"item {place} has no output, it ended {ending}: {outcome.reason}".rstrip(": ")
        raise OperationError("not_ready", msg, "the other items have theirs")
    return Output(
        task_id=task.hex(),
        data=outcome.output,
        sha256=sha256(outcome.output).hex(),
        standing=standing(state, task),
    )


async def item_receipt(blobs: Blobs, entry: TaskEntry, place: int | None, receipt: bytes) -> bytes:
    """Give the receipt file of one item: the task's, and where item and outcome stand in it."""
    if place is None:
        return receipt
    outcomes, spec = await outcomes_of(blobs, entry), entry.spec
    came = item_result(chosen(outcomes, place))
    assert isinstance(spec.input_size_bytes, Bundle), "what has outcomes has items"
    holders = (entry.submitter, *(slot.worker for slot in entry.slots))
    size_bytes = spec.input_size_bytes.size_bytes
    data = await brought(blobs, spec.input, size_bytes, holders, "the items")
    items = await trio.to_thread.run_sync(items_of, spec, data)
    if items is None:
        msg = "its one worker made outcomes up: the input is no bundle of these items"
        raise OperationError("invalid", msg, "no item of it has a receipt")
    given_path, came_path = await trio.to_thread.run_sync(item_paths, items, outcomes, place)
    return encode(
        ItemReceipt(
            version=ITEM_VERSION,
            receipt=receipt,
            item=place,
            given=Digest(leaf_hash(items[place])),
            given_path=given_path,
            came=came,
            came_path=came_path,
        )
    )
