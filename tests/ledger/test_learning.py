"""Rounds of federated learning are state of the ledger: who may say what when, and what follows."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.codec.statements import round_leaf, study_id
from ambientd.ledger import learning
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.learning import AUTHOR_OPEN_MAX
from ambientd.ledger.learning_events import RoundEnded, RoundHeard, StudyBegan, StudyEnded
from ambientd.ledger.learning_rounds import ENDED, FAILURES_MAX, NEXT
from ambientd.model.genesis import Rules
from ambientd.model.learning import RoundState, StudyState
from ambientd.model.learning_record import FlStop, FlSurvivors
from ambientd.model.record import Fraud
from ambientd.rules.studies import asked_for_results, groups_of, threshold_of
from ambientd.rules.study_price import (
    held_ms_max,
    held_price_msat,
    place_price_msat,
    study_price_msat,
)
from tests.ledger.cluster import TestCluster, rejections
from tests.ledger.studies import (
    GUESTS,
    INVITE_MS,
    OPEN,
    PRIVATE,
    STEP_MS,
    TRAIN_MS,
    Studied,
    names,
    study_body,
)

EVERY = tuple(GUESTS)


@pytest.fixture
def opened() -> Studied:
    return Studied()


def silenced(played: Studied, *guests: int) -> tuple[int, ...]:
    return tuple(each for each in EVERY if each not in guests)


# The table


def test_every_state_of_a_round_is_in_the_table_and_leads_to_an_end() -> None:
    assert set(NEXT) == set(RoundState)
    assert {state for state, after in NEXT.items() if not after} == ENDED

    def reached(state: RoundState) -> Iterator[RoundState]:
        yield state
        for after in sorted(NEXT[state]):
            assert after > state, "no round goes back"
            yield from reached(after)

    assert all(ENDED & set(reached(state)) for state in RoundState)


# An open round


def test_a_round_goes_through_every_step_and_leaves_a_receipt(opened: Studied) -> None:
    before = opened.entry.model
    assert opened.state is RoundState.TRAINING
    opened.say(*EVERY)
    assert opened.state is RoundState.SURVIVORS
    opened.name_survivors(*EVERY)
    assert opened.state is RoundState.AGGREGATING
    opened.find()
    assert opened.state is RoundState.EVALUATING
    events = opened.say(*EVERY)
    [ended] = [event for event in events if isinstance(event, RoundEnded)]
    receipt = ended.receipt
    assert (receipt.before, receipt.after) == (before, opened.entry.model)
    assert receipt.survivors == names(opened, *EVERY)
    assert (receipt.score.correct, receipt.score.total) == (54, 60)
    entries = opened.cluster.state.items()
    assert round_leaf(receipt) in {getattr(entry, "digest", None) for entry in entries.values()}
    assert opened.entry.round == 2
    assert opened.entry.done == 1


def test_a_study_ends_with_its_last_round(opened: Studied) -> None:
    opened.play()
    opened.play(model=b"after")
    assert opened.entry.state is StudyState.DONE
    assert opened.cluster.state.studies.open == ()
    assert awaited_ms(opened.cluster.state) is None
    assert rejections(opened.block((GUESTS[0], opened.joined(said_ms=9))))


def test_an_invitation_waits_for_who_is_wanted_or_for_its_end() -> None:
    study = Studied(joins=False)
    study.block(*((guest, study.joined()) for guest in EVERY[:3]))
    assert study.entry.state is StudyState.INVITING
    assert awaited_ms(study.cluster.state) is not None
    study.block(after_ms=INVITE_MS)
    assert study.entry.state is StudyState.RUNNING
    assert study.row.roster == names(study, *EVERY[:3])


def test_a_study_that_too_few_join_fails() -> None:
    study = Studied(joins=False)
    study.block((EVERY[0], study.joined()))
    events = study.block(after_ms=INVITE_MS)
    assert study.entry.state is StudyState.FAILED
    assert any(isinstance(event, StudyEnded) for event in events)


# Dropouts at every step


def test_a_silent_participant_is_left_out_after_the_deadline(opened: Studied) -> None:
    opened.say(*EVERY[:4])
    assert opened.state is RoundState.TRAINING
    opened.block(after_ms=TRAIN_MS)
    assert opened.state is RoundState.SURVIVORS
    late = opened.word(EVERY[5])
    assert rejections(opened.block((EVERY[5], late))) == [
        "the round waits for something else: survivors"
    ]


def test_too_few_updates_fail_the_round_and_leave_the_model_as_it_is(opened: Studied) -> None:
    before = opened.entry.model
    opened.say(*EVERY[:2])
    opened.block(after_ms=TRAIN_MS)
    first = opened.round(1)
    assert first.state is RoundState.FAILED
    assert first.after == first.before == opened.entry.model == before
    assert (opened.entry.round, opened.entry.done, opened.entry.failures) == (2, 0, 1)


def test_a_study_fails_when_rounds_fail_in_a_row(opened: Studied) -> None:
    for _ in range(FAILURES_MAX):
        opened.block(after_ms=TRAIN_MS + STEP_MS)
    assert opened.entry.state is StudyState.FAILED


def test_silent_aggregators_are_replaced_one_by_one_until_none_is_left(opened: Studied) -> None:
    opened.say(*EVERY)
    drawn = [opened.number(node) for node in opened.row.aggregators]
    named = opened.survivors(*EVERY)
    assert rejections(opened.block((drawn[1], named)))
    opened.block(after_ms=STEP_MS)
    assert not rejections(opened.block((drawn[1], named)))
    assert rejections(opened.block((drawn[3], opened.result())))
    for _ in range(4):
        opened.block(after_ms=STEP_MS + 100)
    assert opened.round(1).state is RoundState.FAILED


def test_missing_scores_hold_up_no_round(opened: Studied) -> None:
    opened.say(*EVERY)
    opened.name_survivors(*EVERY)
    opened.find()
    opened.say(EVERY[0])
    opened.block(after_ms=STEP_MS)
    assert opened.round(1).state is RoundState.DONE
    assert opened.round(1).score.total == 10


# Who decides


def test_one_aggregator_alone_makes_no_model(opened: Studied) -> None:
    opened.say(*EVERY)
    opened.name_survivors(*EVERY)
    opened.find(b"forged", places=(0,))
    opened.find(b"honest", places=(1,))
    assert opened.state is RoundState.AGGREGATING
    opened.block(after_ms=STEP_MS)
    assert len(asked_for_results(opened.row.aggregators, opened.row.turn)) == 3
    opened.find(b"honest", places=(2,))
    assert opened.state is RoundState.EVALUATING
    assert opened.row.after == opened.result(b"honest").after


def test_the_first_survivors_are_final(opened: Studied) -> None:
    opened.say(*EVERY)
    [first] = [opened.number(node) for node in opened.row.aggregators[:1]]
    named = opened.survivors(*EVERY[:4])
    assert not rejections(opened.block((first, named)))
    assert not rejections(opened.block((first, named))), "the same again changes nothing"
    assert rejections(opened.block((first, opened.survivors(*EVERY))))
    assert opened.row.survivors == names(opened, *EVERY[:4])


def test_survivors_have_updates_and_stand_in_order(opened: Studied) -> None:
    opened.say(*EVERY[:4])
    opened.block(after_ms=TRAIN_MS)
    [first] = [opened.number(node) for node in opened.row.aggregators[:1]]
    good = opened.survivors(*EVERY[:4])
    turned = FlSurvivors(
        study=good.study, round=good.round, survivors=tuple(reversed(good.survivors))
    )
    for wrong in (opened.survivors(*EVERY), opened.survivors(*EVERY[:2]), turned):
        assert rejections(opened.block((first, wrong)))
    assert opened.state is RoundState.SURVIVORS


def test_a_second_update_of_a_participant_changes_nothing(opened: Studied) -> None:
    word = opened.word(EVERY[0])
    assert not rejections(opened.block((EVERY[0], word)))
    root = opened.row
    events = opened.block((EVERY[0], word))
    assert not [event for event in events if isinstance(event, RoundHeard)]
    other = opened.word(EVERY[1])
    assert rejections(opened.block((EVERY[0], other)))
    assert opened.row == root


def test_strangers_and_convicts_have_no_word(opened: Studied) -> None:
    assert rejections(opened.block((0, opened.word(EVERY[0]))))
    node = opened.cluster.node(EVERY[0])
    fraud = Fraud(culprit=node, kind="receipt", first=b"", second=b"")
    assert rejections(opened.block((1, fraud))), "nothing is proven here"
    assert not rejections(opened.block((EVERY[0], opened.left())))
    assert opened.entry.participants == names(opened, *EVERY[1:])
    assert rejections(opened.block((EVERY[0], opened.joined(said_ms=1)))), "an older word"
    opened.say(*EVERY[1:])
    assert opened.state is RoundState.SURVIVORS, "nobody waits for who has left"


def test_only_its_author_stops_a_study_and_the_round_ends_with_it(opened: Studied) -> None:
    stop = FlStop(study=opened.study)
    assert rejections(opened.block((1, stop)))
    opened.say(EVERY[0])
    opened.block((0, stop))
    assert opened.entry.state is StudyState.STOPPED
    assert opened.row.state is RoundState.FAILED
    assert opened.row.updates == 1, "what left a participant is in the receipt"
    assert not rejections(opened.block((0, stop)))


def test_a_study_is_begun_once_and_not_without_end(opened: Studied) -> None:
    events = opened.block((0, study_body()))
    assert not [event for event in events if isinstance(event, StudyBegan)]
    for number in range(AUTHOR_OPEN_MAX):
        said = opened.block((0, study_body(nonce=b"%d" % number)))
    assert rejections(said)


@pytest.mark.parametrize(("invite_ms", "hours"), [(INVITE_MS, 1), (24 * 3_600_000, 24)])
def test_a_place_is_paid_for_whatever_becomes_of_the_study(invite_ms: int, hours: int) -> None:
    cluster = TestCluster()
    author, meta = cluster.node(0), cluster.state.meta
    before_msat, pool_msat = cluster.state.balance_msat(author), meta.fee_pool_msat
    body = study_body(invite_ms=invite_ms)
    assert not rejections(cluster.block((0, body)))
    study = study_id(author, body)
    entry = cluster.state.study(study)
    assert entry is not None
    place_msat = 10_000 * hours * cluster.genesis.rules.price_msat_per_mgas_min
    assert before_msat - cluster.state.balance_msat(author) == entry.escrow_msat + place_msat
    assert cluster.state.meta.fee_pool_msat == pool_msat + place_msat
    assert not rejections(cluster.block((0, body))), "said again it is the same study"
    cluster.block((0, FlStop(study=study)))
    assert before_msat - cluster.state.balance_msat(author) == place_msat, "the rest is back"
    assert cluster.state.meta.escrow_msat == 0


def test_a_round_costs_the_time_that_it_holds_a_place() -> None:
    study = Studied(changes={"train_ms": 3_600_000})
    meta, entry = study.cluster.state.meta, study.entry
    study.block(after_ms=3_600_000)
    assert study.round(1).state is RoundState.FAILED
    spent_msat = entry.escrow_msat - study.entry.escrow_msat
    records_msat = 10 * (2 * len(GUESTS) + 2 * 4)  # the next round's
    assert spent_msat == 10_000 + records_msat, "an hour costs what an hour of inviting does"
    after = study.cluster.state.meta
    assert after.fee_pool_msat - meta.fee_pool_msat == spent_msat
    assert meta.escrow_msat - after.escrow_msat == spent_msat
    assert after.escrow_msat == study.entry.escrow_msat


@given(st.integers(-(2**60), 2**60), st.integers(0, 10))
def test_a_round_s_time_costs_no_more_than_was_set_aside_for_it(held_ms: int, price: int) -> None:
    for plan in (OPEN, PRIVATE):
        terms = study_body(plan).terms
        most_msat = held_price_msat(plan, terms, held_ms_max(plan, terms), price)
        assert 0 <= held_price_msat(plan, terms, held_ms, price) <= most_msat


def test_whoever_holds_places_by_slow_rounds_pays_for_them_as_by_inviting() -> None:
    day_ms = 24 * 3_600_000
    body = study_body(participants_min=1, wanted=1, rounds=1_000, train_ms=day_ms, step_ms=day_ms)
    days = 1_000 * held_ms_max(body.plan, body.terms) / day_ms
    inviting_msat = place_price_msat(study_body(invite_ms=day_ms).terms, 1)
    assert study_price_msat(body.plan, body.terms, 4, 1) >= days * inviting_msat


@pytest.mark.parametrize("missing_msat", [0, 1])
def test_who_cannot_pay_for_place_and_rounds_begins_no_study(missing_msat: int) -> None:
    body, rules = study_body(), Rules()
    needed_msat = study_price_msat(body.plan, body.terms, 4, rules.price_msat_per_mgas_min)
    needed_msat += place_price_msat(body.terms, rules.price_msat_per_mgas_min)
    cluster = TestCluster(grant_msat=needed_msat - missing_msat)
    assert bool(rejections(cluster.block((0, body)))) == bool(missing_msat)


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 0},
        {"participants_min": 0},
        {"wanted": 2},
        {"wanted": 257},
        {"step_ms": 1},
        {"samples_max": 0},
    ],
)
def test_terms_that_no_study_may_have_are_refused(changes: dict[str, int]) -> None:
    study = Studied(joins=False)
    assert rejections(study.block((0, study_body(nonce=b"other", **changes))))


def test_what_ended_long_ago_is_forgotten(opened: Studied) -> None:
    opened.play()
    opened.play(model=b"after")
    opened.cluster.time_ms += opened.cluster.genesis.rules.keep_ms
    opened.block()
    opened.block()
    assert opened.cluster.state.study(opened.study) is None
    assert opened.cluster.state.round(opened.study, 1) is None
    assert opened.cluster.state.studies.ended == ()


# A private round


def test_a_private_round_shares_masks_before_it_trains_and_opens_them_after() -> None:
    study = Studied(plan=PRIVATE)
    seen = []
    while study.entry.round == 1:
        seen.append(study.state)
        match study.state:
            case RoundState.SURVIVORS:
                study.name_survivors(*EVERY)
            case RoundState.AGGREGATING:
                study.find()
            case _:
                study.say(*EVERY)
    assert seen == [RoundState(number) for number in range(6)]


def test_who_keeps_its_keys_back_does_not_choose_groups_since_they_are_drawn_afterwards() -> None:
    def played(silent: set[int], pauses: int) -> tuple[bytes, bytes]:
        study = Studied(PRIVATE)
        before = study.row.seed
        assert study.state is RoundState.KEYS
        for _ in range(pauses):
            study.block(after_ms=10)
        study.say(*(set(GUESTS) - silent))
        if silent:
            study.block(after_ms=STEP_MS)
        assert study.state is RoundState.SHARES
        return before, study.row.seed

    seen = [played(set(), 0), played(set(), 1), played({GUESTS[0]}, 1)]
    assert len({before for before, _ in seen}) == 1, "what was known while keys were said"
    assert len({drawn for _, drawn in seen} - {seen[0][0]}) == 3, "what the groups are drawn with"
    assert played(set(), 0) == seen[0]


def test_groups_that_too_few_are_left_of_are_never_unmasked() -> None:
    study = Studied(plan=PRIVATE)
    study.say(*EVERY)
    first, second = groups_of(study.row.roster, study.row.seed, PRIVATE.group_size)
    assert threshold_of(PRIVATE, len(first)) == 3
    study.say(*EVERY)
    gone = study.number(first[0])
    study.say(*silenced(study, gone))
    study.block(after_ms=TRAIN_MS)
    [drawn] = [study.number(node) for node in study.row.aggregators[:1]]
    assert rejections(study.block((drawn, study.survivors(*silenced(study, gone)))))
    left = tuple(study.number(node) for node in second)
    assert not rejections(study.block((drawn, study.survivors(*left))))
    assert study.row.survivors == tuple(sorted(second))


def test_a_round_fails_when_too_few_open_their_shares() -> None:
    study = Studied(plan=PRIVATE)
    for _ in range(3):
        study.say(*EVERY)
    study.name_survivors(*EVERY)
    study.say(EVERY[0])
    study.block(after_ms=STEP_MS)
    assert study.round(1).state is RoundState.FAILED
    assert study.round(1).updates == len(EVERY), "what was spent is in the receipt"


# Whatever is said


@settings(max_examples=25)
@given(
    private=st.booleans(),
    silent=st.lists(st.sets(st.sampled_from(EVERY)), min_size=1, max_size=12),
)
def test_rounds_end_whoever_falls_silent_when(*, private: bool, silent: list[set[int]]) -> None:
    study = Studied(plan=PRIVATE if private else OPEN, changes={"rounds": 3})
    finals: dict[int, tuple[bytes, ...]] = {}
    for gone in silent:
        if not study.entry.is_open:
            break
        left = silenced(study, *gone)
        if study.state is RoundState.SURVIVORS and len(left) >= 3:
            study.name_survivors(*left)
        elif study.state is RoundState.AGGREGATING and left:
            study.find()
        elif study.state is not RoundState.SURVIVORS:
            study.say(*left)
        row = study.cluster.state.round(study.study, study.entry.round)
        if row is not None and row.state in {RoundState.UNMASKING, RoundState.AGGREGATING}:
            known = finals.setdefault(study.entry.round, row.survivors)
            assert set(row.survivors) <= set(known)
    for _ in range(3 * FAILURES_MAX * len(RoundState)):
        study.block(after_ms=TRAIN_MS + 100)
    assert study.entry.state in {StudyState.DONE, StudyState.FAILED}
    assert learning.due_ms(study.cluster.state) is None
    assert study.cluster.restarted().root == study.cluster.state.root
