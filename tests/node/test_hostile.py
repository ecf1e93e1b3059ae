"""What reaches a node from outside can at worst be held against its sender."""

import pytest

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_record
from ambientd.consensus.messages import (
    EquivocalBlocks,
    EquivocalVotes,
    Header,
    Position,
    Vote,
    vote_payload,
)
from ambientd.ledger.events import NodeConvicted
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.message import PARCEL_BYTES_MAX, CosignRequested, ParcelSent
from ambientd.model.record import Admit, Fraud
from ambientd.model.task import Assurance
from ambientd.model.telemetry import Observation
from ambientd.node.build import NodeOptions
from ambientd.node.core import Node
from ambientd.node.effect import (
    ConditionChanged,
    NodeEffect,
    PeerMisbehaved,
    PublishGossip,
    RecordDropped,
)
from ambientd.node.event import (
    Event,
    FrameReceived,
    GossipReceived,
    RecordOffered,
    RoundTripMeasured,
)
from ambientd.node.frames import JOB_BYTES_MAX, JOB_FRAME, LOG_FRAME, job_frame
from ambientd.node.roots import KEPT_MAX, RecentRoots
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence, fraud_judge
from ambientd.telemetry.batch import FIRST_HASH, sign_batch
from ambientd.telemetry.core import EVIDENCE_KIND
from ambientd.telemetry.messages import Sampled
from sim.choices import task_spec
from sim.cluster import UNTIL_MS
from sim.world import EPOCH_MS
from tests.node.cluster import Cluster

STRANGER = NodeId(Signer(bytes(32), b"").public_key)
ROOT = Digest(bytes(32))
LATER = 2**50  # above any count of starts that begins at the clock


