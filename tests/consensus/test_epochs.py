"""One committee hands over to the next, COORDINATION "Epochs"."""

from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.consensus import beacon
from ambientd.consensus.catch_up import EVIDENCE_BURST
from ambientd.consensus.effects import (
    Committed,
    Effect,
    EvidenceFound,
    PeerFault,
    PersistSafety,
    RecordRefused,
)
from ambientd.consensus.epochs import (
    Epoch,
    epoch_of,
    succession_fault,
    verify_epoch_chain,
)
from ambientd.consensus.messages import (
    Blocks,
    EpochEnd,
    Epochs,
    EquivocalVotes,
    EvidenceMessage,
    Fetch,
    Forward,
    InEpoch,
    Message,
    QcNotice,
    QuorumCertificate,
    Vote,
    block_hash,
    records_root,
)
from ambientd.consensus.options import ConsensusOptions, TrustedEpoch
from ambientd.errors import ConfigError
from ambientd.rules.committees import seats_fault, seats_replaced_max
from sim.replica import STOP_PREFIX, SeatsWanted, Store, read_stop, seats_record
from tests.consensus.bench import Bench, of, options, record, secret, sent


def exchange(bench: Bench, leaving: int, joining: int) -> bytes:
    key = bench.key(joining)
    epoch = number(bench, 1 if bench.count > 1 else 0)
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
    assert all(header.records_root == records_root(()) for header, _ in end.links[1:])
    behind = {block_hash(header) for header, _ in end.links[1:]}
    assert not behind & {block.hash for block in bench.log(0)}


def due_everywhere(bench: Bench, stop: bytes | None) -> None:
    for node in bench.nodes:
        node.store.dues = [stop] * len(node.store.dues)


def on_a_known_state(*second: bytes) -> tuple[Bench, QuorumCertificate, bytes]:
    """Give members 1 to 3 that hold two certified blocks, with the root that the third names."""
    bench = Bench(4)
    bench.start(1, 2, 3)
    first = bench.block(0, 1, bench.genesis)
    top = bench.block(0, 1, bench.qc(first, 0, 1, 2), *second, revealed=1)
    for who in (1, 2, 3):
        bench.receive(who, 0, first)
        bench.receive(who, 0, top)
        bench.receive(who, 0, QcNotice(bench.qc(top, 0, 1, 2), None))
    return bench, bench.qc(top, 0, 1, 2), bench.nodes[1].store.roots[1]


def stop_for(bench: Bench, **changes: object) -> bytes:
    fields = {"number": 1, "members": bench.options.members, "seed": b"next"}
    fields["beacon_tips"] = bench.options.beacon_tips
    return STOP_PREFIX + encode(Epoch(**{**fields, **changes}))  # type: ignore[arg-type]


def test_a_record_behind_a_stop_gets_no_vote_and_an_empty_block_does() -> None:
    bench, top, root = on_a_known_state()
    stop = stop_for(bench)
    due_everywhere(bench, stop)
    block = bench.block(0, 1, top, stop, revealed=2, state_root=root)
    for who in (1, 2):
        assert sent(bench.receive(who, 0, block), Vote)
    qc = bench.qc(block, 0, 1, 2)
    root = bench.nodes[1].store.state_root_after([])
    full = bench.block(0, 1, qc, record(1), revealed=3, state_root=root)
    effects = bench.receive(1, 0, full)
    assert not sent(effects, Vote)
    assert "behind the end" in of(effects, PeerFault)[0].reason
    again = bench.block(0, 1, qc, stop, revealed=3, state_root=root)
    assert not sent(bench.receive(3, 0, again), Vote)
    assert sent(bench.receive(2, 0, bench.block(0, 1, qc, revealed=3, state_root=root)), Vote)


def test_a_stop_that_the_ledger_does_not_want_gets_no_vote() -> None:
    bench, top, root = on_a_known_state()
    stop = stop_for(bench)
    block = bench.block(0, 1, top, stop, revealed=2, state_root=root)
    assert not sent(bench.receive(1, 0, block), Vote)
    due_everywhere(bench, stop_for(bench, seed=b"another"))
    assert not sent(bench.receive(2, 0, block), Vote)
    few = stop_for(
        bench, members=bench.options.members[:2], beacon_tips=bench.options.beacon_tips[:2]
    )
    due_everywhere(bench, few)  # a ledger that is out of its mind
    block = bench.block(0, 1, top, few, revealed=2, state_root=root)
    assert "leave" in of(bench.receive(3, 0, block), PeerFault)[0].reason


