import hashlib
import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters.learning.learner import in_threads
from ambientd.codec.agreement import PIECE_BYTES, derived, piece_place, stream
from ambientd.codec.digest import tagged
from ambientd.errors import LocalProtocolError, RemoteProtocolError
from ambientd.model.base import NodeId
from ambientd.rules.learning import masking, secure, sharing
from scripts import secure_vectors

ROUND = b"study 1, round 3"
_PIECE = PIECE_BYTES // masking.NUMBER_BYTES


def node(number: int) -> NodeId:
    return NodeId(hashlib.sha256(b"member %d" % number).digest())


def threshold_of(size: int) -> int:
    return 2 * size // 3 + 1


class Circle:
    """A group of which each member does as it should, until a test changes something."""

    def __init__(self, size: int, *, count: int = 5, silent: frozenset[int] = frozenset()) -> None:
        self.count = count
        self.nodes = sorted(node(number) for number in range(size))
        self.secrets = {n: hashlib.sha256(b"secret" + n).digest() for n in self.nodes}
        self.roster = {n: secure.keys(self.secrets[n], ROUND) for n in self.nodes}
        self.threshold = threshold_of(size)
        self.group = {n: k for i, (n, k) in enumerate(self.roster.items()) if i not in silent}
        self.dealt = {
            n: secure.shares(self.secrets[n], n, self.roster, self.threshold, ROUND)
            for n in self.group
        }
        rng = np.random.default_rng(size)
        self.values = {n: rng.integers(-(2**20), 2**20, count).astype("<i4") for n in self.group}

    def upload(self, member: NodeId) -> bytes:
        values = self.values[member].tobytes()
        return masking.masked(self.secrets[member], member, self.group, values, ROUND)

    def book(self, member: NodeId) -> secure.ShareBook:
        sealed = {dealer: blobs[member] for dealer, blobs in self.dealt.items()}
        return secure.share_book(
            self.secrets[member], member, self.group, sealed, self.threshold, self.roster, ROUND
        )

    def opened(self, survivors: list[NodeId]) -> dict[NodeId, bytes]:
        return {n: self.book(n).release(survivors)[1] for n in survivors}

    def total(self, survivors: list[NodeId], opened: dict[NodeId, bytes]) -> list[int]:
        uploads = {n: self.upload(n) for n in survivors}
        found = masking.unmasked(
            self.group, survivors, self.threshold, uploads, opened, self.dealt, ROUND, self.count
        )
        return list(np.frombuffer(found, "<i4"))

    def expected(self, survivors: list[NodeId]) -> list[int]:
        return list(sum(self.values[n] for n in survivors))


def test_masks_cancel_for_every_survivor_set_that_is_large_enough() -> None:
    circle = Circle(6)
    for size in range(circle.threshold, 7):
        for survivors in itertools.combinations(circle.nodes, size):
            kept = list(survivors)
            assert circle.total(kept, circle.opened(kept)) == circle.expected(kept)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), size=st.integers(4, 12))
def test_masks_cancel_whoever_drops_out_in_whichever_phase(data: st.DataObject, size: int) -> None:
    slack = size - threshold_of(size)
    order = data.draw(st.permutations(range(size)))
    lost = [data.draw(st.integers(0, slack))]
    lost.append(data.draw(st.integers(0, slack - lost[0])))
    lost.append(data.draw(st.integers(0, slack - sum(lost))))
    circle = Circle(size, silent=frozenset(order[: lost[0]]))
    gone = {circle.nodes[i] for i in order[: lost[0] + lost[1]]}
    survivors = [n for n in circle.nodes if n not in gone]
    mute = {circle.nodes[i] for i in order[lost[0] + lost[1] : sum(lost)]}
    opened = {n: words for n, words in circle.opened(survivors).items() if n not in mute}
    assert circle.total(survivors, opened) == circle.expected(survivors)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [2, 16, 37])
