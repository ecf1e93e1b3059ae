"""Batches on the wire: size, shape, signatures, contradictions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.canonical import encode
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.telemetry import Measure, Observation
from ambientd.telemetry.batch import (
    BATCH_BYTES_MAX,
    FIRST_HASH,
    INTEGER_MAX,
    author_of,
    batch_hash,
    contradict,
    decode_batch,
    hash_of,
    is_evidence,
    is_sound,
    sign_batch,
    stated,
    stated_in,
    verify_batch,
)
from tests.telemetry.builders import CLUSTER, PEER, SIGNERS, chain, data, observation, signed

names = st.from_regex(r"\A[a-z][a-z0-9_]{0,47}\Z")
numbers = st.none() | st.integers(-INTEGER_MAX, INTEGER_MAX)
sources = st.from_regex(r"\A[!-~]([ -~]{0,62}[!-~])?\Z")
observations = st.lists(
    st.builds(Observation, name=names, value=numbers, source=sources), max_size=50
)


@given(observations)
def test_a_signed_batch_fits_decodes_and_verifies(given_ones: list[Observation]) -> None:
    batch = sign_batch(SIGNERS[1], INTEGER_MAX, INTEGER_MAX, given_ones, Digest(b"h" * 32))
    assert len(data(batch)) <= BATCH_BYTES_MAX
    assert decode_batch(data(batch)) == batch
    assert verify_batch(batch, CLUSTER)
    assert author_of(data(batch)) == batch.node == PEER
    assert set(batch.observations) <= set(given_ones)


@given(observations)
def test_what_a_batch_states_is_read_off_its_bytes(given_ones: list[Observation]) -> None:
    batch = sign_batch(SIGNERS[1], 7, INTEGER_MAX, given_ones, Digest(b"h" * 32))
    assert stated_in(data(batch)) == stated(batch)
    assert verify_batch(batch, CLUSTER, stated_in(data(batch)))
    assert hash_of(stated_in(data(batch))) == batch_hash(batch)


def test_the_most_needed_observations_travel_when_room_is_short() -> None:
    filler = [observation(f"aaa_{number:02}_count", 10**12, "s" * 40) for number in range(40)]
    needed = [observation(measure, 1, "probe") for measure in reversed(Measure)]
    batch = sign_batch(SIGNERS[1], 1, 0, [*filler, *needed], FIRST_HASH)
    travelling = {each.name for each in batch.observations}
    assert travelling >= {measure.value for measure in Measure}
    assert 0 < len(travelling) - len(Measure) < len(filler)


def test_unsound_observations_and_second_words_stay_at_home() -> None:
    given_ones = [
        observation("cpu_load_percent", 1),
        observation("cpu_load_percent", 2),
        observation("Upper", 1),
        observation("x_count", 2**53),
        observation("y_count", 1, "umlaut ä"),
        observation("z_count", 1, ""),
    ]
    assert sign_batch(SIGNERS[1], 1, 0, given_ones, FIRST_HASH).observations == (given_ones[0],)
    assert not is_sound(observation("a" * 49))
    assert not is_sound(observation("name\n"))


def test_every_measure_is_sound() -> None:
    assert all(is_sound(observation(measure)) for measure in Measure)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"node": b"n" * 31}, "wrong length"),
        ({"prev_hash": b""}, "wrong length"),
        ({"signature": b"s" * 63}, "wrong length"),
        ({"epoch": -1}, "out of range"),
        ({"seq": INTEGER_MAX + 1}, "out of range"),
        ({"prev_hash": b"p" * 32}, "names a batch before it"),
        ({"observations": (observation("b"), observation("a"))}, "out of order"),
        ({"observations": (observation("a"), observation("a"))}, "out of order"),
        ({"observations": (observation("a", 2**60),)}, "wrong name, source or value"),
        ({"observations": (observation("A"),)}, "wrong name, source or value"),
        (
            {"observations": tuple(observation(f"a{n:02}", 0, "") for n in range(33))},
            "33 observations, at most 32",
        ),
        ({"observations": tuple(observation(f"a{n:03}") for n in range(200))}, "at most 1024"),
    ],
)
def test_a_malformed_batch_is_refused(changes: dict[str, object], words: str) -> None:
    batch = msgspec.structs.replace(signed(), **changes)
    with pytest.raises(RemoteProtocolError, match=words):
        decode_batch(encode(batch))


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_batch(garbage)
    author_of(garbage)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_never_accepted(place: int, change: int) -> None:
    batch = bytearray(data(chain(2)[1]))
    batch[place % len(batch)] ^= change
    try:
        decoded = decode_batch(bytes(batch))
    except RemoteProtocolError:
        return
    assert not verify_batch(decoded, CLUSTER)


def test_a_batch_counts_for_its_cluster_only() -> None:
    assert not verify_batch(signed(), b"d" * 32)


def test_an_honest_chain_never_contradicts_itself() -> None:
    batches = [*chain(4), *chain(3, epoch=2)]
    assert not any(contradict(first, second) for first in batches for second in batches)
    assert not any(is_evidence(data(a), data(b), CLUSTER) for a in batches for b in batches)


def test_two_batches_at_one_place_are_evidence() -> None:
    first, second = signed(seq=3, value=1), signed(seq=3, value=2)
    assert is_evidence(data(first), data(second), CLUSTER)
    assert not is_evidence(data(first), data(second), b"d" * 32)
    assert not is_evidence(data(first), data(signed(2, seq=3, value=2)), CLUSTER)
    assert not is_evidence(data(first), b"garbage", CLUSTER)


def test_a_successor_that_names_another_predecessor_is_evidence() -> None:
    first = signed(seq=3)
    fork, honest = signed(seq=4), signed(seq=4, prev_hash=batch_hash(first))
    assert is_evidence(data(fork), data(first), CLUSTER)
    assert not is_evidence(data(honest), data(first), CLUSTER)
    assert not is_evidence(data(signed(seq=5)), data(first), CLUSTER)


def test_a_second_signature_on_the_same_words_is_no_contradiction() -> None:
    batch = signed()
    assert not contradict(batch, msgspec.structs.replace(batch, signature=b"x" * 64))
