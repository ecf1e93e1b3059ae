import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import file_payload, receipt_hash, sign_receipt
from ambientd.ledger.entries import reputation_key
from ambientd.model.receipt import ReceiptFile
from ambientd.model.record import Anchor
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, Constraint
from ambientd.rules.bitcoin import REGTEST, SIGNET
from ambientd.rules.header_chain import Extended, HeaderChain
from ambientd.rules.receipt_check import (
    FILE_BYTES_MAX,
    FILE_VERSION,
    Check,
    ReceiptReport,
    check_receipt_file,
)
from ambientd.rules.receipt_trust import trust_sentences, utc
from ambientd.rules.verdicts import NO_RESULT
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import OUTPUT, TestCluster, result, spec
from tests.rules.headers import grow
from tests.rules.receipts import (
    LIE,
    agreed,
    data_of,
    divergent,
    file_of,
    inconclusive,
    single,
    withheld,
)

CLUSTER = agreed()
FILE = file_of(CLUSTER, b"n")
DATA = encode(FILE)
MEMBERS = frozenset(member.node for member in FILE.genesis.members)


def failed(report: ReceiptReport) -> list[str]:
    assert report.valid is (not any(not check.ok for check in report.checks))
    return [check.name for check in report.checks if not check.ok]


def reissued(
    file: ReceiptFile, cluster: TestCluster = CLUSTER, issuer: int = 0, **changes: object
) -> ReceiptReport:
    """Sign a changed file again, as a lying member would."""
    signer = cluster.signer(issuer)
    changed = replace(file, **({"issuer": signer.public_key} | changes))
    signature = signer.sign("receipt-file", file_payload(changed))
    return check_receipt_file(encode(replace(changed, signature=signature)), pinned=cluster.id)


def test_a_real_file_is_valid_and_every_check_is_named() -> None:
    report = check_receipt_file(DATA, pinned=CLUSTER.id, output=OUTPUT)
    assert report.valid
    names = [check.name for check in report.checks]
    assert names == [
        "format",
        "cluster",
        "issuer",
        "task",
        "receipt 0",
        "receipt 1",
        "settlement",
        "agreement",
        "inclusion",
        "checkpoint",
        "anchor",
        "output",
    ]
    assert all(check.detail for check in report.checks)
    assert report.file == FILE


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("make", [divergent, single, inconclusive, withheld])
def test_every_way_a_task_can_end_gives_a_valid_file(
    make: Callable[[], TestCluster], place: int
) -> None:
    cluster = make()
    data = encode(file_of(cluster, b"n", issuer=place))
    report = check_receipt_file(data, pinned=cluster.id)
    assert report.valid, [check for check in report.checks if not check.ok]


def test_a_file_is_small_and_its_check_is_fast() -> None:
    assert len(DATA) < 20_000
    times = []
    for _ in range(5):
        begun = time.process_time()
        check_receipt_file(DATA, pinned=CLUSTER.id, output=OUTPUT)
        times.append(time.process_time() - begun)
    assert min(times) < 0.1


def test_no_flipped_byte_leaves_a_file_valid() -> None:
    for place in range(len(DATA)):
        bent = bytearray(DATA)
        bent[place] ^= 1 << place % 8
        assert not check_receipt_file(bytes(bent), pinned=CLUSTER.id).valid, place
        assert not check_receipt_file(bytes(bent)).valid, place


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_garbage_is_no_receipt_and_never_raises(data: bytes) -> None:
    assert failed(check_receipt_file(data)) == ["format"]


@given(st.data())
def test_a_file_with_pieces_cut_out_or_repeated_never_raises(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(DATA)))
    end = data.draw(st.integers(0, len(DATA)))
    bent = DATA[:start] + DATA[end:]
    assert check_receipt_file(bent).valid is (bent == DATA)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert "at most" in check_receipt_file(bytes(FILE_BYTES_MAX + 1)).checks[0].detail


# What a stranger is told


def test_without_a_pinned_cluster_the_first_thing_to_trust_is_which_cluster_it_is() -> None:
    report = check_receipt_file(DATA)
    assert report.valid
    assert "anyone can invent a cluster" in report.trust[0]
    assert CLUSTER.id.hex() in report.checks[1].detail


def test_a_file_of_another_cluster_than_the_pinned_one_is_not_valid() -> None:
    assert failed(check_receipt_file(DATA, pinned=bytes(32))) == ["cluster"]


