"""A founder's key whose store is empty: new, and then it votes; or used, and then it never does."""

import random
from dataclasses import replace

import pytest

from ambientd.consensus.effects import EvidenceFound, PersistSafety, VoteDecided
from ambientd.consensus.evidence import EvidenceWatch
from ambientd.consensus.first_start import ABOVE_ALL
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EquivocalBlocks,
    EquivocalVotes,
    EvidenceMessage,
    Fetch,
    Forward,
    HiddenCertificate,
    Message,
    Position,
    QcNotice,
    Timeout,
    Vote,
)
from ambientd.errors import ConfigError
from sim.disk import LogDisk
from sim.replica import Store
from tests.consensus.bench import START_MS, Bench, of, record, sent


def founded(count: int = 4) -> Bench:
    bench = Bench(count)
    for node in bench.nodes:
        node.is_first_start = True
    return bench


def signed_by(bench: Bench, who: int, since: int = 0) -> list[object]:
    effects = bench.effects[bench.key(who)][since:]
    return [message for kind in (Vote, Timeout, Append) for message in sent(effects, kind)]


def decisions(bench: Bench, who: int) -> list[bool]:
    return [each.may_vote for each in of(bench.effects[bench.key(who)], VoteDecided)]


def is_certificate(message: object) -> bool:
    return isinstance(message, Blocks) and not message.blocks


def lose_all(bench: Bench, who: int) -> int:
    """Give a node its folder of the first day again; tell how much it has done so far."""
    node = bench.nodes[who]
    node.crash()
    node.store, node.disk = Store(), LogDisk(node.key)
    return len(bench.effects[node.key])


def go_on(bench: Bench, for_ms: int) -> None:
    """Let time pass; who has begun to vote says its word, as a node's reporter does."""
    said: set[int] = set()
    for _ in range(0, for_ms, 50):
        bench.run(50)
        for who, node in enumerate(bench.nodes):
            machine = node.machine
            is_silent = machine is None or not machine.options.may_vote or node.is_in_state()
            if who not in said and not is_silent:
                said.add(who)
                bench.submit(who, node.word)


def told(bench: Bench, who: int) -> list[bytes]:
    words = {node.word for node in bench.nodes}
    return [each for each in bench.records(who) if each not in words]


def convicted(bench: Bench) -> set[bytes]:
    return {e.culprit for done in bench.effects.values() for e in of(done, EvidenceFound)}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_founders_begin_together_and_at_once(count: int) -> None:
    bench = founded(count)
    bench.start()
    go_on(bench, 500)
    assert [decisions(bench, who) for who in range(count)] == [[True]] * count
    assert all(len(bench.log(who)) > 2 for who in range(count))
    assert bench.machine(0).term == 1


def test_a_founder_signs_nothing_before_a_quorum_is_there() -> None:
    bench = founded()
    bench.down = {bench.key(2), bench.key(3)}
    bench.start(0, 1)
    go_on(bench, 20_000)
    assert signed_by(bench, 0) == signed_by(bench, 1) == []
    bench.down = {bench.key(3)}
    bench.start(2)
    go_on(bench, 3_000)
    assert all(len(bench.log(who)) > 2 for who in range(3))


def test_it_is_on_disk_before_the_first_signature_that_a_key_votes() -> None:
    bench = founded()
    bench.start()
    go_on(bench, 500)
    for who in range(4):
        done = bench.effects[bench.key(who)]
        first = next(n for n, e in enumerate(done) if sent([e], Vote) or sent([e], Append))
        kinds = [type(effect) for effect in done[:first]]
        assert kinds.index(PersistSafety) < kinds.index(VoteDecided)


def test_a_founder_that_comes_late_reads_the_log_and_votes() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    bench.submit(0, record(1))
    go_on(bench, 5_000)
    height = len(bench.log(0))
    assert height > 20
    bench.start(3)
    go_on(bench, 1_000)
    assert decisions(bench, 3) == [True]
    bench.nodes[1].crash()
    bench.submit(0, record(2))
    go_on(bench, 5_000)  # which needs its vote
    assert told(bench, 3) == [record(1), record(2)]
    assert convicted(bench) == set()


def test_a_log_that_stands_for_a_quorum_goes_on_with_a_founder_that_comes_late() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 3_000)
    bench.nodes[0].crash()
    go_on(bench, 3_000)
    height = len(bench.log(1))
    go_on(bench, 3_000)
    assert len(bench.log(1)) == height
    bench.start(3)
    bench.submit(1, record(1))
    go_on(bench, 15_000)
    assert decisions(bench, 3) == [True]
    assert told(bench, 3) == told(bench, 1) == [record(1)]
    bench.restart(0)
    go_on(bench, 3_000)
    assert convicted(bench) == set()


