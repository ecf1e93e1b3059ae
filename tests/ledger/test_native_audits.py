"""Audits within a tolerance: who is drawn, whom f + 1 aggregators bar, and what stays as it was."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import plan_hash
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.learning_entries import StudyEntry
from ambientd.ledger.native_audits import LEARNING_CLASS, examined
from ambientd.ledger.versions import HIDERS_VERSION
from ambientd.model.learning import Plan, RoundState, TolerantPlan, within
from ambientd.model.learning_record import FlStudy
from ambientd.rules.studies import study_fault
from ambientd.rules.study_price import held_ms_max, native_audit_price_msat
from ambientd.rules.tolerances import (
    NATIVE_WORK_MAX,
    TOLERANCE_MICRO_MAX,
    bounds_fault,
    repeat_fault,
    repeated_work,
    rows_fault,
    samples_repeated,
)
from tests.ledger.cluster import rejections
from tests.ledger.studies import (
    GUESTS,
    OPEN,
    STEP_MS,
    TRAIN_MS,
    WITHIN,
    Studied,
    study_body,
    terms,
)

EVERY = tuple(GUESTS)
AUDITED = {"audits": 2}


def at_aggregating() -> Studied:
    study = Studied(WITHIN, AUDITED)
    study.say(*EVERY)
    study.name_survivors(*EVERY)
    assert study.state is RoundState.AGGREGATING
    return study


def drawn(study: Studied) -> tuple[int, ...]:
    return tuple(study.number(each.node) for each in examined(study.entry, study.row))


def find(study: Studied, *said: tuple[int, tuple[int, ...]]) -> list[str]:
    """Let aggregators, by their places, say the same model, and each whom it names."""
    events = study.block(
        *(
            (
                study.number(study.row.aggregators[place]),
                replace(
                    study.result(),
                    faulty=tuple(sorted(study.cluster.node(each) for each in faulty)),
                ),
            )
            for place, faulty in said
        )
    )
    return rejections(events)


# The plan's bytes


def test_a_plan_without_a_tolerance_travels_as_it_ever_did() -> None:
    body = study_body(OPEN)
    assert encode(OPEN) == bytes.fromhex(
        "9fa96d6c703a342c332c32a56e756d7079a6666564617667c420" + "00" * 32 + "c420" + "00" * 32
    ) + bytes.fromhex("0120ce000186a0000000000000c2")
    again = decode(encode(body), FlStudy)
    assert (again, type(again.plan)) == (body, Plan)
    assert again.plan.tolerance_micro == 0


def test_a_tolerance_is_one_field_more_of_plans_and_studies_in_the_state() -> None:
    body = study_body(WITHIN, audits=2)
    again = decode(encode(body), FlStudy)
    assert (again, type(again.plan)) == (body, TolerantPlan)
    assert again.plan.tolerance_micro == 1_000
    assert plan_hash(again.plan) != plan_hash(replace(WITHIN, tolerance_micro=1_001))
    entry = at_aggregating().entry
    assert decode(encode(entry), StudyEntry) == entry


def test_a_tolerance_of_nothing_in_so_many_words_is_no_canonical_plan() -> None:
    long = encode(replace(WITHIN, tolerance_micro=0))
    data = encode(study_body(WITHIN)).replace(encode(WITHIN), long)
    with pytest.raises(RemoteProtocolError, match="canonical"):
        decode(data, FlStudy)


# Which studies


@pytest.mark.parametrize(
    ("plan", "changes", "why"),
    [
        (WITHIN, {}, "say how many"),
        (within(OPEN, 1_000), AUDITED, "poison below the tolerance"),
        (within(WITHIN, TOLERANCE_MICRO_MAX + 1), AUDITED, "lies above 0"),
        (within(WITHIN, -1), AUDITED, "lies above 0"),
        (replace(WITHIN, model="mlp:5,3,2"), AUDITED, "has 104 bytes"),
        (replace(WITHIN, model="what"), AUDITED, "what"),
        (OPEN, AUDITED, "or within a tolerance"),
        (WITHIN, {"audits": 5}, "4 are allowed"),
    ],
)
def test_what_means_nothing_with_a_tolerance_is_refused(
    plan: Plan, changes: dict[str, int], why: str
) -> None:
    fault = study_fault(study_body(plan, **changes))
    assert fault is not None
    assert why in fault


def test_who_is_audited_joins_with_its_data_and_says_that_many_samples() -> None:
    study = Studied(WITHIN, AUDITED, joins=False)
    bare = replace(study.joined(), data=bytes(32), samples=0)
    assert "name the hash" in rejections(study.block((EVERY[0], bare)))[0]
    assert not rejections(study.block(*((each, study.joined()) for each in EVERY)))
    boast = replace(study.word(EVERY[0]), samples=11)
    assert "joined with 10" in rejections(study.block((EVERY[0], boast)))[0]


def test_more_work_than_aggregators_repeat_is_refused_before_anybody_trains() -> None:
    long = replace(WITHIN, model="mlp:64,1000,10", passes=1_000)
    body = replace(study_body(long, audits=1), model_size_bytes=4 * 75_010)
    assert study_fault(body) is None
    most = NATIVE_WORK_MAX // (1_000 * 75_010)
    assert rows_fault(long, most) is None
    assert "name less data" in (rows_fault(long, most + 1) or "")


# Lots, and what they cost


def test_lots_are_drawn_by_the_block_that_ends_training_and_paid_by_the_author() -> None:
    study = Studied(WITHIN, AUDITED)
    before = study.row.seed
    assert drawn(study) == ()
    study.say(*EVERY[:-1])
    escrow_msat = study.entry.escrow_msat
    study.say(EVERY[-1])
    assert study.state is RoundState.SURVIVORS
    assert study.row.seed != before, "nobody knew it when updates were said"
    assert len(drawn(study)) == 2
    price_msat = study.cluster.genesis.rules.price_msat_per_mgas_min
    paid_msat = escrow_msat - study.entry.escrow_msat
    assert paid_msat == 2 * native_audit_price_msat(4, price_msat) == 2 * 2 * 10_000 * price_msat


def test_aggregators_have_the_time_of_a_training_besides_and_it_is_paid_for() -> None:
    study = at_aggregating()
    assert study.row.due_ms - study.cluster.state.meta.time_ms == TRAIN_MS + STEP_MS
    terms = study.entry.terms
    assert held_ms_max(WITHIN, terms) - held_ms_max(OPEN, terms) == TRAIN_MS


# Whom aggregators name


def test_whom_f_plus_one_aggregators_name_is_barred_and_the_round_has_its_model() -> None:
    study = at_aggregating()
    liar = drawn(study)[0]
    assert not find(study, (0, (liar,)), (1, (liar,)))
    assert study.state is RoundState.EVALUATING
    assert study.row.faulty == study.entry.barred == (study.cluster.node(liar),)
    study.say(*EVERY)
    assert study.entry.round == 2
    assert study.cluster.node(liar) not in study.row.roster
    assert "was false" in rejections(study.block((liar, study.joined(said_ms=9))))[0]
    entry = study.cluster.state.node(study.cluster.node(liar))
    assert entry is not None
    assert not entry.tombstoned, "no bond is lost for floats"


def test_nobody_is_named_but_who_was_drawn() -> None:
    study = at_aggregating()
    other = next(each for each in EVERY if each not in drawn(study))
    assert find(study, (0, (other,))) == [
        "lies are of some of those who dealt or were drawn, each once, in ascending order"
    ]


def test_one_aggregator_alone_bars_nobody_and_shields_nobody() -> None:
    """Those who disagree ask one more, until f + 1 say the one or the other."""
    for third, is_barred in (((), False), (None, True)):
        study = at_aggregating()
        accused = drawn(study)[0]
        find(study, (0, (accused,)), (1, ()))
        assert study.state is RoundState.AGGREGATING, "one names it, and one does not"
        study.block(after_ms=TRAIN_MS + STEP_MS)
        assert study.row.turn == 1
        find(study, (2, (accused,) if third is None else third))
        assert study.state is RoundState.EVALUATING
        assert bool(study.entry.barred) is is_barred


def test_aggregators_that_never_agree_whom_to_name_end_the_round_with_its_model() -> None:
    study = at_aggregating()
    accused = drawn(study)[0]
    find(study, (0, (accused,)), (1, ()))
    for _ in study.row.aggregators:
        assert study.state is RoundState.AGGREGATING
        study.block(after_ms=TRAIN_MS + STEP_MS)
    assert study.state is RoundState.EVALUATING
    assert study.entry.barred == ()
    assert study.row.after == study.result().after


# Who was drawn and shows no rows


def with_hider(version: int = HIDERS_VERSION, rounds: int = 2) -> tuple[Studied, int]:
    """Give a study, at AGGREGATING, of whose round somebody that was drawn is left out."""
    study = Studied(WITHIN, {"audits": 2, "rounds": rounds}, version=version)
    study.say(*EVERY)
    return study, leave_out_drawn(study)


def leave_out_drawn(study: Studied, hider: int | None = None) -> int:
    """Name all survivors but one that was drawn: its rows did not come."""
    assert study.state is RoundState.SURVIVORS
    found = drawn(study)[0] if hider is None else hider
    study.name_survivors(*(each for each in EVERY if each != found))
    assert study.state is RoundState.AGGREGATING
    return found


def bad_outcomes(study: Studied, guest: int) -> int:
    entry = study.cluster.state.reputation(study.cluster.node(guest), LEARNING_CLASS)
    return entry.bad


def next_round(study: Studied, *but: int) -> None:
    study.say(*(each for each in EVERY if each not in but))
    assert study.state is RoundState.TRAINING
    study.say(*EVERY)


def drawn_again(study: Studied, guest: int) -> None:
    """Play rounds, in which nobody hides, until a participant is drawn anew."""
    while guest not in drawn(study):
        study.name_survivors(*EVERY)
        find(study, (0, ()), (1, ()))
        next_round(study)


def test_who_was_drawn_and_shows_no_rows_is_named_and_late_and_takes_part_again() -> None:
    study, hider = with_hider()
    before = bad_outcomes(study, hider)
    assert study.cluster.node(hider) not in study.row.survivors, "its update does not count"
    assert not find(study, (0, (hider,)), (1, (hider,)))
    assert study.state is RoundState.EVALUATING
    assert study.row.faulty == (study.cluster.node(hider),)
    assert study.entry.barred == (), "a device may have lost its power"
    assert bad_outcomes(study, hider) > before
    node = study.cluster.state.node(study.cluster.node(hider))
    assert node is not None
    assert not node.tombstoned
    next_round(study, hider)
    assert study.cluster.node(hider) in study.row.roster


def test_who_shows_no_rows_twice_takes_part_in_the_study_no_more() -> None:
    study, hider = with_hider(rounds=60)
    find(study, (0, (hider,)), (1, (hider,)))
    next_round(study, hider)
    drawn_again(study, hider)
    leave_out_drawn(study, hider)
    find(study, (0, (hider,)), (1, (hider,)))
    assert study.entry.barred == (study.cluster.node(hider),)
    study.say(*(each for each in EVERY if each != hider))
    assert study.cluster.node(hider) not in study.row.roster


def test_what_one_aggregator_alone_does_not_find_is_nobodys_fault() -> None:
    """Nor what whoever names the survivors did not find: others have it."""
    study, hider = with_hider()
    find(study, (0, (hider,)), (1, ()))
    assert study.state is RoundState.AGGREGATING
    study.block(after_ms=TRAIN_MS + STEP_MS)
    find(study, (2, ()))
    assert study.state is RoundState.EVALUATING
    assert study.row.faulty == study.entry.barred == ()


def test_who_has_left_the_study_owes_nobody_its_rows_and_comes_back_once() -> None:
    study, hider = with_hider()
    study.block((hider, study.left(said_ms=5)))
    before = bad_outcomes(study, hider)
    find(study, (0, (hider,)), (1, (hider,)))
    assert study.row.faulty == (study.cluster.node(hider),)
    assert bad_outcomes(study, hider) == before


def test_in_the_version_before_nobody_is_named_but_survivors() -> None:
    study, hider = with_hider(version=HIDERS_VERSION - 1)
    [reason] = find(study, (0, (hider,)))
    assert reason.startswith("lies are of some of those who dealt or were drawn")


# What a training that others repeat may take


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"passes": 0}, "passes lie between"),
        ({"passes": 1_001}, "passes lie between"),
        ({"batch": 0}, "a batch between"),
        ({"batch": 4_097}, "a batch between"),
        ({"rate_micro": 0}, "the rate lies"),
        ({"prox_micro": 100_000_001}, "and prox between"),
        ({"model": "mlp:4000,4000,10", "passes": 1_000}, "more than can be repeated"),
    ],
)
def test_a_study_whose_audits_would_take_without_bound_does_not_begin(
    changes: dict[str, object], words: str
) -> None:
    plan = replace(WITHIN, **changes)
    assert words in (bounds_fault(plan, terms(audits=2)) or "")
    assert bounds_fault(replace(OPEN, passes=0), terms()) is None, "nobody repeats it"


def test_the_ledger_holds_studies_and_joins_to_what_can_be_repeated() -> None:
    study = Studied(WITHIN, AUDITED, version=HIDERS_VERSION)
    [reason] = rejections(study.block((0, study_body(replace(WITHIN, batch=0), b"m", audits=1))))
    assert "a batch between" in reason
    long = replace(WITHIN, passes=1_000, batch=1)
    study = Studied(long, AUDITED, joins=False, version=HIDERS_VERSION)
    most = samples_repeated(long, study.entry.terms)
    assert 0 < most < 10_000
    join = study.joined()
    [reason] = rejections(study.block((20, replace(join, samples=most + 1))))
    assert f"a training on {most} at most" in reason
    assert not rejections(study.block((20, replace(join, samples=most))))


@pytest.mark.parametrize("batch", [0, 1 << 40])
def test_a_study_of_the_version_before_that_says_anything_is_joined_or_not(batch: int) -> None:
    """A plan that nobody bounded then divides by nothing now."""
    study = Studied(replace(WITHIN, batch=batch), AUDITED, joins=False)
    study.version = HIDERS_VERSION
    study.go_over()
    study.block((20, study.joined()))
    assert study.cluster.state.version == HIDERS_VERSION


def test_small_batches_count_for_what_they_take() -> None:
    few, many = replace(WITHIN, batch=1), replace(WITHIN, batch=1_000)
    assert repeated_work(few, 1_000) > 100 * repeated_work(many, 1_000)
    most = samples_repeated(few, terms(audits=4))
    assert repeat_fault(few, terms(audits=4), most) is None
    assert repeat_fault(few, terms(audits=4), most + 1) is not None
    assert samples_repeated(few, terms(audits=1)) >= 4 * most
    assert samples_repeated(few, terms(audits=4, samples_max=7)) == 7
