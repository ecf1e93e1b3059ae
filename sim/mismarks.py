"""How a liar marks what it does not execute: others' tasks, in its own name."""

import random

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import mark_hash, sign_mark
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import TracePoint
from ambientd.model.mark import FROM_BEGINNING, Mark
from ambientd.model.record import Marked

SPEAKS_ONE_IN = 20


def mismark(ledger: LedgerState, signer: Signer, dice: random.Random) -> tuple[Marked, ...]:
    """Mark one of the tasks of which states may be, whoever executes it."""
    known = [(task, entry) for task, entry in ledger.open_tasks() if entry.spec.marks_max]
    if not known:
        return ()
    task, entry = dice.choice(known)
    slot, marks = entry.slots[0], ledger.marks(task).marks
    follows = mark_hash(dice.choice(marks)) if marks and dice.randrange(2) else FROM_BEGINNING
    gas = 1 + dice.randrange(entry.spec.gas_max)
    root = Digest(tagged("sim/no-state/1", task, gas.to_bytes(8, "big")))
    unsigned = Mark(
        task=task,
        slot=slot.slot,
        attempt=max(0, slot.attempt - dice.randrange(2)),
        worker=NodeId(signer.public_key),
        point=TracePoint(gas, root),
        state=root,
        state_size_bytes=1,
        follows=follows,
        signature=b"",
    )
    return (Marked(mark=sign_mark(signer, unsigned)),)