def test_a_late_founder_signs_nothing_before_it_has_what_the_others_have_shown() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 5_000)
    shown = bench.machine(1).high_qc
    bench.start(3)
    bench.settle(lambda _, to, message: to != bench.key(3) or not getattr(message, "blocks", ()))
    assert bench.machine(3).high_qc.position >= shown.position
    assert bench.machine(3).is_behind
    assert signed_by(bench, 3) == []


@pytest.mark.parametrize("who", range(4))
@pytest.mark.parametrize("blocks", [1, 3, 200])
def test_a_founders_key_that_was_used_never_signs_again(who: int, blocks: int) -> None:
    bench = founded()
    bench.start()
    while len(bench.log(0)) < blocks or not bench.nodes[who].is_in_state():
        go_on(bench, 50)
    before = lose_all(bench, who)
    go_on(bench, 300)
    bench.start(who)
    bench.submit((who + 1) % 4, record(1))
    go_on(bench, 15_000)
    assert signed_by(bench, who, before) == []
    assert decisions(bench, who) == [True, False]
    assert told(bench, who) == told(bench, (who + 1) % 4) == [record(1)]
    assert not bench.nodes[who].log.is_first_start  # type: ignore[union-attr]
    assert convicted(bench) == set()


def is_shown(bench: Bench, who: int) -> bool:
    """Tell whether the log of the others has any signature of a member's."""
    key, number = bench.key(who), bench.number(who)
    blocks = [block.block for other in range(bench.count) for block in bench.log(other)]
    signed = {member for block in blocks for member, _ in block.qc.signatures}
    proposers = {block.header.proposer for block in blocks}
    is_told = any(bench.nodes[who].word in block.records for block in blocks)
    return number in signed or key in proposers or is_told


def contradictions(bench: Bench, who: int) -> list[EquivocalBlocks]:
    """Give what a stranger convicts a key by who has kept all that it ever proposed."""
    seen: dict[Position, Append] = {}
    found: list[EquivocalBlocks] = []
    for append in sent(bench.effects[bench.key(who)], Append):
        first = seen.setdefault(append.header.position, append)
        if first.header != append.header:
            found.append(
                EquivocalBlocks(first.header, first.signature, append.header, append.signature)
            )
    return found


@pytest.mark.parametrize("asks", [True, False])
def test_a_coordinator_that_lost_its_folder_proposes_nothing_over_its_own_blocks(
    asks: bool,
) -> None:
    """Without the question it does so at once, and whoever has both convicts it."""
    bench = founded()
    bench.start()
    go_on(bench, 300)
    lose_all(bench, 0)
    bench.nodes[0].is_first_start = asks
    bench.start(0)
    go_on(bench, 15_000)
    assert bench.machine(1).term > 1
    culprits = {bench.verifier.culprit(each) for each in contradictions(bench, 0)}
    assert culprits == (set() if asks else {bench.key(0)})


def test_a_certificate_that_a_late_founder_alone_was_shown_does_not_stop_the_log() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 1_000)
    keys = [bench.key(who) for who in range(4)]
    [leader] = [who for who in range(3) if bench.machine(who).is_coordinator]
    others = [who for who in range(3) if who != leader]

    def is_kept(sender: bytes, receiver: bytes, message: object) -> bool:
        if sender == keys[leader] and receiver == keys[3]:
            return is_certificate(message)
        return sender != keys[leader] or receiver not in {keys[who] for who in others}

    def is_ahead(who: int) -> bool:
        known = [bench.machine(other).high_qc.position for other in others]
        return bench.machine(who).high_qc.position > max(known)

    bench.now += 150
    bench.tick(leader)
    bench.hop()
    while not is_ahead(leader):
        bench.hop(is_kept)
        bench.tick(leader, 5)
    bench.start(3)
    while not is_ahead(3):
        bench.hop(is_kept)
        bench.tick(3, 5)
    bench.queue = [each for each in bench.queue if keys[leader] not in each[:2]]
    bench.down = {keys[leader]}
    bench.nodes[leader].crash()
    height = len(bench.log(others[0]))
    go_on(bench, 60_000)
    assert decisions(bench, 3) == [True]
    assert len(bench.log(others[0])) > height


