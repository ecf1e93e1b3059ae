"""What becomes of a promise to prove a disputed stretch as the dispute goes on (protocols/18 §11).

PROMISED ─► SHOWN ─► (the game is decided)
   └─────────┴─────► OVER     members execute the stretch, as without a promise

Nothing waits for a prover longer than it has said, and one promise is all that a game has.
"""

from collections import Counter

from msgspec.structs import replace

from ambientd.ledger.dispute_entries import Game, RefereedGas
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Table, TaskEntry
from ambientd.ledger.events import StepGivenUp
from ambientd.ledger.proof_entries import StepEntry, StepState
from ambientd.model.base import TaskId
from ambientd.model.dispute import BEGINNING, SEGMENT_GAS
from ambientd.model.proof import Finding
from ambientd.rules.verdicts import quorum


def short_gas(step: StepEntry | None, game: Game) -> int:
    """Give how long a stretch is that is cut no more: as much as its prover takes on."""
    return SEGMENT_GAS if step is None or step.game != game.number else step.gas_max


def comes_late(gas_max: int, game: Game) -> bool:
    """Tell whether parties were asked for what is short already, and would be cut on for this."""
    return gas_max < game.until_gas - game.low.gas_index <= SEGMENT_GAS


def reached(draft: Draft, task: TaskId, entry: TaskEntry, game: Game) -> int | None:
    """Let the promised time begin; give how long it is, or None where no proof is to be awaited."""
    step = draft.step(task)
    if step is None or step.state is not StepState.PROMISED:
        return None
    if game.low == BEGINNING:
        give_up(draft, task, entry, step, "there is no state where an execution begins")
        return None
    draft.put_step(task, replace(step, until_ms=draft.running_ms + step.wait_ms))
    return step.wait_ms


def run_out(draft: Draft, task: TaskId, entry: TaskEntry) -> bool:
    """End a promise that was not kept in time, or a proof that too few have judged.

    Tell whether there was one: then members have their time for executing.
    """
    step = draft.step(task)
    if step is None or step.state is StepState.OVER:
        return False
    is_late = step.state is StepState.PROMISED
    reason = "the proof did not come in time" if is_late else "too few members judged its proof"
    give_up(draft, task, entry, step, reason, is_blamed=is_late)
    return True


def give_up(
    draft: Draft,
    task: TaskId,
    entry: TaskEntry,
    step: StepEntry,
    reason: str,
    *,
    is_blamed: bool = False,
) -> None:
    """Leave the stretch to who executes it; nobody promises again in this game."""
    if is_blamed:
        draft.blame(step.prover, entry, is_withheld=True)
    draft.put_step(task, replace(step, state=StepState.OVER))
    draft.tell(StepGivenUp(task, step.game, step.prover, reason, is_blamed))


def is_awaited(draft: Draft, task: TaskId) -> bool:
    """Tell whether a proof of the stretch that is left may still come."""
    step = draft.step(task)
    return step is not None and step.state is StepState.PROMISED


def decided(draft: Draft, task: TaskId) -> RefereedGas | None:
    """End what a game has of proofs; give what its prover earned where a quorum says it holds."""
    step = draft.step(task)
    if step is None:
        return None
    found = agreed(draft, step)
    drop(draft, task)
    if step.state is not StepState.SHOWN or found is None or found[0] is not Finding.HOLDS:
        return None
    return RefereedGas(referee=step.prover, gas=found[1])


def agreed(draft: Draft, step: StepEntry) -> tuple[Finding, int] | None:
    """Give what a quorum of those who are members now says of the proof, and its cycles."""
    members = draft.state.members
    standing = [word for word in step.words if word.referee in members]
    said = Counter((word.finding, word.cycles) for word in standing)
    needed = quorum(len(members))
    return next((each for each, times in said.items() if times >= needed), None)


def drop(draft: Draft, task: TaskId) -> None:
    """Forget the promise of a game that is over."""
    if draft.step(task) is not None:
        draft.drop((Table.STEP, task))
