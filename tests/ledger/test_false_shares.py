"""Private mode: whose shares are false is out of the study, and hidden sums make no model."""

from msgspec.structs import replace

from ambientd.model.learning import RoundState
from ambientd.model.learning_record import FlKeys
from tests.ledger.cluster import rejections
from tests.ledger.studies import GUESTS, PRIVATE, Studied, names


def private_round_with_result(left_out: tuple[int, ...], faulty: tuple[int, ...]) -> Studied:
    study = Studied(PRIVATE)
    study.say(*GUESTS)
    study.say(*GUESTS)
    study.say(*GUESTS)
    study.name_survivors(*GUESTS)
    study.say(*GUESTS)
    assert study.state is RoundState.AGGREGATING
    out, liars = names(study, *left_out), names(study, *faulty)
    aggregators = [study.number(node) for node in study.row.aggregators[:2]]
    result = replace(study.result(left_out=out), faulty=liars)
    study.block(*((each, result) for each in aggregators))
    return study


def test_whose_shares_were_false_is_out_of_the_study_for_good() -> None:
    liar = GUESTS[0]
    study = private_round_with_result((), (liar,))
    assert study.round(1).state is RoundState.DONE
    assert study.round(1).faulty == names(study, liar)
    assert study.entry.barred == names(study, liar)
    assert study.cluster.node(liar) not in study.row.roster
    [why] = rejections(study.block((liar, study.joined(said_ms=50))))
    assert "false" in why
    assert study.cluster.node(liar) not in study.row.roster


def test_a_round_whose_sums_stay_hidden_fails_and_leaves_the_model_as_it_was() -> None:
    study = private_round_with_result(tuple(GUESTS)[:4], ())
    assert study.round(1).state is RoundState.FAILED
    assert study.round(1).after == study.round(1).before
    assert "sums of 2 participants" in study.round(1).reason


def test_one_aggregator_alone_bars_nobody() -> None:
    study = Studied(PRIVATE)
    for _ in range(3):
        study.say(*GUESTS)
    study.name_survivors(*GUESTS)
    study.say(*GUESTS)
    first, second = (study.number(node) for node in study.row.aggregators[:2])
    lie = replace(study.result(), faulty=names(study, GUESTS[0]))
    study.block((first, lie), (second, study.result()))
    assert study.round(1).state is RoundState.DONE
    assert study.entry.barred == ()


def test_a_key_that_everybody_could_guess_is_rejected() -> None:
    study = Studied(PRIVATE)
    for key in (bytes(32), b"\x01" + bytes(31)):
        word = study.word(GUESTS[0])
        assert isinstance(word, FlKeys)
        [why] = rejections(study.block((GUESTS[0], replace(word, mask_key=key))))
        assert "nobody can agree" in why
    assert study.row.keys == ()