@pytest.mark.parametrize("who", range(4))
def test_a_key_whose_vote_is_in_the_log_is_known_before_it_has_said_a_word(who: int) -> None:
    bench = founded()
    bench.start()
    bench.run(300)
    assert not bench.nodes[who].is_in_state()
    was_shown = is_shown(bench, who)
    before = lose_all(bench, who)
    bench.start(who)
    bench.run(15_000)
    assert decisions(bench, who) == [True, not was_shown]
    assert bool(signed_by(bench, who, before)) is not was_shown
    assert contradictions(bench, who) == []
    assert convicted(bench) == set()


def test_three_of_four_keys_show_in_a_log_of_a_few_blocks() -> None:
    bench = founded()
    bench.start()
    bench.run(300)
    assert sum(is_shown(bench, who) for who in range(4)) >= 3


def shown(bench: Bench, kind: str) -> Message:
    """Give what another member shows to 1, whose key has signed something in it."""
    block = bench.block(0, 1, bench.genesis)
    gave_up = [bench.timeout(who, 1, bench.genesis) for who in range(4)]
    by_others = bench.tc(1, gave_up[0], *gave_up[2:])
    match kind:
        case "a vote":
            return QcNotice(bench.qc(block, 0, 1, 2), None)
        case "a time-out":
            return QcNotice(bench.genesis, bench.tc(1, *gave_up[:3]))
        case "a block":
            return bench.block(1, 2, bench.genesis, tc=by_others)
        case "a record":
            return bench.block(0, 1, bench.genesis, bench.nodes[1].word)
        case "two votes":
            other = bench.block(0, 1, bench.genesis, record(1))
            return EvidenceMessage(EquivocalVotes(bench.vote(1, block), bench.vote(1, other)))
        case _:
            return QcNotice(bench.qc(block, 0, 2, 3), None)


@pytest.mark.parametrize("kind", ["a vote", "a time-out", "a block", "a record", "two votes"])
def test_a_key_that_sees_anything_it_has_signed_never_votes(kind: str) -> None:
    bench = founded()
    bench.start(1)
    bench.receive(1, 2, shown(bench, "nothing of its own"))
    assert decisions(bench, 1) == []
    done = bench.receive(1, 2, shown(bench, kind))
    assert isinstance(done[0], VoteDecided), "it is kept before what tells it is taken in"
    assert decisions(bench, 1) == [False]
    bench.restart(1)
    bench.start(0, 2, 3)
    go_on(bench, 20_000)
    assert signed_by(bench, 1) == []
    assert decisions(bench, 1) == [False]


@pytest.mark.parametrize("kind", ["a vote", "a time-out", "a block", "two votes"])
def test_what_a_key_has_not_signed_keeps_nobody_from_voting(kind: str) -> None:
    bench = founded()
    bench.signers[1], signer = bench.signers[3], bench.signers[1]
    forged = shown(bench, kind)  # in the name of 3, as far as numbers go
    bench.signers[1] = signer
    bench.start(1)
    bench.receive(1, 2, forged)
    assert decisions(bench, 1) == []


def test_a_late_founder_gives_up_the_term_that_others_have_begun_and_votes_in_the_next() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 1_000)
    bench.start(3)
    go_on(bench, 1_000)
    assert decisions(bench, 3) == [True]
    assert {type(each) for each in signed_by(bench, 3)} == {Timeout}
    assert bench.machine(0).term == 1, "one that gives up stops nobody"
    bench.nodes[0].crash()
    go_on(bench, 15_000)
    votes = sent(bench.effects[bench.key(3)], Vote)
    assert {vote.position.term for vote in votes} == {bench.machine(1).term}


def test_giving_a_term_up_hides_a_lost_vote_whose_parent_is_above_what_a_quorum_showed() -> None:
    """The one thing that giving a term up can contradict (ADR 92)."""
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 1_000)
    bench.start(3)
    go_on(bench, 1_000)
    given_up, *_ = signed_by(bench, 3)
    assert isinstance(given_up, Timeout)
    for number in range(3):
        bench.submit(0, record(number))
        go_on(bench, 500)
    hidden = []
    for block in bench.log(0):
        watch, vote = EvidenceWatch(), bench.vote(3, block.block)
        assert vote.position.term == given_up.term
        assert watch.saw_timeout(given_up) is None
        is_above = vote.parent_position > given_up.high_position
        found = watch.saw_vote(vote)
        assert isinstance(found, HiddenCertificate) is is_above
        hidden.append(is_above)
    assert hidden[0] is False, "what a quorum has shown is hidden from nobody"
    assert hidden[-1] is True


