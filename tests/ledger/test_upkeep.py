import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import grant_payload, sign_receipt
from ambientd.errors import ConfigError
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.entries import decode_key
from ambientd.ledger.events import NodeConvicted, NodeJoined
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.model.record import Body, Fraud, NodeReport
from ambientd.model.task import TaskState
from ambientd.rules.verdicts import convicts
from tests.ledger.cluster import BOND_MSAT, START_MS, TestCluster, genesis, rejections, result

LIE = result(b"another answer")


def rejection(cluster: TestCluster, author: int, body: Body) -> str:
    return rejections(cluster.block((author, body)))[0]


# Joining


def test_an_invited_node_joins_with_nothing_and_may_work() -> None:
    cluster = TestCluster()
    events = cluster.block(cluster.join(50))
    assert events == [NodeJoined(cluster.node(50), "guest-50")]
    entry = cluster.state.node(cluster.node(50))
    assert (entry.is_member, entry.bond_msat) == (False, 0)
    assert cluster.state.balance_msat(cluster.node(50)) == 0
    assert cluster.node(50) in cluster.state.allowed_nodes()
    assert cluster.state.nodes() == sorted(cluster.state.allowed_nodes())
    assert cluster.block(cluster.join(50)) == []


def test_newcomers_get_work() -> None:
    cluster = TestCluster()
    cluster.block(cluster.join(50))
    workers: set[NodeId] = set()
    for number in range(60):
        task = cluster.admit(nonce=b"%d" % number)
        workers |= {slot.worker for slot in cluster.task(task).slots}
        cluster.work(task)
    assert cluster.node(50) in workers


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_ms": START_MS}, "expired"),
        ({"inviter": bytes(32)}, "inviter is not"),
        ({"grant_signature": bytes(64)}, "did not sign"),
        ({"invite_signature": bytes(64)}, "not made out"),
    ],
)
def test_a_bad_invitation_lets_nobody_in(changes: dict, reason: str) -> None:
    cluster = TestCluster()
    assert reason in rejection(cluster, *cluster.join(50, **changes))
    assert cluster.state.node(cluster.node(50)) is None


@pytest.mark.parametrize("domain", ["join", "record", "receipt-file", "witness"])
def test_what_a_member_signs_for_another_purpose_is_no_invitation(domain: str) -> None:
    cluster = TestCluster()
    number, good = cluster.join(50)
    grant = grant_payload(good.invite_key, good.expires_ms)
    other = cluster.signer(0).sign(domain, grant)
    assert other != good.grant_signature
    assert "did not sign" in rejection(cluster, number, replace(good, grant_signature=other))


def test_an_invitation_to_one_cluster_is_none_to_another_of_the_same_members() -> None:
    here, there = TestCluster(), TestCluster(members=5)
    assert (here.node(0), here.id != there.id) == (there.node(0), True)
    number, elsewhere = there.join(50)
    _, good = here.join(50)
    bent = replace(good, grant_signature=elsewhere.grant_signature)
    assert "did not sign" in rejection(here, number, bent)
    bent = replace(good, invite_signature=elsewhere.invite_signature)
    assert "not made out" in rejection(here, number, bent)


def test_an_invitation_gives_no_right_to_invite_and_no_longer_time_than_was_signed() -> None:
    cluster = TestCluster()
    number, good = cluster.join(50)
    late = replace(good, expires_ms=good.expires_ms + 1)
    assert "did not sign" in rejection(cluster, number, late)
    cluster.block((number, good))
    assert not cluster.state.node(cluster.node(50)).is_member
    next_number, body = cluster.join(51, invite=901)
    grant = grant_payload(body.invite_key, body.expires_ms)
    passed_on = replace(
        body,
        inviter=cluster.node(50),
        grant_signature=cluster.signer(50).sign("invite", grant),
    )
    assert "not a committee member" in rejection(cluster, next_number, passed_on)
    assert cluster.state.node(cluster.node(51)) is None


