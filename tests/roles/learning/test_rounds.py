"""Participants and aggregators do what the ledger says that a round wants of them, and insist."""

from ambientd.codec.digest import sha256
from ambientd.ledger.learning_events import StudyEnded
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.learning import RoundState, Score
from ambientd.model.learning_effect import (
    AggregateWanted,
    BringUpdate,
    ConcealWanted,
    GatherWanted,
    LearningEffect,
    ScoreWanted,
    TrainWanted,
)
from ambientd.model.learning_record import FlResult, FlScore, FlSurvivors, FlUpdate
from ambientd.node.learning import Learning
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningFailed,
    ScoreMade,
    Trained,
)
from ambientd.roles.learning.duties import INSIST_MS, RETRY_MS, RETRY_MS_MAX
from tests.ledger.studies import GUESTS, PRIVATE, STEP_MS, WITHIN, Studied, names

UPDATE = Digest(sha256(b"update"))
EVERY = tuple(GUESTS)


def learning(study: Studied, number: int) -> Learning:
    return Learning(study.cluster.signer(number))


def drawn(study: Studied, place: int) -> int:
    return study.number(study.row.aggregators[place])


def the_one(effects: list[RoleEffect]) -> LearningEffect:
    [effect] = effects
    assert isinstance(effect, LearningEffect)
    return effect


def test_a_participant_trains_says_its_update_and_insists_until_it_is_in_the_log() -> None:
    study = Studied()
    role = learning(study, EVERY[0])
    wanted = the_one(role.resume(study.cluster.state))
    assert isinstance(wanted, TrainWanted)
    assert wanted.model.digest == study.entry.model
    assert role.resume(study.cluster.state) == [], "it is begun once"
    done = Trained(wanted.place, UPDATE, 10)
    [said] = role.on_done(done, study.cluster.state, 0)
    assert said == Propose(FlUpdate(study=study.study, round=1, update=UPDATE, samples=10))
    assert role.on_done(done, study.cluster.state, 0) == [], "and said once"
    assert role.next_deadline == INSIST_MS
    assert role.on_tick(INSIST_MS) == [said]
    assert isinstance(said.body, FlUpdate)
    study.block((EVERY[0], said.body))
    assert role.resume(study.cluster.state) == []
    assert role.next_deadline is None


def test_who_does_not_take_part_is_asked_nothing() -> None:
    study = Studied(joins=False)
    study.block(*((guest, study.joined()) for guest in EVERY[:5]), after_ms=100)
    study.block(after_ms=6_000)
    assert study.state is RoundState.TRAINING
    assert learning(study, EVERY[5]).resume(study.cluster.state) == []


def test_what_could_not_be_done_is_tried_again_unless_it_never_will_be() -> None:
    study = Studied()
    role = learning(study, EVERY[0])
    wanted = the_one(role.resume(study.cluster.state))
    role.on_done(LearningFailed(wanted.place, "no model"), study.cluster.state, 5)
    assert role.next_deadline == 5 + RETRY_MS
    assert role.on_tick(5 + RETRY_MS) == [wanted]
    role.on_done(LearningFailed(wanted.place, "no data", declined=True), study.cluster.state, 9)
    assert role.next_deadline is None


def test_each_failure_makes_the_wait_for_the_next_attempt_longer() -> None:
    study = Studied()
    role = learning(study, EVERY[0])
    wanted = the_one(role.resume(study.cluster.state))
    waits, now = [], 0
    for _ in range(8):
        role.on_done(LearningFailed(wanted.place, "no model"), study.cluster.state, now)
        assert role.next_deadline is not None
        waits.append(role.next_deadline - now)
        now = role.next_deadline
        assert role.on_tick(now) == [wanted]
    assert waits[:3] == [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS]
    assert waits[-1] == RETRY_MS_MAX


def test_who_joined_a_private_study_shows_no_plain_update() -> None:
    study = Studied(PRIVATE)
    for _ in range(2):
        study.say(*EVERY)
    assert study.state is RoundState.TRAINING
    wanted = the_one(learning(study, EVERY[0]).resume(study.cluster.state))
    assert isinstance(wanted, ConcealWanted)
    assert study.cluster.node(EVERY[0]) in wanted.circle.dealers


def test_only_the_aggregators_that_are_asked_gather_and_aggregate() -> None:
    study = Studied()
    study.say(*EVERY)
    first, second = (learning(study, drawn(study, place)) for place in (0, 1))
    gather = the_one(first.resume(study.cluster.state))
    assert isinstance(gather, GatherWanted)
    assert second.resume(study.cluster.state) == []
    held = names(study, *EVERY[:4])
    [said] = first.on_done(Gathered(gather.place, held), study.cluster.state, 0)
    named = FlSurvivors(study=study.study, round=1, survivors=held)
    assert said == Propose(named)
    study.block((drawn(study, 0), named))
    for role in (first, second):
        wanted = the_one(role.resume(study.cluster.state))
        assert isinstance(wanted, AggregateWanted)
        assert tuple(each.node for each in wanted.contributed) == held
        after = Digest(sha256(b"after"))
        left_out = (held[1], held[0])
        [result] = role.on_done(Aggregated(wanted.place, after, left_out), study.cluster.state, 0)
        assert isinstance(result, Propose)
        assert result.body == FlResult(
            study=study.study, round=1, after=after, left_out=tuple(sorted(left_out))
        )