def test_what_a_founder_wants_in_the_log_waits_until_it_knows_whether_its_key_is_new() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 1_000)
    bench.start(3)
    while not decisions(bench, 3):
        bench.submit(3, record(1))
        bench.hop(lambda _, to, message: to != bench.key(3) or not is_certificate(message))
        bench.tick(3, 50)
        if len(bench.log(3)) > 3 and bench.now > START_MS + 4_000:
            assert sent(bench.effects[bench.key(3)], Forward) == []
            bench.settle()
    go_on(bench, 3_000)
    assert told(bench, 0) == [record(1)]


def test_a_founder_whose_key_does_not_lead_to_its_beacon_tip_does_not_start() -> None:
    bench = founded()
    node = bench.nodes[2]
    node.options = replace(node.options, beacon_secret=b"another")
    with pytest.raises(ConfigError, match="beacon_secret does not lead to this member's beacon"):
        bench.start(2)


def test_a_restart_amid_the_first_start_forgets_nothing() -> None:
    bench = founded()
    bench.start()
    go_on(bench, 3_000)
    lose_all(bench, 2)
    bench.start(2)
    while not bench.log(2):  # and nobody has told it how far the log is
        bench.hop(lambda _, to, message: to != bench.key(2) or not is_certificate(message))
        bench.tick(2, 50)
    assert decisions(bench, 2) == [True, False], "what it has read is signed by its key"
    before = len(bench.effects[bench.key(2)])
    bench.restart(2)
    go_on(bench, 10_000)
    assert signed_by(bench, 2, before) == []
    assert decisions(bench, 2) == [True, False]


def test_a_late_founder_restarted_amid_its_first_start_votes_all_the_same() -> None:
    bench = founded()
    bench.start(0, 1, 2)
    go_on(bench, 3_000)
    bench.start(3)
    while not bench.log(3):
        bench.hop(lambda _, to, message: to != bench.key(3) or not is_certificate(message))
        bench.tick(3, 50)
    assert decisions(bench, 3) == []
    bench.restart(3)
    go_on(bench, 2_000)
    assert decisions(bench, 3) == [True]
    assert signed_by(bench, 3)


def test_who_shows_a_certificate_that_does_not_hold_has_shown_nothing() -> None:
    bench = founded()
    bench.start(0)
    block = bench.block(1, 1, bench.genesis)
    forged = bench.qc(block, 1, 2)  # one vote too few
    for liar in (1, 2):
        bench.receive(0, liar, Blocks((), forged))
    bench.tick(0, 2_000)
    assert decisions(bench, 0) == []
    assert signed_by(bench, 0) == []


def test_the_question_costs_a_certificate_and_is_put_to_those_who_owe_an_answer() -> None:
    bench = founded()
    bench.start(1, 2, 3)
    go_on(bench, 3_000)
    bench.queue.clear()
    bench.start(0)
    asked = [(to, message) for _, to, message in bench.queue if message == Fetch(ABOVE_ALL)]
    assert sorted(to for to, _ in asked) == sorted(bench.key(who) for who in (1, 2, 3))
    bench.hop()
    answers = [m for _, to, m in bench.queue if to == bench.key(0) and isinstance(m, Blocks)]
    assert any(not answer.blocks and answer.qc.position.index for answer in answers)
    go_on(bench, 1_000)
    bench.effects[bench.key(0)].clear()
    go_on(bench, 10_000)
    assert Fetch(ABOVE_ALL) not in sent(bench.effects[bench.key(0)], Fetch)


@pytest.mark.parametrize("seed", range(24))
def test_whenever_folders_are_lost_nobody_is_convicted_and_nothing_forks(seed: int) -> None:
    dice = random.Random(seed)
    bench = founded(4 if seed % 3 else 7)
    late = dice.randrange(bench.count)
    bench.start(*(who for who in range(bench.count) if who != late))
    go_on(bench, dice.randrange(1_000))
    bench.start(late)
    victim = dice.randrange(bench.count)
    go_on(bench, dice.randrange(3_000))
    before = lose_all(bench, victim)
    told_of = is_shown(bench, victim)
    go_on(bench, dice.randrange(2_000))
    bench.start(victim)
    for number in range(3):
        bench.submit(dice.randrange(bench.count), record(number))
        go_on(bench, dice.randrange(4_000))
        if dice.randrange(3) == 0:
            bench.restart(victim)
    go_on(bench, 20_000)
    assert convicted(bench) == set()
    logs = [[block.hash for block in bench.log(who)] for who in range(bench.count)]
    shortest = min(map(len, logs))
    assert shortest > 3
    assert len({tuple(log[:shortest]) for log in logs}) == 1
    if told_of:
        assert signed_by(bench, victim, before) == []