def test_an_invitation_is_made_out_to_one_node_and_one_profile() -> None:
    """Who overhears a newcomer's word can neither come in by it nor change what it says."""
    cluster = TestCluster()
    _, overheard = cluster.join(50)
    thief = replace(overheard, node=cluster.node(51))
    assert "not made out" in rejection(cluster, 51, thief)
    renamed = replace(overheard, profile=replace(overheard.profile, name="another"))
    assert "not made out" in rejection(cluster, 50, renamed)
    assert cluster.block((50, overheard))


def test_an_invitation_is_used_once() -> None:
    cluster = TestCluster()
    cluster.block(cluster.join(50))
    assert "has been used" in rejection(cluster, *cluster.join(51))
    assert cluster.block(cluster.join(51, invite=901))


def test_a_node_joins_for_itself_and_with_a_short_name() -> None:
    cluster = TestCluster()
    assert "for itself" in rejection(cluster, 1, cluster.join(50)[1])
    long = cluster.join(50)[1].profile
    long = replace(long, name="n" * 65)
    assert "at most 64" in rejection(cluster, *cluster.join(50, profile=long))


# Evidence


def two_answers(cluster: TestCluster) -> Fraud:
    task = cluster.admit()
    first = cluster.receipt(task, 0)
    second = cluster.receipt(task, 0, LIE)
    return Fraud(
        culprit=first.receipt.worker, kind="receipt", first=encode(first), second=encode(second)
    )


def test_two_answers_to_one_assignment_convict_their_worker() -> None:
    cluster = TestCluster()
    fraud = two_answers(cluster)
    events = cluster.block((3, fraud))
    assert events == [NodeConvicted(fraud.culprit, "receipt")]
    entry = cluster.state.node(fraud.culprit)
    assert (entry.tombstoned, entry.bond_msat, entry.accepting) == (True, 0, False)
    assert cluster.state.meta.fee_pool_msat == BOND_MSAT
    assert cluster.state.able_nodes() == 3
    assert cluster.block((2, fraud)) == []
    back = NodeReport(node=fraud.culprit, accepting=True)
    cluster.report(back)
    assert not cluster.state.node(fraud.culprit).accepting
    assert cluster.state.conviction(fraud.culprit).kind == "receipt"
    assert cluster.state.conviction(cluster.node(70)) is None


def test_two_findings_on_one_task_convict_their_referee() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    first, second = cluster.verdict(task, 1, result()), cluster.verdict(task, 1, LIE)
    fraud = Fraud(
        culprit=cluster.node(1), kind="verdict", first=encode(first), second=encode(second)
    )
    assert cluster.block((0, fraud)) == [NodeConvicted(cluster.node(1), "verdict")]


def test_what_does_not_contradict_convicts_nobody() -> None:
    cluster = TestCluster()
    fraud = two_answers(cluster)
    same = replace(fraud, second=fraud.first)
    other = replace(fraud, culprit=cluster.node(3))
    other = other if other.culprit != fraud.culprit else replace(fraud, culprit=cluster.node(2))
    garbage = replace(fraud, first=b"\xc1")
    unknown = replace(fraud, kind="rumour")
    receipt = cluster.receipt(cluster.state.open_tasks()[0][0], 0).receipt
    forged = replace(sign_receipt(cluster.signer(70), replace(receipt, result=LIE)))
    foreign = replace(fraud, second=encode(forged))
    for bad in (same, other, garbage, unknown, foreign):
        assert "do not contradict" in rejection(cluster, 0, bad)


