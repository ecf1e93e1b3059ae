"""A round of a study, from one step to the next (protocols/16 section 4).

KEYS ─► SHARES ─► TRAINING ─► SURVIVORS ─► UNMASKING ─► AGGREGATING ─► EVALUATING ─► DONE
                    (open: a round begins here, and UNMASKING is left out; private: EVALUATING is)
A step ends when all have said what it waits for, or at its deadline; with too few, in FAILED.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256, tagged
from ambientd.codec.statements import plan_hash, round_leaf
from ambientd.ledger import lessons, native_audits
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import round_key
from ambientd.ledger.learning_entries import (
    NOTHING_SCORED,
    ROUNDS_KEPT,
    EndedStudy,
    RoundEntry,
    Studies,
    StudyEntry,
)
from ambientd.ledger.learning_events import RoundEnded, RoundMoved, StudyEnded
from ambientd.ledger.learning_words import asked, speakers, trainees
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.learning import RoundReceipt, RoundState, Score, StudyId, StudyState
from ambientd.rules.studies import drawn, equal_findings, groups_of, viable
from ambientd.rules.study_price import FAILURES_MAX, held_price_msat, round_price_msat
from ambientd.rules.tolerances import is_audited
from ambientd.rules.verdicts import most_said

NEXT: Mapping[RoundState, frozenset[RoundState]] = MappingProxyType(
    {
        RoundState.KEYS: frozenset({RoundState.SHARES, RoundState.FAILED}),
        RoundState.SHARES: frozenset({RoundState.TRAINING, RoundState.FAILED}),
        RoundState.TRAINING: frozenset({RoundState.SURVIVORS, RoundState.FAILED}),
        RoundState.SURVIVORS: frozenset(
            {RoundState.UNMASKING, RoundState.AGGREGATING, RoundState.FAILED}
        ),
        RoundState.UNMASKING: frozenset({RoundState.AGGREGATING, RoundState.FAILED}),
        RoundState.AGGREGATING: frozenset(
            {RoundState.EVALUATING, RoundState.DONE, RoundState.FAILED}
        ),
        RoundState.EVALUATING: frozenset({RoundState.DONE}),
        RoundState.DONE: frozenset(),
        RoundState.FAILED: frozenset(),
    }
)
"""Where a round may go from each state."""

ENDED = frozenset({RoundState.DONE, RoundState.FAILED})


def begin(draft: Draft, study: StudyId, entry: StudyEntry) -> None:
    """Begin the next round with all who take part."""
    willing = (node for node in entry.participants if node not in entry.barred)
    roster = [node for node in willing if is_trusted(draft, node)]
    if len(roster) < entry.terms.participants_min:
        least = entry.terms.participants_min
        reason = f"{len(roster)} nodes take part, and at least {least} are needed"
        end_study(draft, study, entry, StudyState.FAILED, reason)
        return
    members = draft.state.members
    price_msat = round_price_msat(
        entry.plan, entry.terms, len(members), draft.state.genesis.rules.price_msat_per_mgas_min
    )
    if entry.escrow_msat < price_msat:
        reason = "what its author has set aside is used up"
        end_study(draft, study, entry, StudyState.FAILED, reason)
        return
    entry = _paid(draft, entry, price_msat)
    number = entry.round + 1
    seed = _seed(draft, study, number)
    state = RoundState.KEYS if entry.plan.is_private else RoundState.TRAINING
    wait_ms = entry.terms.step_ms if entry.plan.is_private else entry.terms.train_ms
    row = RoundEntry(
        state=state,
        began_ms=draft.context.time_ms,
        due_ms=draft.running_ms + wait_ms,
        seed=seed,
        before=entry.model,
        after=entry.model,
        roster=tuple(sorted(drawn(roster, seed)[: entry.terms.wanted])),
        aggregators=drawn(members, seed),
    )
    draft.put_study(study, replace(entry, state=StudyState.RUNNING, round=number))
    _forget_before(draft, study, number - ROUNDS_KEPT)
    draft.put_round(study, number, row)
    draft.tell(RoundMoved(study, number, state))


def _paid(draft: Draft, entry: StudyEntry, price_msat: int) -> StudyEntry:
    """Move some of what a study's author has set aside to the fee pool, as far as it goes."""
    price_msat = min(price_msat, entry.escrow_msat)
    draft.move_escrow(-price_msat)
    draft.move_pool(price_msat)
    return replace(entry, escrow_msat=entry.escrow_msat - price_msat)


def _seed(draft: Draft, study: StudyId, number: int) -> bytes:
    """Give what a round's lots are drawn with, which nobody knew before this block."""
    place = number.to_bytes(8, "big")
    return tagged("ambient/round-seed/1", draft.context.beacon, study, place)


def _forget_before(draft: Draft, study: StudyId, last: int) -> None:
    """Forget a round that ended long ago; its receipt is in the receipt log for good."""
    if last > 0:
        draft.drop(round_key(study, last))


