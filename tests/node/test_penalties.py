"""Each kind of evidence of the log costs its culprit bond and name in the ledger, and once."""

from collections.abc import Callable

import pytest

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record
from ambientd.consensus.messages import (
    EquivocalBlocks,
    EquivocalVotes,
    Evidence,
    Header,
    HiddenCertificate,
    Position,
    Vote,
    append_payload,
    block_hash,
    timeout_payload,
    vote_payload,
)
from ambientd.ledger.apply import apply_block
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.events import NodeConvicted
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.record import Fraud
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence, fraud_judge
from sim.cluster import BOND_MSAT, genesis_of
from sim.joining import seed_of
from sim.world import EPOCH_MS

GENESIS = genesis_of(4)
CLUSTER = fingerprint(GENESIS)
LIAR, WITNESS = (Signer(seed_of("member", number), CLUSTER) for number in range(2))
NUMBER = sorted(member.node for member in GENESIS.members).index(LIAR.public_key)


def proposal(time_ms: int) -> tuple[Header, bytes]:
    header = Header(1, 1, bytes(32), time_ms, bytes(32), bytes(32), b"", LIAR.public_key)
    return header, LIAR.sign("append", append_payload(FIRST_EPOCH, block_hash(header)))


def vote(hash_: bytes) -> Vote:
    position = Position(1, 3)
    payload = vote_payload(FIRST_EPOCH, position, 1, hash_)
    return Vote(position, 1, hash_, NUMBER, LIAR.sign("vote", payload))


def two_blocks() -> Evidence:
    return EquivocalBlocks(*proposal(1), *proposal(2))


def two_votes() -> Evidence:
    return EquivocalVotes(vote(b"a" * 32), vote(b"b" * 32))


def hidden_certificate() -> Evidence:
    payload = timeout_payload(FIRST_EPOCH, 1, Position(1, 1))
    signature = LIAR.sign("timeout", payload)
    return HiddenCertificate(vote(b"a" * 32), 1, Position(1, 1), signature)


@pytest.mark.parametrize("kind", [two_blocks, two_votes, hidden_certificate])
def test_evidence_of_the_log_takes_bond_and_name_and_only_once(
    kind: Callable[[], Evidence],
) -> None:
    ledger = LedgerState.from_genesis(GENESIS)
    culprit, total = NodeId(LIAR.public_key), ledger.total_msat()
    first = encode(LogEvidence(FIRST_EPOCH, kind()))
    told = []
    for index in (1, 2):
        body = Fraud(culprit=culprit, kind=LOG_EVIDENCE, first=first, second=b"")
        context = BlockContext(index=index, term=1, time_ms=EPOCH_MS + index, beacon=bytes(32))
        result = apply_block(ledger, context, [sign_record(WITNESS, body)], fraud_judge(ledger))
        ledger.commit(index, result.writes, result.tree)
        told.append([event for event in result.events if isinstance(event, NodeConvicted)])
    assert told == [[NodeConvicted(culprit, LOG_EVIDENCE)], []]
    entry = ledger.node(culprit)
    assert entry is not None
    assert (entry.bond_msat, entry.tombstoned, entry.accepting) == (0, True, False)
    assert ledger.total_msat() == total
    witness = ledger.node(NodeId(WITNESS.public_key))
    assert witness is not None
    assert witness.bond_msat == BOND_MSAT