def test_a_stop_beside_other_records_is_a_fault() -> None:
    bench, top, root = on_a_known_state()
    stop = stop_for(bench)
    due_everywhere(bench, stop)
    block = bench.block(0, 1, top, record(1), stop, revealed=2, state_root=root)
    assert "not the only one" in of(bench.receive(1, 0, block), PeerFault)[0].reason


def test_a_stop_before_any_state_is_known_gets_no_vote() -> None:
    bench = Bench(4)
    bench.start(1, 2, 3)
    stop = stop_for(bench)
    due_everywhere(bench, stop)
    assert not sent(bench.receive(1, 0, bench.block(0, 1, bench.genesis, stop)), Vote)


def test_nobody_submits_or_forwards_a_stop() -> None:
    bench = Bench(4)
    bench.start()
    [refused] = of(bench.submit(0, stop_for(bench)), RecordRefused)
    assert "only the log" in refused.reason
    effects = bench.receive(1, 2, Forward((stop_for(bench),)))
    assert not of(effects, PeerFault)
    assert bench.machine(1).pending_records == 0


def test_one_member_alone_hands_over_to_another() -> None:
    bench = Bench(1, observers=1)
    bench.start()
    bench.run(100)
    bench.submit(1, exchange(bench, 0, 1))
    bench.run(1_000)
    before = len(bench.log(1))
    bench.submit(0, record("after"))
    bench.run(1_000)
    assert number(bench, 0) == number(bench, 1) == 1
    assert len(bench.log(1)) > before
    assert record("after") in bench.records(0)


def test_a_record_that_waits_at_the_border_is_in_the_next_epoch() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    bench.submit(1, exchange(bench, 3, 4))
    late = [record(n) for n in range(40)]
    for each in late:
        bench.submit(int(each[7:]) % 5, each)
        bench.run(10)
    bench.run(2_000)
    assert sorted(r for r in bench.records(4) if r in late) == sorted(late)


def test_a_node_that_slept_through_epochs_catches_up_through_them() -> None:
    bench = Bench(4, observers=2, changes={"fetch_blocks_max": 8})
    bench.start(0, 1, 2, 3, 4)
    bench.run(300)
    bench.nodes[3].crash()
    for leaving, joining in ((2, 4), (4, 2), (2, 4)):
        bench.submit(1, exchange(bench, leaving, joining))
        bench.run(2_000)
    assert number(bench, 0) == 3
    bench.start(3)
    bench.start(5)  # it knows nothing but the first committee
    bench.run(4_000)
    assert number(bench, 3) == number(bench, 5) == 3
    assert len(bench.log(5)) >= len(bench.log(0)) - 1
    faults = [f for who in range(6) for f in of(bench.effects[bench.key(who)], PeerFault)]
    assert faults == []


@pytest.mark.parametrize("carried_out", range(4))
def test_a_crash_at_the_border_loses_nothing(carried_out: int) -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    bench.submit(1, exchange(bench, 3, 4))
    node = bench.nodes[1]
    receive = node.receive_message

    def crashing(sender: bytes, message: Message, now: int) -> list[Effect]:
        effects = receive(sender, message, now)
        ends = [n for n, e in enumerate(effects) if isinstance(e, Committed) and e.end]
        if ends:
            for effect in effects[: ends[0] + carried_out]:
                node.execute(effect)
            node.crash()
            return []
        return effects

    node.receive_message = crashing  # type: ignore[method-assign]
    for _ in range(40):
        bench.run(10)
        if node.machine is None:
            break
    assert node.machine is None
    node.receive_message = receive  # type: ignore[method-assign]
    start = len(bench.effects[node.key])
    bench.start(1)
    bench.run(3_000)
    assert number(bench, 1) == 1
    assert inner(bench.effects[node.key][start:], Vote)


def test_a_member_keeps_its_empty_safety_state_before_it_signs_in_a_new_epoch() -> None:
    bench = changed()
    for who in (0, 1, 2, 4):
        states = [e for e in of(bench.effects[bench.key(who)], PersistSafety) if e.epoch == 1]
        assert states[0].state.high_qc.position.term == 0
        assert states[0].state.last_voted.index in (0, states[0].state.high_qc.position.index + 1)
    assert all(e.epoch == 0 for e in of(bench.effects[bench.key(3)], PersistSafety))


def test_a_restarted_member_goes_on_in_the_epoch_it_was_in() -> None:
    bench = changed()
    bench.restart(4)
    assert number(bench, 4) == 1
    bench.submit(4, record("again"))
    bench.run(2_000)
    assert record("again") in bench.records(0)


