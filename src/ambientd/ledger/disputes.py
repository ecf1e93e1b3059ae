"""Disputes: two answers to one task are bisected until referees can decide (protocols/12).

A row of its own says how far a disputed task is; without one, referees execute the whole.

TRACING ─► TRACING     the stretch is cut again, or two other parties play
   │  └──► SEGMENT ─► TRACING or SEGMENT of the next game, or the task is settled
   └─────────┴──────► WHOLE     a party is silent or passes, or no quorum comes together
"""

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import end_point, result_root, verify_segment, verify_trace
from ambientd.ledger import step_rows
from ambientd.ledger.assigning import working_ms
from ambientd.ledger.dispute_entries import DisputeEntry, DisputeState, Game, RefereedGas
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import EvidenceEntry, Slot, TaskEntry
from ambientd.ledger.events import (
    PartyBlamed,
    PartySpoke,
    RefereeSpoke,
    RoundBegan,
    SegmentReached,
    TaskDisputed,
    WholeWanted,
)
from ambientd.ledger.evidence import (
    EVIDENCE_OF_FALSE_STEP,
    EVIDENCE_OF_TWO_SEGMENTS,
    EVIDENCE_OF_TWO_TRACES,
    evidence_name,
)
from ambientd.ledger.settling import convict_of_two, settle_bisected, settle_dispute
from ambientd.model.base import NodeId, TaskId
from ambientd.model.dispute import BEGINNING, KnownState, SegmentVerdict, Trace, TracePoint
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import DisputeSegment, DisputeTrace, Record
from ambientd.model.task import SlotState, TaskSpec, TaskState
from ambientd.rules.bisection import Claims, Stretch, narrowed, targets, trace_fault, whole
from ambientd.rules.bundles import is_bundle
from ambientd.rules.verdicts import decided, most_said, quorum

Rejection = str | None

STATE_OVERHEAD_BYTES_MAX = 96 << 20
"""What a state has besides its memory at most: values, and the host's snapshot (08 section 4)."""

NEXT = {
    DisputeState.TRACING: frozenset(DisputeState),
    DisputeState.SEGMENT: frozenset(DisputeState),
    DisputeState.WHOLE: frozenset[DisputeState](),
}


