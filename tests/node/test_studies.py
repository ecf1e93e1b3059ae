"""Rounds of studies among whole nodes, and what a change of the coordinator means to them."""

import pytest

from ambientd.codec.digest import sha256
from ambientd.codec.statements import study_id
from ambientd.ledger.learning_entries import RoundEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Plan, RoundState, StudyId, Terms
from ambientd.model.learning_record import FlJoin, FlStudy
from sim.pupils import PARAMETER_BYTES, model_of
from sim.students import MODEL
from sim.world import EPOCH_MS
from tests.node.cluster import Cluster

GUESTS = (4, 5, 6)


def begun(cluster: Cluster) -> StudyId:
    """Begin a study of one round in which the guests take part."""
    body = FlStudy(
        nonce=b"n",
        name="digits",
        plan=Plan(model=MODEL, trainer="sim", aggregation="fedavg", seed=bytes(32)),
        terms=Terms(
            rounds=1, participants_min=3, wanted=3, invite_ms=5_000, train_ms=20_000, step_ms=5_000
        ),
        initial=Digest(sha256(b"model")),
        model_size_bytes=PARAMETER_BYTES,
        until_ms=EPOCH_MS + cluster.world.now + cluster.genesis.rules.keep_ms // 2,
    )
    study = study_id(NodeId(cluster.hosts[0].key), body)
    cluster.say(0, body)
    cluster.until(cluster.everywhere(lambda ledger: ledger.study(study) is not None))
    for number in GUESTS:
        cluster.say(number, FlJoin(study=study, said_ms=EPOCH_MS + cluster.world.now))
    return study


def row_of(cluster: Cluster, study: StudyId) -> RoundEntry | None:
    return cluster.up()[0].ledger.round(study, 1)


@pytest.mark.parametrize(
    "state",
    [RoundState.TRAINING, RoundState.SURVIVORS, RoundState.AGGREGATING, RoundState.EVALUATING],
)
def test_a_round_goes_on_as_it_was_when_the_coordinator_changes_amid_it(state: RoundState) -> None:
    cluster = Cluster(guests=len(GUESTS))
    for guest in range(len(GUESTS)):
        cluster.join(guest)
    study = begun(cluster)

    def reached(*wanted: RoundState) -> bool:
        row = row_of(cluster, study)
        return row is not None and row.state in wanted

    cluster.until(lambda: reached(state))
    before, dead = row_of(cluster, study), cluster.coordinator()
    assert before is not None
    cluster.world.crash(cluster.hosts[dead].key)
    cluster.until(lambda: reached(RoundState.EVALUATING, RoundState.DONE))
    amid = row_of(cluster, study)
    assert amid is not None
    if amid.state is RoundState.EVALUATING:
        assert (amid.seed, amid.roster, amid.aggregators) == (
            before.seed,
            before.roster,
            before.aggregators,
        )
        assert set(before.contributed) <= set(amid.contributed)
        kept = [said for said in amid.contributed if said.node in amid.survivors]
        assert amid.after == model_of(amid.before, kept)
    cluster.until(cluster.everywhere(lambda ledger: _is_done(ledger.round(study, 1))), 60_000)
    ended = row_of(cluster, study)
    assert ended is not None
    assert ended.after == amid.after != ended.before
    assert set(before.survivors) <= set(ended.survivors)
    assert cluster.coordinator() != dead
    cluster.world.start(cluster.hosts[dead].key)
    cluster.until(cluster.everywhere(lambda ledger: ledger.round(study, 1) == ended))
    cluster.check_equal()


def _is_done(row: RoundEntry | None) -> bool:
    return row is not None and row.state is RoundState.DONE
