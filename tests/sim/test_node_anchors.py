"""Whole nodes anchor in a chain that is undone; a lost, doubled or wrong anchor is seen."""

import random
from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from ambientd.ledger.admission import decode_record
from ambientd.ledger.entries import CheckpointEntry, Table
from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.node.effect import PersistLedger
from sim.anchor_chain import AnchorChain
from sim.anchor_checkers import SETTLING_MS, LogsAnchors, check_anchors
from sim.checkers import InvariantViolation
from sim.cluster import ClusterOptions, build, watch
from sim.faults import Fault
from sim.node_machine import Persisted
from sim.plans import TRIO, Finding, Plan, judge
from sim.wallets import Wallet

ANCHORS = frozenset({Fault.REORGANISATION})


def breaks(text: str) -> Any:
    return pytest.raises(InvariantViolation, match=text)


@pytest.mark.slow
def test_reorganisations_undo_anchors_and_others_take_their_place() -> None:
    plan = Plan("node-anchors", 2, 4, 40_000)
    found = judge(plan)
    assert not isinstance(found, Finding), found
    assert found == judge(plan)


@pytest.mark.slow
def test_daemons_anchor_in_a_chain_that_is_undone() -> None:
    found = judge(Plan("node-anchors", 1, 4, 40_000, world=TRIO))
    assert not isinstance(found, Finding), found


class Anchored:
    """A world that has come to rest, its anchors, and a checker that has seen them all."""

    def __init__(self) -> None:
        options = ClusterOptions(1, 3, 0, ANCHORS, 40_000)
        self.world, self.cast, _, _ = build(options)
        assert self.cast.chain is not None
        self.chain: AnchorChain = self.cast.chain
        self.checker = LogsAnchors(self.chain)
        self.changes: list[PersistLedger] = []
        watch(self.world, self.cast)
        self.world.observers += [self.checker, self]
        self.world.run(options.time_ms)
        self.due = self.checker.due_by(options.time_ms)

    def saw_delivery(self, *_: object) -> None:
        """Look away."""

    def saw_effect(self, node: object, effect: object, now: int) -> None:
        if node is self.cast.members[0] and isinstance(effect, Persisted):
            self.changes += [each for each in effect.effects if isinstance(each, PersistLedger)]

    def show(self, proof: AnchorProof | None, last: PersistLedger | None = None) -> None:
        """Show the checker another anchor of the first batch, by default in the last step."""
        host = self.cast.members[0]
        size = min(host.ledger.checkpoint_sizes())
        closed = host.ledger.checkpoint(size)
        assert closed is not None
        key = (Table.CHECKPOINT, size.to_bytes(8, "big"))
        bent = replace(closed, anchor=proof)
        assert isinstance(bent, CheckpointEntry)
        last = last or self.changes[-1]
        fields = {name: getattr(last, name) for name in ("committed", "root", "epoch")}
        change = PersistLedger(writes={key: bent}, **fields)
        self.checker.saw_effect(host, Persisted((change,)), 0)

    def step_with_two(self) -> PersistLedger:
        """Give a step one of whose blocks holds two proofs of the first batch."""
        size = min(self.cast.members[0].ledger.checkpoint_sizes())
        for change in self.changes:
            first, *others = change.committed.blocks
            for data in first.block.records:
                body = decode_record(data).body
                if isinstance(body, Anchor) and body.size == size:
                    block = replace(first.block, records=(data, data))
                    blocks = (replace(first, block=block), *others)
                    committed = replace(change.committed, blocks=blocks)
                    return PersistLedger(committed, {}, change.root, change.epoch)
        raise AssertionError("the first batch was never anchored")

    @property
    def proof(self) -> AnchorProof:
        """Give the first batch's anchor."""
        ledger = self.cast.members[0].ledger
        closed = ledger.checkpoint(min(ledger.checkpoint_sizes()))
        assert closed is not None
        assert closed.anchor is not None
        return closed.anchor


@pytest.fixture(scope="module")
def anchored() -> Anchored:
    return Anchored()


@pytest.mark.slow
def test_worlds_have_something_to_see_and_end_well(anchored: Anchored) -> None:
    assert anchored.checker.replaced > 0
    assert anchored.due > 0
    check_anchors(anchored.chain, anchored.cast.honest, anchored.due)


@pytest.mark.slow
def test_an_anchor_that_was_never_mined_or_goes_away_is_seen(anchored: Anchored) -> None:
    proof = anchored.proof
    with breaks("an anchor is gone"):
        anchored.show(None)
    with breaks("an anchor was never mined"):
        anchored.show(replace(proof, header=bytes(80)))
    with breaks("gave way to one with no more work"):
        anchored.show(replace(proof, index=proof.index + 1))
    longer = replace(proof, following_headers=(*proof.following_headers, bytes(80)))
    with breaks("gave way to one of its own block"):
        anchored.show(longer)
    anchored.show(longer, anchored.step_with_two())  # the one between was another block's


@pytest.mark.slow
def test_a_batch_that_is_lost_in_the_end_is_seen(anchored: Anchored) -> None:
    chain = deepcopy(anchored.chain)
    chain.seen.clear()
    chain.reorganise(chain.height - 3)
    with breaks("the log's anchors are in the best chain|no batch is lost"):
        check_anchors(chain, anchored.cast.honest, anchored.due)
    del chain.blocks[1:]
    with breaks("no batch is lost"):
        check_anchors(chain, anchored.cast.honest, anchored.due)


@pytest.mark.slow
def test_a_batch_that_one_wallet_pays_for_twice_is_seen(anchored: Anchored) -> None:
    chain = deepcopy(anchored.chain)
    [twice, *_] = [tx for block in chain.blocks for tx in block.txs if tx.roots]
    chain.blocks[-1].txs.append(twice)
    with breaks("paid by one wallet"):
        check_anchors(chain, anchored.cast.honest, anchored.due)


@pytest.mark.slow
def test_a_batch_is_due_only_when_it_had_time_to_be_mined(anchored: Anchored) -> None:
    closed_ms = min(anchored.checker._closed_ms.values())
    assert anchored.checker.due_by(closed_ms + SETTLING_MS - 1) == 0
    assert anchored.checker.due_by(closed_ms + SETTLING_MS) > 0


def test_a_wallet_that_lost_its_disk_begins_anew() -> None:
    wallet = Wallet(1, AnchorChain(random.Random(1)))
    wallet.want(1, Digest(bytes(32)))
    wallet.due(0)
    assert len(wallet.progress) == 1
    wallet.crash()
    assert len(wallet.progress) == 1
    wallet.lose_disk()
    assert wallet.progress == []
    assert wallet.has_begun_anew