def test_certificates_of_an_old_epoch_are_refused_in_the_new_one() -> None:
    bench = changed()
    [end] = bench.nodes[0].store.ends_known
    old_qc = end.links[1][1]
    before = bench.machine(0).high_qc
    for message in (
        InEpoch(1, QcNotice(old_qc, None)),
        InEpoch(1, bench.timeout(3, 1, bench.genesis)),
        InEpoch(1, Blocks((), old_qc)),
        InEpoch(1, bench.block(0, 1, end.links[0][1])),
    ):
        effects = bench.receive(0, 3, message)
        assert not of(effects, Committed)
        assert bench.machine(0).high_qc == before
    assert of(bench.receive(0, 3, InEpoch(1, QcNotice(old_qc, None))), PeerFault)


def test_a_word_of_an_old_epoch_is_answered_with_how_it_ended() -> None:
    bench = changed()
    effects = bench.receive(0, 3, bench.timeout(3, 1, bench.genesis))
    [answer] = sent(effects, Epochs)
    assert answer.ends == tuple(bench.nodes[0].store.ends_known)
    assert not of(effects, PeerFault)
    assert sent(bench.receive(0, 3, bench.timeout(3, 1, bench.genesis)), Epochs) == []
    [blocks] = sent(bench.receive(0, 3, Fetch(2)), Blocks)
    assert blocks.qc == answer.ends[0].links[0][1]


def test_a_liar_that_tells_of_a_later_epoch_costs_one_question() -> None:
    bench = Bench(4)
    bench.start()
    bench.run(300)
    effects = bench.receive(1, 2, InEpoch(9, Fetch(0)))
    assert not of(effects, PeerFault)
    assert len(sent(effects, Fetch)) == 1
    bench.receive(1, 2, Blocks((), bench.genesis))
    assert sent(bench.tick(1, 100), Fetch) == []


def test_a_false_proof_is_a_fault_and_changes_nothing() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    end = changed().nodes[0].store.ends_known[0]
    few = EpochEnd(end.record, tuple((h, strip(qc)) for h, qc in end.links))
    effects = bench.receive(0, 2, Epochs(0, (few,)))
    assert "does not hold" in of(effects, PeerFault)[0].reason
    assert bench.machine(0)._proven_end is None
    assert bench.receive(0, 2, Epochs(7, (end,))) == []


def test_evidence_of_an_old_epoch_still_convicts() -> None:
    bench = changed()
    twins = [bench.vote(3, bench.block(0, 1, bench.genesis, record(n))) for n in range(2)]
    message = EvidenceMessage(EquivocalVotes(twins[0], twins[1]))
    effects = bench.receive(0, 2, message)
    assert of(effects, EvidenceFound) == [EvidenceFound(bench.key(3), message.evidence, 0)]
    assert sent(effects, EvidenceMessage) == [message]  # as it came: of the first epoch
    assert bench.receive(0, 2, message) == []


def test_evidence_of_an_old_epoch_that_proves_nothing_is_a_fault_and_a_flood_is_not_judged() -> (
    None
):
    bench = changed()
    vote = bench.vote(3, bench.block(0, 1, bench.genesis, record(1)))
    false = EvidenceMessage(EquivocalVotes(vote, replace(vote, hash=b"x" * 32)))
    faults = [len(of(bench.receive(0, 2, false), PeerFault)) for _ in range(EVIDENCE_BURST + 50)]
    assert faults == [1] * EVIDENCE_BURST + [0] * 50
    assert of(bench.receive(0, 1, false), PeerFault), "each peer has its own measure"


# What a stranger checks.


def strip(qc: QuorumCertificate) -> QuorumCertificate:
    return replace(qc, signatures=qc.signatures[:2])


def proven() -> tuple[ConsensusOptions, EpochEnd]:
    bench = changed()
    return bench.options, bench.nodes[0].store.ends_known[0]


def test_a_stranger_follows_the_epochs_from_the_first_committee() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    for leaving, joining in ((3, 4), (0, 3)):
        bench.submit(1, exchange(bench, leaving, joining))
        bench.run(1_500)
    ends = bench.nodes[1].store.ends_known
    assert len(ends) == 2
    found = verify_epoch_chain(bench.options, ends, read_stop)
    assert not isinstance(found, str)
    own = bench.machine(1).options
    assert (found.epoch, found.members, found.root) == (2, own.members, own.root)
    assert "does not follow" in str(verify_epoch_chain(bench.options, ends[1:], read_stop))


