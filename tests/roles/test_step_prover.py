"""A prover promises what it can, proves what it promised, and gives up at once what it cannot."""

from dataclasses import replace

import pytest

from ambientd.model.dispute import SEGMENT_GAS
from ambientd.model.effect import Abandon, CheckStep, Propose, ProveStep, Purpose, SegmentWanted
from ambientd.model.execution import AbortCause
from ambientd.model.proof import NO_PROOF, STEP_WAITS_MAX, Finding
from ambientd.model.record import StepFound, StepPromise, StepProof
from ambientd.node.event import StepChecked
from ambientd.roles.referee import RETRY_MS, Referee
from ambientd.roles.step_prover import INSIST_MS, NO_STEPS, StepProver, StepTerms
from sim.traces import TraceVice
from tests.ledger.cluster import START_MS
from tests.ledger.games import RULES, Match
from tests.ledger.test_step_proofs import (
    PROOF,
    disputed,
    in_the_last_round,
    name,
    promise,
    prover,
    reached,
    say,
    word,
)
from tests.roles.stage import kinds

NOW = START_MS + 1_000
TERMS = StepTerms(gas_max=5_000, wait_ms=10_000)


def role_of(match: Match, number: int | None = None, terms: StepTerms = TERMS) -> StepProver:
    return StepProver(match.cluster.node(prover(match) if number is None else number), terms)


def proving() -> tuple[Match, StepProver, ProveStep]:
    match = reached(disputed())
    role = role_of(match)
    [wanted] = role.resume(match.cluster.state)
    assert isinstance(wanted, ProveStep)
    return match, role, wanted


def looks(role: StepProver, match: Match) -> ProveStep:
    """Give what a prover looks at before it promises."""
    [look] = role.resume(match.cluster.state)
    assert isinstance(look, ProveStep)
    assert look.start is None
    return look


def promised(role: StepProver, match: Match) -> Propose:
    """Let the module be one that can be proven."""
    [proposed] = role.on_made(looks(role, match).assignment, NO_PROOF, NOW)
    assert isinstance(proposed, Propose)
    return proposed


def test_a_game_is_promised_for_until_the_ledger_has_it() -> None:
    match = disputed()
    role = role_of(match)
    proposed = promised(role, match)
    said = proposed.body
    assert isinstance(said, StepPromise)
    assert (said.gas_max, said.wait_ms, said.game) == (5_000, 10_000, 0)
    due = role.next_deadline
    assert due is not None
    assert role.on_tick(match.cluster.state, due - 1) == []
    assert role.on_tick(match.cluster.state, due) == [proposed]
    match.cluster.block((prover(match), said))
    assert role.on_tick(match.cluster.state, due + INSIST_MS) == []
    assert role.next_deadline is None


def test_who_does_not_prove_or_comes_second_promises_nothing() -> None:
    match = disputed()
    assert role_of(match, terms=NO_STEPS).resume(match.cluster.state) == []
    assert role_of(match, 0).resume(match.cluster.state) == []
    promise(match)
    other = next(n for n in range(1, 7) if n != prover(match))
    assert role_of(match, other).resume(match.cluster.state) == []


def test_it_promises_nothing_where_parties_would_be_asked_for_something_else() -> None:
    match = in_the_last_round()
    assert role_of(match).resume(match.cluster.state) == []
    assert promised(role_of(match, terms=replace(TERMS, gas_max=SEGMENT_GAS)), match)


@pytest.mark.parametrize("cause", [AbortCause.NOT_PROVABLE, AbortCause.NOT_FETCHED])
def test_what_cannot_be_proven_is_not_promised_and_costs_nothing(cause: AbortCause) -> None:
    match = disputed()
    role = role_of(match)
    place = looks(role, match).assignment
    assert role.on_aborted(place, cause, match.cluster.state, NOW) == []
    assert role.resume(match.cluster.state) == [], "it has looked at this game"
    assert role.on_made(place, NO_PROOF, NOW) == []
    assert role.next_deadline is None


def test_who_still_looks_when_the_game_is_over_promises_nothing() -> None:
    match = disputed()
    role = role_of(match)
    place = looks(role, match).assignment
    promise(match)
    other = next(n for n in range(1, 7) if n != prover(match))
    late = role_of(match, other)
    assert late.resume(match.cluster.state) == []
    role.resume(match.cluster.state)
    assert role.on_made(place, NO_PROOF, NOW) == []


def test_it_promises_no_longer_than_the_ledger_takes() -> None:
    match = disputed()
    role = role_of(match, terms=StepTerms(gas_max=5_000, wait_ms=10**9))
    proposed = promised(role, match)
    assert isinstance(proposed.body, StepPromise)
    assert proposed.body.wait_ms == STEP_WAITS_MAX * RULES.dispute_ms