def test_masks_are_whole_streams_and_cancel_at_the_ends_of_the_pieces_they_are_laid_in(
    pieces: int, beyond: int
) -> None:
    count = pieces * _PIECE + beyond
    circle = Circle(4, count=count)
    kept = circle.nodes[1:]
    assert circle.total(kept, circle.opened(kept)) == circle.expected(kept)
    alone = circle.nodes[0]
    secret, values = circle.secrets[alone], circle.values[alone]
    group = {alone: circle.group[alone]}
    shown = np.frombuffer(masking.masked(secret, alone, group, values.tobytes(), ROUND), "<u4")
    seed = secure.own_mask_seed(secret, ROUND)
    key = derived(seed, tagged("fl-own-mask-stream", ROUND))
    mask = np.frombuffer(stream(key, masking.NUMBER_BYTES * count), "<u4")
    assert np.array_equal(shown - values.view("<u4"), mask)


@pytest.mark.parametrize("count", [5, 16 * _PIECE - 1, 16 * _PIECE + 1, 33 * _PIECE + 7])
def test_jobs_in_threads_or_backwards_give_the_same_bytes(count: int) -> None:
    jobs_seen: list[int] = []

    def backwards(jobs: Sequence[masking.Job]) -> None:
        jobs_seen.append(len(jobs))
        masking.in_turn(list(reversed(jobs)))

    circle = Circle(4, count=count)
    left = circle.nodes[1:]
    uploads = {n: circle.upload(n) for n in left}
    opened = circle.opened(left)
    for spread in (backwards, in_threads):
        for n in left:
            values = circle.values[n].tobytes()
            again = masking.masked(circle.secrets[n], n, circle.group, values, ROUND, spread)
            assert again == uploads[n]
        args = (circle.group, left, circle.threshold, uploads, opened, circle.dealt, ROUND, count)
        total = np.frombuffer(masking.unmasked(*args, spread), "<i4")
        assert np.array_equal(total, sum(circle.values[n] for n in left))
    assert (max(jobs_seen) > 1) == (count > 16 * _PIECE)