def test_a_proof_with_anything_changed_proves_nothing() -> None:
    first, end = proven()
    (stop, stop_qc), (child, child_qc) = end.links
    begins = read_stop(end.record)
    assert begins is not None
    other = STOP_PREFIX + encode(replace(begins, seed=b"x"))
    full = replace(child, records_root=b"x" * 32)
    forged: dict[str, EpochEnd] = {
        "no stop": EpochEnd(b"record 1", end.links),
        "another record": EpochEnd(other, end.links),
        "no quorum": EpochEnd(end.record, ((stop, stop_qc), (child, strip(child_qc)))),
        "no quorum below": EpochEnd(end.record, ((stop, strip(stop_qc)), (child, child_qc))),
        "one block twice": EpochEnd(end.record, ((stop, stop_qc), (stop, stop_qc))),
        "a full child": EpochEnd(end.record, ((stop, stop_qc), (full, child_qc))),
        "another term": EpochEnd(end.record, ((stop, stop_qc), (replace(child, term=2), child_qc))),
        "certificates exchanged": EpochEnd(end.record, ((stop, child_qc), (child, stop_qc))),
    }
    for name, proof in forged.items():
        assert isinstance(verify_epoch_chain(first, [proof], read_stop), str), name
    assert not isinstance(verify_epoch_chain(first, [end], read_stop), str)
    assert isinstance(verify_epoch_chain(first, [end, end], read_stop), str)


def test_a_third_of_the_seats_and_at_least_one_may_change_at_once() -> None:
    assert [seats_replaced_max(n) for n in (1, 3, 4, 5, 6, 7, 10)] == [1, 1, 1, 1, 2, 2, 3]
    members = [bytes([n]) * 32 for n in range(9)]
    assert seats_fault(members[:4], members[1:5]) is None
    assert seats_fault(members[:4], members[:5]) is None
    assert seats_fault(members[:4], members[:3]) is None
    assert seats_fault(members[:4], members[2:6]) is not None
    assert seats_fault(members[:7], members[2:9]) is None
    assert seats_fault(members[:1], members[:4]) is not None


def test_an_epoch_that_may_not_follow_is_named() -> None:
    present = epoch_of(options(4))
    good = replace(present, number=1)
    assert succession_fault(present, good) is None
    bad = [
        replace(present, number=2),
        replace(good, members=good.members[::-1]),
        replace(good, members=(), beacon_tips=()),
        replace(good, beacon_tips=good.beacon_tips[:3]),
        replace(good, beacon_tips=good.beacon_tips[::-1]),
        replace(good, members=(*good.members[:3], b"short")),
    ]
    assert all(succession_fault(present, each) is not None for each in bad)


def test_a_member_whose_tip_is_not_its_own_signs_nothing_in_that_epoch() -> None:
    bench = Bench(4, observers=1)
    bench.start()
    bench.run(300)
    wish = SeatsWanted(0, bench.key(3), bench.key(4), b"t" * 32)
    bench.submit(1, seats_record(wish))
    bench.run(2_000)
    assert {number(bench, who) for who in range(5)} == {1}
    assert not inner(bench.effects[bench.key(4)], Vote)
    assert bench.machine(0).head_index > 10


def test_a_fresh_store_knows_no_ends() -> None:
    store = Store(epoch=epoch_of(options(4)))
    assert store.ends(0, 4) == []


# An epoch that is known from elsewhere.


def forged_end(bench: Bench, *joining: int) -> EpochEnd:
    """Let the first members sign, long after their epoch, that others followed them."""
    order = sorted(bench.options.members)
    tips = dict(zip(order, bench.options.beacon_tips, strict=True))
    for who in joining:
        del tips[order.pop()]
        tips[bench.key(who)] = beacon.tip(secret(bench.key(who)))
    members = tuple(sorted([*order, *map(bench.key, joining)]))
    epoch = Epoch(1, members, b"forged", tuple(tips[member] for member in members))
    stop = STOP_PREFIX + encode(epoch)
    block = bench.block(0, 1, bench.genesis, stop)
    child = bench.block(0, 1, bench.qc(block, 0, 1, 2), revealed=1)
    qcs = child.qc, bench.qc(child, 0, 1, 2)
    return EpochEnd(stop, ((block.header, qcs[0]), (child.header, qcs[1])))


def trusting(bench: Bench) -> TrustedEpoch:
    """Trust the present epoch as an honest node shows it."""
    own = bench.machine(1).options
    return TrustedEpoch(own.epoch, own.epoch_hash)


