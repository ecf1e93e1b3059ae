"""What became of a world of whole nodes."""

from collections import Counter
from dataclasses import dataclass

from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.task import TaskState, Verdict
from sim.mark_watch import MarkWatch
from sim.node_checkers import HonestKeepTheirName
from sim.stage import Stage


@dataclass(frozen=True, slots=True)
class ClusterOutcome:
    """What became of a world of whole nodes."""

    seed: int
    members: int
    blocks: int
    tasks: int
    endings: dict[str, int]
    receipts: int
    closed: int
    convicted: int
    epochs: int
    messages: int
    state_root: str
    trace_hash: str
    marks: int = 0
    gone_on: int = 0
    met: tuple[str, ...] = ()  # of long executions, where states of them may be marked


def outcome_of(
    seed: int,
    members: int,
    ledger: LedgerState,
    names: HonestKeepTheirName,
    world: Stage,
    marks: MarkWatch | None,
) -> ClusterOutcome:
    """Give what became of a world, as an honest node's ledger has it."""
    endings = Counter(_ending(entry) for _, entry in ledger.tasks())
    return ClusterOutcome(
        seed,
        members,
        ledger.applied_index,
        endings.total(),
        dict(sorted(endings.items())),
        ledger.receipt_log_size(),
        ledger.checkpoint_size(),
        len(names.convicted),
        ledger.epoch.number,
        world.sent,
        ledger.root.hex(),
        world.trace_hash,
        0 if marks is None else marks.true.marks,
        0 if marks is None else len(marks.word.gone_on),
        () if marks is None else marks.met,
    )


def _ending(entry: TaskEntry) -> str:
    settlement = entry.settlement
    if entry.state is TaskState.FINAL and settlement is not None:
        return Verdict(settlement.verdict).name.lower()
    return entry.state.name.lower()
