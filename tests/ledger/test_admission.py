import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import sign_record
from ambientd.errors import RemoteProtocolError
from ambientd.ledger import admission
from ambientd.ledger.admission import (
    BYTES_BETWEEN,
    CACHED_BYTES_MAX,
    DECODED_BYTES_MAX,
    RECORD_BYTES_MAX,
    check_admissible,
    decode_record,
    is_admissible,
    may_propose,
    shape_fault,
)
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.events import RecordRejected
from ambientd.model.base import NodeId
from ambientd.model.record import Admit, Anchor, Body, Commits, Fraud, NodeReport, Registry, Settle
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import UNTIL_MS, TestCluster, spec

CLUSTER = TestCluster()
ADMIT = Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)


def refusal(body: Body) -> str:
    data = encode(sign_record(CLUSTER.signer(0), body))
    with pytest.raises(RemoteProtocolError) as caught:
        check_admissible(data, CLUSTER.id)
    assert not is_admissible(data, CLUSTER.id)
    return str(caught.value)


def test_a_signed_record_of_this_cluster_is_admissible_and_of_another_is_not() -> None:
    record = sign_record(CLUSTER.signer(0), ADMIT)
    assert check_admissible(encode(record), CLUSTER.id) == record
    with pytest.raises(RemoteProtocolError, match="did not sign"):
        check_admissible(encode(record), bytes(32))
    other = replace(record, author=CLUSTER.node(1))
    assert not is_admissible(encode(other), CLUSTER.id)