def test_another_output_is_not_the_receipts() -> None:
    assert failed(check_receipt_file(DATA, output=b"else")) == ["output"]
    assert failed(check_receipt_file(data_of(inconclusive()), output=b"")) == ["output"]


def test_the_output_of_a_refused_task_is_none() -> None:
    cluster = TestCluster()
    refused = result(b"", gas=0, kind=3)
    cluster.work(cluster.admit(), {0: refused, 1: refused})
    cluster.close_batch()
    assert failed(check_receipt_file(data_of(cluster), output=b"")) == ["output"]


def test_what_is_still_pending_is_valid_and_said() -> None:
    unanchored = data_of(agreed(anchored=False))
    report = check_receipt_file(unanchored)
    assert report.valid
    assert "pending" in next(check.detail for check in report.checks if check.name == "anchor")


def test_a_file_without_a_checkpoint_is_not_valid_as_one_member_alone_can_forge_it() -> None:
    honest = check_receipt_file(data_of(agreed(anchored=False, closed=False)))
    assert failed(honest) == ["checkpoint"]
    details = {check.name: check.detail for check in honest.checks}
    assert "ask again in a few seconds" in details["checkpoint"]
    assert details["inclusion"].startswith("pending")
    assert any("is not valid" in sentence for sentence in honest.trust)
    sybils = [Signer(sha256(b"invented %d" % number), CLUSTER.id) for number in range(2)]
    invented = tuple(
        sign_receipt(signer, replace(signed.receipt, worker=signer.public_key, result=LIE))
        for signer, signed in zip(sybils, FILE.receipts, strict=True)
    )
    hashes = tuple(receipt_hash(signed) for signed in invented)
    forged = pretended(CLUSTER, {"receipts": hashes, "result": LIE}, receipts=invented)
    assert failed(forged) == ["checkpoint"]


@pytest.mark.parametrize("leaf", [-1, 7, 2**40])
def test_a_leaf_outside_the_checkpoint_is_found(leaf: int) -> None:
    report = reissued(FILE, leaf_index=leaf)
    assert failed(report) == ["inclusion"]
    assert any("outside the checkpoint's 7" in check.detail for check in report.checks)


def test_regtest_proves_nothing_about_time() -> None:
    assert any("proves nothing about time" in each for each in check_receipt_file(DATA).trust)


@pytest.mark.parametrize("network", ["regtest", "signet", "testnet4"])
def test_on_a_test_network_a_single_member_is_said_to_be_able_to_forge_the_anchor(
    network: str,
) -> None:
    file = replace(FILE, genesis=replace(FILE.genesis, bitcoin_network=network))
    last = trust_sentences(file, [MEMBERS], pinned=True, anchored_s=None)[-1]
    assert network in last
    assert "any single member can make it up" in last
    file = replace(FILE, genesis=replace(FILE.genesis, bitcoin_network="main"))
    assert (
        "chain everybody follows" in trust_sentences(file, [MEMBERS], pinned=True, anchored_s=1)[-1]
    )


@pytest.mark.parametrize("height", [-1, 500_000_000])
def test_an_anchor_that_claims_no_possible_height_is_refused(height: int) -> None:
    assert failed(reissued(FILE, anchor=replace(FILE.anchor, height=height))) == ["format"]


def test_one_worker_alone_is_said_to_be_trusted() -> None:
    report = check_receipt_file(data_of(single()))
    assert any("nobody else executed" in sentence for sentence in report.trust)


def test_a_submitter_that_worked_for_itself_is_said() -> None:
    cluster = TestCluster(members=2)
    cluster.work(cluster.admit())
    cluster.close_batch()
    report = check_receipt_file(data_of(cluster))
    assert report.valid
    assert any("one of the workers" in sentence for sentence in report.trust)


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (1_700_000_000, "2023-11-14 22:13:20 UTC"),
        (4_107_542_399, "2100-02-28 23:59:59 UTC"),
        (2**32 - 1, "2106-02-07 06:28:15 UTC"),
    ],
)
def test_dates_are_written_as_calendars_have_them(time_s: int, text: str) -> None:
    assert utc(time_s) == text


# Lies of the one who issues the file


def test_only_a_founding_member_or_the_submitter_issues_files() -> None:
    assert failed(reissued(FILE, issuer=70)) == ["issuer"]


@pytest.mark.parametrize("issuer", [0, 1, 3])
def test_any_member_may_issue_the_file(issuer: int) -> None:
    assert reissued(FILE, issuer=issuer).valid


