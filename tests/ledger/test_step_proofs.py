"""Proofs of disputed stretches: they decide as executing does, and nothing ever waits on one."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import sign_proof_word, sign_record, sign_segment
from ambientd.ledger.admission import is_admissible
from ambientd.ledger.assigning import working_ms
from ambientd.ledger.dispute_entries import DisputeState
from ambientd.ledger.entries import reputation_key
from ambientd.ledger.events import LedgerEvent, SegmentReached, StepGivenUp, StepShown, WholeWanted
from ambientd.ledger.proof_entries import StepEntry, StepState
from ambientd.model.base import Digest
from ambientd.model.dispute import SEGMENT_GAS
from ambientd.model.proof import (
    NO_PROOF,
    STEP_FEE_MSAT,
    STEP_GAS_MIN,
    STEP_WAITS_MAX,
    Finding,
)
from ambientd.model.record import Body, Prover, StepFound, StepPromise, StepProof
from ambientd.model.task import Verdict
from sim.traces import TraceVice
from tests.ledger.cluster import START_MS, TestCluster, rejections
from tests.ledger.games import GAS, RULES, Match

GAS_TAKEN = 5_000
PRICE = 1_000
WAIT_MS = 10_000
CYCLES = 1 << 18
PROOF = Digest(b"p" * 32)


class Proving(TestCluster):
    """Seven members, of which all but the first prove."""

    __test__ = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.block(*((each, Prover(cycles_max=1 << 20, said_ms=START_MS)) for each in range(1, 7)))


def disputed(*words: TraceVice | None) -> Match:
    return Match(words or (None, TraceVice.WRONG_STEP), cluster_type=Proving, price=PRICE)


def bystanders(match: Match) -> list[int]:
    """Give the members that prove and have no part in the task, the last ones first."""
    workers = {slot.worker for slot in match.entry.slots}
    return [n for n in range(6, 0, -1) if match.cluster.node(n) not in workers]


def prover(match: Match) -> int:
    return bystanders(match)[0]


def other(match: Match) -> int:
    return bystanders(match)[1]


def promise(match: Match, author: int | None = None, **other: int) -> list[LedgerEvent]:
    author = prover(match) if author is None else author
    fields = {"game": match.game.number, "gas_max": GAS_TAKEN, "wait_ms": WAIT_MS} | other
    return match.cluster.block((author, StepPromise(task=match.task, **fields)))


def play_to(match: Match, state: DisputeState) -> None:
    while match.row is not None and match.row.state is not state:
        match.events += match.step()


def reached(match: Match) -> Match:
    assert rejections(promise(match)) == []
    play_to(match, DisputeState.SEGMENT)
    return match


def name(match: Match, proof: Digest = PROOF, author: int | None = None) -> list[LedgerEvent]:
    author = prover(match) if author is None else author
    body = StepProof(task=match.task, game=match.game.number, proof=proof)
    return match.cluster.block((author, body))


def step(match: Match) -> StepEntry:
    found = match.cluster.state.step(match.task)
    assert found is not None
    return found


def word(
    match: Match, member: int, finding: Finding = Finding.HOLDS, cycles: int = CYCLES
) -> tuple[int, StepFound]:
    game, signer, end = match.game, match.cluster.signer(member), match.found()
    holds = finding is Finding.HOLDS
    told = cycles if holds else 0
    said = sign_proof_word(signer, match.task, game.number, step(match).proof, finding, told)
    assert end is not None
    verdict = sign_segment(signer, match.task, game.number, game.low, game.until_gas, end)
    return member, StepFound(word=said, verdict=verdict if holds else None)


def say(match: Match, finding: Finding = Finding.HOLDS, count: int = 5) -> list[LedgerEvent]:
    speakers = [n for n in range(7) if n != prover(match)][:count]
    return [each for n in speakers for each in match.cluster.block(word(match, n, finding))]


def test_the_stretch_is_cut_until_its_prover_takes_it_on() -> None:
    match = reached(disputed())
    [found] = [each for each in match.events if isinstance(each, SegmentReached)]
    assert 0 < found.until_gas - found.start_gas <= GAS_TAKEN
    assert found.start_gas <= GAS * 2 // 3 <= found.until_gas + 1
    assert match.rounds_begun <= 8


@pytest.mark.parametrize("words", [(None, TraceVice.WRONG_STEP), (TraceVice.WRONG_STEP, None)])
def test_a_proof_that_holds_ends_the_dispute_as_executing_would(
    words: tuple[TraceVice | None, ...],
) -> None:
    match = reached(disputed(*words))
    assert any(isinstance(each, StepShown) for each in name(match))
    say(match)
    settled = match.entry.settlement
    assert settled is not None
    assert (settled.verdict, settled.result) == (Verdict.BISECTED, match.true.result)
    assert [match.is_convicted(slot) for slot in (0, 1)] == [each is not None for each in words]
    assert match.cluster.state.step(match.task) is None
    paid = {payment.node: payment.amount_msat for payment in match.entry.payments}
    assert paid[match.cluster.node(prover(match))] > 0


def test_its_prover_is_paid_by_cycles_and_the_members_that_verified_by_gas() -> None:
    match = disputed()
    maker = match.cluster.node(prover(match))
    before, pool = match.cluster.state.balance_msat(maker), match.cluster.state.meta.fee_pool_msat
    reached(match)
    assert match.cluster.state.balance_msat(maker) == before - STEP_FEE_MSAT
    assert match.cluster.state.meta.fee_pool_msat == pool + STEP_FEE_MSAT
    name(match)
    gas = match.game.until_gas - match.game.low.gas_index
    say(match)
    paid = {payment.node: payment.amount_msat for payment in match.entry.payments}
    price = match.entry.spec.price_msat_per_mgas
    assert paid[maker] == -(-CYCLES * price // 1_000_000)
    assert paid[match.cluster.node(bystanders(match)[-1])] == -(-gas * price // 1_000_000)


def test_without_a_proof_in_time_the_members_execute_and_its_prover_is_blamed() -> None:
    match = reached(disputed())
    before = record_of(match)
    events = match.late()
    [gone] = [each for each in events if isinstance(each, StepGivenUp)]
    assert gone.is_blamed
    assert match.row is not None
    assert match.row.state is DisputeState.SEGMENT
    assert record_of(match) != before
    assert match.entry.deadline_ms == match.cluster.state.meta.running_ms + RULES.dispute_ms + work(
        match
    )
    assert rejections(name(match)) == ["a proof after another, or too late"]
    match.play()
    settled = match.entry.settlement
    assert settled is not None
    assert settled.verdict is Verdict.BISECTED
    assert is_paid_as_a_member(match)


def record_of(match: Match) -> object:
    """Give what the ledger holds of its prover in this class of tasks."""
    maker = match.cluster.node(prover(match))
    return match.cluster.state.get(reputation_key(maker, match.entry.spec.task_class))


def work(match: Match) -> int:
    return working_ms(match.entry.spec)


def is_paid_as_a_member(match: Match) -> bool:
    """Tell whether its prover got no more than any other member that found what was decided."""
    paid = {payment.node: payment.amount_msat for payment in match.entry.payments}
    members = {match.cluster.node(n) for n in bystanders(match)}
    return len({paid[member] for member in members if member in paid}) == 1


@pytest.mark.parametrize(
    ("finding", "reason"), [(Finding.WRONG, "is wrong"), (Finding.MISSING, "from nobody")]
)
def test_a_proof_that_is_none_is_blamed_and_the_members_execute(
    finding: Finding, reason: str
) -> None:
    match = reached(disputed())
    before = record_of(match)
    name(match)
    match.cluster.block(after_ms=RULES.dispute_ms // 2)
    events = say(match, finding)
    [gone] = [each for each in events if isinstance(each, StepGivenUp)]
    assert reason in gone.reason
    now_ms = match.cluster.state.meta.running_ms
    assert match.entry.deadline_ms == now_ms + RULES.dispute_ms + work(match)
    assert record_of(match) != before
    assert not match.is_convicted(0)
    match.play()
    settled = match.entry.settlement
    assert settled is not None
    assert (settled.verdict, settled.result) == (Verdict.BISECTED, match.true.result)
    assert is_paid_as_a_member(match)


def test_a_prover_that_has_none_says_so_and_is_not_blamed() -> None:
    for is_early in (True, False):
        match = disputed()
        promise(match)
        before = record_of(match)
        if not is_early:
            play_to(match, DisputeState.SEGMENT)
        [gone] = [each for each in name(match, NO_PROOF) if isinstance(each, StepGivenUp)]
        assert not gone.is_blamed
        assert rejections(promise(match, other(match))) != []
        assert record_of(match) == before
        play_to(match, DisputeState.SEGMENT)
        assert match.game.until_gas - match.game.low.gas_index <= GAS_TAKEN
        assert match.entry.deadline_ms <= match.cluster.state.meta.running_ms + (
            RULES.dispute_ms + work(match)
        )
        assert match.play().settlement is not None


def test_members_that_executed_instead_decide_as_well_and_pay_no_prover() -> None:
    match = reached(disputed())
    match.play()
    settled = match.entry.settlement
    assert settled is not None
    assert settled.verdict is Verdict.BISECTED
    assert match.cluster.state.step(match.task) is None
    assert not any(isinstance(each, StepGivenUp) for each in match.events)
    assert is_paid_as_a_member(match)


def test_some_verify_and_some_execute_and_the_proof_is_paid_by_a_quorum_alone() -> None:
    match = reached(disputed())
    name(match)
    end, speakers = match.found(), [n for n in range(7) if n != prover(match)][:5]
    assert end is not None
    for member in speakers[:4]:
        match.cluster.block(word(match, member))
    match.cluster.block(match.segment(speakers[4], end))
    assert match.entry.settlement is not None
    maker = match.cluster.node(prover(match))
    assert maker not in {payment.node for payment in match.entry.payments}


def test_a_false_word_on_a_proof_convicts_its_member_as_a_false_finding_does() -> None:
    match = reached(disputed())
    name(match)
    match.cluster.block(word(match, 0))
    end = replace(match.game.claims[1], gas_index=match.game.until_gas + 1)
    match.cluster.block(match.segment(0, end))
    node = match.cluster.state.node(match.cluster.node(0))
    assert node is not None
    assert node.tombstoned


def test_a_game_has_one_promise_and_one_proof_however_many_are_sent() -> None:
    match = disputed()
    promise(match)
    balance = match.cluster.state.balance_msat(match.cluster.node(prover(match)))
    assert rejections(promise(match)) == []
    assert match.cluster.state.balance_msat(match.cluster.node(prover(match))) == balance
    assert rejections(promise(match, other(match))) == ["another node has promised already"]
    play_to(match, DisputeState.SEGMENT)
    assert rejections(name(match, author=other(match))) == [
        "a proof that the author has not promised"
    ]
    name(match)
    assert rejections(name(match)) == []
    assert rejections(name(match, Digest(b"q" * 32))) == ["a proof after another, or too late"]
    assert step(match).proof == PROOF


@pytest.mark.parametrize(
    ("author", "other", "why"),
    [
        (0, {}, "only nodes that prove"),
        (-1, {"game": 1}, "not being played"),
        (-1, {"gas_max": STEP_GAS_MIN - 1}, "are possible"),
        (-1, {"gas_max": SEGMENT_GAS + 1}, "are possible"),
        (-1, {"wait_ms": 0}, "are possible"),
        (-1, {"wait_ms": STEP_WAITS_MAX * RULES.dispute_ms + 1}, "are possible"),
    ],
)
def test_promises_out_of_bounds_are_rejected(author: int, other: dict[str, int], why: str) -> None:
    match = disputed()
    [reason] = rejections(promise(match, None if author < 0 else author, **other))
    assert why in reason
    assert match.cluster.state.step(match.task) is None


def test_a_promise_comes_before_the_stretch_is_known_and_a_proof_after_it() -> None:
    match = disputed()
    promise(match)
    assert rejections(name(match)) == ["a proof of no stretch that is known"]
    late = disputed()
    play_to(late, DisputeState.SEGMENT)
    assert rejections(promise(late)) == ["a promise for a game that is not being played"]


def test_words_on_other_proofs_or_of_others_are_rejected() -> None:
    match = reached(disputed())
    early = replace(word(match, 0)[1])
    assert rejections(match.cluster.block((0, early))) == [
        "a word on no proof that is being checked"
    ]
    name(match)
    _, good = word(match, 0)
    assert good.verdict is not None
    cases: list[tuple[int, Body, str]] = [
        (1, good, "each for itself"),
        (0, replace(good, word=replace(good.word, proof=Digest(b"q" * 32))), "another proof"),
        (0, replace(good, word=replace(good.word, attempt=1)), "another proof"),
        (0, replace(good, word=replace(good.word, cycles=0)), "leads somewhere"),
        (0, replace(good, verdict=None), "leads somewhere"),
        (0, replace(good, word=replace(good.word, cycles=1)), "wrong signature"),
        (0, replace(good, verdict=replace(good.verdict, game=1)), "another game"),
        (0, replace(good, verdict=replace(good.verdict, until_gas=1)), "another segment"),
    ]
    for author, body, why in cases:
        [reason] = rejections(match.cluster.block((author, body)))
        assert why in reason
        assert step(match).words == ()
    assert rejections(match.cluster.block((0, good))) == []
    assert rejections(match.cluster.block((0, good))) == []
    assert len(step(match).words) == 1


def test_the_state_of_a_promise_is_that_of_its_table_and_goes_with_the_whole() -> None:
    match = disputed()
    promise(match)
    assert step(match).state is StepState.PROMISED
    slot = match.game.parties[0]
    events = match.cluster.block(match.tell(slot, match.trace(slot, "pass")))
    assert any(isinstance(each, WholeWanted) for each in events)
    assert match.cluster.state.step(match.task) is None


def test_the_records_have_a_shape_that_members_vote_for() -> None:
    match = reached(disputed())
    name(match)
    for author, body in (
        (prover(match), StepPromise(task=match.task, game=0, gas_max=GAS_TAKEN, wait_ms=WAIT_MS)),
        (prover(match), StepProof(task=match.task, game=0, proof=NO_PROOF)),
        word(match, 0),
        word(match, 1, Finding.WRONG),
    ):
        assert is_admissible(
            encode(sign_record(match.cluster.signer(author), body)), match.cluster.id
        )


def test_a_proof_that_too_few_judge_is_nobodys_fault_and_leaves_time_to_execute() -> None:
    match = reached(disputed())
    before = record_of(match)
    name(match)
    say(match, count=2)
    [gone] = [each for each in match.late() if isinstance(each, StepGivenUp)]
    assert not gone.is_blamed
    assert record_of(match) == before
    assert match.row is not None
    assert match.row.state is DisputeState.SEGMENT
    assert match.play().settlement is not None
    assert is_paid_as_a_member(match)


def in_the_last_round() -> Match:
    """Give a game whose parties are only asked for the state that a short stretch begins at."""
    match = disputed()
    while match.game.until_gas - match.game.low.gas_index > SEGMENT_GAS:
        match.events += match.step()
    assert match.row is not None
    assert match.row.state is DisputeState.TRACING
    return match


@pytest.mark.parametrize("spoken", [0, 1])
def test_a_promise_changes_nothing_of_what_parties_have_been_asked_for(spoken: int) -> None:
    match = in_the_last_round()
    slots = match.game.parties
    asked = [match.tell(slot, match.trace(slot, match.words[slot])) for slot in slots]
    for said in asked[:spoken]:
        assert rejections(match.cluster.block(said)) == []
    before, balance = match.row, match.cluster.state.balance_msat(match.cluster.node(prover(match)))
    assert rejections(promise(match)) == ["a promise that comes when the stretch is cut no more"]
    assert match.row == before
    assert match.cluster.state.balance_msat(match.cluster.node(prover(match))) == balance
    for said in asked[spoken:]:
        assert rejections(match.cluster.block(said)) == []
    assert match.row is not None
    assert match.row.state is DisputeState.SEGMENT
    assert match.play().settlement is not None


def test_a_promise_for_all_that_is_left_is_in_time_in_the_last_round_as_well() -> None:
    match = in_the_last_round()
    assert rejections(promise(match, gas_max=SEGMENT_GAS)) == []
    play_to(match, DisputeState.SEGMENT)
    assert any(isinstance(each, StepShown) for each in name(match))
    say(match)
    assert match.entry.settlement is not None
