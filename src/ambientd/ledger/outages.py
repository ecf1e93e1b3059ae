"""What an outage does to deadlines: nothing (protocols/03 §2).

After an outage block time catches up in large steps, many a second. Were they counted, leases
would run out before a worker could do anything. So deadlines are of running time, from which such
steps are left out, and no block has to move them.
"""

from msgspec.structs import replace

from ambientd.ledger.draft import Draft

STEP_MS_MAX = 2_000
"""Blocks follow each other faster while any task has a deadline (05 §6)."""


def let_run(draft: Draft) -> None:
    """Let block time come to that of the block, and running time as far as it could be used."""
    meta, now_ms = draft.state.meta, draft.context.time_ms
    lost_ms = meta.lost_ms + _outage_ms(now_ms - meta.time_ms, draft.state.genesis.rules.t0_ms)
    draft.put_meta(replace(meta, time_ms=now_ms, lost_ms=lost_ms))


def _outage_ms(step_ms: int, t0_ms: int) -> int:
    """Give how much of the time since the block before nobody could use."""
    return 0 if step_ms <= STEP_MS_MAX else step_ms - min(step_ms, t0_ms)