def test_retired_keys_found_another_committee_but_for_who_trusts_a_later_epoch() -> None:
    bench = changed(observers=2)
    [end] = bench.nodes[0].store.ends_known
    forged = forged_end(bench, 5)
    first = bench.options
    believed = verify_epoch_chain(first, [forged], read_stop)
    assert not isinstance(believed, str)  # nothing in the bytes tells it from the true one
    assert bench.key(5) in believed.members
    careful = replace_fields(first, trusted=trusting(bench))
    assert "not" in str(verify_epoch_chain(careful, [forged], read_stop))
    followed = verify_epoch_chain(careful, [end], read_stop)
    assert not isinstance(followed, str)
    assert followed.epoch_hash == bench.machine(1).options.epoch_hash


def test_an_epochs_hash_names_its_number_committee_and_the_block_it_builds_on() -> None:
    own = changed().machine(1).options
    others = (
        replace_fields(own, epoch=2),
        replace_fields(own, members=own.members[1:], beacon_tips=own.beacon_tips[1:]),
        replace_fields(own, seed=b"else"),
        replace_fields(own, beacon_tips=own.beacon_tips[::-1]),
        replace_fields(own, root_index=own.root_index + 1),
        replace_fields(own, root_hash=bytes(32)),
    )
    assert len({own.epoch_hash, *(each.epoch_hash for each in others)}) == 7


def newcomer(trusts: bool) -> tuple[Bench, list[Effect]]:
    """Let a node join after a change of the committee; retired keys tell it of one first."""
    bench = Bench(4, observers=2)
    bench.start(0, 1, 2, 3, 4)
    bench.run(300)
    bench.submit(1, exchange(bench, 3, 4))
    bench.run(1_000)
    if trusts:
        node = bench.nodes[5]
        node.options = replace_fields(node.options, trusted=trusting(bench))
    bench.start(5)
    forged = forged_end(bench, 5)
    effects = bench.receive(5, 3, Epochs(0, (forged,)))
    [stop] = [bench.block(0, 1, bench.genesis, forged.record)]
    effects += bench.receive(5, 3, Blocks((stop,), forged.links[0][1]))
    return bench, effects


def test_a_newcomer_without_a_trusted_epoch_follows_retired_keys() -> None:
    bench, _ = newcomer(trusts=False)
    assert number(bench, 5) == 1
    assert bench.key(5) in bench.machine(5).options.members


def test_a_newcomer_with_a_trusted_epoch_refuses_retired_keys_and_follows_the_others() -> None:
    bench, effects = newcomer(trusts=True)
    assert "epoch 1 is" in of(effects, PeerFault)[0].reason
    assert not of(effects, Committed)
    bench.run(3_000)
    assert number(bench, 5) == 1
    assert bench.machine(5).options.epoch_hash == bench.machine(1).options.epoch_hash
    assert len(bench.log(5)) > 1


def test_before_the_trusted_epoch_nothing_commits_without_a_proof_that_leads_there() -> None:
    bench = changed(observers=2)
    node = bench.nodes[5]
    node.crash()
    node.store = Store()
    node.options = replace_fields(node.options, trusted=trusting(bench))
    bench.start(5)
    first = bench.block(0, 1, bench.genesis, record("forged"))
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    blocks = Blocks((first, second), bench.qc(second, 0, 1, 2))
    effects = bench.receive(5, 3, blocks)
    assert not of(effects, Committed)
    bench.run(3_000)
    assert record("forged") not in bench.records(5)
    assert number(bench, 5) == 1


def test_a_proof_that_does_not_reach_the_trusted_epoch_is_no_fault_and_counts_for_nothing() -> None:
    bench = changed()
    [end] = bench.nodes[0].store.ends_known
    careful = replace_fields(bench.options, trusted=TrustedEpoch(2, bytes(32)))
    bench.nodes[4].crash()
    bench.nodes[4].store = Store()
    bench.nodes[4].options = replace_fields(careful, self_id=bench.key(4))
    bench.start(4)
    effects = bench.receive(4, 2, Epochs(0, (end,)))
    assert not of(effects, PeerFault)
    assert not bench.machine(4).knows_end


def test_a_store_that_went_another_way_is_refused() -> None:
    bench = changed()
    node = bench.nodes[4]
    good = trusting(bench)
    node.options = replace_fields(node.options, trusted=good)
    bench.restart(4)
    node.crash()
    node.options = replace_fields(node.options, trusted=TrustedEpoch(1, bytes(32)))
    with pytest.raises(ConfigError, match="does not pass the trusted epoch"):
        bench.start(4)