def is_trusted(draft: Draft, node: NodeId) -> bool:
    """Tell whether a node is known and was never convicted."""
    entry = draft.node(node)
    return entry is not None and not entry.tombstoned


def awaited(draft: Draft, entry: StudyEntry, row: RoundEntry) -> frozenset[NodeId]:
    """Give which participants have not said yet what the present step waits for."""
    still = set(asked(entry, row)) - speakers(row)
    return frozenset(node for node in still & set(entry.participants) if is_trusted(draft, node))


def advance(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> None:
    """Let a round go on if nobody is waited for any more, or its step's time is over."""
    is_late = row.due_ms <= draft.running_ms
    match row.state:
        case RoundState.SURVIVORS:
            if is_late:
                _ask_more(draft, study, entry, row)
        case RoundState.AGGREGATING:
            is_last = is_late and row.turn + 1 >= len(row.aggregators)
            if not _conclude(draft, study, entry, row, is_last=is_last) and is_late:
                _ask_more(draft, study, entry, row)
        case RoundState.DONE | RoundState.FAILED:
            pass
        case _:
            if is_late or not awaited(draft, entry, row):
                _go_on(draft, study, entry, row)


def _go_on(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> None:
    """Leave a step with those who spoke in it, if they are enough."""
    plan = entry.plan
    match row.state:
        case RoundState.KEYS:
            # Drawn anew: else who keeps its keys back would choose who is in whose group.
            seed = _seed(draft, study, entry.round)
            row = replace(row, seed=seed, roster=tuple(sorted(each.node for each in row.keys)))
            left, after = row.roster, RoundState.SHARES
        case RoundState.SHARES:
            left, after = trainees(entry, row), RoundState.TRAINING
        case RoundState.TRAINING:
            held = {each.node for each in row.contributed}
            left, after = viable(plan, row.roster, row.seed, held), RoundState.SURVIVORS
        case RoundState.UNMASKING:
            opened = {each.node for each in row.opened}
            left = _unmasked(entry, row, opened)
            row = replace(row, survivors=left)
            after = RoundState.AGGREGATING
        case _:
            finish(draft, study, entry, row, RoundState.DONE)
            return
    least = entry.terms.participants_min
    if len(left) < least:
        name = row.state.name.lower()
        reason = f"{len(left)} participants were left after {name}, and {least} are needed"
        finish(draft, study, entry, row, RoundState.FAILED, reason)
    else:
        if row.state is RoundState.TRAINING:
            entry = lessons.draw(draft, study, entry, row)
            entry, row = native_audits.draw(draft, study, entry, row)
            draft.put_study(study, entry)
        move(draft, study, entry, row, after)


def _unmasked(entry: StudyEntry, row: RoundEntry, opened: Collection[NodeId]) -> tuple[NodeId, ...]:
    """Give the survivors whose groups have opened enough: no other sum can be known."""
    known = set(viable(entry.plan, row.roster, row.seed, opened))
    groups = (set(group) for group in groups_of_round(entry, row))
    kept = [node for group in groups if group & known for node in group & set(row.survivors)]
    return tuple(sorted(kept))


def groups_of_round(entry: StudyEntry, row: RoundEntry) -> list[tuple[NodeId, ...]]:
    """Give who shares masks with whom in a round of private mode."""
    return groups_of(row.roster, row.seed, entry.plan.group_size)


def move(
    draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry, state: RoundState
) -> None:
    """Write that a round waits for something else, and until when."""
    assert state in NEXT[row.state], "a round goes on as the table says"
    due_ms = draft.running_ms + _wait_ms(entry, state)
    draft.put_round(study, entry.round, replace(row, state=state, due_ms=due_ms, turn=0))
    draft.tell(RoundMoved(study, entry.round, state))


def _wait_ms(entry: StudyEntry, state: RoundState) -> int:
    """Give how long a step may take; whoever audits within a tolerance trains in it, too."""
    terms = entry.terms
    if state is RoundState.TRAINING:
        return terms.train_ms
    is_long = state is RoundState.AGGREGATING and is_audited(entry.plan)
    return terms.step_ms + (terms.train_ms if is_long else 0)


def _ask_more(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> None:
    """Ask one more of the aggregators; the round fails when all were asked."""
    if row.turn + 1 >= len(row.aggregators):
        reason = f"no aggregator ended {row.state.name.lower()} in time"
        finish(draft, study, entry, row, RoundState.FAILED, reason)
        return
    due_ms = draft.running_ms + _wait_ms(entry, row.state)
    draft.put_round(study, entry.round, replace(row, turn=row.turn + 1, due_ms=due_ms))
    draft.tell(RoundMoved(study, entry.round, row.state))


def _conclude(
    draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry, *, is_last: bool
) -> bool:
    """Take the model that f + 1 aggregators found alike; whom as many name is barred.

    Where they audit within a tolerance one more is asked until each that is named is so by f + 1,
    or by f + 1 not; when all were asked, the model is taken nevertheless.
    """
    trusted = [each for each in row.findings if is_trusted(draft, each.node)]
    if not trusted:
        return False
    found, votes = most_said([(each.after, each.left_out) for each in trusted])
    if votes < equal_findings(len(row.aggregators)):
        return False
    is_settled = native_audits.is_settled(trusted, len(row.aggregators))
    if is_audited(entry.plan) and not (is_settled or is_last):
        return False
    faulty = native_audits.named(trusted, len(row.aggregators))
    native_audits.count_absent(draft, entry, row, faulty)
    entry = replace(entry, barred=native_audits.barred(draft, study, entry, row, faulty))
    row = replace(row, after=found[0], left_out=found[1], faulty=faulty)
    if entry.plan.is_private:
        _conclude_private(draft, study, entry, row)
    else:
        if faulty:
            draft.put_study(study, entry)
        move(draft, study, entry, row, RoundState.EVALUATING)
    return True


def _conclude_private(draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry) -> None:
    """End a round of private mode, if enough sums could be known."""
    left = len(row.survivors) - len(row.left_out)
    if left < entry.terms.participants_min:
        needed = entry.terms.participants_min
        reason = f"sums of {left} participants could be known, and of {needed} are needed"
        finish(draft, study, entry, replace(row, after=row.before), RoundState.FAILED, reason)
    else:
        finish(draft, study, entry, row, RoundState.DONE)


def finish(
    draft: Draft,
    study: StudyId,
    entry: StudyEntry,
    row: RoundEntry,
    state: RoundState,
    reason: str = "",
) -> None:
    """End a round, leave its receipt in the receipt log, and go on with the study."""
    assert state in NEXT[row.state], "a round goes on as the table says"
    lessons.drop_rest(draft, study, entry, row)
    price_msat = draft.state.genesis.rules.price_msat_per_mgas_min
    held_ms = draft.context.time_ms - row.began_ms
    entry = _paid(draft, entry, held_price_msat(entry.plan, entry.terms, held_ms, price_msat))
    score = pooled(row)
    receipt = RoundReceipt(
        study=study,
        round=entry.round,
        plan=plan_hash(entry.plan),
        state=state,
        before=row.before,
        after=row.after,
        contributed=row.contributed,
        survivors=row.survivors,
        left_out=row.left_out,
        aggregators=tuple(
            sorted(
                e.node for e in row.findings if (e.after, e.left_out) == (row.after, row.left_out)
            )
        ),
        score=score,
        began_ms=row.began_ms,
        ended_ms=draft.context.time_ms,
    )
    leaf = draft.append_leaf(round_leaf(receipt), TaskId(study))
    ended = RoundEntry(
        state=state,
        began_ms=row.began_ms,
        due_ms=0,
        seed=row.seed,
        before=row.before,
        after=row.after,
        score=score,
        reason=reason,
        survivors=row.survivors,
        left_out=row.left_out,
        leaf=leaf,
        receipt=Digest(sha256(encode(receipt))),
        ended_ms=draft.context.time_ms,
        updates=len(row.contributed),
        faulty=row.faulty,
        asked=len(row.roster),
    )
    draft.put_round(study, entry.round, ended)
    draft.tell(RoundEnded(receipt, leaf, reason))
    if state is RoundState.DONE:
        entry = replace(entry, model=row.after, done=entry.done + 1, failures=0)
    else:
        entry = replace(entry, failures=entry.failures + 1)
    if not entry.is_open:
        draft.put_study(study, entry)
    elif entry.done >= entry.terms.rounds:
        end_study(draft, study, entry, StudyState.DONE, "")
    elif entry.failures >= FAILURES_MAX:
        end_study(draft, study, entry, StudyState.FAILED, f"{FAILURES_MAX} rounds in a row failed")
    else:
        begin(draft, study, entry)


def pooled(row: RoundEntry) -> Score:
    """Add up what the participants say of the round's model."""
    scores = [each.score for each in row.scores]
    if not scores:
        return NOTHING_SCORED
    return Score(
        correct=sum(each.correct for each in scores),
        total=sum(each.total for each in scores),
        loss_micro=sum(each.loss_micro for each in scores),
    )


def end_study(
    draft: Draft, study: StudyId, entry: StudyEntry, state: StudyState, reason: str
) -> None:
    """End a study."""
    ended_ms = draft.context.time_ms
    if entry.escrow_msat:
        draft.move_escrow(-entry.escrow_msat)
        draft.credit(entry.author, entry.escrow_msat)
    draft.put_study(
        study, replace(entry, state=state, reason=reason, ended_ms=ended_ms, escrow_msat=0)
    )
    studies, ended = draft.studies, EndedStudy(study=study, author=entry.author, ended_ms=ended_ms)
    still = tuple(each for each in studies.open if each != study)
    draft.put_studies(Studies(open=still, ended=(*studies.ended, ended)))
    draft.tell(StudyEnded(study, state, reason))