def begin(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """Let the parties of a large task bisect it, and the referees execute any other at once.

    An audit has one party, which differs from an answer that was paid for long ago. A bundle has no
    state between its items, so nothing of it is ever shown in part.
    """
    draft.tell(TaskDisputed(task))
    gas = max(signed.receipt.result.gas for signed in entry.receipts)
    all_open = all(slot.state is SlotState.REVEALED for slot in entry.slots)
    is_large = gas > draft.state.genesis.rules.referee_gas_max
    if is_large and all_open and entry.audits is None and not is_bundle(entry.spec):
        _next_game(draft, task, entry, DisputeEntry(state=DisputeState.TRACING))
    else:
        _leave_to_referees(draft, task, entry)
        reason = "an audit has no two parties" if is_large else "it takes little gas"
        reason = "a bundle is executed whole" if is_bundle(entry.spec) else reason
        reason = reason if all_open else "an answer was sealed and never opened"
        draft.tell(WholeWanted(task, reason))


def run_out(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    """End a dispute's present step, whose time is over.

    A smaller committee than the one before may have a quorum without another finding.
    """
    row, needed = draft.dispute(task), quorum(len(draft.state.members))
    if row is None or row.game is None:
        settle_dispute(draft, task, entry, decided(entry.verdicts, needed))
    elif row.state is DisputeState.SEGMENT:
        end = _found(row.game, needed)
        if end is not None:
            _decide(draft, task, entry, row, row.game, end)
        elif step_rows.run_out(draft, task, entry):
            wait_ms = _refereeing_ms(draft, entry)
            _put(draft, task, entry, row, DisputeState.SEGMENT, row.game, wait_ms)
        else:
            _want_whole(draft, task, entry, row, "no quorum of referees agreed on the segment")
    else:
        traces = zip(row.game.parties, row.game.traces, strict=True)
        silent = [_worker(entry, slot) for slot, trace in traces if trace is None]
        for party in silent:
            draft.blame(party, entry, is_withheld=True)
            draft.tell(PartyBlamed(task, row.game.number, party))
        row = replace(row, unpaid=(*row.unpaid, *silent))
        _want_whole(draft, task, entry, row, "a party did not say how it got to its answer")


def is_whole(draft: Draft, task: TaskId) -> bool:
    """Tell whether referees are to execute the whole of a disputed task."""
    row = draft.dispute(task)
    return row is None or row.state is DisputeState.WHOLE


def trace(draft: Draft, record: Record, body: DisputeTrace) -> Rejection:
    """Take a party's word on a round; with the second one the stretch is narrowed."""
    said = body.trace
    entry, row = draft.task(said.task), draft.dispute(said.task)
    if entry is None or row is None or row.game is None:
        return "a trace of a task that is not being bisected"
    game = row.game
    parties = [_worker(entry, slot) for slot in game.parties]
    if record.author != said.party or said.party not in parties:
        return "a trace of somebody who is no party of the game"
    place = parties.index(said.party)
    for before in (game.traces[place], game.claimed[place]):
        if before is not None and (before.game, before.round) == (said.game, said.round):
            return _again(draft, row, before, said)
    if row.state is not DisputeState.TRACING or said.round != game.round:
        return "a trace of another round than the present one"
    if said.game != game.number:
        return "a trace of another game than the present one"
    if not verify_trace(said, draft.state.cluster):
        return "a trace with a wrong signature"
    ends = _ends(entry, game.parties)
    stretch = _stretch(draft, said.task, game)
    fault = trace_fault(said, stretch, place, ends) or _state_fault(said, entry.spec)
    if fault is not None:
        return fault
    draft.tell(PartySpoke(said.task, said.game, said.round, said.party))
    if said.is_pass:
        _want_whole(draft, said.task, entry, row, "a party cannot pause the execution")
        return None
    first, second = said if place == 0 else game.traces[0], said if place else game.traces[1]
    game = replace(game, traces=(first, second))
    if first is None or second is None:
        draft.put_dispute(said.task, replace(row, game=game))
    else:
        _compare(draft, said.task, entry, replace(row, game=game), (first, second))
    return None


def _again(draft: Draft, row: DisputeEntry, before: Trace, said: Trace) -> Rejection:
    """Convict a party that says something else of a round than it has said already."""
    if replace(before, signature=b"") == replace(said, signature=b""):
        return None
    if said.is_pass:
        return "a pass by a party that has said how it got to its answer"
    if not all(verify_trace(each, draft.state.cluster) for each in (before, said)):
        # What is kept was signed when it was taken: in a form that traces do not have any more.
        return "a trace with a wrong signature, or beside one of another form"
    first, second = encode(before), encode(said)
    convict_of_two(draft, EVIDENCE_OF_TWO_TRACES, said.task, said.party, first, second)
    if said.party not in row.unpaid:  # a third word adds nothing: the row shall not grow with it
        draft.put_dispute(said.task, replace(row, unpaid=(*row.unpaid, said.party)))
    return None


def segment(draft: Draft, record: Record, body: DisputeSegment) -> Rejection:
    """Take a referee's finding on the stretch that is left; a quorum of equal ones decides."""
    said = body.verdict
    if record.author != said.referee or said.referee not in draft.state.members:
        return "only committee members are referees, each for itself"
    node = draft.node(said.referee)
    if node is None or node.tombstoned:
        return "a finding of a convicted referee"
    entry, row = draft.task(said.task), draft.dispute(said.task)
    if entry is None or row is None or row.game is None or row.state is not DisputeState.SEGMENT:
        return "a finding on a segment that nobody asked for"
    game = row.game
    if (said.game, said.start, said.until_gas) != (game.number, game.low, game.until_gas):
        return "a finding on another segment than the present one"
    if not verify_segment(said, draft.state.cluster):
        return "a finding with a wrong signature"
    for before in game.verdicts:
        if before.referee == said.referee:
            if before.end != said.end and verify_segment(before, draft.state.cluster):
                kind = EVIDENCE_OF_TWO_SEGMENTS
                convict_of_two(draft, kind, said.task, said.referee, encode(before), encode(said))
            return None
    game = replace(game, verdicts=(*game.verdicts, said))
    draft.tell(RefereeSpoke(said.task, said))
    _count(draft, said.task, entry, replace(row, game=game), game)
    return None


def _count(draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, game: Game) -> None:
    """Decide once a quorum says the same, and give up once none can come together."""
    members = len(draft.state.members)
    ends = [verdict.end for verdict in game.verdicts]
    end, votes = most_said(ends)
    if votes >= quorum(members):
        _decide(draft, task, entry, row, game, end)
    elif votes + members - len(ends) < quorum(members):
        _want_whole(draft, task, entry, row, "the referees did not agree on the segment")
    else:
        draft.put_dispute(task, row)


def keep_members(draft: Draft, task: TaskId, members: frozenset[NodeId]) -> None:
    """Forget what former members have found: one committee decides, and has time to.

    What it has found already is counted in the next block, which is the first of its own.
    """
    entry, row = draft.task(task), draft.dispute(task)
    if entry is None or entry.state is not TaskState.DISPUTED:
        return
    needed = quorum(len(members))
    if row is None or row.game is None:
        kept = tuple(each for each in entry.verdicts if each.referee in members)
        entry = replace(entry, verdicts=kept)
        is_decided = decided(kept, needed) is not None
    elif row.state is DisputeState.SEGMENT:
        found = tuple(each for each in row.game.verdicts if each.referee in members)
        row = replace(row, game=replace(row.game, verdicts=found))
        draft.put_dispute(task, row)
        is_decided = row.game is not None and _found(row.game, needed) is not None
        if not is_decided and step_rows.is_awaited(draft, task):
            return  # they wait for a proof, and have all their time when it is there or late
    else:
        return
    wait_ms = 0 if is_decided else _refereeing_ms(draft, entry)
    draft.put_task(task, replace(entry, deadline_ms=draft.running_ms + wait_ms))


def _found(game: Game, needed: int) -> TracePoint | None:
    """Give the end that so many referees found; None when there is none yet."""
    if not game.verdicts:
        return None
    end, votes = most_said([verdict.end for verdict in game.verdicts])
    return end if votes >= needed else None


# From one step to the next


def _next_game(draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry) -> None:
    """Let the first two standing answers that differ play; settle when there are none."""
    standing = [slot for slot in entry.slots if slot.slot not in row.out and slot.receipt]
    if not standing:
        _want_whole(draft, task, entry, row, "no party was right")
        return
    first = standing[0]
    other = next((slot for slot in standing if _root(slot) != _root(first)), None)
    if other is None:
        draft.put_dispute(task, row)
        settle_bisected(draft, task, entry, _receipt(first).receipt.result)
        return
    parties = (first.slot, other.slot)
    ends = _ends(entry, parties)
    results = (_receipt(first).receipt.result, _receipt(other).receipt.result)
    number = row.games
    row = replace(row, games=number + 1)
    _go_on(draft, task, entry, row, Game(number=number, parties=parties), whole(results, ends))


def _go_on(
    draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, game: Game, stretch: Stretch
) -> None:
    """Ask the parties for their traces of a stretch, or at the beginning for a short one's end."""
    game = replace(
        game,
        low=stretch.low,
        until_gas=stretch.until_gas,
        claims=stretch.claims,
        traces=(None, None),
    )
    if game.round == 0 and not targets(stretch):
        _want_segment(draft, task, entry, row, game)
        return
    wait_ms = draft.state.genesis.rules.round_ms + 2 * working_ms(entry.spec)
    _put(draft, task, entry, row, DisputeState.TRACING, game, wait_ms)
    first, second = (_worker(entry, slot) for slot in game.parties)
    draft.tell(
        RoundBegan(
            task, game.number, game.round, (first, second), game.low.gas_index, game.until_gas
        )
    )


def _compare(
    draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, traces: tuple[Trace, Trace]
) -> None:
    """Narrow the stretch to where the two traces part."""
    game = row.game
    assert game is not None, "somebody has just spoken in it"
    before = _stretch(draft, task, game)
    found = narrowed(before, *traces)
    if found.until_gas < before.until_gas:
        game = replace(game, claimed=traces)
    if found.is_short_from(before.low):
        # Of this start the parties have just said where its state is.
        game = replace(game, until_gas=found.until_gas, claims=found.claims)
        _want_segment(draft, task, entry, row, game)
    else:
        _go_on(draft, task, entry, row, replace(game, round=game.round + 1), found)


def _want_segment(
    draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, game: Game
) -> None:
    wait_ms = step_rows.reached(draft, task, entry, game)
    if wait_ms is None:
        wait_ms = _refereeing_ms(draft, entry)
    _put(draft, task, entry, row, DisputeState.SEGMENT, game, wait_ms)
    draft.tell(SegmentReached(task, game.number, game.low.gas_index, game.until_gas))


def _decide(
    draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, game: Game, end: TracePoint
) -> None:
    """Convict who claimed another end than the referees found, and go on with the others."""
    agreeing = tuple(each for each in game.verdicts if each.end == end)
    losers: list[int] = []
    for place, slot in enumerate(game.parties):
        if game.claims[place] != end:
            losers.append(slot)
            _convict(draft, task, entry, game, place, agreeing)
    gas = game.until_gas - game.low.gas_index
    refereed = {each.referee: each.gas for each in row.refereed}
    for verdict in agreeing:
        refereed[verdict.referee] = refereed.get(verdict.referee, 0) + gas
    proven = step_rows.decided(draft, task)
    if proven is not None:
        refereed[proven.referee] = refereed.get(proven.referee, 0) + proven.gas
    row = replace(
        row,
        game=None,
        out=(*row.out, *losers),
        unpaid=(*row.unpaid, *(_worker(entry, slot) for slot in losers)),
        refereed=tuple(RefereedGas(referee=node, gas=gas) for node, gas in refereed.items()),
    )
    _next_game(draft, task, entry, row)


def _convict(
    draft: Draft,
    task: TaskId,
    entry: TaskEntry,
    game: Game,
    place: int,
    agreeing: tuple[SegmentVerdict, ...],
) -> None:
    """Keep what shows a false step: start and end as the party signed them, and the finding."""
    receipt = _receipt(entry.slots[game.parties[place]])
    culprit = receipt.receipt.worker
    evidence = EvidenceEntry(
        culprit=culprit,
        kind=EVIDENCE_OF_FALSE_STEP,
        task=task,
        receipt=receipt,
        verdicts=(),
        first=encode((game.traces[place], game.claimed[place], _shown(game, 1 - place))),
        second=encode(agreeing),
    )
    draft.convict(evidence_name(EVIDENCE_OF_FALSE_STEP, task, culprit), evidence)


def _want_whole(
    draft: Draft, task: TaskId, entry: TaskEntry, row: DisputeEntry, reason: str
) -> None:
    """Give the bisection up: the referees execute the whole."""
    step_rows.drop(draft, task)
    wait_ms = _refereeing_ms(draft, entry)
    _put(draft, task, entry, row, DisputeState.WHOLE, None, wait_ms)
    draft.tell(WholeWanted(task, reason))


def _refereeing_ms(draft: Draft, entry: TaskEntry) -> int:
    """Give how long the members have for what they are to execute."""
    return draft.state.genesis.rules.dispute_ms + working_ms(entry.spec)


def _leave_to_referees(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
    wait_ms = _refereeing_ms(draft, entry)
    until_ms = draft.running_ms + wait_ms
    draft.put_task(task, replace(entry, state=TaskState.DISPUTED, deadline_ms=until_ms))


def _put(
    draft: Draft,
    task: TaskId,
    entry: TaskEntry,
    row: DisputeEntry,
    state: DisputeState,
    game: Game | None,
    wait_ms: int,
) -> None:
    """Write where a dispute stands, and until when."""
    assert state in NEXT[row.state], "a dispute goes on as the table says"
    draft.put_dispute(task, replace(row, state=state, game=game))
    until_ms = draft.running_ms + wait_ms
    draft.put_task(task, replace(entry, state=TaskState.DISPUTED, deadline_ms=until_ms))


# What the rows say


def _stretch(draft: Draft, task: TaskId, game: Game) -> Stretch:
    short_gas = step_rows.short_gas(draft.step(task), game)
    return Stretch(game.low, game.until_gas, game.claims, short_gas)


def _receipt(slot: Slot) -> SignedReceipt:
    assert slot.receipt is not None, "a party has opened its answer"
    return slot.receipt


def _shown(game: Game, place: int) -> KnownState | None:
    """Give the start of the stretch as one party showed it; the other may have shown none."""
    trace = game.traces[place]
    if trace is None or game.low == BEGINNING:
        return None
    return KnownState(point=game.low, state=trace.state, state_size_bytes=trace.state_size_bytes)


def _worker(entry: TaskEntry, slot: int) -> NodeId:
    return entry.slots[slot].worker


def _root(slot: Slot) -> bytes:
    return result_root(_receipt(slot).receipt.result)


def _ends(entry: TaskEntry, parties: tuple[int, int]) -> Claims:
    first, second = (end_point(_receipt(entry.slots[slot]).receipt.result) for slot in parties)
    return first, second


def _state_fault(said: Trace, spec: TaskSpec) -> Rejection:
    most = spec.memory_bytes_max + STATE_OVERHEAD_BYTES_MAX
    if said.state_size_bytes > most:
        return f"a state of {said.state_size_bytes} bytes, at most {most} are allowed"
    return None