@given(st.data())
def test_no_changed_byte_stays_admissible(data: st.DataObject) -> None:
    raw = bytearray(encode(sign_record(CLUSTER.signer(0), ADMIT)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert not is_admissible(bytes(raw), CLUSTER.id)


@given(st.binary(max_size=300))
def test_garbage_is_not_admissible(data: bytes) -> None:
    assert not is_admissible(data, CLUSTER.id)


def test_what_is_out_of_bounds_is_named() -> None:
    report = NodeReport(node=CLUSTER.node(0), accepting=True)
    proof = anchor_proof(bytes(32))
    assert "nonce has 0 bytes" in refusal(replace(ADMIT, nonce=b""))
    assert "gas_max is -1" in refusal(replace(ADMIT, spec=spec(gas_max=-1)))
    assert "module has 3 bytes" in refusal(replace(ADMIT, spec=spec(module=b"abc")))
    assert "kind has 257" in refusal(
        Fraud(culprit=CLUSTER.node(0), kind="k" * 257, first=b"", second=b"")
    )
    assert "reports has 10001" in refusal(Registry(reports=(report,) * 10_001))
    assert "size is -1" in refusal(Anchor(size=-1, root=bytes(32), proof=proof))
    short = replace(proof, following_headers=(b"short",))
    assert "following_headers has 5" in refusal(Anchor(size=1, root=bytes(32), proof=short))
    assert "node has 2" in refusal(Registry(reports=(replace(report, node=NodeId(b"ab")),)))


def test_a_record_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert not is_admissible(bytes(RECORD_BYTES_MAX + 1), CLUSTER.id)


def test_decoded_records_are_kept_up_to_so_many_bytes_however_large_they_are() -> None:
    report = NodeReport(node=CLUSTER.node(0), accepting=True)
    reports = (report,) * (CACHED_BYTES_MAX // 2 // len(encode(report)))
    record = sign_record(CLUSTER.signer(0), Registry(reports=reports))
    size = len(encode(record))
    assert CACHED_BYTES_MAX // 3 < size <= CACHED_BYTES_MAX
    for number in range(2 * DECODED_BYTES_MAX // size):
        decode_record(encode(replace(record, signature=number.to_bytes(64, "big"))))
    kept = (*admission._decoded._younger, *admission._decoded._older)
    assert DECODED_BYTES_MAX // 3 < sum(map(len, kept)) <= DECODED_BYTES_MAX


def test_a_large_record_pushes_no_others_out() -> None:
    report = NodeReport(node=CLUSTER.node(0), accepting=True)
    large = sign_record(CLUSTER.signer(0), Registry(reports=(report,) * (CACHED_BYTES_MAX // 32)))
    before = len(admission._decoded)
    assert len(encode(large)) > CACHED_BYTES_MAX
    assert decode_record(encode(large)) == large
    assert len(admission._decoded) == before


def test_every_field_of_bytes_has_bounds() -> None:
    """A new field that nobody bounded would raise KeyError in every member's vote."""
    import msgspec

    from ambientd.model.record import Record

    seen: set[str] = set()

    def walk(kind: object) -> None:
        info = msgspec.inspect.type_info(kind)
        stack = [(None, info)]
        while stack:
            name, each = stack.pop()
            match each:
                case msgspec.inspect.BytesType():
                    assert name in BYTES_BETWEEN, name
                    seen.add(str(name))
                case msgspec.inspect.StructType():
                    stack += [(part.name, part.type) for part in each.fields]
                case msgspec.inspect.UnionType():
                    stack += [(name, part) for part in each.types]
                case msgspec.inspect.VarTupleType():
                    stack.append((name, each.item_type))

    walk(Record)
    assert seen == set(BYTES_BETWEEN)


@given(st.binary(max_size=80), st.integers(-(2**63), 2**63 - 1))
def test_what_is_admissible_never_makes_the_ledger_raise(junk: bytes, number: int) -> None:
    """Bodies of junk, signed properly by a stranger and by a member."""
    key = (junk + bytes(32))[:32]
    proof = anchor_proof_of_junk(junk, number)
    bodies: list[Body] = [
        Anchor(size=abs(number) % 2**53, root=key, proof=proof),
        Fraud(culprit=NodeId(key), kind="receipt", first=junk, second=junk),
        Fraud(culprit=NodeId(key), kind="verdict", first=junk, second=junk),
        Commits(commits=()),
        Admit(nonce=junk[:64] or b"0", spec=spec(gas_max=abs(number) % 2**53), until_ms=UNTIL_MS),
    ]
    context = BlockContext(index=1, term=1, time_ms=CLUSTER.time_ms, beacon=bytes(32))
    for author in (0, 77):
        for body in bodies:
            assert shape_fault(body) is None
            done = apply_block(CLUSTER.state, context, [sign_record(CLUSTER.signer(author), body)])
            for event in done.events:
                if isinstance(event, RecordRejected):
                    assert event.reason


def anchor_proof_of_junk(junk: bytes, number: int):  # noqa: ANN201
    proof = anchor_proof(bytes(32))
    return replace(proof, raw_tx=junk or b"0", index=abs(number) % 2**53)


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "grün"])
def test_a_receipt_with_text_that_is_not_plain_is_not_admissible(text: str) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    signed = cluster.receipt(task, 0)
    good = Settle(task=task, receipts=(signed,))
    assert shape_fault(good) is None
    for changes in (
        {"engine": text},
        {"engine_version": text},
        {"energy_source": "x" * 65},
        {"result": replace(signed.receipt.result, reason=text)},
    ):
        bent = replace(signed, receipt=replace(signed.receipt, **changes))
        assert next(iter(changes)).replace("result", "reason") in str(
            shape_fault(Settle(task=task, receipts=(bent,)))
        )


def test_records_of_invented_keys_are_not_passed_on_though_a_vote_would_take_them() -> None:
    cluster = TestCluster()
    admit = Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)
    invented = sign_record(cluster.signer(77), admit)
    assert is_admissible(encode(invented), cluster.id)
    assert not may_propose(invented, cluster.state)
    assert may_propose(sign_record(cluster.signer(0), admit), cluster.state)
    number, join = cluster.join(50)
    assert may_propose(sign_record(cluster.signer(number), join), cluster.state)
    assert not may_propose(sign_record(cluster.signer(77), join), cluster.state)
    for bad in (
        replace(join, grant_signature=bytes(64)),
        replace(join, inviter=cluster.node(77)),
        replace(join, node=cluster.node(0)),
    ):
        author = 0 if bad.node == cluster.node(0) else number
        assert not may_propose(sign_record(cluster.signer(author), bad), cluster.state)
    cluster.block((number, join))
    assert may_propose(sign_record(cluster.signer(50), admit), cluster.state)