def test_who_will_aggregate_brings_each_update_once_as_it_is_said() -> None:
    study = Studied()
    first, second, third = (learning(study, drawn(study, place)) for place in (0, 1, 2))
    study.say(*EVERY[:2])
    state = study.cluster.state
    early = [
        BringUpdate(said.node, said.update, study.entry.model_size_bytes)
        for said in study.row.contributed
    ]
    assert {each.node for each in early} == set(names(study, *EVERY[:2]))
    assert first.resume(state) == second.resume(state) == early
    assert third.resume(state) == first.resume(state) == []
    study.say(EVERY[2])
    [third_said] = first.resume(study.cluster.state)
    assert isinstance(third_said, BringUpdate)
    assert third_said.node == study.cluster.node(EVERY[2])
    assert len(learning(study, drawn(study, 0)).resume(study.cluster.restarted())) == 3
    study.say(*EVERY[3:])
    assert isinstance(the_one(first.resume(study.cluster.state)), GatherWanted)


def test_of_a_private_round_nothing_is_brought_before_its_dealings_are_known() -> None:
    study = Studied(PRIVATE)
    for _ in range(2):
        study.say(*EVERY)
    assert study.state is RoundState.TRAINING
    study.say(*EVERY[:2])
    assert learning(study, drawn(study, 0)).resume(study.cluster.state) == []


def test_too_few_updates_are_looked_for_again() -> None:
    study = Studied()
    study.say(*EVERY)
    role = learning(study, drawn(study, 0))
    gather = the_one(role.resume(study.cluster.state))
    held = names(study, *EVERY[:2])
    assert role.on_done(Gathered(gather.place, held), study.cluster.state, 0) == []
    assert role.on_tick(RETRY_MS) == [gather]


def test_the_next_aggregator_takes_over_from_a_silent_one() -> None:
    study = Studied()
    study.say(*EVERY)
    second = learning(study, drawn(study, 1))
    assert second.resume(study.cluster.state) == []
    [moved] = [event for event in study.block(after_ms=STEP_MS) if event is not None][-1:]
    assert isinstance(the_one(second.on_ledger(moved, study.cluster.state)), GatherWanted)


def test_survivors_try_the_new_model_and_a_round_that_is_over_wants_nothing() -> None:
    study = Studied()
    study.say(*EVERY)
    study.name_survivors(*EVERY)
    role = learning(study, EVERY[0])
    assert role.resume(study.cluster.state) == []
    study.find()
    wanted = the_one(role.resume(study.cluster.state))
    assert isinstance(wanted, ScoreWanted)
    assert wanted.model.digest == study.row.after
    score = Score(correct=1, total=2, loss_micro=3)
    [said] = role.on_done(ScoreMade(wanted.place, score), study.cluster.state, 0)
    assert said == Propose(FlScore(study=study.study, round=1, score=score))
    study.block(after_ms=STEP_MS)
    again = role.resume(study.cluster.state)
    assert [type(each) for each in again] == [TrainWanted], "the next round has begun"
    late = ScoreMade(wanted.place, score)
    assert role.on_done(late, study.cluster.state, 0) == []


def test_a_restart_takes_up_what_is_owed() -> None:
    study = Studied()
    study.say(*EVERY[1:])
    fresh = learning(study, EVERY[0])
    assert isinstance(the_one(fresh.resume(study.cluster.restarted())), TrainWanted)
    assert learning(study, EVERY[1]).resume(study.cluster.restarted()) == []
    ended = StudyEnded(study.study, study.entry.state, "")
    assert fresh.on_ledger(ended, study.cluster.state) == []


def test_nobody_but_members_aggregates() -> None:
    study = Studied()
    study.say(*EVERY)
    wanted = [learning(study, guest).resume(study.cluster.state) for guest in EVERY]
    assert wanted == [[]] * len(EVERY)
    assert set(study.row.aggregators) == {NodeId(study.cluster.node(n)) for n in range(4)}


def test_whoever_is_audited_within_a_tolerance_commits_shows_and_is_examined() -> None:
    study = Studied(WITHIN, {"audits": 2})
    own = the_one(learning(study, EVERY[0]).resume(study.cluster.state))
    assert isinstance(own, TrainWanted)
    assert own.committed is not None
    assert (own.committed.data, own.committed.size_bytes) == (sha256(b"data"), 10 * 4 * 5)
    study.say(*EVERY)
    gather = the_one(learning(study, drawn(study, 0)).resume(study.cluster.state))
    assert isinstance(gather, GatherWanted)
    assert len(gather.examined) == 2
    gone, kept = (study.number(each.node) for each in gather.examined)
    study.name_survivors(*(each for each in EVERY if each != gone))
    wanted = the_one(learning(study, drawn(study, 1)).resume(study.cluster.state))
    assert isinstance(wanted, AggregateWanted)
    assert [study.number(each.node) for each in wanted.examined] == [kept]
    assert 0 < wanted.audit_ms < study.entry.terms.train_ms
