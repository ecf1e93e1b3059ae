"""Removing blobs whose time is over: a little in each sweep, and nothing that is still needed.

The ledger forgets tasks long before their blobs go, so each sweep leaves on the files when they
were needed last; what a crash leaves undone, a later sweep does.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import islice

import structlog
import trio

from ambientd.config.retention_options import RetentionOptions
from ambientd.errors import StoreError
from ambientd.ledger.needs import need_of, studies_need
from ambientd.ledger.state import LedgerState
from ambientd.ports.retention import SweepPlan, SweptFiles

log = structlog.get_logger("ambientd.retention")

SWEEP_S = 60.0
TASKS_AT_ONCE = 1_000
PARTS = 16
"""A sweep looks at every sixteenth blob, so all are looked at in a quarter of an hour."""


class Sweeper:
    """Sweeps one node's blobs."""

    def __init__(
        self,
        files: SweptFiles,
        ledger: LedgerState,
        options: RetentionOptions,
        now: Callable[[], int],
        kept: Callable[[], AbstractSet[bytes]] = frozenset,
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._options = options
        self._now = now
        self._kept = kept
        self._part = 0

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("blobs could not be swept", reason=str(error))
            await trio.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Sweep the next part; give how many blobs were removed."""
        self._files.begin_sweep()
        plan = await self._plan(self._part)
        self._part = (self._part + 1) % PARTS
        removed = await trio.to_thread.run_sync(self._files.sweep, plan)
        if removed:
            log.info("blobs whose time was over are gone", removed=removed)
        return removed

    async def _plan(self, part: int) -> SweepPlan:
        """Walk over the ledger's tasks, some at a time, as the node has other things to do."""
        held = {bytes.fromhex(text) for text in self._options.pinned} | self._kept()
        held |= studies_need(self._ledger)
        due_ms: dict[bytes, int] = {}
        tasks = iter(list(self._ledger.tasks()))
        while some := list(islice(tasks, TASKS_AT_ONCE)):
            for task, entry in some:
                need = need_of(self._ledger, task, entry)
                if need.ended_ms is None:
                    held.update((*need.inputs, *need.outputs))
                    continue
                for names, kept_ms in (
                    (need.inputs, self._options.inputs_ms),
                    (need.outputs, self._options.outputs_ms),
                ):
                    for name in names:
                        due_ms[name] = max(due_ms.get(name, 0), need.ended_ms + kept_ms)
            await trio.lowlevel.checkpoint()
        longest_ms = max(self._options.inputs_ms, self._options.outputs_ms)
        return SweepPlan(held, due_ms, longest_ms, self._now(), part, PARTS)
