"""Disputes by bisection: whatever a liar says, who told the truth wins, or loses nothing."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import audit_id
from ambientd.ledger.audit_entries import AuditSource
from ambientd.ledger.dispute_entries import DisputeState
from ambientd.ledger.entries import EvidenceEntry
from ambientd.ledger.events import (
    AuditOpened,
    Paid,
    PartyBlamed,
    ResultRevoked,
    SegmentReached,
    TaskFinal,
    WholeWanted,
)
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import SEGMENT_GAS, FalseStep, SegmentVerdict, Trace, TracePoint
from ambientd.model.genesis import Rules
from ambientd.model.record import DisputeTrace, Epoch, Fraud
from ambientd.model.task import TaskState, Verdict
from sim.traces import Run, TraceVice
from tests.ledger.cluster import rejections, result
from tests.ledger.games import GAS, GAS_MAX, Match, Word

ROUNDS_MAX = 8
LIARS: list[Word] = [*TraceVice, "silent", "pass", "twice"]
TABLES: list[tuple[bool, ...]] = [
    (True, False),
    (False, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
]


def seats(honest: tuple[bool, ...], liar: Word) -> tuple[Word, ...]:
    return tuple(None if is_honest else liar for is_honest in honest)


def check_honest_won(match: Match) -> None:
    """The result is right, who told the truth is paid, and who did not is convicted."""
    entry = match.play()
    assert entry.settlement is not None
    assert entry.settlement.result == match.true.result
    paid = {payment.node for payment in entry.payments}
    for slot, word in enumerate(match.words):
        assert match.is_convicted(slot) == (word is not None), (slot, word)
        assert (match.worker(slot) in paid) == (word is None), (slot, word)
    assert set(entry.settlement.liars) == {
        match.worker(slot) for slot, word in enumerate(match.words) if word is not None
    }
    assert match.row is None


@pytest.mark.parametrize("liar", LIARS, ids=str)
@pytest.mark.parametrize("honest", TABLES, ids=str)
def test_the_honest_party_wins_against_every_strategy(honest: tuple[bool, ...], liar: Word) -> None:
    check_honest_won(Match(seats(honest, liar)))


@pytest.mark.parametrize("liar", LIARS, ids=str)
@pytest.mark.parametrize("gas", [1, GAS // 2, GAS_MAX])
def test_it_wins_whatever_gas_a_liar_claims(liar: Word, gas: int) -> None:
    check_honest_won(Match((liar, None), liar_gas=gas))
    check_honest_won(Match((None, liar, liar), liar_gas=gas, lies_alike=True))


@pytest.mark.parametrize("liar", LIARS, ids=str)
def test_liars_alone_are_all_found_by_the_referees(liar: Word) -> None:
    match = Match((liar, liar))
    entry = match.play()
    assert entry.settlement is not None
    assert entry.settlement.result == match.true.result
    assert match.is_convicted(0)
    assert match.is_convicted(1)
    assert not {match.worker(0), match.worker(1)} & {each.node for each in entry.payments}


def test_one_wrong_step_in_a_thousand_million_is_found_in_eight_rounds() -> None:
    for vice in (TraceVice.WRONG_STEP, TraceVice.WRONG_ONCE, TraceVice.WRONG_OUTPUT):
        match = Match((vice, None))
        check_honest_won(match)
        assert 1 <= match.rounds_begun <= ROUNDS_MAX
        [reached] = [each for each in match.events if isinstance(each, SegmentReached)]
        assert 0 < reached.until_gas - reached.start_gas <= SEGMENT_GAS
        # Who is wrong in one place and right behind it is asked elsewhere: the end remains.
        where = GAS * 2 // 3 if vice is TraceVice.WRONG_STEP else GAS
        assert reached.start_gas <= where <= reached.until_gas + 1


def test_a_right_answer_with_a_wrong_trace_costs_its_worker_everything_but_not_the_others() -> None:
    match = Match((None, TraceVice.WRONG_OUTPUT, None))
    match.words = (TraceVice.WRONG_TRACE, TraceVice.WRONG_OUTPUT, None)
    match.runs[0] = dataclasses.replace(match.true, false_from=0, own=b"own")
    entry = match.play()
    assert entry.settlement is not None
    assert entry.settlement.result == match.true.result
    assert match.is_convicted(0)
    assert match.is_convicted(1)
    assert not match.is_convicted(2)
    assert entry.settlement.liars == (match.worker(1),)
    paid = {each.node for each in entry.payments}
    assert match.worker(2) in paid
    assert match.worker(0) not in paid


def test_where_nobody_is_honest_a_lie_may_win_as_where_all_agree_on_one() -> None:
    match = Match((None, TraceVice.WRONG_OUTPUT))
    match.words = (TraceVice.WRONG_TRACE, TraceVice.WRONG_OUTPUT)
    match.runs[0] = dataclasses.replace(match.true, false_from=0, own=b"own")
    entry = match.play()
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.BISECTED
    assert entry.settlement.result == match.runs[1].result != match.true.result
    assert match.is_convicted(0)


def test_silence_is_blamed_and_unpaid_and_proves_nothing() -> None:
    match = Match(("silent", None))
    match.runs[0] = match.true  # its answer is wrong all the same
    silent = match.worker(0)
    before = match.cluster.state.reputation_permille(silent)
    match.events += match.step()
    assert [each.party for each in match.events if isinstance(each, PartyBlamed)] == [silent]
    assert match.cluster.state.reputation_permille(silent) < before
    assert not match.is_convicted(0)
    assert match.row is not None
    assert match.row.state is DisputeState.WHOLE
    assert match.row.unpaid == (silent,)
    assert match.entry.state is TaskState.DISPUTED


def test_who_is_right_but_silent_is_not_convicted_and_not_paid() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    match.words = ("silent", TraceVice.WRONG_STEP)
    entry = match.play()
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.DIVERGENT
    assert not match.is_convicted(0)
    assert match.is_convicted(1)
    assert match.worker(0) not in {each.node for each in entry.payments} - set(referees(match))


def referees(match: Match) -> list[NodeId]:
    return [each.referee for each in match.entry.verdicts]


def test_a_small_task_is_executed_by_the_referees_at_once() -> None:
    match = Match((None, TraceVice.WRONG_STEP), gas=10**6, liar_gas=10**6)
    assert match.row is None
    assert any(isinstance(each, WholeWanted) for each in match.events)
    check_honest_won(match)


def test_two_short_executions_need_no_round_at_all() -> None:
    rules = Rules(round_ms=1_000, dispute_ms=2_000, referee_gas_max=0)
    match = Match((None, TraceVice.WRONG_STEP), gas=10**5, liar_gas=10**5, rules=rules)
    assert match.row is not None
    assert match.row.state is DisputeState.SEGMENT
    check_honest_won(match)
    assert match.rounds_begun == 0


def test_answers_that_agree_are_not_disputed() -> None:
    match = Match((None, None))
    assert match.entry.state is TaskState.FINAL
    assert match.row is None


def test_a_trace_after_the_deadline_comes_too_late() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    match.cluster.block(match.tell(0, match.trace(0)))
    late = match.tell(1, match.trace(1, TraceVice.WRONG_STEP))
    wait_ms = match.entry.deadline_ms - match.cluster.time_ms
    events = match.cluster.block(late, after_ms=wait_ms)
    assert "not being bisected" in rejections(events)[0]
    assert match.row is not None
    assert match.row.state is DisputeState.WHOLE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"round": 1}, "another round"),
        ({"game": 1}, "another game"),
        ({"points": (TracePoint(gas_index=10**9, root=bytes(32)),)}, "1 points"),
        ({"until_gas": 17}, "another stretch"),
        ({"low": TracePoint(gas_index=5, root=bytes(32))}, "another stretch"),
        ({"state_size_bytes": 5}, "without the state"),
    ],
)
def test_a_trace_of_anything_else_is_rejected(change: dict[str, object], reason: str) -> None:
    match = Match((None, None, TraceVice.WRONG_STEP))
    match.bent = lambda trace: replace(trace, **change)  # type: ignore[arg-type]
    events = match.cluster.block(match.tell(0, match.trace(0)))
    assert reason in rejections(events)[0]
    assert match.game.traces == (None, None)


def test_only_parties_are_heard_each_for_itself_and_only_what_they_signed() -> None:
    match = Match((None, None, TraceVice.WRONG_STEP))
    trace = match.trace(0)
    other = match.number(match.worker(2))
    for author, said, reason in (
        (match.number(match.worker(1)), trace, "no party"),
        (other, trace, "no party"),
        (match.number(match.worker(0)), replace(trace, signature=bytes(64)), "wrong signature"),
    ):
        events = match.cluster.block((author, DisputeTrace(trace=said)))
        assert reason in rejections(events)[0]


def test_points_that_no_execution_has_are_rejected() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    honest = match.trace(0)
    first, second, *rest = honest.points
    for points in (
        (second, first, *rest),  # going back
        (replace(first, gas_index=first.gas_index - 10**7), second, *rest),  # before its target
        (replace(first, gas_index=10**12), second, *rest),  # beyond the next, and not there
    ):
        match.bent = lambda trace, points=points: replace(trace, points=points)  # type: ignore[misc]
        events = match.cluster.block(match.tell(0, match.trace(0)))
        assert rejections(events)
        assert match.game.traces == (None, None)


def test_the_same_word_twice_is_once_and_another_word_is_evidence() -> None:
    match = Match((TraceVice.WRONG_STEP, None))
    told = match.tell(0, match.trace(0))
    match.cluster.block(told)
    row = match.row
    assert match.cluster.block(told) == []
    assert match.row == row
    twice = match.tell(0, match.trace(0, TraceVice.WRONG_EVERYWHERE))
    match.cluster.block(twice)
    assert match.is_convicted(0)
    found = match.cluster.state.conviction(match.worker(0))
    assert found is not None
    assert found.kind == "trace"
    first, second = decode(found.first, Trace), decode(found.second, Trace)
    assert (first.round, second.round) == (0, 0)
    assert first.points != second.points


def test_many_different_words_leave_the_row_as_large_as_two() -> None:
    match = Match((TraceVice.WRONG_STEP, None))
    match.cluster.block(match.tell(0, match.trace(0)))
    for number in range(3):
        other = match.trace(0, TraceVice.WRONG_EVERYWHERE, salt=b"%d" % number)
        match.cluster.block(match.tell(0, other))
    assert match.row is not None
    assert match.row.unpaid == (match.worker(0),)


class Uneven(Match):
    """A match in which only the first liar claims much gas."""

    def _run(self, slot: int, word: Word) -> Run:
        if slot == 0:
            return super()._run(slot, word)
        gas = self.liar_gas
        self.liar_gas = 20
        try:
            return super()._run(slot, word)
        finally:
            self.liar_gas = gas


def test_a_game_without_a_round_follows_one_that_a_segment_decided() -> None:
    match = Uneven((TraceVice.WRONG_STEP, None, TraceVice.WRONG_OUTPUT), gas=10)
    check_honest_won(match)
    reached = [each for each in match.events if isinstance(each, SegmentReached)]
    assert [each.game for each in reached] == [0, 1]


def test_a_pass_ends_the_bisection_and_blames_nobody() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    before = match.cluster.state.reputation_permille(match.worker(1))
    match.cluster.block(match.tell(0, match.trace(0, "pass")))
    assert match.row is not None
    assert match.row.state is DisputeState.WHOLE
    assert match.cluster.state.reputation_permille(match.worker(1)) == before
    check_honest_won(match)


def test_a_pass_after_a_trace_is_no_evidence() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    match.cluster.block(match.tell(0, match.trace(0)))
    events = match.cluster.block(match.tell(0, match.trace(0, "pass")))
    assert "a pass by a party that has said" in rejections(events)[0]
    assert not match.is_convicted(0)


def test_two_traces_of_one_round_convict_at_any_time() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    first = match.trace(1, TraceVice.WRONG_STEP)
    second = match.trace(1, TraceVice.WRONG_EVERYWHERE)
    passed = match.trace(1, "pass")
    match.play()
    culprit = first.party
    for pair, holds in (((first, first), False), ((first, passed), False), ((first, second), True)):
        said = [encode(each) for each in pair]
        fraud = Fraud(culprit=culprit, kind="trace", first=said[0], second=said[1])
        assert bool(rejections(match.cluster.block((0, fraud)))) != holds


def segment_match() -> Match:
    match = Match((None, TraceVice.WRONG_STEP))
    while match.row is not None and match.row.state is DisputeState.TRACING:
        match.events += match.step()
    return match


def test_a_segment_takes_a_quorum_of_members_that_found_the_same() -> None:
    match = segment_match()
    end = match.found()
    assert end is not None
    lie = TracePoint(gas_index=end.gas_index, root=bytes(32))
    match.cluster.block(match.segment(0, lie), match.segment(1, lie))
    outside = match.segment(9, end)
    assert "only committee members" in rejections(match.cluster.block(outside))[0]
    for referee in range(2, 6):
        assert match.entry.state is TaskState.DISPUTED
        match.cluster.block(match.segment(referee, end))
    assert match.entry.state is TaskState.DISPUTED  # four of seven are no quorum
    match.cluster.block(match.segment(6, end))
    assert match.entry.state is TaskState.FINAL
    assert match.is_convicted(1)
    assert not match.is_convicted(0)


def test_a_referee_that_finds_two_ends_is_convicted() -> None:
    match = segment_match()
    end = match.found()
    assert end is not None
    lie = TracePoint(gas_index=end.gas_index, root=bytes(32))
    match.cluster.block(match.segment(3, end), match.segment(3, end))
    match.cluster.block(match.segment(3, lie))
    found = match.cluster.state.conviction(match.cluster.node(3))
    assert found is not None
    assert found.kind == "segment"
    first, second = match.segment(4, end)[1], match.segment(4, lie)[1]
    said = [encode(each.verdict) for each in (first, second)]  # type: ignore[union-attr]
    fraud = Fraud(culprit=match.cluster.node(4), kind="segment", first=said[0], second=said[1])
    assert not rejections(match.cluster.block((0, fraud)))
    assert "convicted referee" in rejections(match.cluster.block(match.segment(4, end)))[0]


def test_without_a_quorum_on_the_segment_the_whole_is_executed() -> None:
    match = segment_match()
    ends = [TracePoint(gas_index=10**9, root=bytes([n]) * 32) for n in range(7)]
    records = [match.segment(referee, end) for referee, end in enumerate(ends)]
    events = match.cluster.block(*records)
    assert any(isinstance(each, WholeWanted) for each in events)
    check_honest_won(match)


def test_a_segment_that_nobody_can_execute_ends_with_its_deadline() -> None:
    match = segment_match()
    events = match.late()
    assert any(isinstance(each, WholeWanted) for each in events)
    check_honest_won(match)


def test_a_finding_on_the_whole_waits_until_it_is_wanted() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    early = match.cluster.finding(match.task, 0, match.true.result)
    assert "being bisected" in rejections(match.cluster.block(early))[0]


def test_another_committee_decides_a_segment_from_its_own_findings() -> None:
    match = segment_match()
    end = match.found()
    assert end is not None
    match.cluster.block(*(match.segment(referee, end) for referee in range(4)))
    members = tuple(sorted(match.cluster.node(number) for number in range(1, 5)))
    tips = (bytes(32),) * 4
    body = Epoch(number=2, members=members, seed=Digest(bytes(32)), beacon_tips=tips)
    match.cluster.block((0, body))
    assert {each.referee for each in match.game.verdicts} <= set(members)
    match.cluster.block(match.segment(4, end))
    assert match.entry.state is TaskState.FINAL
    assert match.is_convicted(1)


def let_sit(match: Match, *numbers: int) -> None:
    members = tuple(sorted(match.cluster.node(number) for number in numbers))
    tips = (bytes(32),) * len(members)
    body = Epoch(number=2, members=members, seed=Digest(bytes(32)), beacon_tips=tips)
    match.cluster.block((0, body))


def test_a_smaller_committee_needs_no_finding_that_it_has_already() -> None:
    segment = segment_match()
    end = segment.found()
    assert end is not None
    segment.cluster.block(*(segment.segment(referee, end) for referee in range(4)))
    whole = Match((None, TraceVice.WRONG_STEP), gas=10**6, liar_gas=10**6)
    for referee in range(4):
        whole.cluster.block(whole.cluster.finding(whole.task, referee, whole.true.result))
    for match in (segment, whole):
        assert match.entry.state is TaskState.DISPUTED  # four of seven are no quorum
        let_sit(match, 0, 1, 2, 3, 6)
        match.cluster.block()
        assert match.entry.state is TaskState.FINAL
        assert match.is_convicted(1)
        assert not match.is_convicted(0)


def test_a_committee_that_comes_late_has_time_for_its_findings() -> None:
    segment = segment_match()
    whole = Match((None, TraceVice.WRONG_STEP), gas=10**6, liar_gas=10**6)
    for match in (segment, whole):
        wait_ms = match.entry.deadline_ms - match.cluster.time_ms
        match.cluster.block(after_ms=wait_ms - 200)
        state = match.row
        let_sit(match, *range(2, 7))
        match.cluster.block(after_ms=wait_ms // 2)
        assert match.entry.state is TaskState.DISPUTED
        assert match.row == state
        check_honest_won(match)


def test_the_evidence_holds_all_that_shows_the_false_step() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    check_honest_won(match)
    found = match.cluster.state.conviction(match.worker(1))
    assert isinstance(found, EvidenceEntry)
    assert found.kind == "false-step"
    said: FalseStep = decode(found.first, FalseStep)
    findings = decode(found.second, tuple[SegmentVerdict, ...])
    last, claimed, shown = said
    assert last is not None
    assert claimed is not None
    assert shown == match.true.known(last.low)
    assert {each.start for each in findings} == {last.low}
    [end] = {each.end for each in findings}
    [until] = {each.until_gas for each in findings}
    assert end == match.true.at(until)
    assert match.runs[1].at(until) in claimed.points
    assert len(encode(found)) < 16_000


def test_referees_of_segments_are_paid_for_the_segments() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    entry = match.play()
    parties = {match.worker(0), match.worker(1)}
    paid = {each.node: each.amount_msat for each in entry.payments if each.node not in parties}
    assert paid
    assert set(paid.values()) == {1}  # at most a million gas at 1 msat a million


def test_a_convicted_party_plays_on_and_the_dispute_ends() -> None:
    match = Match(("twice", None))
    match.events += match.step()
    assert match.is_convicted(0)
    check_honest_won(match)


def test_rows_come_back_from_a_store_as_they_were() -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    match.events += match.step()
    again = match.cluster.restarted()
    assert again.root == match.cluster.state.root
    assert again.dispute(match.task) == match.row


def test_each_task_is_settled_once() -> None:
    match = Match((TraceVice.WRONG_STEP, None, TraceVice.WRONG_OUTPUT))
    check_honest_won(match)
    finals = [each for each in match.cluster.events if isinstance(each, TaskFinal)]
    assert len(finals) == 1
    assert finals[0].settlement.verdict is Verdict.BISECTED
    assert finals[0].settlement.result == result(gas=GAS)


FAULTY = 2
"""Of seven members: whose findings are made up."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_whatever_is_said_in_any_order_no_honest_node_is_convicted(
    data: st.DataObject,
) -> None:
    vices = st.sampled_from([*TraceVice])
    words = tuple(data.draw(st.permutations([None, None, data.draw(vices), data.draw(vices)])))
    liars = [slot for slot, word in enumerate(words) if word is not None]
    match = Match(words, lies_alike=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(0, 30))):
        row = match.row
        if match.entry.state is not TaskState.DISPUTED or row is None or row.game is None:
            break
        slot = data.draw(st.sampled_from(row.game.parties))
        match data.draw(st.integers(0, 6)):
            case 0 | 1 | 2:
                word = words[slot]
                if slot in liars and data.draw(st.booleans()):
                    word = data.draw(st.one_of(vices, st.just("pass")))
                salt = b"" if slot not in liars else data.draw(st.sampled_from([b"", b"x"]))
                match.cluster.block(match.tell(slot, match.trace(slot, word, salt)))
            case 3:
                referee = data.draw(st.integers(0, 6))
                end = match.game.claims[data.draw(st.integers(0, 1))]
                true = match.found()
                said = end if referee < FAULTY or true is None else true
                if referee < FAULTY or true is not None:
                    match.cluster.block(match.segment(referee, said))
            case 4:
                match.cluster.block(after_ms=data.draw(st.integers(1, 900)))
            case _:
                match.step()
    entry = match.play()
    honest = [slot for slot in range(len(words)) if slot not in liars]
    faulty = {match.cluster.node(number) for number in range(FAULTY)}
    for slot in honest:
        assert match.worker(slot) in faulty or not match.is_convicted(slot)
    settled = entry.settlement
    assert settled is not None
    assert settled.verdict is Verdict.INCONCLUSIVE or settled.result == match.true.result