def test_a_task_that_the_submitter_never_signed_is_found() -> None:
    assert "task" in failed(reissued(FILE, spec=spec(gas_max=9_999_999)))
    assert "task" in failed(reissued(FILE, nonce=b"m"))
    assert "task" in failed(reissued(FILE, submitter=CLUSTER.node(1)))


def test_the_settlement_of_another_task_is_found() -> None:
    other = file_of(CLUSTER, b"after")
    mixed = reissued(
        FILE, settlement=other.settlement, path=other.path, leaf_index=other.leaf_index
    )
    assert {"task", "settlement"} <= set(failed(mixed))


def test_a_changed_settlement_is_not_in_the_receipt_log() -> None:
    changed = replace(FILE.settlement, settled_ms=1)
    assert failed(reissued(FILE, settlement=changed)) == ["inclusion"]


def test_receipts_left_out_changed_or_doubled_are_found() -> None:
    first, second = FILE.receipts
    assert "settlement" in failed(reissued(FILE, receipts=(first,)))
    assert "settlement" in failed(reissued(FILE, receipts=(first, first)))
    bent = replace(second, receipt=replace(second.receipt, finished_ms=1))
    assert {"receipt 1", "settlement"} <= set(failed(reissued(FILE, receipts=(first, bent))))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": bytes(32)}, "another task"),
        ({"module": bytes(32)}, "another module"),
        ({"slot": 2}, "no slot 2"),
        ({"result": result(gas=10**9)}, "gas is outside"),
        ({"result": result(bytes(2000))}, "larger than"),
        ({"result": result(kind=9)}, "no outcome"),
    ],
)
def test_a_receipt_that_does_not_answer_the_task_is_found(changes: dict, reason: str) -> None:
    signed = FILE.receipts[0]
    signer = CLUSTER.signers[signed.receipt.worker]
    wrong = sign_receipt(signer, replace(signed.receipt, **changes))
    report = reissued(FILE, receipts=(wrong, FILE.receipts[1]))
    assert any(reason in check.detail for check in report.checks if not check.ok)


def pretended(cluster: TestCluster, settlement_changes: dict, **changes: object) -> ReceiptReport:
    """Let the issuer change the settlement and leave the checkpoint out, as nobody cosigns it."""
    file = file_of(cluster, b"n")
    settlement = replace(file.settlement, **settlement_changes)
    bare: dict[str, object] = {"note": None, "anchor": None, "path": ()}
    return reissued(file, cluster, settlement=settlement, **(bare | changes))


def test_a_verdict_that_the_statements_do_not_bear_out_is_found() -> None:
    plain, dispute, alone, undecided = CLUSTER, divergent(), single(), inconclusive()
    agree, diverge, none, unsure = (
        type(FILE.settlement.verdict)(number) for number in (1, 2, 0, 3)
    )
    for cluster, changes in (
        (plain, {"verdict": none}),
        (plain, {"verdict": diverge}),
        (plain, {"result": LIE}),
        (plain, {"liars": (CLUSTER.node(1),)}),
        (dispute, {"verdict": agree}),
        (dispute, {"verdict": unsure}),
        (dispute, {"liars": ()}),
        (dispute, {"result": LIE}),
        (alone, {"verdict": agree}),
        (alone, {"verdict": diverge}),
        (alone, {"verdict": unsure}),
        (alone, {"result": LIE}),
        (undecided, {"verdict": diverge}),
        (undecided, {"verdict": agree}),
        (undecided, {"liars": (CLUSTER.node(1),)}),
    ):
        assert "agreement" in failed(pretended(cluster, changes)), changes


def test_fewer_answers_than_the_task_asked_for_are_no_agreement() -> None:
    one = FILE.receipts[:1]
    hashes = tuple(receipt_hash(signed) for signed in one)
    report = pretended(CLUSTER, {"receipts": hashes}, receipts=one)
    assert failed(report) == ["agreement", "checkpoint"]


def test_one_worker_or_one_slot_answering_twice_is_found() -> None:
    signed = FILE.receipts[0]
    signer = CLUSTER.signers[signed.receipt.worker]
    again = sign_receipt(signer, replace(signed.receipt, slot=1 - signed.receipt.slot))
    pair = (signed, again)
    hashes = tuple(receipt_hash(each) for each in pair)
    assert "settlement" in failed(pretended(CLUSTER, {"receipts": hashes}, receipts=pair))
    other = CLUSTER.signers[FILE.receipts[1].receipt.worker]
    same_slot = sign_receipt(other, replace(FILE.receipts[1].receipt, slot=signed.receipt.slot))
    pair = (signed, same_slot)
    hashes = tuple(receipt_hash(each) for each in pair)
    assert "settlement" in failed(pretended(CLUSTER, {"receipts": hashes}, receipts=pair))


