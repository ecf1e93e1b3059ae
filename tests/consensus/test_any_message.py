"""Any well-formed message, whatever its integers and bytes: the core never raises."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.codec import canonical
from ambientd.codec.signing import Signer
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Broadcast, PersistSafety, Send
from ambientd.consensus.epochs import Epoch
from ambientd.consensus.events import MessageReceived, Started, Tick
from ambientd.consensus.messages import (
    MEMBERS_MAX,
    Append,
    Blocks,
    EpochEnd,
    Epochs,
    EquivocalBlocks,
    EquivocalVotes,
    EvidenceMessage,
    Fetch,
    Forward,
    Header,
    HiddenCertificate,
    InEpoch,
    Message,
    Position,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    append_payload,
    block_hash,
    decode_message,
    encode_message,
    records_root,
    timeout_payload,
    vote_payload,
)
from sim.replica import STOP_PREFIX, SeatsWanted, Store, is_valid, seats_record
from tests.consensus.bench import START_MS, Bench, options, record, secret
from tests.consensus.bench import beacon as chain

BENCH = Bench(4)
STOP = STOP_PREFIX + canonical.encode(
    Epoch(1, BENCH.options.members, b"next", BENCH.options.beacon_tips)
)
SIGNERS: dict[bytes, Signer] = {signer.public_key: signer for signer in BENCH.signers}
MEMBERS = BENCH.options.members
JUNK = b"\xff" * 64
COUNT_MAX = 2**53 - 1

counts = st.one_of(
    st.integers(0, 6),
    st.sampled_from([START_MS, START_MS + 1_000, COUNT_MAX - 1, COUNT_MAX]),
    st.integers(0, COUNT_MAX),
)
members = st.one_of(st.integers(0, 3), st.integers(0, MEMBERS_MAX - 1))
hashes = st.one_of(st.just(BENCH.genesis.hash), st.binary(min_size=32, max_size=32))
keys = st.one_of(st.sampled_from(MEMBERS), st.binary(min_size=32, max_size=32))
positions = st.builds(Position, counts, counts)
beacons = st.one_of(
    st.sampled_from([chain.reveal(secret(key), 0) for key in MEMBERS]),
    st.binary(min_size=32, max_size=64),
)
records = st.lists(
    st.one_of(st.integers(0, 3).map(record), st.binary(max_size=40)), max_size=4
).map(tuple)


def sign(key: bytes, domain: str, payload: bytes) -> bytes:
    """Sign as anybody in the committee; junk for a stranger."""
    signer = SIGNERS.get(key)
    return JUNK if signer is None else signer.sign(domain, payload)


def sign_as(number: int, domain: str, payload: bytes) -> bytes:
    return sign(MEMBERS[number], domain, payload) if number < len(MEMBERS) else JUNK


@st.composite
def votes(draw: st.DrawFn) -> Vote:
    position, parent_term, hash_, member = draw(st.tuples(positions, counts, hashes, members))
    payload = vote_payload(0, position, parent_term, hash_)
    return Vote(position, parent_term, hash_, member, sign_as(member, "vote", payload))


numbers = st.one_of(
    st.sampled_from([(), (0, 1, 2), (0, 1, 2, 3), (1, 1, 1)]),
    st.lists(members, max_size=6).map(tuple),
)


@st.composite
def certificates(draw: st.DrawFn) -> QuorumCertificate:
    """Give the genesis, a certificate that all signed for anything, or nonsense."""
    if draw(st.booleans()):
        return BENCH.genesis
    position, parent_term, hash_ = draw(st.tuples(positions, counts, hashes))
    payload = vote_payload(0, position, parent_term, hash_)
    signatures = tuple((n, sign_as(n, "vote", payload)) for n in draw(numbers))
    return QuorumCertificate(position, parent_term, hash_, signatures)


@st.composite
def elections(draw: st.DrawFn) -> TimeoutCertificate:
    term, max_qc = draw(st.tuples(counts, certificates()))
    high = draw(st.one_of(st.just(max_qc.position), positions))
    payload = timeout_payload(0, term, high)
    entries = tuple((n, high, sign_as(n, "timeout", payload)) for n in draw(numbers))
    return TimeoutCertificate(term, entries, max_qc)


headers = st.builds(
    Header, counts, counts, hashes, counts, hashes, beacons, st.binary(max_size=32), keys
)


@st.composite
def blocks(draw: st.DrawFn) -> Append:
    """Give a signed block, half of the time one that stands where it says."""
    header, qc, inside = draw(st.tuples(headers, certificates(), records))
    if draw(st.booleans()):
        header = Header(
            header.term,
            min(qc.position.index + 1, COUNT_MAX),
            qc.hash,
            header.time_ms,
            records_root(inside),
            header.beacon,
            draw(st.sampled_from([b"", header.state_root])),
            BENCH.committee.coordinator(header.term),
        )
    signature = sign(header.proposer, "append", append_payload(0, block_hash(header)))
    return Append(header, qc, draw(st.none() | elections()), inside, signature)


@st.composite
def timeouts(draw: st.DrawFn) -> Timeout:
    term, member, qc = draw(st.tuples(counts, members, certificates()))
    high = draw(st.one_of(st.just(qc.position), positions))
    signature = sign_as(member, "timeout", timeout_payload(0, term, high))
    return Timeout(term, high, member, signature, qc, draw(st.none() | elections()))


@st.composite
def accusations(draw: st.DrawFn) -> EvidenceMessage:
    one, two, timeout = draw(st.tuples(votes(), votes(), timeouts()))
    first, second = draw(st.tuples(blocks(), blocks()))
    return EvidenceMessage(
        draw(
            st.sampled_from(
                [
                    EquivocalVotes(one, two),
                    HiddenCertificate(one, timeout.term, timeout.high_position, timeout.signature),
                    EquivocalBlocks(first.header, first.signature, second.header, second.signature),
                ]
            )
        )
    )


messages = st.one_of(
    blocks(),
    votes(),
    timeouts(),
    st.builds(QcNotice, certificates(), st.none() | elections()),
    st.builds(Fetch, counts),
    st.builds(Blocks, st.lists(blocks(), max_size=3).map(tuple), certificates()),
    st.builds(Forward, records),
    accusations(),
)
ends = st.builds(
    EpochEnd,
    st.one_of(st.just(STOP), st.binary(max_size=40)),
    st.lists(st.tuples(headers, certificates()), min_size=2, max_size=4).map(tuple),
)
of_epochs = st.one_of(
    messages,
    st.builds(InEpoch, counts, messages.filter(lambda message: not isinstance(message, Forward))),
    st.builds(Epochs, counts, st.lists(ends, max_size=2).map(tuple)),
)
senders = st.one_of(st.sampled_from(MEMBERS), st.binary(max_size=64))
steps = st.lists(st.tuples(senders, messages, st.integers(0, 2_000)), min_size=1, max_size=8)
epoch_steps = st.lists(st.tuples(senders, of_epochs, st.integers(0, 500)), min_size=1, max_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 3])
@given(steps=steps)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_no_well_formed_message_makes_the_core_raise(
    who: int, steps: list[tuple[bytes, Message, int]]
) -> None:
    signer = BENCH.signers[who]
    core = Consensus(
        options(4, signer),
        signer,
        None,
        random.Random(1),
        is_valid=is_valid,
        state_root=lambda _: None,
        blocks=Store(),
    )
    now = START_MS
    core.handle(Started(), now=now)
    for sender, message, pause in steps:
        assert decode_message(encode_message(message)) == message
        effects = core.handle(MessageReceived(sender, message), now=now)
        now += pause
        effects += core.handle(Tick(), now=now)
        for effect in effects:
            if isinstance(effect, Send | Broadcast):
                encode_message(effect.message)
            elif isinstance(effect, PersistSafety):
                canonical.encode(effect.state)
        due = core.next_deadline
        assert due is not None
        assert due > now


def ended_once() -> Bench:
    """Give a committee whose first epoch has ended."""
    bench = Bench(4)
    bench.start()
    bench.run(300)
    bench.submit(0, seats_record(SeatsWanted(0, b"", b"", b"")))
    bench.run(600)
    assert bench.nodes[0].store.ends_known
    return bench


@pytest.mark.slow
@given(steps=epoch_steps)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_no_well_formed_message_makes_the_log_raise_or_leave_its_epoch(
    steps: list[tuple[bytes, Message, int]],
) -> None:
    bench = ended_once()
    node = bench.nodes[0]
    for sender, message, pause in steps:
        assert decode_message(encode_message(message)) == message
        bench.carry_out(0, node.receive_message(sender, message, bench.now))
        bench.tick(0, pause)
    assert node.log is not None
    assert node.log.number == 1
