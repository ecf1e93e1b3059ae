"""The telemetry core: telling, learning, forgetting, blaming."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.model.base import NodeId
from ambientd.model.execution import EngineCode
from ambientd.model.telemetry import Measure, TelemetryBatch
from ambientd.telemetry.batch import FIRST_HASH, INTEGER_MAX, batch_hash, decode_batch, is_evidence
from ambientd.telemetry.condition import buckets
from ambientd.telemetry.core import Telemetry, TelemetryOptions
from ambientd.telemetry.messages import (
    BatchAccepted,
    BatchReceived,
    Effect,
    ExecutionsChanged,
    IdentitySeenElsewhere,
    MembersChanged,
    OperationEnded,
    Penalise,
    PersistEpoch,
    Publish,
    ReportEvidence,
    RoundTripMeasured,
    SafeModeChanged,
    Sampled,
    SizeSeen,
    Ticked,
    TransferMeasured,
)
from ambientd.telemetry.safe_mode import Mode, Reason
from tests.telemetry.builders import (
    CLUSTER,
    FOURTH,
    ME,
    NODES,
    OTHER,
    PEER,
    RELAY,
    SIGNERS,
    STRANGER,
    chain,
    data,
    fresh,
    observation,
    signed,
)

SAMPLE = Sampled(
    (observation("cpu_load_percent", 25_000), observation("memory_available_percent", 50_000))
)


def receive(core: Telemetry, batch: TelemetryBatch, now: int = 0) -> list[Effect]:
    return core.handle(BatchReceived(RELAY, data(batch)), now=now)


def published(effects: list[Effect]) -> list[TelemetryBatch]:
    return [decode_batch(each.data) for each in effects if isinstance(each, Publish)]


# Telling


def test_the_epoch_is_persisted_before_the_first_batch_leaves() -> None:
    core = fresh(last_epoch=6)
    first, second, third = core.handle(SAMPLE, now=0)
    assert first == PersistEpoch(7)
    assert isinstance(second, BatchAccepted)
    assert isinstance(third, Publish)
    assert decode_batch(third.data) == second.batch
    assert (second.batch.epoch, second.batch.seq, second.batch.prev_hash) == (7, 0, FIRST_HASH)


def test_batches_leave_at_the_beat_and_form_a_chain() -> None:
    core = fresh()
    assert core.handle(Ticked(), now=0) == []
    batches = []
    for now in range(0, 31_000, 500):
        batches += published(core.handle(SAMPLE, now=now))
        batches += published(core.handle(Ticked(), now=now))
    assert [batch.seq for batch in batches] == [0, 1, 2, 3]
    for before, after in itertools.pairwise(batches):
        assert after.prev_hash == batch_hash(before)
    assert core.last_hash == batch_hash(batches[-1])


def test_a_batch_says_what_the_node_knows_of_itself() -> None:
    core = fresh(TelemetryOptions(capacity=4, engine=EngineCode.WASMER))
    core.handle(ExecutionsChanged(3), now=0)
    core.handle(RoundTripMeasured(PEER, 8_000), now=0)
    core.handle(TransferMeasured(400_000), now=0)
    lie = observation(Measure.CAPACITY, 99_000)
    (batch,) = published(core.handle(Sampled((*SAMPLE.observations, lie)), now=0))
    said = {each.name: each.value for each in batch.observations}
    assert said == {
        "safe_mode_flag": 0,
        "capacity_slots": 4_000,
        "executions_count": 3_000,
        "engine_code": 2_000,
        "latency_ms": 4_000,
        "bandwidth_mbit_per_s": 400_000,
        "cpu_load_percent": 25_000,
        "memory_available_percent": 50_000,
    }


def test_only_published_observations_leave() -> None:
    core = fresh(TelemetryOptions(published=frozenset({"capacity_slots"})))
    (batch,) = published(core.handle(SAMPLE, now=0))
    assert [each.name for each in batch.observations] == ["capacity_slots"]


def test_what_is_not_measured_travels_as_none_with_its_source() -> None:
    core = fresh()
    absent = observation(Measure.TEMPERATURE, None, "thermal")
    (batch,) = published(core.handle(Sampled((absent,)), now=0))
    assert absent in batch.observations
    assert observation(Measure.LATENCY, None, "round-trips") in batch.observations


def test_a_change_of_mode_is_told_at_once() -> None:
    core = fresh()
    core.handle(SAMPLE, now=0)
    core.handle(ExecutionsChanged(1), now=0)
    hot = Sampled((observation(Measure.TEMPERATURE, 90_000),))
    effects = core.handle(hot, now=2_000)
    assert effects[0] == SafeModeChanged(Mode.DRAINING, (Reason.HOT,))
    (batch,) = published(effects)
    assert observation(Measure.SAFE_MODE, 1000, "tripped: hot") in batch.observations
    core.handle(ExecutionsChanged(0), now=2_500)
    assert core.handle(Ticked(), now=2_600) == []
    assert core.handle(Ticked(), now=3_000)[0] == SafeModeChanged(Mode.SAFE, (Reason.HOT,))
    assert core.mode is Mode.SAFE
    assert not core.view(3_000)[ME].accepting


def test_errors_sizes_and_latency_reach_the_breakers() -> None:
    core = fresh()
    for _ in range(26):
        core.handle(OperationEnded(succeeded=False), now=100)
    core.handle(SizeSeen(9_000_000), now=100)
    for now in range(1_000, 41_000, 1_000):
        core.handle(RoundTripMeasured(PEER, 400_000), now=now)
        core.handle(OperationEnded(succeeded=False), now=now)
        core.handle(SizeSeen(9_000_000), now=now)
        core.handle(Ticked(), now=now)
    assert core._safe_mode.reasons == (Reason.SLOW, Reason.OVERSIZED, Reason.FAILING)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_ms": 0},
        {"check_ms": 0},
        {"nodes_max": 0},
        {"stale_ms": 10_000},
        {"capacity": -1},
        {"capacity": 5_000},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"above|capacity"):
        Telemetry(SIGNERS[0], TelemetryOptions(**wrong), 0)  # type: ignore[arg-type]


# Learning


def test_a_members_batch_is_learnt_once() -> None:
    core = fresh()
    batch = signed()
    assert receive(core, batch) == [BatchAccepted(batch)]
    assert receive(core, batch) == []
    condition = core.view(700)[PEER]
    assert (condition.epoch, condition.seq, condition.age_ms) == (1, 0, 700)
    assert condition.observations == batch.observations


def test_older_batches_are_ignored() -> None:
    core = fresh()
    first, second, third = chain(3)
    receive(core, third)
    assert receive(core, first) == receive(core, second) == []
    assert core.view(0)[PEER].seq == 2
    restarted = signed(epoch=2)
    assert receive(core, restarted) == [BatchAccepted(restarted)]
    assert receive(core, third) == []


def test_strangers_are_ignored_without_blame() -> None:
    core = fresh()
    assert receive(core, signed(4)) == []
    assert STRANGER not in core.view(0)


def test_a_node_that_leaves_is_forgotten() -> None:
    core = fresh()
    receive(core, signed(1))
    receive(core, signed(2))
    core.handle(MembersChanged(frozenset({ME, OTHER})), now=0)
    assert set(core.view(0)) == {OTHER}


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x96\xc4\x20short",
        b"garbage" * 20,
        data(signed()) + bytes(1024),
        data(signed()) + b"\0",
        data(msgspec.structs.replace(signed(), signature=b"s" * 64)),
        data(msgspec.structs.replace(signed(), seq=-1)),
    ],
    ids=["empty", "short", "garbage", "large", "trailing byte", "forged", "range"],
)
def test_whoever_hands_over_rubbish_is_penalised(wrong: bytes) -> None:
    core = fresh()
    (effect,) = core.handle(BatchReceived(RELAY, wrong), now=0)
    assert isinstance(effect, Penalise)
    assert effect.sender == RELAY
    assert core.view(0) == {}


def test_a_forged_batch_does_not_shadow_the_true_one() -> None:
    core = fresh()
    forged = msgspec.structs.replace(signed(seq=9), signature=b"s" * 64)
    receive(core, forged)
    true = signed(seq=0)
    assert receive(core, true) == [BatchAccepted(true)]


def test_two_batches_at_one_place_are_reported_once_with_proof() -> None:
    core = fresh()
    first, second, third = (signed(seq=3, value=value) for value in (1, 2, 3))
    receive(core, first)
    report = receive(core, second)[0]
    assert isinstance(report, ReportEvidence)
    assert (report.culprit, report.kind) == (PEER, "telemetry")
    assert is_evidence(report.first, report.second, CLUSTER)
    assert not any(isinstance(each, ReportEvidence) for each in receive(core, third))


def test_a_fork_of_the_chain_is_reported_with_proof() -> None:
    core = fresh()
    receive(core, signed(seq=3))
    effects = receive(core, signed(seq=4))
    report, accepted = effects
    assert isinstance(report, ReportEvidence)
    assert is_evidence(report.first, report.second, CLUSTER)
    assert isinstance(accepted, BatchAccepted)


def test_gaps_in_a_chain_are_no_fork() -> None:
    core = fresh()
    batches = chain(6)
    for seq in (0, 1, 3, 5):
        assert receive(core, batches[seq]) == [BatchAccepted(batches[seq])]


@st.composite
def mixed_batches(draw: st.DrawFn) -> list[TelemetryBatch]:
    places = st.tuples(
        st.sampled_from([1, 2]), st.integers(1, 2), st.integers(0, 3), st.integers(0, 2)
    )
    return [signed(*place) for place in draw(st.lists(places, max_size=12))]


@settings(deadline=None)
@given(mixed_batches(), st.randoms(use_true_random=False))
def test_all_nodes_agree_whatever_the_order_and_the_repeats(
    batches: list[TelemetryBatch], source: random.Random
) -> None:
    orders = [batches, batches[::-1], source.sample(batches * 2, 2 * len(batches))]
    views = []
    for order in orders:
        core = fresh()
        for batch in order:
            receive(core, batch)
        views.append(core.view(0))
    assert views[0] == views[1] == views[2]
    for node, condition in views[0].items():
        places = [(each.epoch, each.seq) for each in batches if each.node == node]
        assert (condition.epoch, condition.seq) == max(places)


@given(st.lists(st.binary(max_size=60) | st.just(data(signed())), max_size=8))
def test_no_input_breaks_the_core(inputs: list[bytes]) -> None:
    core = fresh()
    for each in inputs:
        core.handle(BatchReceived(RELAY, each), now=0)
    assert set(core.view(0)) <= {PEER}


def test_a_full_register_gives_way_only_to_fresh_news_over_stale() -> None:
    core = fresh(TelemetryOptions(nodes_max=2))
    receive(core, signed(1), now=0)
    receive(core, signed(2), now=10_000)
    assert receive(core, signed(3), now=20_000) == []
    assert receive(core, signed(3), now=35_001) != []
    assert set(core.view(35_001)) == {OTHER, FOURTH}


def test_a_register_of_one_keeps_this_node() -> None:
    core = fresh(TelemetryOptions(nodes_max=1))
    core.handle(SAMPLE, now=0)
    assert receive(core, signed(1), now=100_000) == []


# This node, seen from outside


def test_its_own_echo_and_its_past_change_nothing() -> None:
    core = fresh(last_epoch=4)
    (own,) = published(core.handle(SAMPLE, now=0))
    assert receive(core, own) == []
    assert receive(core, signed(0, epoch=4, seq=90)) == []
    resumed = fresh(last_epoch=4)
    assert receive(resumed, signed(0, epoch=4, seq=90)) == []


def test_a_node_restored_from_a_backup_moves_past_what_others_hold() -> None:
    core = fresh(last_epoch=4)
    core.handle(SAMPLE, now=0)
    assert receive(core, signed(0, epoch=9, seq=90)) == [IdentitySeenElsewhere(9)]
    effects = core.handle(SAMPLE, now=1)
    assert effects[0] == PersistEpoch(10)
    (batch,) = published(effects)
    assert (batch.epoch, batch.seq, batch.prev_hash) == (10, 0, FIRST_HASH)


def test_a_thief_cannot_push_the_epoch_out_of_range() -> None:
    core = fresh()
    assert receive(core, signed(0, epoch=INTEGER_MAX)) == [IdentitySeenElsewhere(INTEGER_MAX)]
    (batch,) = published(core.handle(SAMPLE, now=0))
    assert batch.epoch == 1


# Showing


def test_a_silent_node_is_not_given_work() -> None:
    core = fresh()
    receive(core, signed(1, capacity_slots=2_000), now=0)
    assert core.view(35_000)[PEER].accepting
    assert not core.view(35_001)[PEER].accepting


def test_a_node_in_safe_mode_or_without_slots_is_not_given_work() -> None:
    core = fresh()
    receive(core, signed(1, capacity_slots=2_000, safe_mode_flag=1_000))
    receive(core, signed(2, capacity_slots=0))
    receive(core, signed(3))
    assert [each.accepting for each in core.view(0).values()] == [False, False, False]
    assert core.view(0)[PEER].safe_mode


def test_what_is_measured_here_counts_more_than_what_a_node_says() -> None:
    core = fresh()
    receive(core, signed(1, latency_ms=1_000))
    assert core.view(0)[PEER].latency_us == 1_000
    core.handle(RoundTripMeasured(PEER, 60_000), now=0)
    assert core.view(0)[PEER].latency_us == 30_000


def test_reports_are_sorted_and_coarse() -> None:
    core = fresh()
    core.handle(SAMPLE, now=0)
    for author in (3, 1, 2):
        receive(core, signed(author, value=20_000, capacity_slots=1_000_000_000_000))
    reports = core.reports(0, dict.fromkeys(NODES, 500))
    assert [report.node for report in reports] == sorted(NODES[:4])
    assert {report.capacity for report in reports} == {1, 1024}
    health = core.view(0, {PEER: 500})[PEER].health
    assert (health.score_permille, health.known_permille) == (80 + 50, 200)


HAPPENINGS = st.one_of(
    st.tuples(st.just("said"), st.sampled_from((0, 20_000, 90_000))),
    st.tuples(st.just("measured"), st.sampled_from((1_000, 60_000))),
    st.tuples(st.just("judged"), st.sampled_from((100, 900))),
    st.tuples(st.just("silent"), st.sampled_from((1_000, 40_000))),
)


@given(st.lists(HAPPENINGS, max_size=12))
def test_a_report_says_what_the_view_shows_whatever_was_reported_before(
    happenings: list[tuple[str, int]],
) -> None:
    core, now, reputation = fresh(), 0, 500
    receive(core, signed(1, capacity_slots=2_000), now)
    for seq, (kind, value) in enumerate(happenings, start=1):
        match kind:
            case "said":
                receive(core, signed(1, seq=seq, value=value, capacity_slots=2_000), now)
            case "measured":
                core.handle(RoundTripMeasured(PEER, value), now=now)
            case "judged":
                reputation = value
            case _:
                now += value
        shown = core.view(now, {PEER: reputation})[PEER]
        assert core.report(PEER, now, reputation) == buckets(shown)
        assert core.reports(now, {PEER: reputation}) == (buckets(shown),)


def test_carbon_is_shown_in_whole_grams() -> None:
    core = fresh()
    receive(core, signed(1, carbon_g_per_kwh=412_900))
    assert core.view(0)[PEER].carbon_g_per_kwh == 412
    assert core.view(0)[NodeId(PEER)].load_permille == 0