def test_verdicts_forged_foreign_or_left_out_are_found() -> None:
    cluster = divergent()
    file = file_of(cluster, b"n")
    forged = replace(file.verdicts[0], result=LIE)
    stranger = cluster.verdict(file.settlement.task, 70, result())
    for bad in (
        (forged, *file.verdicts[1:]),
        (stranger, *file.verdicts[1:]),
        file.verdicts[1:],
    ):
        assert {"settlement", "agreement"} <= set(failed(reissued(file, cluster, verdicts=bad)))


def test_a_checkpoint_without_its_quorum_is_found() -> None:
    note = FILE.note
    few = replace(note, cosignatures=note.cosignatures[:2])
    doubled = replace(note, cosignatures=(note.cosignatures[0],) * 3)
    foreign = replace(
        note, cosignatures=(*note.cosignatures[:2], replace(note.cosignatures[2], member=bytes(32)))
    )
    swapped = replace(
        note,
        cosignatures=(
            *note.cosignatures[:2],
            replace(note.cosignatures[2], signature=note.cosignatures[0].signature),
        ),
    )
    for bad in (few, doubled, foreign, swapped):
        assert failed(reissued(FILE, note=bad)) == ["checkpoint"]
    moved = replace(note, root=bytes(32))
    assert {"inclusion", "checkpoint", "anchor"} <= set(failed(reissued(FILE, note=moved)))


def test_a_broken_anchor_is_found() -> None:
    short = replace(FILE.anchor, following_headers=FILE.anchor.following_headers[:3])
    assert failed(reissued(FILE, anchor=short)) == ["anchor"]
    assert failed(reissued(FILE, anchor=replace(FILE.anchor, header=b"short"))) == ["anchor"]
    assert failed(reissued(FILE, note=None)) == ["checkpoint", "anchor"]


def test_lists_beyond_reason_are_refused_before_any_arithmetic() -> None:
    for changes in (
        {"version": FILE_VERSION + 1},
        {"receipts": FILE.receipts * 40},
        {"path": (bytes(32),) * 65},
        {"path": (b"short",)},
        {"note": replace(FILE.note, cosignatures=FILE.note.cosignatures * 50)},
        {"genesis": replace(FILE.genesis, members=())},
        {"genesis": replace(FILE.genesis, members=FILE.genesis.members * 2)},
    ):
        assert failed(reissued(FILE, **changes)) == ["format"]


def test_a_dispute_without_decision_that_claims_a_result_is_found() -> None:
    for claimed in (result(), replace(NO_RESULT, reason="but it was 42")):
        report = pretended(inconclusive(), {"result": claimed})
        assert "agreement" in failed(report)
        assert any("claims one" in check.detail for check in report.checks)


def test_an_agreement_that_needed_referees_is_said_to_have_needed_them() -> None:
    report = check_receipt_file(data_of(withheld()))
    detail = next(check.detail for check in report.checks if check.name == "agreement")
    assert "3 referees or more and all 1 workers that opened their answers, of 2" in detail
    assert any("of the 3 referees no 3 lied" in sentence for sentence in report.trust)


BAD_TEXTS = ["x" * 257, "two\nlines", "\x1b[2Jcleared", "grün", "\u202eleft"]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_text_that_could_mislead_its_reader_is_refused_unread(text: str) -> None:
    signed = FILE.receipts[0]
    signer = CLUSTER.signers[signed.receipt.worker]
    for changes in (
        {"engine": text},
        {"engine_version": text},
        {"energy_source": text},
        {"result": replace(signed.receipt.result, reason=text)},
    ):
        bent = sign_receipt(signer, replace(signed.receipt, **changes))
        report = reissued(FILE, receipts=(bent, FILE.receipts[1]))
        assert failed(report) == ["format"]
        assert text not in report.checks[0].detail
    settlement = replace(FILE.settlement, result=replace(FILE.settlement.result, reason=text))
    assert failed(reissued(FILE, settlement=settlement)) == ["format"]
    network = replace(FILE.genesis, bitcoin_network=text)
    assert failed(reissued(FILE, genesis=network)) == ["format"]