def test_evidence_of_other_cores_is_taken_when_their_judge_says_so() -> None:
    cluster = TestCluster()
    fraud = Fraud(culprit=cluster.node(1), kind="log", first=b"two", second=b"votes")
    context = BlockContext(index=1, term=1, time_ms=START_MS, beacon=bytes(32))
    from ambientd.codec.statements import sign_record

    record = sign_record(cluster.signer(0), fraud)
    refused = apply_block(cluster.state, context, [record])
    taken = apply_block(cluster.state, context, [record], lambda body: body == fraud)
    assert not any(isinstance(event, NodeConvicted) for event in refused.events)
    assert taken.events == (NodeConvicted(cluster.node(1), "log"),)
    unknown = replace(fraud, culprit=NodeId(bytes(32)))
    record = sign_record(cluster.signer(0), unknown)
    events = apply_block(cluster.state, context, [record], lambda _: True).events
    assert "no known node" in rejections(list(events))[0]


def test_the_evidence_against_a_liar_replays_without_the_ledger() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {0: LIE})
    for referee in range(3):
        cluster.block(cluster.finding(task, referee, result()))
    (entry,) = [e for e in cluster.state.items().values() if type(e).__name__ == "EvidenceEntry"]
    members = frozenset(cluster.state.members)
    assert convicts(entry.receipt, entry.verdicts, members, cluster.id)
    assert not convicts(entry.receipt, entry.verdicts[:2], members, cluster.id)
    assert not convicts(entry.receipt, (entry.verdicts[0],) * 3, members, cluster.id)
    honest = cluster.task(task).slots[1].receipt
    assert not convicts(honest, entry.verdicts, members, cluster.id)
    assert not convicts(entry.receipt, entry.verdicts, members, bytes(32))


# Founding


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"members": ()}, "1 to 128"),
        ({"bitcoin_network": "moon"}, "unknown"),
        ({"state_version": 0}, "state_version is 0"),
        ({"rules": Rules(lease_ms=0)}, "lease_ms is 0"),
        ({"rules": Rules(strategy="luck")}, "strategy 'luck'"),
    ],
)
def test_an_impossible_genesis_founds_nothing(changes: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        LedgerState.from_genesis(replace(genesis(), **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node": b"short"}, "32 bytes"),
        ({"grant_msat": -1}, "between 0"),
        ({"bond_msat": 10**20}, "between 0"),
    ],
)
def test_an_impossible_member_founds_nothing(changes: dict, reason: str) -> None:
    good = genesis()
    bad = replace(good, members=(replace(good.members[0], **changes), *good.members[1:]))
    with pytest.raises(ConfigError, match=reason):
        LedgerState.from_genesis(bad)
    twice = replace(good, members=(good.members[0], good.members[0]))
    with pytest.raises(ConfigError, match="different"):
        LedgerState.from_genesis(twice)


def test_a_genesis_with_a_long_name_founds_nothing() -> None:
    good = genesis()
    profile = replace(good.members[0].profile, region="r" * 65)
    bad = replace(good, members=(replace(good.members[0], profile=profile),))
    with pytest.raises(ConfigError, match="at most 64"):
        LedgerState.from_genesis(bad)


def test_a_lost_leaf_is_noticed_when_the_state_is_read_back() -> None:
    cluster = TestCluster()
    cluster.work(cluster.admit(nonce=b"1"))
    cluster.work(cluster.admit(nonce=b"2"))
    items = {key: entry for key, entry in cluster.state.items().items() if key != (5, bytes(8))}
    with pytest.raises(ValueError, match="lacks leaf 0"):
        LedgerState.from_items(cluster.genesis, items, cluster.index)


@pytest.mark.parametrize("data", [b"", b"\xff"])
def test_an_unknown_key_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"ledger key|not a valid Table"):
        decode_key(data)


def test_the_root_chains_every_change() -> None:
    cluster = TestCluster()
    roots = {cluster.state.root}
    for number in range(5):
        cluster.admit(nonce=b"%d" % number)
        roots.add(cluster.state.root)
    assert len(roots) == 6
    assert cluster.task(cluster.state.open_tasks()[0][0]).state is TaskState.ASSIGNED