class Alone:
    """One member's node of a quiet cluster, to be poked at."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.cluster.run(300)
        self.peer = NodeId(self.cluster.hosts[1].key)
        host = self.cluster.hosts[0]
        assert host.node is not None
        self.node: Node = host.node
        self.signers = [each.signer for each in self.cluster.hosts]

    def poke(self, *events: Event) -> list[NodeEffect]:
        now = EPOCH_MS + self.cluster.world.now
        return [effect for event in events for effect in self.node.handle(event, now=now)]


def contradiction(signer: Signer) -> tuple[bytes, bytes]:
    """Give two statements of one node about the same moment."""

    def said(value: int) -> bytes:
        observation = Observation(name="cpu_load_percent", value=value, source="test")
        return encode(sign_batch(signer, LATER, 0, [observation], FIRST_HASH))

    return said(1_000), said(2_000)


def job(size: int = 1) -> bytes:
    return JOB_FRAME + encode(CosignRequested(size=size, root=ROOT))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x09whatever",
        LOG_FRAME,
        LOG_FRAME + b"\xff" * 40,
        JOB_FRAME,
        JOB_FRAME + b"\x93\x01",
        JOB_FRAME + bytes(JOB_BYTES_MAX + 1),
        job() + b"\x00",
    ],
    ids=["empty", "kind", "log-empty", "log", "job-empty", "job", "oversize", "trailing"],
)
def test_a_frame_that_does_not_decode_is_held_against_its_sender(frame: bytes) -> None:
    alone = Alone()
    root = alone.node.ledger.root
    [effect] = alone.poke(FrameReceived(alone.peer, frame))
    assert isinstance(effect, PeerMisbehaved)
    assert effect.peer == alone.peer
    assert alone.node.ledger.root == root


def test_a_job_message_of_an_outsider_is_held_against_it() -> None:
    [effect] = Alone().poke(FrameReceived(STRANGER, job()))
    assert effect == PeerMisbehaved(STRANGER, "job message of a node outside the cluster")


def test_wrong_bytes_for_a_digest_are_held_against_their_sender() -> None:
    alone = Alone()
    task, digest = TaskId(bytes(32)), Digest(sha256(b"right"))
    frame = job_frame(ParcelSent(task=task, digest=digest, data=b"wrong"))
    [effect] = alone.poke(FrameReceived(alone.peer, frame))
    assert isinstance(effect, PeerMisbehaved)
    assert effect.peer == alone.peer


def test_a_parcel_above_its_size_is_held_against_its_sender() -> None:
    alone = Alone()
    data = bytes(PARCEL_BYTES_MAX + 1)
    large = ParcelSent(task=TaskId(bytes(32)), digest=Digest(sha256(data)), data=data)
    [effect] = alone.poke(FrameReceived(alone.peer, job_frame(large)))
    assert isinstance(effect, PeerMisbehaved)


def test_a_parcel_of_an_outsider_is_held_against_it() -> None:
    parcel = ParcelSent(task=TaskId(bytes(32)), digest=Digest(sha256(b"x")), data=b"x")
    [effect] = Alone().poke(FrameReceived(STRANGER, job_frame(parcel)))
    assert isinstance(effect, PeerMisbehaved)


def test_a_question_that_has_no_answer_is_left_unanswered() -> None:
    alone = Alone()
    assert alone.poke(FrameReceived(alone.peer, job(size=5))) == []


def test_a_record_that_is_not_signed_is_dropped_with_a_reason() -> None:
    alone = Alone()
    good = sign_record(
        alone.signers[1], Admit(nonce=b"1", spec=task_spec(1, Assurance.NONE, 1), until_ms=UNTIL_MS)
    )
    fields = {name: getattr(good, name) for name in good.__struct_fields__}
    [effect] = alone.poke(RecordOffered(type(good)(**(fields | {"author": STRANGER}))))
    assert isinstance(effect, RecordDropped)


def test_telemetry_that_is_malformed_is_held_against_its_sender() -> None:
    alone = Alone()
    [effect] = alone.poke(GossipReceived(alone.peer, b"\xc1"))
    assert isinstance(effect, PeerMisbehaved)


def test_own_telemetry_is_published_and_a_copied_key_is_noticed() -> None:
    alone = Alone()
    own = alone.signers[0]
    far = sign_batch(own, LATER, 0, [], Digest(bytes(32)))
    [effect] = alone.poke(GossipReceived(alone.peer, encode(far)))
    assert isinstance(effect, ConditionChanged)
    effects = alone.poke(Sampled(()))
    assert any(isinstance(each, PublishGossip) for each in effects)


def test_contradicting_telemetry_convicts_its_author() -> None:
    cluster = Cluster(checked=False)
    cluster.run(300)
    culprit = cluster.hosts[1].signer
    one, two = contradiction(culprit)
    host = cluster.hosts[0]
    peer = NodeId(cluster.hosts[2].key)
    lies = [GossipReceived(peer, one), GossipReceived(peer, two)]
    cluster.world.act(host.key, lambda now: host.feed(lies, now))
    name = NodeId(culprit.public_key)
    cluster.until(lambda: cluster.told(NodeConvicted, 3) == [NodeConvicted(name, EVIDENCE_KIND)])


def test_a_round_trip_to_an_outsider_does_not_slow_the_log() -> None:
    alone = Alone()
    assert alone.poke(RoundTripMeasured(STRANGER, 9_000_000)) == []
    alone.poke(RoundTripMeasured(alone.peer, 9_000))
    assert alone.node.next_deadline is not None
    assert alone.node.telemetry.view(EPOCH_MS) is not None


def vote_of(cluster: Cluster, epoch: int, hash_: bytes) -> Vote:
    """Let the member with number 0 vote."""
    first = min(cluster.hosts, key=lambda host: host.key)
    position = Position(1, 1)
    signature = first.signer.sign("vote", vote_payload(epoch, position, 0, hash_))
    return Vote(position, 0, hash_, 0, signature)


def test_only_what_proves_something_convicts() -> None:
    cluster = Cluster()
    member = cluster.hosts[1].signer
    node = cluster.hosts[0].node
    assert node is not None
    judge = fraud_judge(node.ledger)
    name = NodeId(member.public_key)
    one, two = contradiction(member)
    header = Header(1, 1, bytes(32), 1, bytes(32), bytes(32), b"", name)
    same = EquivocalBlocks(header, bytes(64), header, bytes(64))
    nothing = encode(LogEvidence(1, same))
    votes = [vote_of(cluster, epoch=2, hash_=bytes([n]) * 32) for n in range(2)]
    of_later = EquivocalVotes(*votes)

    def proves(kind: str, first: bytes, second: bytes, culprit: bytes = name) -> bool:
        return judge(Fraud(culprit=NodeId(culprit), kind=kind, first=first, second=second))

    assert proves(EVIDENCE_KIND, one, two)
    assert not proves(EVIDENCE_KIND, one, one)
    assert not proves(EVIDENCE_KIND, one, two, STRANGER)
    assert not proves(EVIDENCE_KIND, b"\xc1", two)
    assert not proves(LOG_EVIDENCE, nothing, b"")
    assert not proves(LOG_EVIDENCE, encode(LogEvidence(1, of_later)), b"")
    assert not proves(LOG_EVIDENCE, encode(LogEvidence(2, of_later)), b"")
    votes = [vote_of(cluster, epoch=1, hash_=bytes([n]) * 32) for n in range(2)]
    two_votes = encode(LogEvidence(1, EquivocalVotes(*votes)))
    assert proves(LOG_EVIDENCE, two_votes, b"", node.ledger.members[0])
    assert not proves(LOG_EVIDENCE, two_votes, b"more", node.ledger.members[0])
    assert not proves(LOG_EVIDENCE, nothing, b"more")
    assert not proves(LOG_EVIDENCE, b"\xc1", b"")
    assert not proves("hearsay", one, two)


def test_only_the_last_state_roots_are_kept() -> None:
    roots = RecentRoots(0, b"0")
    for index in range(1, KEPT_MAX + 1):
        roots.add(index, b"%d" % index)
    assert roots.get(0) is None
    assert roots.get(1) == b"1"


def test_a_node_that_may_not_vote_still_follows() -> None:
    cluster = Cluster()
    host = cluster.hosts[0]
    cluster.world.crash(host.key)
    options = host.options
    host.options = NodeOptions(options.genesis, options.seed, may_vote=False)
    cluster.world.start(host.key)
    task = cluster.submit(by=1)
    assert cluster.until_closed(task).ended_ms