def left_by_a_dispute() -> tuple[Match, TaskId]:
    """Two liars by themselves: the first false step names one, the other's answer is left."""
    match = Match((TraceVice.WRONG_STEP, TraceVice.WRONG_EVERYWHERE))
    match.play()
    return match, audit_id(match.task, 0)


def test_what_a_dispute_leaves_on_one_workers_word_is_audited_at_once() -> None:
    match, audit = left_by_a_dispute()
    lone = match.entry.lone_worker
    assert lone is not None
    assert match.entry.settlement is not None
    assert match.entry.settlement.result != match.true.result, "a lie is left"
    opened = [event for event in match.cluster.events if isinstance(event, AuditOpened)]
    assert opened == [AuditOpened(match.task, audit, AuditSource.DISPUTE)]
    assert match.cluster.task(audit).slots[0].worker != lone


def test_two_liars_by_themselves_are_both_named_and_earn_nothing() -> None:
    match, audit = left_by_a_dispute()
    cluster = match.cluster
    lone = match.entry.lone_worker
    cluster.work(audit, {0: match.true.result})
    for referee in range(match.members):
        if cluster.task(audit).state is TaskState.DISPUTED:
            cluster.block(cluster.finding(audit, referee, match.true.result))
    assert {match.is_convicted(slot) for slot in (0, 1)} == {True}
    revoked = [event for event in cluster.events if isinstance(event, ResultRevoked)]
    assert [(event.task, event.worker) for event in revoked] == [(match.task, lone)]
    paid = {event.node for event in cluster.events if isinstance(event, Paid)}
    assert not paid & {match.worker(0), match.worker(1)}


def test_an_honest_answer_that_a_dispute_leaves_is_confirmed_and_paid() -> None:
    match = Match((TraceVice.WRONG_STEP, None))
    match.play()
    cluster, honest = match.cluster, match.worker(1)
    assert match.entry.lone_worker == honest
    before = cluster.state.reputation_permille(honest)
    cluster.work(audit_id(match.task, 0), {0: match.true.result})
    if honest != match.entry.submitter:
        assert cluster.state.reputation_permille(honest) > before
    cluster.block(after_ms=cluster.genesis.rules.audit_window_ms)
    assert honest in {event.node for event in cluster.events if isinstance(event, Paid)}
