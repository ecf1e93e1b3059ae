"""A member that says anything well-formed: the core never raises, never forks, never forgets."""

import random

import pytest

from ambientd.consensus.effects import Committed, PersistSafety
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
    QcNotice,
    QuorumCertificate,
    TimeoutCertificate,
)
from tests.consensus.bench import Bench, of, record


class Babbler:
    """Draws messages from everything that could ever have been signed, liars included."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench(4)
        self.blocks: list[Append] = []
        self.qcs: list[QuorumCertificate] = [self.bench.genesis]
        self.tcs: list[TimeoutCertificate] = []
        for number in range(30):
            self._grow(number)

    def _some(self) -> tuple[int, ...]:
        return tuple(self.dice.sample(range(4), self.dice.choice([2, 3, 3, 4])))

    def _grow(self, number: int) -> None:
        dice, bench = self.dice, self.bench
        term = dice.randrange(1, 6)
        qc = dice.choice(self.qcs)
        tc = dice.choice([None, *self.tcs])
        proposer = dice.choice([(term - 1) % 4, dice.randrange(4)])
        changes = dice.choice([{}, {}, {"time_ms": dice.randrange(2**40)}, {"state_root": b"s"}])
        block = bench.block(
            proposer,
            term,
            qc,
            *(record(n) for n in range(dice.randrange(3))),
            tc=tc,
            revealed=dice.randrange(4),
            **changes,
        )
        self.blocks.append(block)
        self.qcs.append(bench.qc(dice.choice(self.blocks), *self._some()))
        timeouts = [bench.timeout(who, term, dice.choice(self.qcs)) for who in self._some()]
        self.tcs.append(bench.tc(term, *timeouts))

    def message(self) -> Message:
        dice, bench = self.dice, self.bench
        block, other = dice.choice(self.blocks), dice.choice(self.blocks)
        qc, tc = dice.choice(self.qcs), dice.choice([None, *self.tcs])
        vote = bench.vote(dice.randrange(4), block)
        timeout = bench.timeout(dice.randrange(4), dice.randrange(8), qc, tc)
        run = tuple(dice.sample(self.blocks, dice.randrange(4)))
        evidence = dice.choice(
            [
                EquivocalBlocks(block.header, block.signature, other.header, other.signature),
                EquivocalVotes(vote, bench.vote(dice.randrange(4), other)),
                HiddenCertificate(vote, timeout.term, timeout.high_position, timeout.signature),
            ]
        )
        return dice.choice(
            [
                block,
                block,
                vote,
                timeout,
                QcNotice(qc, tc),
                Fetch(dice.randrange(6)),
                Blocks(run, qc),
                Forward((record(dice.randrange(9)), dice.choice([record(1), b"junk"]))),
                EvidenceMessage(evidence),
            ]
        )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("who", [0, 3])
def test_any_well_formed_babble_is_survived(seed: int, who: int) -> None:
    babbler = Babbler(seed)
    bench = Bench(4)
    bench.start(who)
    state = bench.machine(who)._safety
    for _ in range(400):
        effects = bench.receive(who, (who + 1) % 4, babbler.message())
        if babbler.dice.randrange(5) == 0:
            effects += bench.tick(who, babbler.dice.randrange(300))
        for persisted in of(effects, PersistSafety):
            assert persisted.state.last_voted >= state.last_voted
            assert persisted.state.max_timed_out >= state.max_timed_out
            assert persisted.state.high_qc.position >= state.high_qc.position
            assert bench.verifier.qc_holds(persisted.state.high_qc)
            state = persisted.state
        due = bench.nodes[who].next_deadline
        assert due is not None
        assert due > bench.now
    indexes = [b.index for c in of(bench.effects[bench.key(who)], Committed) for b in c.blocks]
    assert indexes == list(range(1, len(indexes) + 1))
    bench.restart(who)