def test_what_was_promised_is_proven_and_named_until_the_ledger_has_it() -> None:
    match, role, wanted = proving()
    game = match.game
    assert wanted.start.point == game.low
    assert wanted.until_gas == game.until_gas
    [proposed] = role.on_made(wanted.assignment, PROOF, NOW)
    assert proposed == Propose(StepProof(task=match.task, game=0, proof=PROOF))
    assert role.on_made(wanted.assignment, PROOF, NOW) == []
    assert role.on_tick(match.cluster.state, NOW + INSIST_MS) == [proposed]
    name(match)
    assert role.on_tick(match.cluster.state, NOW + 2 * INSIST_MS) == []


def test_the_state_that_the_other_party_shows_is_tried_and_then_it_is_given_up() -> None:
    match, role, wanted = proving()
    fetch = AbortCause.NOT_FETCHED
    [again] = role.on_aborted(wanted.assignment, fetch, match.cluster.state, NOW)
    assert isinstance(again, ProveStep)
    assert again.start.point == wanted.start.point
    [given_up] = role.on_aborted(wanted.assignment, fetch, match.cluster.state, NOW)
    assert given_up == Propose(StepProof(task=match.task, game=0, proof=NO_PROOF))


def test_what_cannot_be_proven_is_given_up_at_once() -> None:
    match, role, wanted = proving()
    cause = AbortCause.NOT_PROVABLE
    [given_up] = role.on_aborted(wanted.assignment, cause, match.cluster.state, NOW)
    assert given_up == Propose(StepProof(task=match.task, game=0, proof=NO_PROOF))


def test_it_stops_when_the_dispute_is_over_or_its_time_is() -> None:
    match, role, wanted = proving()
    events = match.late()
    effects = [each for event in events for each in role.on_ledger(event, match.cluster.state)]
    assert effects == [Abandon(wanted.assignment)]
    assert role.resume(match.cluster.state) == []


# Members


def member(match: Match, number: int = 0) -> Referee:
    return Referee(match.cluster.signer(number))


def test_members_wait_for_a_promised_proof_and_no_longer() -> None:
    match = reached(disputed())
    role = member(match)
    assert role.resume(match.cluster.state) == []
    events = match.late()
    effects = [each for event in events for each in role.on_ledger(event, match.cluster.state)]
    assert kinds(effects) == ["SegmentWanted"]


def checking() -> tuple[Match, Referee, CheckStep]:
    match = reached(disputed())
    role = member(match)
    effects = [each for e in name(match) for each in role.on_ledger(e, match.cluster.state)]
    [wanted] = effects
    assert isinstance(wanted, CheckStep)
    assert wanted.proof == PROOF
    assert wanted.start == match.game.low
    assert wanted.until_gas == match.game.until_gas
    assert wanted.holders[0] == match.cluster.node(prover(match))
    return match, role, wanted


def test_a_proof_that_holds_is_said_with_where_it_leads() -> None:
    match, role, wanted = checking()
    end = match.found()
    judged = StepChecked(wanted.assignment, Finding.HOLDS, 1 << 18, end)
    [proposed] = role.on_step(wanted.assignment, judged, match.cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert proposed.body == word(match, 0)[1]
    match.cluster.block((0, proposed.body))
    assert role.resume(match.cluster.state) == []


def test_after_a_wrong_proof_it_executes() -> None:
    match, role, wanted = checking()
    judged = StepChecked(wanted.assignment, Finding.WRONG)
    [proposed] = role.on_step(wanted.assignment, judged, match.cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, StepFound)
    events = match.cluster.block((0, proposed.body))
    effects = [each for event in events for each in role.on_ledger(event, match.cluster.state)]
    assert kinds(effects) == ["SegmentWanted"]
    say(match, Finding.WRONG)
    assert role.resume(match.cluster.state) == []


def test_without_a_verifier_it_executes() -> None:
    match, role, wanted = checking()
    effects = role.on_unverified(wanted.assignment, match.cluster.state)
    assert kinds(effects) == ["SegmentWanted"]
    [execute] = effects
    assert isinstance(execute, SegmentWanted)
    assert execute.assignment.purpose is Purpose.SEGMENT
    assert role.on_unverified(wanted.assignment, match.cluster.state) == []


def test_a_missing_proof_is_asked_for_again_until_half_of_the_time_is_over() -> None:
    match, role, wanted = checking()
    judged = StepChecked(wanted.assignment, Finding.MISSING)
    assert role.on_step(wanted.assignment, judged, match.cluster.state, NOW) == []
    assert kinds(role.on_tick(match.cluster.state, NOW + RETRY_MS)) == ["CheckStep"]
    match.cluster.block(after_ms=match.entry.deadline_ms - match.cluster.time_ms - 500)
    [proposed] = role.on_step(wanted.assignment, judged, match.cluster.state, NOW)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, StepFound)
    assert proposed.body.word.finding is Finding.MISSING


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_is_wanted_of_a_member_that_has_spoken(number: int) -> None:
    match = reached(disputed(TraceVice.WRONG_STEP, None))
    name(match)
    match.cluster.block(word(match, number))
    assert member(match, number).resume(match.cluster.state) == []
