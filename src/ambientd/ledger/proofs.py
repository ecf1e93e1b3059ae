"""Proven tasks: who proves, and what members say of the proof that an opened answer names.

Implements protocols/18 §9.  An answer is opened ─► members speak ─► q say that it holds: settled;
q say wrong: convicted; q say missing: blamed; none of these in time: nobody's fault. After each of
the last three another worker has its turn.
"""

from collections import Counter

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import verify_proof_word
from ambientd.ledger.assigning import COMPILED_BYTES_A_MS, fill, release
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import EvidenceEntry, Table, TaskEntry, word_key
from ambientd.ledger.events import ProofSpoke
from ambientd.ledger.evidence import EVIDENCE_OF_WRONG_PROOF, evidence_name
from ambientd.ledger.proof_entries import ProofEntry
from ambientd.ledger.settling import expire_task, settle_proven
from ambientd.ledger.word_entries import LastWord, Topic
from ambientd.model.base import TaskId
from ambientd.model.genesis import Label
from ambientd.model.proof import PROVER_LABEL, Finding, ProofWord
from ambientd.model.record import ProofFound, Prover, Record
from ambientd.rules.labels import LABELS_MAX
from ambientd.rules.terms import PROVEN_CYCLES_MAX
from ambientd.rules.verdicts import quorum

Rejection = str | None

PROVER_MS = 10_000
"""How long a word on what a node proves stands at least, by what its author says of the time."""

APART_MS_MAX = 60_000
"""So far may an author's time be from block time: else its words could come at any rate."""


def announce(draft: Draft, record: Record, body: Prover) -> Rejection:
    """Take a node's word on how much it proves: its label from now on."""
    entry = draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted prove"
    if body.cycles_max > PROVEN_CYCLES_MAX:
        return f"{body.cycles_max} cycles: no proof has more than {PROVEN_CYCLES_MAX}"
    before = draft.get(word_key(Topic.PROVERS, record.author))
    before_ms = before.said_ms if isinstance(before, LastWord) else 0
    if abs(body.said_ms - draft.context.time_ms) > APART_MS_MAX:
        return f"said more than {APART_MS_MAX} ms before or after block time"
    if body.said_ms < before_ms + PROVER_MS:
        return f"the last word is less than {PROVER_MS} ms old"
    labels = tuple(each for each in entry.profile.labels if each.key != PROVER_LABEL)
    if body.cycles_max:
        if len(labels) >= LABELS_MAX:
            return f"the author has {LABELS_MAX} labels already"
        labels = (*labels, Label(key=PROVER_LABEL, value=str(body.cycles_max)))
    draft.put(word_key(Topic.PROVERS, record.author), LastWord(said_ms=body.said_ms))
    draft.put_node(record.author, replace(entry, profile=replace(entry.profile, labels=labels)))
    return None


def begin(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """Let the members check the proof of the answer that was just opened."""
    wait_ms = draft.state.genesis.rules.dispute_ms
    wait_ms += entry.spec.module_size_bytes // COMPILED_BYTES_A_MS
    until_ms = draft.running_ms + wait_ms
    draft.put_proof(task, ProofEntry())
    draft.put_task(task, replace(entry, deadline_ms=until_ms))


def found(draft: Draft, record: Record, body: ProofFound) -> Rejection:
    """Take a member's word on a proof; q that are equal decide."""
    word = body.word
    if record.author != word.referee or word.referee not in draft.state.members:
        return "only committee members judge proofs, each for itself"
    node = draft.node(word.referee)
    if node is None or node.tombstoned:
        return "a word of a convicted member"
    entry, row = draft.task(word.task), draft.proof(word.task)
    if entry is None or row is None:
        return "a word on no proof that is being checked"
    receipt = entry.receipts[0].receipt
    if (word.attempt, word.proof) != (receipt.attempt, receipt.nonce):
        return "a word on another proof"
    if any(each.referee == word.referee for each in row.words):
        return None
    if (word.cycles > 0) != (word.finding is Finding.HOLDS):
        return "a proof that holds has cycles, and no other"
    if not verify_proof_word(word, draft.state.cluster):
        return "a word with a wrong signature"
    row = ProofEntry(words=(*row.words, word))
    draft.put_proof(word.task, row)
    draft.tell(ProofSpoke(word.task, word))
    _count(draft, word.task, entry, row)
    return None


def run_out(draft: Draft, task: TaskId, entry: TaskEntry, row: ProofEntry) -> None:
    """End a check whose time is over; a smaller committee may have a quorum without a new word."""
    if not _decide(draft, task, entry, row):
        _next_attempt(draft, task, entry, "no quorum of members has checked its proof")


def _count(draft: Draft, task: TaskId, entry: TaskEntry, row: ProofEntry) -> None:
    """Decide as soon as q agree, and give up as soon as no q can."""
    members = draft.state.members
    if _decide(draft, task, entry, row):
        return
    said = Counter((w.finding, w.cycles) for w in _standing(draft, row))
    silent = len(members) - sum(said.values())
    if max(said.values(), default=0) + silent < quorum(len(members)):
        _next_attempt(draft, task, entry, "the members do not agree on its proof")


def _standing(draft: Draft, row: ProofEntry) -> list[ProofWord]:
    """Give the words of those who are members now: one committee decides."""
    members = set(draft.state.members)
    return [word for word in row.words if word.referee in members]


def _decide(draft: Draft, task: TaskId, entry: TaskEntry, row: ProofEntry) -> bool:
    standing, needed = _standing(draft, row), quorum(len(draft.state.members))
    said = Counter((word.finding, word.cycles) for word in standing)
    agreed = next((each for each, times in said.items() if times >= needed), None)
    if agreed is None:
        return False
    finding, cycles = agreed
    worker = entry.receipts[0].receipt.worker
    match finding:
        case Finding.HOLDS:
            settle_proven(draft, task, entry, cycles)
        case Finding.WRONG:
            words = tuple(word for word in standing if word.finding is Finding.WRONG)
            evidence = EvidenceEntry(
                culprit=worker,
                kind=EVIDENCE_OF_WRONG_PROOF,
                task=task,
                receipt=entry.receipts[0],
                verdicts=(),
                second=encode(words),
            )
            draft.convict(evidence_name(EVIDENCE_OF_WRONG_PROOF, task, worker), evidence)
            _next_attempt(draft, task, entry, "its proof is wrong")
        case Finding.MISSING:
            draft.blame(worker, entry, is_withheld=True)
            _next_attempt(draft, task, entry, "its proof was not to be had")
    return True


def _next_attempt(draft: Draft, task: TaskId, entry: TaskEntry, reason: str) -> None:
    """Let another worker answer; a proof that holds it may name as well, whoever made it."""
    draft.drop((Table.PROOF, task))
    slot = release(draft, task, entry.spec, entry.slots[0], reason)
    entry = replace(entry, slots=(slot,))
    attempts_max = entry.spec.attempts or draft.state.genesis.rules.attempts_max
    if slot.attempt >= attempts_max:
        expire_task(draft, task, entry)
    else:
        fill(draft, task, entry)
