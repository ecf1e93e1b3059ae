"""Owners move money in worlds of whole nodes; a bond that comes back too early is seen."""

from typing import Any, cast

import pytest
from msgspec.structs import replace

from ambientd.ledger.entries import META_KEY, Entry, Key, Meta, Moves, moves_key
from ambientd.ledger.events import BondAskedBack, BondRaised, BondReturned, Transferred
from ambientd.model.base import NodeId
from ambientd.node.effect import PersistLedger, Told
from sim.checkers import InvariantViolation, Kinds
from sim.cluster import ClusterOptions, run
from sim.faults import Fault
from sim.money import BondsWait
from sim.node_checkers import NodeChecker
from sim.node_machine import NodeHost, Persisted
from sim.plans import TRIO, Finding, Plan, judge
from tests.node.cluster import Cluster

KEEP_MS = 8_000
WAIT_MS = 1_000


class Heard(NodeChecker):
    """Counts what nodes tell of money."""

    effects: Kinds = (Told,)

    def __init__(self) -> None:
        self.kinds: set[type] = set()

    def saw_effect(self, node: object, effect: object, now: int) -> None:
        if isinstance(effect, Told):
            self.kinds.add(type(effect.event))


@pytest.mark.slow
def test_owners_pass_credits_on_bond_and_get_bonds_back() -> None:
    heard, bonds = Heard(), BondsWait(KEEP_MS)
    faults = frozenset({Fault.MONEY})
    options = ClusterOptions(1, faults=faults, time_ms=40_000, keep_ms=KEEP_MS)
    outcome = run(options, [heard, bonds])
    assert {Transferred, BondRaised, BondAskedBack, BondReturned} <= heard.kinds
    assert bonds.returned > 0
    assert outcome.tasks < outcome.receipts, "most tasks are forgotten"


@pytest.mark.slow
def test_daemons_move_money_as_well() -> None:
    found = judge(Plan("node-money", 1, 4, 40_000, world=TRIO))
    assert not isinstance(found, Finding), found


class Ledgers:
    """A checker that has seen a bond asked back, and a world whose ledger can be bent."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.changes: list[PersistLedger] = []
        self.cluster.world.observers.append(self)
        self.task = self.cluster.submit()
        self.host = self.cluster.hosts[0]
        self.cluster.until(self.has_lease)
        self.change = self.changes[-1]
        self.checker = BondsWait(WAIT_MS)
        self.time_ms = cast("Meta", self.change.writes[META_KEY]).time_ms
        self.saw({})

    def saw_delivery(self, *_: object) -> None:
        """Look away."""

    def saw_effect(self, node: object, effect: object, now: int) -> None:
        if isinstance(node, NodeHost) and node is self.cluster.hosts[0]:
            found = effect.effects if isinstance(effect, Persisted) else ()
            self.changes += [each for each in found if isinstance(each, PersistLedger)]

    def has_lease(self) -> bool:
        entry = self.cluster.ledger().task(self.task)
        return entry is not None and any(slot.worker for slot in entry.slots)

    def worker(self) -> NodeId:
        """Give a worker of the open task, without its seat."""
        entry = self.cluster.entry(self.task)
        return next(slot.worker for slot in entry.slots if slot.worker)

    def saw(self, writes: dict[Key, Entry], after_ms: int = 0) -> None:
        """Show the checker a change by one block, after some time."""
        self.time_ms += after_ms
        meta = replace(cast("Meta", self.change.writes[META_KEY]), time_ms=self.time_ms)
        fields = {name: getattr(self.change, name) for name in ("committed", "root", "epoch")}
        change = PersistLedger(writes={META_KEY: meta, **writes}, **fields)
        self.checker.saw_effect(self.host, Persisted((change,)), 0)

    def ask_back(self, node: NodeId, returned_after_ms: int) -> None:
        """Let some of a node's bond wait and come back."""
        self.saw({moves_key(node): Moves(said_ms=1, waiting_msat=5, due_ms=1)})
        self.saw({moves_key(node): Moves(said_ms=1)}, after_ms=returned_after_ms)


def breaks(text: str) -> Any:
    return pytest.raises(InvariantViolation, match=text)


def test_a_bond_that_comes_back_early_is_seen() -> None:
    ledgers, outsider = Ledgers(), NodeId(bytes(32))
    ledgers.ask_back(outsider, WAIT_MS)
    with breaks("it came back early"):
        ledgers.ask_back(outsider, WAIT_MS - 1)


def test_a_bond_that_comes_back_to_a_member_is_seen() -> None:
    ledgers = Ledgers()
    with breaks("it came back to a member"):
        ledgers.ask_back(NodeId(ledgers.host.key), WAIT_MS)


def test_a_bond_that_comes_back_to_a_worker_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers = Ledgers()
    worker = ledgers.worker()
    others = tuple(node for node in ledgers.host.ledger.members if node != worker)
    epoch = replace(ledgers.host.ledger.epoch, members=others)
    monkeypatch.setattr(ledgers.host.ledger, "epoch", epoch)
    ledgers.saw({})
    with breaks("its owner has open work"):
        ledgers.ask_back(worker, WAIT_MS)
