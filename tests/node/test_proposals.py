from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import SIGNATURE_BYTES, Signer
from ambientd.codec.statements import sign_record, verify_record
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import Propose
from ambientd.model.record import Cancel, Commits, Record
from ambientd.model.task import Commit
from ambientd.node.proposals import COMMITS_MAX, REMEMBERED_BYTES_MAX, Proposals

SIGNER = Signer(sha256(b"proposals"), sha256(b"cluster"))


def cancel(number: int) -> Cancel:
    return Cancel(task=TaskId(sha256(b"%d" % number)))


def proposed(proposals: Proposals, *numbers: int) -> list[bytes]:
    for number in numbers:
        proposals.add(cancel(number))
    return list(proposals.take().values())


def record_of(data: bytes) -> Record:
    record: Record = decode(data, Record)
    return record


def test_what_is_proposed_together_shares_a_signature() -> None:
    records = [record_of(data) for data in proposed(Proposals(SIGNER), 1, 2, 3)]
    assert [record.body for record in records] == [cancel(1), cancel(2), cancel(3)]
    assert len({record.signature[:SIGNATURE_BYTES] for record in records}) == 1
    assert all(verify_record(record, SIGNER.cluster) for record in records)


def test_one_body_alone_is_signed_plainly() -> None:
    (data,) = proposed(Proposals(SIGNER), 1)
    assert record_of(data) == sign_record(SIGNER, cancel(1))


def test_a_body_proposed_again_is_the_same_record_in_whatever_company() -> None:
    proposals = Proposals(SIGNER)
    first, second = proposed(proposals, 1, 2)
    third, again = proposed(proposals, 3, 1)
    assert again == first
    assert proposed(proposals, 2, 3) == [second, third]
    assert proposed(proposals) == []


def test_a_body_proposed_twice_in_one_event_is_one_record() -> None:
    assert len(proposed(Proposals(SIGNER), 1, 1)) == 1


def test_old_records_are_forgotten_before_they_fill_the_memory() -> None:
    proposals = Proposals(SIGNER)
    first = proposed(proposals, 1, 2)
    size = len(proposed(proposals, 3)[0])
    for number in range(REMEMBERED_BYTES_MAX // size + 1):
        proposed(proposals, 10 + number)
    assert proposed(proposals, 1) != first[:1]
    assert record_of(proposed(proposals, 1)[0]).body == cancel(1)


def test_sealed_answers_gathered_at_once_share_records_and_all_else_passes() -> None:
    proposals = Proposals(SIGNER)
    answers = [seal(number) for number in range(COMMITS_MAX + 1)]
    settle = Propose(cancel(1))
    assert proposals.gather([*(Propose(Commits(commits=(each,))) for each in answers), settle]) == [
        settle
    ]
    records = [record_of(data).body for data in proposals.take().values()]
    assert records == [Commits(commits=tuple(answers[:-1])), Commits(commits=(answers[-1],))]
    assert proposals.take() == {}


def seal(number: int) -> Commit:
    name = Digest(sha256(b"%d" % number))
    return Commit(
        task=TaskId(name),
        slot=0,
        attempt=0,
        worker=NodeId(SIGNER.public_key),
        commitment=name,
        signature=bytes(SIGNATURE_BYTES),
    )
