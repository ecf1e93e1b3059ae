"""One committee hands over to the next, COORDINATION "Epochs"."""

from dataclasses import replace

import pytest

from ambientd.codec.canonical import encode
from ambientd.consensus import beacon
from ambientd.consensus.effects import Committed, EvidenceFound, PeerFault, PersistSafety
from ambientd.consensus.epochs import (
    Epoch,
    epoch_of,
    seats_fault,
    seats_replaced_max,
    succession_fault,
    verify_epoch_chain,
)
from ambientd.consensus.messages import (
    Append,
    EpochEnd,
    Epochs,
    EquivocalVotes,
    EvidenceMessage,
    Fetch,
    InEpoch,
    Message,
    QcNotice,
    Timeout,
    Vote,
    block_hash,
)
from ambientd.consensus.options import ConsensusOptions
from sim.replica import STOP_PREFIX, SeatsWanted, Store, read_stop, seats_record
from tests.consensus.bench import Bench, of, options, record, secret, sent


def exchange(bench: Bench, leaving: int, joining: int) -> bytes:
    key = bench.key(joining)
    epoch = max(number(bench, who) for who in range(4))
    tip = beacon.tip(secret(key))
    return seats_record(SeatsWanted(epoch, bench.key(leaving), key, tip))


def number(bench: Bench, who: int) -> int:
    log = bench.nodes[who].log
    assert log is not None
    return log.number


def inner(effects: object, kind: type[object]) -> list[object]:
    """Give the messages of one kind inside labels."""
    found = [message.message for message in sent(effects, InEpoch)]  # type: ignore[arg-type]
    return [message for message in found if isinstance(message, kind)]


def changed(observers: int = 1) -> Bench:
    """Give a committee in its second epoch: member 3 has left, node 4 is in its place."""
    bench = Bench(4, observers=observers)
    bench.start()
    bench.run(300)
    bench.submit(1, exchange(bench, 3, 4))
    bench.run(1_000)
    assert {number(bench, who) for who in range(5)} == {1}
    return bench


def test_a_committee_hands_over_and_the_log_goes_on() -> None:
    bench = changed()
    bench.submit(2, record("after"))
    bench.submit(3, record("of one that left"))
    before = {who: len(bench.effects[bench.key(who)]) for who in range(5)}
    bench.run(1_000)
    logs = [bench.log(who) for who in range(5)]
    shortest = min(map(len, logs))
    assert len({log[shortest - 1].hash for log in logs}) == 1
    assert {record("after"), record("of one that left")} <= set(bench.records(4))
    news = {who: bench.effects[bench.key(who)][before[who] :] for who in range(5)}
    assert inner(news[4], Vote)
    assert not inner(news[3], Vote)
    assert not sent(news[3], Vote)


def test_the_index_goes_on_and_the_terms_begin_again() -> None:
    bench = changed()
    log = bench.log(0)
    [stop] = [n for n, b in enumerate(log) if any(map(read_stop, b.block.records))]
    first = log[stop + 1].block
    assert first.header.parent_hash == log[stop].hash
    assert (first.header.term, first.header.index) == (1, stop + 2)
    assert first.header.state_root == bench.nodes[0].store.roots[stop + 1]
    assert log[stop].block.records == (log[stop].block.records[0],)


def test_only_empty_blocks_follow_a_stop_and_they_count_for_nothing() -> None:
    bench = changed()
    [end] = bench.nodes[0].store.ends_known
    assert all(header.records_root == block_hash_of_nothing() for header, _ in end.links[1:])
    behind = {block_hash(header) for header, _ in end.links[1:]}
    assert not behind & {block.hash for block in bench.log(0)}


def block_hash_of_nothing() -> bytes:
    from ambientd.consensus.messages import records_root

    return records_root(())


def test_a_record_behind_a_stop_gets_no_vote() -> None:
    bench = Bench(4)
    bench.start(1, 2, 3)
    proposed = Epoch(1, bench.options.members, b"next", bench.options.beacon_tips)
    stop = STOP_PREFIX + encode(proposed)
    for who in (1, 2):
        bench.nodes[who].store.dues[0] = stop
    chain = [bench.block(0, 1, bench.genesis)]
    chain.append(bench.block(0, 1, bench.qc(chain[0], 0, 1, 2), revealed=1))
    for append in chain:
        bench.receive(1, 0, append)
    for store in (bench.nodes[1].store,):
        store.dues[1:] = [stop] * len(store.dues[1:])
    root = bench.nodes[1].store.roots[1] if len(bench.nodes[1].store.roots) > 1 else None
    top = bench.qc(chain[1], 0, 1, 2)
    bench.receive(1, 0, QcNotice(top, None))
    bench.nodes[1].store.dues[1:] = [stop] * len(bench.nodes[1].store.dues[1:])
    root = bench.nodes[1].store.roots[1]
    third = bench.block(0, 1, top, stop, revealed=2, state_root=root)
    assert sent(bench.receive(1, 0, third), Vote)
    behind = bench.qc(third, 0, 1, 2)
    full = bench.block(0, 1, behind, record(1), revealed=3)
    effects = bench.receive(1, 0, full)
    assert not sent(effects, Vote)