def test_each_job_has_a_place_of_its_own_for_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that share one would lay a part of one stream twice, and another never."""
    made: list[bytearray] = []
    jobs_seen: list[int] = []

    def place() -> bytearray:
        made.append(piece_place())
        return made[-1]

    def counted(jobs: Sequence[masking.Job]) -> None:
        jobs_seen.append(len(jobs))
        masking.in_turn(jobs)

    monkeypatch.setattr(masking, "piece_place", place)
    circle = Circle(3, count=33 * _PIECE)
    me = circle.nodes[0]
    values = circle.values[me].tobytes()
    masking.masked(circle.secrets[me], me, circle.group, values, ROUND, counted)
    assert jobs_seen == [len({id(each) for each in made})]
    assert jobs_seen[0] > 1


def test_what_goes_wrong_in_a_thread_is_not_lost() -> None:
    def fails() -> None:
        raise RemoteProtocolError("in a thread")

    with pytest.raises(RemoteProtocolError, match="in a thread"):
        in_threads([fails, lambda: None])


def test_one_share_too_few_hides_the_sum() -> None:
    circle = Circle(6)
    opened = circle.opened(circle.nodes)
    few = dict(list(opened.items())[: circle.threshold - 1])
    with pytest.raises(RemoteProtocolError, match="were opened, 5 are needed"):
        circle.total(circle.nodes, few)


def test_too_few_survivors_hide_the_sum() -> None:
    circle = Circle(6)
    few = circle.nodes[: circle.threshold - 1]
    with pytest.raises(RemoteProtocolError, match="4 members of the group survived"):
        circle.total(few, circle.opened(few))


@settings(max_examples=30, deadline=None)
@given(secret=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
def test_shares_below_the_threshold_fit_every_secret(secret: bytes, other: bytes) -> None:
    """For any other secret there is a last share that leads to it: so the rest says nothing."""
    shares = dict(zip((3, 5, 7), sharing.split(secret, (3, 5, 7), 3, b"seed"), strict=True))
    assert sharing.joined(shares) == secret
    prime = sharing.PRIME
    # Solve f(0) = other for the share at 7, with those at 3 and 5 as they are.
    weight = {3: 5 * 7, 5: 3 * 7, 7: 3 * 5}
    lagrange = {3: (5 - 3) * (7 - 3), 5: (3 - 5) * (7 - 5), 7: (3 - 7) * (5 - 7)}
    factor = {at: weight[at] * pow(lagrange[at], -1, prime) % prime for at in weight}
    known = sum(int.from_bytes(shares[at], "big") * factor[at] for at in (3, 5))
    last = (int.from_bytes(other, "big") - known) * pow(factor[7], -1, prime) % prime
    assert sharing.joined({**shares, 7: last.to_bytes(66, "big")}) == other


def test_a_share_that_was_changed_on_its_way_names_its_dealer() -> None:
    circle = Circle(4)
    me, dealer = circle.nodes[:2]
    good = circle.dealt[dealer][me]
    secure.check_dealt(circle.secrets[me], me, circle.group, dealer, good, ROUND)
    for at in (0, 40, 64, 100, len(good) - 1):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        with pytest.raises(secure.BadShareError) as caught:
            secure.check_dealt(circle.secrets[me], me, circle.group, dealer, bad, ROUND)
        assert caught.value.node == dealer
    for bad in (b"", good[:-1], good + b"\0", circle.dealt[dealer][circle.nodes[2]]):
        with pytest.raises(secure.BadShareError):
            secure.check_dealt(circle.secrets[me], me, circle.group, dealer, bad, ROUND)


def test_a_share_opened_falsely_names_its_holder_and_the_others_suffice() -> None:
    circle = Circle(6)
    opened = circle.opened(circle.nodes)
    liar = circle.nodes[2]
    honest = dict(opened)
    opened[liar] = opened[liar][:-1] + bytes([opened[liar][-1] ^ 1])
    with pytest.raises(secure.BadShareError) as caught:
        circle.total(circle.nodes, opened)
    assert caught.value.node == liar
    del honest[liar]
    assert circle.total(circle.nodes, honest) == circle.expected(circle.nodes)


def test_a_share_of_the_wrong_kind_is_refused() -> None:
    circle = Circle(4)
    survivors = circle.nodes[:3]
    opened = circle.opened(survivors)
    opened[survivors[0]] = circle.book(survivors[0]).release(circle.nodes)[1]
    with pytest.raises(secure.BadShareError, match="wrong kind"):
        circle.total(survivors, opened)


def test_a_dealer_of_other_shares_than_it_published_is_named() -> None:
    for survivors_left_out, match in ((0, "another mask"), (1, "another key")):
        circle = Circle(4)
        dealer = circle.nodes[0]
        other = hashlib.sha256(b"another secret").digest()
        good, forged = circle.roster[dealer], secure.keys(other, ROUND)
        mixed = secure.Keys(good.mask_public, forged.share_public, good.self_commitment)
        circle.secrets[dealer] = other
        circle.roster[dealer] = circle.group[dealer] = mixed
        circle.dealt = {
            n: secure.shares(circle.secrets[n], n, circle.roster, circle.threshold, ROUND)
            for n in circle.nodes
        }
        survivors = circle.nodes[survivors_left_out:]
        with pytest.raises(secure.BadShareError, match=match) as caught:
            circle.total(survivors, circle.opened(survivors))
        assert caught.value.node == dealer


@settings(max_examples=50, deadline=None)
@given(first=st.sets(st.integers(0, 5)), second=st.sets(st.integers(0, 5)))
def test_a_book_never_opens_both_shares_of_one_member(first: set[int], second: set[int]) -> None:
    nodes = [node(number) for number in range(6)]
    book = secure.ShareBook(dict.fromkeys(nodes, (b"o" * 66, b"k" * 66)))
    spent, words = book.release([nodes[i] for i in first])
    for number, dealer in enumerate(sorted(nodes)):
        kind = secure.ShareKind(words[67 * number])
        is_survivor = nodes.index(dealer) in first
        assert kind is (secure.ShareKind.OWN_MASK if is_survivor else secure.ShareKind.KEY)
    if first == second:
        assert spent.release([nodes[i] for i in second]) == (spent, words)
    else:
        with pytest.raises(LocalProtocolError, match="other survivors"):
            spent.release([nodes[i] for i in second])


def test_everything_a_member_sends_is_the_same_when_it_sends_it_again() -> None:
    one, again = Circle(5), Circle(5)
    assert one.roster == again.roster
    assert one.dealt == again.dealt
    assert one.upload(one.nodes[0]) == again.upload(one.nodes[0])


def test_a_key_of_small_order_is_refused() -> None:
    circle = Circle(4)
    bad = secure.Keys(bytes(32), bytes(32), bytes(32))
    circle.group[circle.nodes[1]] = bad
    with pytest.raises(secure.BadShareError) as caught:
        circle.upload(circle.nodes[0])
    assert caught.value.node == circle.nodes[1]
    with pytest.raises(RemoteProtocolError, match="32 bytes"):
        secure.Keys(b"", bytes(32), bytes(32))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_a_member_opens_or_uploads_the_sum_is_right_or_somebody_is_named(
    data: st.DataObject,
) -> None:
    circle = Circle(4)
    survivors = circle.nodes[data.draw(st.integers(0, 1)) :]
    opened = circle.opened(survivors)
    liar = data.draw(st.sampled_from(survivors))
    words = bytearray(opened[liar])
    for _ in range(data.draw(st.integers(1, 3))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.integers(0, 255))
    opened[liar] = bytes(words[: data.draw(st.sampled_from([len(words), len(words) - 1]))])
    named, found = None, None
    try:
        found = circle.total(survivors, opened)
    except secure.BadShareError as error:
        named = error.node
    except RemoteProtocolError:
        # A share that is not given names nobody; without it there are too few.
        named = liar
    assert (found, named) in ((circle.expected(survivors), None), (None, liar))


def test_an_upload_that_is_missing_or_of_another_size_names_its_member() -> None:
    circle = Circle(4)
    opened = circle.opened(circle.nodes)
    uploads = {n: circle.upload(n) for n in circle.nodes}
    liar = circle.nodes[3]
    for bad in (b"", uploads[liar][:-4], uploads[liar] * 2):
        with pytest.raises(secure.BadShareError) as caught:
            masking.unmasked(
                circle.group,
                circle.nodes,
                3,
                {**uploads, liar: bad},
                opened,
                circle.dealt,
                ROUND,
                5,
            )
        assert caught.value.node == liar


class OnDisk(Mapping[NodeId, bytes]):
    """Uploads that are no bytes of ours until one is asked for."""

    def __init__(self, uploads: dict[NodeId, Path]) -> None:
        self._uploads = uploads
        self.reads: Counter[NodeId] = Counter()

    def __getitem__(self, member: NodeId) -> bytes:
        self.reads[member] += 1
        return self._uploads[member].read_bytes()

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._uploads)

    def __len__(self) -> int:
        return len(self._uploads)


def test_a_sum_has_one_upload_in_memory_at_a_time_and_reads_each_once(tmp_path: Path) -> None:
    circle = Circle(12, count=200_000)
    opened, files = circle.opened(circle.nodes), {}
    for number, member in enumerate(circle.nodes):
        files[member] = tmp_path / str(number)
        files[member].write_bytes(circle.upload(member))
    uploads = OnDisk(files)
    tracemalloc.start()
    try:
        made = masking.unmasked(
            circle.group, circle.nodes, 9, uploads, opened, circle.dealt, ROUND, circle.count
        )
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.frombuffer(made, dtype="<i4").tolist() == circle.expected(circle.nodes)
    assert uploads.reads == dict.fromkeys(circle.nodes, 1)
    assert most_bytes < 5 * len(made)


def test_the_vectors_are_what_is_computed() -> None:
    path = Path(__file__).parents[3] / "protocols" / "vectors" / "secure-sums.json"
    known = json.loads(path.read_text())
    assert known == secure_vectors.vectors()
    survivors = [member for member in known["members"] if member["upload"]]
    assert known["sum"] == [sum(n) for n in zip(*(m["values"] for m in survivors), strict=True)]
