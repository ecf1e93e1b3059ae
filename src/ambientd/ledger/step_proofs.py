"""Proofs of disputed stretches: a node promises one, names it, and members say what it shows.

Implements protocols/18 §11. What decides is still the members' word on where the stretch leads:
who has verified a proof says the same as who has executed.
"""

from msgspec.structs import replace

from ambientd.codec.statements import verify_proof_word
from ambientd.ledger import disputes
from ambientd.ledger.assigning import working_ms
from ambientd.ledger.dispute_entries import DisputeState, Game
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import ProofSpoke, StepPromised, StepShown
from ambientd.ledger.proof_entries import StepEntry, StepState
from ambientd.ledger.step_rows import agreed, comes_late, give_up
from ambientd.model.base import TaskId
from ambientd.model.dispute import SEGMENT_GAS
from ambientd.model.proof import (
    NO_PROOF,
    PROVER_LABEL,
    STEP_FEE_MSAT,
    STEP_GAS_MIN,
    STEP_WAITS_MAX,
    Finding,
)
from ambientd.model.record import DisputeSegment, Record, StepFound, StepPromise, StepProof
from ambientd.model.task import TaskState
from ambientd.rules.labels import value_of

Rejection = str | None


def promise(draft: Draft, record: Record, body: StepPromise) -> Rejection:
    """Take a promise for the game that is played; it is the only one of this game."""
    author = draft.node(record.author)
    if author is None or author.tombstoned or not value_of(author.profile, 0, PROVER_LABEL):
        return "only nodes that prove, and were never convicted, promise proofs"
    found = _game(draft, body.task, DisputeState.TRACING)
    if found is None or found[1].number != body.game:
        return "a promise for a game that is not being played"
    if not STEP_GAS_MIN <= body.gas_max <= SEGMENT_GAS:
        return f"a promise for {body.gas_max} gas: {STEP_GAS_MIN} to {SEGMENT_GAS} are possible"
    wait_ms_max = STEP_WAITS_MAX * draft.state.genesis.rules.dispute_ms
    if not 1 <= body.wait_ms <= wait_ms_max:
        return f"a promise within {body.wait_ms} ms: 1 to {wait_ms_max} are possible"
    step = draft.step(body.task)
    if step is not None:
        return None if step.prover == record.author else "another node has promised already"
    if comes_late(body.gas_max, found[1]):
        # A trace of this round has no points: with it, the next one would be held against 15.
        return "a promise that comes when the stretch is cut no more"
    balance = draft.balance_msat(record.author)
    if balance < STEP_FEE_MSAT:
        return f"a promise costs {STEP_FEE_MSAT} msat, the author has {balance}"
    draft.credit(record.author, -STEP_FEE_MSAT)
    draft.move_pool(STEP_FEE_MSAT)
    step = StepEntry(
        game=body.game, prover=record.author, gas_max=body.gas_max, wait_ms=body.wait_ms
    )
    draft.put_step(body.task, step)
    draft.tell(StepPromised(body.task, body.game, record.author))
    return None


def proof(draft: Draft, record: Record, body: StepProof) -> Rejection:
    """Take the name of a proof that was promised, or that there is none: once, and in time."""
    step, entry = draft.step(body.task), draft.task(body.task)
    if step is None or entry is None or (step.prover, step.game) != (record.author, body.game):
        return "a proof that the author has not promised"
    if step.state is not StepState.PROMISED:
        return None if step.proof == body.proof else "a proof after another, or too late"
    if body.proof == NO_PROOF:
        give_up(draft, body.task, entry, step, "its prover has none")
        if _game(draft, body.task, DisputeState.SEGMENT) is not None:
            _let_execute(draft, body.task, entry)
        return None
    if _game(draft, body.task, DisputeState.SEGMENT) is None:
        return "a proof of no stretch that is known"
    draft.put_step(body.task, replace(step, state=StepState.SHOWN, proof=body.proof))
    _let_execute(draft, body.task, entry)
    draft.tell(StepShown(body.task, body.game, record.author))
    return None


def found(draft: Draft, record: Record, body: StepFound) -> Rejection:
    """Take a member's word on a proof; where it holds, it is one on the stretch as well."""
    word, verdict = body.word, body.verdict
    node = draft.node(record.author)
    if record.author != word.referee or word.referee not in draft.state.members:
        return "only committee members judge proofs, each for itself"
    if node is None or node.tombstoned:
        return "a word of a convicted member"
    step, entry = draft.step(word.task), draft.task(word.task)
    if step is None or entry is None or step.state is not StepState.SHOWN:
        return "a word on no proof that is being checked"
    if (word.attempt, word.proof) != (step.game, step.proof):
        return "a word on another proof"
    if any(each.referee == word.referee for each in step.words):
        return None
    holds = word.finding is Finding.HOLDS
    if (word.cycles > 0) != holds or (verdict is not None) != holds:
        return "a proof that holds has cycles and leads somewhere, and no other"
    if verdict is not None and (verdict.task, verdict.game) != (word.task, word.attempt):
        return "a word on another game than its finding"
    if not verify_proof_word(word, draft.state.cluster):
        return "a word with a wrong signature"
    step = replace(step, words=(*step.words, word))
    draft.put_step(word.task, step)
    draft.tell(ProofSpoke(word.task, word))
    if verdict is not None:
        return disputes.segment(draft, record, DisputeSegment(verdict=verdict))
    said = agreed(draft, step)
    if said is not None:
        what = "is wrong" if said[0] is Finding.WRONG else "could be had from nobody"
        give_up(draft, word.task, entry, step, f"its proof {what}", is_blamed=True)
        _let_execute(draft, word.task, entry)
    return None


def _game(draft: Draft, task: TaskId, state: DisputeState) -> tuple[TaskEntry, Game] | None:
    """Give the game that a disputed task is at, where it is so far."""
    entry, row = draft.task(task), draft.dispute(task)
    if entry is None or entry.state is not TaskState.DISPUTED:
        return None
    if row is None or row.game is None or row.state is not state:
        return None
    return entry, row.game


def _let_execute(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """Give the members the time that a stretch always has: to verify, and to execute."""
    wait_ms = draft.state.genesis.rules.dispute_ms + working_ms(entry.spec)
    draft.put_task(task, replace(entry, deadline_ms=draft.running_ms + wait_ms))
