"""A party traces what it is asked, says so until the log has it, and drops what is over."""

from ambientd.codec.statements import verify_trace
from ambientd.ledger.events import LedgerEvent, RoundBegan, TaskClosed
from ambientd.model.dispute import AT_BEGINNING, BEGINNING
from ambientd.model.effect import Abandon, Assignment, Propose, Purpose, TraceWanted
from ambientd.model.execution import AbortCause
from ambientd.model.record import DisputeTrace
from ambientd.model.task import TaskState
from ambientd.roles.disputer import INSIST_MS, RETRY_MS, Disputer
from sim.traces import TraceVice
from tests.ledger.cluster import START_MS
from tests.ledger.games import RULES, Match
from tests.ledger.test_updates import older
from tests.roles.stage import kinds

NOW = START_MS + 1_000


def party(match: Match, slot: int = 0) -> Disputer:
    return Disputer(match.cluster.signers[match.worker(slot)])


def rounds(events: list[LedgerEvent]) -> list[RoundBegan]:
    return [each for each in events if isinstance(each, RoundBegan)]


def began() -> tuple[Match, Disputer, TraceWanted]:
    match = Match((None, TraceVice.WRONG_STEP))
    role = party(match)
    [wanted] = role.on_ledger(rounds(match.events)[0], match.cluster.state)
    assert isinstance(wanted, TraceWanted)
    return match, role, wanted


def made(match: Match, role: Disputer, wanted: TraceWanted) -> Propose:
    points = tuple(match.true.at(target) for target in wanted.targets)
    start = match.true.known(wanted.low)
    [proposed] = role.on_trace(wanted.assignment, points, start, NOW)
    assert isinstance(proposed, Propose)
    return proposed


def test_a_round_is_traced_signed_and_proposed_until_the_log_has_it() -> None:
    match, role, wanted = began()
    assert wanted.assignment == Assignment(Purpose.TRACE, match.task, 0, 0)
    assert (wanted.base, wanted.low) == (AT_BEGINNING, BEGINNING)
    assert match.worker(1) in wanted.holders
    proposed = made(match, role, wanted)
    assert isinstance(proposed.body, DisputeTrace)
    assert proposed.body.trace == match.trace(0)
    assert verify_trace(proposed.body.trace, match.cluster.id)
    assert role.on_trace(wanted.assignment, (), AT_BEGINNING, NOW) == []
    assert role.next_deadline == NOW + INSIST_MS
    assert role.on_tick(match.cluster.state, NOW + INSIST_MS - 1) == []
    assert role.on_tick(match.cluster.state, NOW + INSIST_MS) == [proposed]
    match.cluster.block((match.number(match.worker(0)), proposed.body))
    assert role.on_tick(match.cluster.state, NOW + 3 * INSIST_MS) == []
    assert role.next_deadline is None


def test_the_next_round_goes_on_from_the_state_that_is_kept() -> None:
    match, role, wanted = began()
    kept = AT_BEGINNING
    lows = [wanted.low]
    while match.row is not None and match.row.state.name == "TRACING":
        proposed = made(match, role, wanted)
        kept = match.true.known(wanted.low)
        match.cluster.block((match.number(match.worker(0)), proposed.body))
        told = match.tell(1, match.trace(1, TraceVice.WRONG_STEP))
        events = match.cluster.block(told)
        effects = [each for event in events for each in role.on_ledger(event, match.cluster.state)]
        if rounds(events):
            [following] = effects
            assert isinstance(following, TraceWanted)
            assert following.base == kept
            wanted = following
            lows.append(wanted.low)
        else:
            assert effects == []
    assert len(lows) > 2
    assert lows[0] == BEGINNING


def test_strangers_and_former_parties_owe_nothing() -> None:
    match, _, _ = began()
    stranger = Disputer(match.cluster.signer(9))
    assert stranger.on_ledger(rounds(match.events)[0], match.cluster.state) == []
    assert stranger.resume(match.cluster.state) == []
    place = Assignment(Purpose.TRACE, match.task, 0, 0)
    assert stranger.on_trace(place, (), AT_BEGINNING, NOW) == []
    assert stranger.on_aborted(place, AbortCause.OTHER, NOW) == []


def test_what_a_host_could_not_do_is_tried_again() -> None:
    match, role, wanted = began()
    assert role.on_aborted(wanted.assignment, AbortCause.NOT_FETCHED, NOW) == []
    assert role.on_tick(match.cluster.state, NOW + RETRY_MS - 1) == []
    assert role.on_tick(match.cluster.state, NOW + RETRY_MS) == [wanted]
    assert role.next_deadline == match.entry.deadline_ms - RULES.round_ms // 2


def test_a_module_that_cannot_be_paused_is_passed_on() -> None:
    match, role, wanted = began()
    [proposed] = role.on_aborted(wanted.assignment, AbortCause.NOT_PAUSABLE, NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, DisputeTrace)
    assert proposed.body.trace.is_pass
    events = match.cluster.block((match.number(match.worker(0)), proposed.body))
    assert not any(type(each).__name__ == "RecordRejected" for each in events)


def test_a_trace_that_is_not_there_in_time_is_passed_on_rather_than_withheld() -> None:
    for aborts in (False, True):
        match, role, wanted = began()
        if aborts:  # as an engine does whose stack is too small, however often it tries
            role.on_aborted(wanted.assignment, AbortCause.OTHER, NOW)
        last_ms = match.entry.deadline_ms - match.cluster.state.genesis.rules.round_ms // 2
        effects = role.on_tick(match.cluster.state, last_ms - 1)
        assert not any(isinstance(each, Propose) for each in effects)
        assert role.next_deadline == last_ms
        abandoned, proposed = role.on_tick(match.cluster.state, last_ms)
        assert abandoned == Abandon(wanted.assignment)
        assert isinstance(proposed, Propose)
        assert isinstance(proposed.body, DisputeTrace)
        assert proposed.body.trace.is_pass
        assert role.on_trace(wanted.assignment, (), AT_BEGINNING, last_ms) == []
        match.cluster.block((match.number(match.worker(0)), proposed.body))
        entry = match.play()
        assert match.worker(0) in {each.node for each in entry.payments}


def test_a_restarted_party_says_the_same_again() -> None:
    match, role, wanted = began()
    first = made(match, role, wanted)
    again = party(match)
    [wanted] = again.resume(match.cluster.state)
    assert isinstance(wanted, TraceWanted)
    assert made(match, again, wanted) == first
    assert again.resume(match.cluster.state) == []


def test_a_dispute_that_is_over_is_abandoned() -> None:
    match, role, wanted = began()
    match.late()
    closed = TaskClosed(match.task, TaskState.FINAL)
    assert role.on_ledger(closed, match.cluster.state) == [Abandon(wanted.assignment)]
    assert role.on_ledger(closed, match.cluster.state) == []


def test_both_parties_are_asked() -> None:
    match, _, _ = began()
    assert kinds(party(match, 1).resume(match.cluster.state)) == ["TraceWanted"]


def test_a_node_that_was_updated_since_its_answer_passes_and_traces_nothing() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    older(match.cluster, match)
    role = party(match)
    assert role.on_ledger(rounds(match.events)[0], match.cluster.state) == []
    assert role.next_deadline == 0
    [abandoned, proposed] = role.on_tick(match.cluster.state, NOW)
    assert isinstance(abandoned, Abandon)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, DisputeTrace)
    assert proposed.body.trace.is_pass
    events = match.cluster.block((match.number(match.worker(0)), proposed.body))
    assert not any(type(each).__name__ == "RecordRejected" for each in events)
    assert not match.is_convicted(0)
