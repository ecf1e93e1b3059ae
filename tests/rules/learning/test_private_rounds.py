"""Circles from updates to a model: drop-outs cost nothing but their update, liars are named."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from ambientd.codec.digest import sha256
from ambientd.errors import LocalProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Circle, Plan, Shown, StudyId
from ambientd.rules.learning import circles, private_rounds
from ambientd.rules.learning.circles import Words
from ambientd.rules.learning.secure import BadShareError

RID = circles.round_id(StudyId(sha256(b"study")), 3)
COUNT = 6
PLAN = Plan(
    model="mlp:1,1,2",
    trainer="numpy",
    aggregation="fedavg",
    seed=bytes(32),
    clip_micro=4_000_000,
    noise_milli=0,
    group_size=5,
    is_private=True,
)
MODEL = np.zeros(COUNT, dtype="<i4").tobytes()


class Ring:
    """A circle of which each member does as it should, until a test changes something."""

    def __init__(self, size: int, name: bytes = b"") -> None:
        nodes = [NodeId(hashlib.sha256(b"%d" % n + name).digest()) for n in range(size)]
        self.nodes = sorted(nodes)
        self.secrets = {n: hashlib.sha256(b"secret" + n).digest() for n in self.nodes}
        keys = tuple(circles.announced(self.secrets[n], n, RID) for n in self.nodes)
        drawn = Circle(members=keys, threshold=2 * size // 3 + 1, dealt=())
        self.dealings = {n: circles.dealing(self.secrets[n], n, drawn, RID) for n in self.nodes}
        self.circle = changed(drawn, dealt=self.shown(self.nodes))
        rng = np.random.default_rng(size)
        self.updates = {n: rng.integers(-(2**15), 2**15, COUNT).astype("<i4") for n in self.nodes}

    def shown(self, nodes: list[NodeId]) -> tuple[Shown, ...]:
        blobs = ((n, self.dealings[n]) for n in nodes)
        return tuple(
            Shown(node=n, digest=Digest(sha256(blob)), size_bytes=len(blob)) for n, blob in blobs
        )

    def upload(self, node: NodeId, plan: Plan = PLAN) -> bytes:
        update = self.updates[node].tobytes()
        return private_rounds.concealed(plan, update, self.secrets[node], node, self.circle, RID)

    def open(self, node: NodeId, survivors: list[NodeId]) -> bytes:
        secret = self.secrets[node]
        return circles.opened_shares(secret, node, self.circle, self.dealings, survivors, RID)

    def words(self, survivors: list[NodeId], plan: Plan = PLAN) -> Words:
        uploads = {n: self.upload(n, plan) for n in survivors}
        opened = {n: self.open(n, survivors) for n in survivors}
        return Words(self.circle, tuple(survivors), uploads, self.dealings, opened)

    def mean(self, survivors: list[NodeId]) -> list[int]:
        total = sum(self.updates[n].astype(np.int64) for n in survivors)
        return list((2 * total + len(survivors)) // (2 * len(survivors)))


def model_of(*words: Words, plan: Plan = PLAN) -> private_rounds.SummedModel:
    return private_rounds.summed(plan, MODEL, words, RID)


def numbers(data: bytes) -> list[int]:
    return list(np.frombuffer(data, "<i4"))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_whoever_drops_out_the_model_is_the_mean_of_the_survivors(data: st.DataObject) -> None:
    ring = Ring(data.draw(st.integers(3, 7)))
    slack = len(ring.nodes) - ring.circle.threshold
    gone = data.draw(st.sets(st.sampled_from(ring.nodes), max_size=slack))
    survivors = [n for n in ring.nodes if n not in gone]
    found = model_of(ring.words(survivors))
    assert numbers(found.model) == ring.mean(survivors)
    assert (found.left_out, found.faulty) == ((), ())


def test_one_upload_looks_like_noise_and_dealing_again_deals_the_same() -> None:
    ring = Ring(5)
    node = ring.nodes[0]
    uploads = np.frombuffer(ring.upload(node), "<u4")
    assert ring.upload(node) == ring.upload(node)
    assert not set(uploads) & set(ring.updates[node].astype("<u4"))
    again = circles.dealing(ring.secrets[node], node, changed(ring.circle, dealt=()), RID)
    assert again == ring.dealings[node]


def fault_of(ring: Ring, holder: NodeId, dealings: dict[NodeId, bytes]) -> NodeId | None:
    try:
        circles.check_dealings(ring.secrets[holder], holder, ring.circle, dealings, RID)
    except BadShareError as error:
        return error.node
    return None


def test_a_share_that_does_not_open_is_seen_before_anything_is_spent() -> None:
    ring = Ring(4)
    me, dealer = ring.nodes[0], ring.nodes[2]
    circles.check_dealings(ring.secrets[me], me, ring.circle, ring.dealings, RID)
    for at in range(0, len(ring.dealings[dealer]), 97):
        bad = bytearray(ring.dealings[dealer])
        bad[at] ^= 1
        named = {**ring.dealings, dealer: bytes(bad)}
        blamed = [fault_of(ring, holder, named) for holder in ring.nodes]
        assert {node for node in blamed if node} <= {dealer}
        assert sum(node is not None for node in blamed) <= 1, "each part is for one member"
    with pytest.raises(BadShareError, match="dealt"):
        circles.check_dealings(
            ring.secrets[me], me, ring.circle, {**ring.dealings, dealer: b"short"}, RID
        )


def test_a_false_opener_is_named_and_the_sum_comes_all_the_same() -> None:
    ring = Ring(5)
    words = ring.words(ring.nodes)
    liar = ring.nodes[1]
    bad = bytearray(words.opened[liar])
    bad[-1] ^= 1
    found = model_of(replace(words, opened={**words.opened, liar: bytes(bad)}))
    assert found.faulty == (liar,)
    assert found.left_out == ()
    assert numbers(found.model) == ring.mean(ring.nodes)


def test_too_many_false_openers_hide_the_sum_and_are_all_named() -> None:
    ring, other = Ring(5), Ring(4, b"other")
    words = ring.words(ring.nodes)
    liars = ring.nodes[:2]
    opened = {n: words.opened[n][::-1] if n in liars else words.opened[n] for n in ring.nodes}
    found = model_of(replace(words, opened=opened), other.words(other.nodes))
    assert found.faulty == tuple(liars)
    assert found.left_out == tuple(ring.nodes)
    assert numbers(found.model) == other.mean(other.nodes), "the other circle's sum counts"


def test_who_opens_nothing_is_not_named_for_it() -> None:
    ring = Ring(5)
    words = ring.words(ring.nodes)
    silent = {n: words.opened[n] for n in ring.nodes[:3]}
    found = model_of(replace(words, opened=silent))
    assert found.faulty == ()
    assert found.left_out == tuple(ring.nodes)
    assert found.model == MODEL


def test_a_false_dealer_is_named_and_nobody_else() -> None:
    ring = Ring(4)
    dealer = ring.nodes[3]
    drawn = changed(ring.circle, dealt=())
    forged = hashlib.sha256(b"another secret").digest()
    mixed = circles.announced(forged, dealer, RID)
    good = next(each for each in drawn.members if each.node == dealer)
    # It deals shares of another own mask than it has committed to.
    lying = changed(good, seal_key=mixed.seal_key)
    members = tuple(lying if each.node == dealer else each for each in drawn.members)
    drawn = changed(drawn, members=members)
    real = ring.secrets[dealer]
    ring.secrets[dealer] = forged
    ring.dealings = {n: circles.dealing(ring.secrets[n], n, drawn, RID) for n in ring.nodes}
    ring.circle = changed(drawn, dealt=ring.shown(ring.nodes))
    for node in ring.nodes[:3]:
        circles.check_dealings(ring.secrets[node], node, ring.circle, ring.dealings, RID)
    opened = {n: ring.open(n, ring.nodes) for n in ring.nodes}
    ring.secrets[dealer] = real
    uploads = {n: ring.upload(n) for n in ring.nodes}
    words = Words(ring.circle, tuple(ring.nodes), uploads, ring.dealings, opened)
    found = model_of(words)
    assert found.faulty == (dealer,)
    assert found.left_out == tuple(ring.nodes)


def test_no_share_opens_below_the_threshold_or_for_strangers() -> None:
    ring = Ring(5)
    few = ring.nodes[: ring.circle.threshold - 1]
    with pytest.raises(LocalProtocolError, match="no share opens"):
        ring.open(ring.nodes[0], few)
    with pytest.raises(LocalProtocolError, match="no share opens"):
        ring.open(ring.nodes[0], [*ring.nodes, NodeId(b"x" * 32)])


def test_a_poisoned_circle_does_not_move_the_median_of_three() -> None:
    plan = changed(PLAN, aggregation="median", clip_micro=400_000)
    rings = [Ring(3, name) for name in (b"a", b"b", b"c")]
    for ring in rings:
        ring.updates = {n: np.full(COUNT, 4_000, dtype="<i4") for n in ring.nodes}
    for node in rings[0].nodes:
        rings[0].updates[node] = np.full(COUNT, -(2**22), dtype="<i4")
    found = private_rounds.summed(plan, MODEL, [r.words(r.nodes, plan) for r in rings], RID)
    assert numbers(found.model) == [4_000] * COUNT


def test_noise_differs_between_rounds_and_members_and_is_the_same_again() -> None:
    ring = Ring(3)
    one, other = (circles.noise_seed(ring.secrets[n], RID) for n in ring.nodes[:2])
    later = circles.noise_seed(ring.secrets[ring.nodes[0]], circles.round_id(StudyId(b"s"), 4))
    assert len({one, other, later}) == 3
    assert one == circles.noise_seed(ring.secrets[ring.nodes[0]], RID)
