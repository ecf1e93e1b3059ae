"""A proven task in the ledger: who is given it, what members' words do, and what it pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import sign_commit, sign_receipt
from ambientd.ledger.events import LiarNamed
from ambientd.ledger.proofs import APART_MS_MAX, PROVER_MS
from ambientd.model.base import Digest
from ambientd.model.bundle import Bundle
from ambientd.model.genesis import Rules
from ambientd.model.proof import Finding, ProofTerms, ProofWord
from ambientd.model.record import Cancel, Commits, Prover, Settle
from ambientd.model.task import Assurance, SlotState, TaskSpec, TaskState, Verdict
from ambientd.rules.labels import value_of
from ambientd.rules.reputation import UNKNOWN
from tests.ledger.cluster import START_MS, TestCluster, rejections, result, spec
from tests.ledger.proving import CYCLES, TERMS, ProvingCluster

FEE_MSAT = 1_000
"""Of the slot: ten million gas at 100 msat a million."""


def test_a_proven_specification_is_told_by_a_list_and_all_others_are_as_they_were() -> None:
    plain, proven = spec(), spec(assurance=TERMS, replicas=1)
    assert decode(encode(proven), TaskSpec) == proven
    assert (proven.assurance_name, plain.assurance_name) == ("proven", "replicated")
    assert decode(encode(plain), TaskSpec).assurance is Assurance.REPLICATED


def test_a_node_says_how_much_it_proves_and_takes_it_back() -> None:
    cluster = ProvingCluster.made()
    entry = cluster.state.node(cluster.node(1))
    assert entry is not None
    assert value_of(entry.profile, 0, "prover") == str(TERMS.cycles_max)
    for said_ms, why in (
        (START_MS, "the last word is"),
        (START_MS + PROVER_MS - 1, "the last word is"),
        (PROVER_MS * 2, "block time"),
        (START_MS + 10 * APART_MS_MAX, "block time"),
    ):
        [reason] = rejections(cluster.block((1, Prover(cycles_max=5, said_ms=said_ms))))
        assert why in reason
    cluster.block((1, Prover(cycles_max=0, said_ms=START_MS + PROVER_MS)))
    entry = cluster.state.node(cluster.node(1))
    assert entry is not None
    assert entry.profile.labels == ()


def test_a_node_cannot_catch_up_on_words_that_it_never_said() -> None:
    cluster = TestCluster()
    said = [(1, Prover(cycles_max=1, said_ms=PROVER_MS * each)) for each in range(1, 201)]
    assert len(rejections(cluster.block(*said))) == len(said)
    near = [
        (1, Prover(cycles_max=1, said_ms=START_MS - APART_MS_MAX + PROVER_MS * each))
        for each in range(1, 201)
    ]
    assert len(near) - len(rejections(cluster.block(*near))) <= 2 * APART_MS_MAX // PROVER_MS


def test_an_answer_whose_nonce_can_be_no_proofs_name_is_not_opened_and_blamed() -> None:
    cluster = ProvingCluster.made(provers=(1,))
    for nonce in (b"x", b"y" * 64):
        task = cluster.admit(nonce=nonce, assurance=TERMS, replicas=1)
        receipt = replace(cluster.receipt(task, 0).receipt, nonce=nonce)
        signer = cluster.signer(1)
        cluster.block((0, Commits(commits=(sign_commit(signer, receipt),))))
        opened = Settle(task=task, receipts=(sign_receipt(signer, receipt),))
        assert rejections(cluster.block((0, opened))) == ["an opened answer that names no proof"]
        assert cluster.state.proof(task) is None
    known = cluster.state.reputation(cluster.node(1), "general").bad
    cluster.block(after_ms=cluster.genesis.rules.reveal_ms + 1)
    assert cluster.state.reputation(cluster.node(1), "general").bad > known


def test_hours_of_proving_in_a_queue_let_no_other_task_lie_for_hours() -> None:
    cluster = ProvingCluster.made(provers=(1,))
    long = ProofTerms(cycles_max=1 << 26, price_msat_per_mcycle=0)
    cluster.block((1, Prover(cycles_max=1 << 26, said_ms=START_MS + PROVER_MS)))
    for nonce in (b"a", b"b"):
        cluster.admit(nonce=nonce, assurance=long, replicas=1)
    entry = cluster.state.node(cluster.node(1))
    assert entry is not None
    assert entry.queued_ms >= 2 << 26
    task = cluster.admit(assurance=Assurance.QUORUM, replicas=3)
    [slot] = [each for each in cluster.task(task).slots if each.worker == cluster.node(1)]
    left_ms = slot.deadline_ms - cluster.state.meta.running_ms
    assert left_ms < 1 << 26


def test_half_of_the_committee_decides_nothing_while_the_others_are_away() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    worker = cluster.task(task).slots[0].worker
    cluster.block(cluster.word(task, 0, Finding.WRONG), cluster.word(task, 1, Finding.WRONG))
    cluster.block(after_ms=cluster.genesis.rules.dispute_ms + 1)
    assert cluster.state.conviction(worker) is None
    assert cluster.task(task).slots[0].attempt == 1


def test_opened_answers_that_come_again_change_nothing_while_members_check() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    settle = Settle(task=task, receipts=cluster.task(task).receipts)
    cluster.block(cluster.word(task, 0, Finding.HOLDS))
    before = (cluster.task(task), cluster.state.proof(task))
    cluster.block((0, settle), after_ms=1_000)
    assert (cluster.task(task), cluster.state.proof(task)) == before
    cluster.block(cluster.word(task, 1, Finding.HOLDS), cluster.word(task, 2, Finding.HOLDS))
    final = cluster.task(task)
    cluster.block((0, settle))
    assert cluster.task(task) == final


def test_only_who_proves_so_much_is_given_a_proven_task() -> None:
    cluster = ProvingCluster.made(provers=(2,))
    task = cluster.admit(assurance=TERMS, replicas=1)
    assert [slot.worker for slot in cluster.task(task).slots] == [cluster.node(2)]
    more = replace(TERMS, cycles_max=TERMS.cycles_max + 1)
    waits = cluster.admit(nonce=b"more", assurance=more, replicas=1)
    assert cluster.task(waits).state is TaskState.PENDING


def test_a_proof_that_q_members_say_holds_settles_the_task_and_is_paid_by_cycles() -> None:
    cluster = ProvingCluster.made()
    before_msat = cluster.state.balance_msat(cluster.node(0))
    task = cluster.prove()
    escrow_msat = cluster.task(task).escrow_msat
    assert escrow_msat == FEE_MSAT + 132  # 2^17 cycles at 1,000 msat a million, rounded up
    cluster.say(task, Finding.HOLDS, count=2)
    assert cluster.task(task).state is TaskState.COMMITTED
    cluster.block(cluster.word(task, 3, Finding.HOLDS))
    entry = cluster.task(task)
    assert entry.state is TaskState.FINAL
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.PROVEN
    assert entry.settlement.referees == ()
    [payment] = entry.payments
    assert payment.amount_msat == 500 + 66
    assert cluster.state.balance_msat(cluster.node(0)) == before_msat - 566
    assert cluster.state.proof(task) is None
    assert cluster.state.reputation(payment.node, "general").streak == 0
    assert entry.lone_worker is None
    cluster.close_batch()


def test_no_more_cycles_are_paid_than_were_asked_for() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    for member in range(3):
        cluster.block(cluster.word(task, member, Finding.HOLDS, cycles=1 << 26))
    [payment] = cluster.task(task).payments
    assert payment.amount_msat == 500 + 132


def test_a_wrong_proof_convicts_its_worker_and_another_proves() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    worker = cluster.task(task).slots[0].worker
    receipt = cluster.task(task).receipts[0]
    cluster.say(task, Finding.WRONG)
    [named] = [each for each in cluster.events if isinstance(each, LiarNamed)]
    assert named.node == worker
    evidence = cluster.state.conviction(worker)
    assert evidence is not None
    assert (evidence.kind, evidence.receipt) == ("proof", receipt)
    words = decode(evidence.second, tuple[ProofWord, ...])
    assert {word.proof for word in words} == {receipt.receipt.nonce}
    assert len(words) == 3
    entry = cluster.task(task)
    assert entry.state is TaskState.ASSIGNED
    assert entry.slots[0].attempt == 1
    assert entry.slots[0].worker not in {worker, b""}
    assert cluster.state.proof(task) is None
    cluster.work(task)
    for member in (0, 1, 2, 3):
        cluster.block(cluster.word(task, member, Finding.HOLDS))
        if cluster.task(task).state is TaskState.FINAL:
            break
    assert cluster.task(task).state is TaskState.FINAL


def test_a_proof_that_nobody_could_fetch_is_blamed_and_nobody_convicted() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    worker = cluster.task(task).slots[0].worker
    cluster.say(task, Finding.MISSING)
    assert cluster.state.conviction(worker) is None
    assert cluster.state.reputation(worker, "general").bad > UNKNOWN.bad
    assert cluster.task(task).slots[0].attempt == 1


def test_where_members_do_not_agree_in_time_nobody_is_at_fault() -> None:
    cluster = ProvingCluster.made(rules=Rules(attempts_max=1))
    task = cluster.prove()
    worker = cluster.task(task).slots[0].worker
    known = cluster.state.reputation(worker, "general")
    cluster.block(cluster.word(task, 0, Finding.WRONG))
    cluster.block(after_ms=cluster.genesis.rules.dispute_ms + 1)
    cluster.block()
    entry = cluster.task(task)
    assert entry.state is TaskState.EXPIRED
    assert cluster.state.conviction(worker) is None
    assert cluster.state.reputation(worker, "general").bad == known.bad


def test_words_that_cannot_come_to_a_quorum_end_the_check_at_once() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    cluster.block(cluster.word(task, 0, Finding.HOLDS), cluster.word(task, 1, Finding.WRONG))
    assert cluster.state.proof(task) is not None
    cluster.block(cluster.word(task, 2, Finding.MISSING))
    assert cluster.state.proof(task) is None
    assert cluster.task(task).slots[0].attempt == 1


def test_words_of_outsiders_on_other_proofs_or_with_cycles_for_nothing_are_rejected() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    _, said = cluster.word(task, 0, Finding.HOLDS)
    other = replace(said, word=replace(said.word, proof=Digest(bytes(32))))
    later = replace(said, word=replace(said.word, attempt=1))
    forged = replace(said, word=replace(said.word, cycles=CYCLES + 1))
    assert rejections(cluster.block((1, said), (0, other), (0, later), (0, forged))) == [
        "only committee members judge proofs, each for itself",
        "a word on another proof",
        "a word on another proof",
        "a word with a wrong signature",
    ]
    assert rejections(cluster.block(cluster.word(task, 0, Finding.WRONG, cycles=4))) == [
        "a proof that holds has cycles, and no other"
    ]
    cluster.block((0, said), cluster.word(task, 0, Finding.WRONG))
    row = cluster.state.proof(task)
    assert row is not None
    assert [word.finding for word in row.words] == [Finding.HOLDS]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"assurance": TERMS, "replicas": 2}, "one replica"),
        ({"assurance": replace(TERMS, cycles_max=1 << 12), "replicas": 1}, "cycles to prove"),
        ({"assurance": replace(TERMS, cycles_max=1 << 27), "replicas": 1}, "cycles to prove"),
        ({"assurance": replace(TERMS, price_msat_per_mcycle=10**10), "replicas": 1}, "price"),
        (
            {
                "assurance": TERMS,
                "replicas": 1,
                "input_size_bytes": Bundle(size_bytes=9, items=1, root=Digest(bytes(32))),
            },
            "bundle",
        ),
        ({"assurance": TERMS, "replicas": 1, "task_class": "fl-training"}, "fl-training"),
    ],
)
def test_what_is_never_proven_is_not_admitted(changes: dict[str, object], said: str) -> None:
    cluster = ProvingCluster.made(rules=Rules(classes=("general", "fl-training")))
    cluster.admit(**changes)
    [reason] = rejections(cluster.events)
    assert said in reason


def test_a_cancelled_prover_earns_nothing_for_a_proof_that_nobody_has_seen() -> None:
    cluster = ProvingCluster.made()
    task = cluster.admit(assurance=TERMS, replicas=1)
    pool_msat, escrow_msat = cluster.state.meta.fee_pool_msat, cluster.task(task).escrow_msat
    cluster.block((0, Cancel(task=task)))
    entry = cluster.task(task)
    [payment] = entry.payments
    assert payment.amount_msat == FEE_MSAT // 10
    assert cluster.state.meta.fee_pool_msat - pool_msat == 132 // 10
    assert entry.refunded_msat == escrow_msat - FEE_MSAT // 10 - 132 // 10


def test_the_lease_has_the_time_for_the_proof() -> None:
    cluster = ProvingCluster.made()
    task = cluster.admit(assurance=TERMS, replicas=1)
    slot = cluster.task(task).slots[0]
    assert slot.state is SlotState.ASSIGNED
    left_ms = slot.deadline_ms - cluster.state.meta.running_ms
    assert left_ms >= cluster.genesis.rules.lease_ms + TERMS.cycles_max


@given(
    said=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(Finding), st.sampled_from((1, CYCLES))),
        max_size=8,
    ),
    price=st.integers(0, 10**9),
    cycles_max=st.integers(1 << 13, TERMS.cycles_max),
)
def test_whatever_members_say_money_stays_and_only_a_quorum_of_wrong_convicts(
    said: list[tuple[int, Finding, int]], price: int, cycles_max: int
) -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove(ProofTerms(cycles_max=cycles_max, price_msat_per_mcycle=price))
    if not cluster.task(task).receipts:
        return
    worker = cluster.task(task).slots[0].worker
    heard: dict[int, tuple[Finding, int]] = {}
    for member, finding, cycles in said:
        if cluster.state.proof(task) is None:
            break
        told = cycles if finding is Finding.HOLDS else 0
        heard.setdefault(member, (finding, told))
        cluster.block(cluster.word(task, member, finding, told))
    words = list(heard.values())
    is_convicted = cluster.state.conviction(worker) is not None
    assert is_convicted == (words.count((Finding.WRONG, 0)) >= 3)
    entry = cluster.task(task)
    is_final = any(words.count(each) >= 3 and each[0] is Finding.HOLDS for each in words)
    assert (entry.state is TaskState.FINAL) == is_final
    assert cluster.restarted().root == cluster.state.root
    assert sum(payment.amount_msat for payment in entry.payments) <= entry.escrow_msat


def test_a_refused_or_plain_answer_is_not_settled_without_words() -> None:
    cluster = ProvingCluster.made()
    task = cluster.admit(assurance=TERMS, replicas=1)
    cluster.work(task, {0: result(kind=3, gas=0)})
    assert cluster.task(task).settlement is None
    assert isinstance(cluster, TestCluster)