def test_an_unknown_bitcoin_network_is_said() -> None:
    cluster = agreed(anchored=False)
    file = file_of(cluster, b"n")
    changed = reissued(file, cluster, genesis=replace(file.genesis, bitcoin_network="none"))
    assert "cluster" in failed(changed)
    both = reissued(FILE, anchor=FILE.anchor, genesis=replace(FILE.genesis, bitcoin_network="none"))
    assert "anchor" in failed(both)
    assert sha256(b"") != CLUSTER.id


def on_a_chain(height_claimed: int | None = None) -> tuple[bytes, HeaderChain]:
    """Give a receipt whose anchor is the seventh header above regtest's first, and the chain."""
    chain = HeaderChain(REGTEST)
    assert isinstance(chain.extend(1, grow(chain, 6)), Extended)
    cluster = agreed(anchored=False)
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    claimed = 7 if height_claimed is None else height_claimed
    proof = anchor_proof(root, previous=chain.tip_hash, height=claimed)
    assert isinstance(chain.extend(7, proof.header + b"".join(proof.following_headers)), Extended)
    cluster.block((0, Anchor(size=size, root=root, proof=proof)))
    return encode(file_of(cluster, b"n")), chain


def chain_check(data: bytes, chain: HeaderChain) -> Check:
    report = check_receipt_file(data, headers=chain)
    (found,) = [check for check in report.checks if check.name == "chain"]
    assert report.valid == found.ok
    return found


def test_an_anchor_is_found_in_headers_that_were_checked() -> None:
    data, chain = on_a_chain()
    found = chain_check(data, chain)
    assert found.ok
    assert found.detail.startswith("height 7, 7 confirmations up to ")


def test_an_anchor_that_a_heavier_chain_left_behind_is_not_valid() -> None:
    data, chain = on_a_chain()
    heavier = grow(chain, 8, start=7, salt=1)
    assert isinstance(chain.extend(7, heavier), Extended)
    assert "not at height 7 of the headers" in chain_check(data, chain).detail


def test_an_anchor_at_another_height_than_claimed_is_not_valid() -> None:
    data, chain = on_a_chain(height_claimed=8)
    assert "not at height 8" in chain_check(data, chain).detail


def test_an_anchor_with_too_few_headers_above_it_is_not_valid() -> None:
    data, chain = on_a_chain()
    short = HeaderChain(REGTEST)
    assert isinstance(short.extend(1, chain.headers(1, 12)), Extended)
    assert chain_check(data, short).detail == "5 confirmations, 6 are needed"


def test_headers_of_another_network_prove_nothing() -> None:
    data, _ = on_a_chain()
    assert "headers are of signet" in chain_check(data, HeaderChain(SIGNET)).detail


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"assurance": Assurance.AUDITED, "replicas": 1}, "not all of the task's workers lied"),
        (
            {"assurance": Assurance.QUORUM, "replicas": 4},
            "4 drawn ones are all of them in one of 625 cases or fewer",
        ),
        (
            {
                "constraints": (
                    Constraint(key="region", value="eu-central"),
                    Constraint(key="engine", value="wasmi", is_excluded=True),
                )
            },
            "region eu-central, engine not wasmi. Labels are not checked",
        ),
    ],
)
def test_what_an_assurance_is_worth_is_said_in_words(changes: dict, sentence: str) -> None:
    cluster = TestCluster()
    cluster.work(cluster.admit(**changes))
    cluster.close_batch()
    report = check_receipt_file(encode(file_of(cluster, b"n")))
    assert report.valid, report.checks
    assert any(sentence in each for each in report.trust)


def test_of_a_trusted_worker_alone_it_is_said_how_it_earned_that() -> None:
    cluster = TestCluster()
    known = Reputation(good=12_000_000, bad=3_000_000, streak=10, day=10**6)
    writes = {reputation_key(cluster.node(n), "general"): known for n in range(4)}
    for state in (cluster.state, cluster.replica):
        state.commit(0, writes, state.tree.updated(writes))
    cluster.work(cluster.admit(assurance=Assurance.AUDITED, replicas=1))
    cluster.close_batch()
    file = file_of(cluster, b"n")
    report = check_receipt_file(encode(file))
    assert report.valid, report.checks
    assert len(file.receipts) == 1
    assert any("after 10 verified answers to such tasks" in each for each in report.trust)
