"""Who coordinates brings older words of others back, and they count for nothing."""

import random

import pytest

from ambientd.consensus.record_pool import RecordPool
from sim.cluster import ClusterOptions, run
from sim.faults import Fault
from sim.hunt import hunt
from sim.plans import Plan, play
from sim.recalls import KEPT_MAX, TAG_AT, Recalls
from sim.vices import Vice
from sim.word_checkers import REGISTRY_TAG, NewerWords
from tests.consensus.bench import options


def record(tag: int, number: int) -> bytes:
    return bytes(TAG_AT) + bytes([tag, number])


def test_what_others_have_said_comes_into_blocks_again() -> None:
    pool, recalls = RecordPool(options(4)), Recalls(random.Random(1))
    recalls.enter(pool)
    recalls.enter(pool)
    own, word, task = record(REGISTRY_TAG, 1), record(REGISTRY_TAG, 2), record(4, 3)
    for origin, each in ((None, own), (b"peer", word), (b"peer", task)):
        assert pool.add(each, origin, 0) is None
    assert set(pool.batch(frozenset())) == {own, word, task}, "nothing is in a block twice"
    blocks = [pool.batch({each for each, _ in pool.items()}) for _ in range(KEPT_MAX)]
    assert set(blocks) == {(), (word,)}


@pytest.mark.slow
def test_some_worlds_have_words_that_are_brought_again() -> None:
    assert any(recalled_in(seed) for seed in range(1, 9)), "a liar must be in office for that"


def recalled_in(seed: int) -> int:
    """Count the words that a world's liar brings again."""
    words = NewerWords()
    faults = frozenset({Fault.LIAR, Fault.SEATS, Fault.CRASH})
    vices = frozenset({Vice.RECALL})
    run(ClusterOptions(seed, faults=faults, time_ms=40_000, vices=vices), [words])
    return words.recalled


@pytest.mark.slow
def test_a_ledger_that_takes_older_words_on_nodes_is_seen() -> None:
    found = hunt("older-words-on-nodes", 3)
    assert found.finding is not None
    assert found.finding.invariant == "older words count for nothing"


@pytest.mark.slow
def test_a_world_without_liars_brings_nothing_back() -> None:
    words = NewerWords()
    play(Plan("node-calm", 1, 4, 30_000), words)
    assert words.recalled == 0
