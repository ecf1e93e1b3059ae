"""What owners do with their credits in worlds of whole nodes, and what must hold of bonds."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ambientd.ledger.entries import META_KEY, Entry, Key, Meta, Moves, Table
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.record import Bond, Transfer, Unbond
from ambientd.node.effect import PersistLedger
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, written
from sim.node_machine import Persisted, Row
from sim.seasons import Storm, work_times
from sim.stage import Stage
from sim.vices import Resident

KEPT_MSAT = 500_000_000
"""What an owner who submits tasks keeps for them: bonds come back late."""
ALLOWANCE_MSAT = 200_000_000
"""What an owner who submits tasks moves in all."""
MOVE_EVERY_MS = 800
WELCOME_MS = 2_600
STEP_MS = 500
GIFT_MSAT = 3_000_000
TOO_MUCH_MSAT = 2**50


class Purses:
    """What owners do with their money, those of liars too; some of it is refused."""

    def __init__(self, world: Stage, hosts: Sequence[Resident], dice: random.Random) -> None:
        self._world = world
        self._hosts = hosts
        self._dice = dice
        founders = (member.node for member in hosts[0].options.genesis.members)
        self._left_msat = dict.fromkeys(founders, ALLOWANCE_MSAT)

    def schedule(self, storms: Sequence[Storm], end_ms: int) -> None:
        """Lay out moves up to a time; guests are given something first, which they put at risk."""
        guests = [host for host in self._hosts if NodeId(host.key) not in self._left_msat]
        for guest in guests:
            at = WELCOME_MS + self._dice.randrange(STEP_MS)
            giver = self._dice.choice([host for host in self._hosts if host not in guests])
            to = NodeId(guest.key)
            self._world.at(at, partial(self._transfer, giver, to, GIFT_MSAT))
            self._world.at(at + STEP_MS, partial(self._bond, guest, GIFT_MSAT))
            self._world.at(at + 2 * STEP_MS, partial(self._unbond, guest, GIFT_MSAT // 2))
        for at in work_times(storms, WELCOME_MS, end_ms, MOVE_EVERY_MS, self._dice):
            self._world.at(at + self._dice.randrange(MOVE_EVERY_MS), self._move)

    def _move(self) -> None:
        up = [host for host in self._hosts if host.node is not None]
        if not up:
            return
        ledger = max((host.ledger for host in up), key=lambda each: each.applied_index)
        host = self._dice.choice(up)
        entry = ledger.node(NodeId(host.key))
        bond_msat = 0 if entry is None else entry.bond_msat
        kind = self._dice.randrange(5)
        if kind == 0:
            to = NodeId(self._dice.choice(self._hosts).key)
            self._transfer(host, to, self._spent_msat(host, ledger))
        elif kind < 3:
            self._bond(host, self._spent_msat(host, ledger))
        else:
            self._unbond(host, self._part(bond_msat))

    def _spent_msat(self, host: Resident, ledger: LedgerState) -> int:
        """Draw what a node spends: founders of an allowance, as they need the rest for tasks.

        What the ledger shows may be spent already, by a move that is still on its way.
        """
        node = NodeId(host.key)
        left_msat = self._left_msat.get(node)
        if left_msat is None:
            return self._part(ledger.balance_msat(node))
        spent_msat = self._part(left_msat // 2)
        if spent_msat != TOO_MUCH_MSAT:
            self._left_msat[node] = left_msat - spent_msat
        return spent_msat

    def _part(self, amount_msat: int) -> int:
        """Draw some of an amount, or all, or more than anybody has."""
        if self._dice.randrange(12) == 0:
            return TOO_MUCH_MSAT
        return max(1, amount_msat // self._dice.choice([1, 2, 10]))

    def _transfer(self, host: Resident, to: NodeId, amount_msat: int) -> None:
        self._say(host, Transfer(to=to, amount_msat=amount_msat, said_ms=self._world.now))

    def _bond(self, host: Resident, amount_msat: int) -> None:
        self._say(host, Bond(amount_msat=amount_msat, said_ms=self._world.now))

    def _unbond(self, host: Resident, amount_msat: int) -> None:
        self._say(host, Unbond(amount_msat=amount_msat, said_ms=self._world.now))

    def _say(self, host: Resident, body: Transfer | Bond | Unbond) -> None:
        self._world.act(host.key, lambda now: host.want(body, now))


@dataclass(slots=True)
class _Seen:
    """What one node's ledger said before its next change."""

    time_ms: int
    members: frozenset[NodeId]
    busy: frozenset[NodeId] = frozenset()
    waiting: dict[NodeId, int] = field(default_factory=dict)
    since_ms: dict[NodeId, int] = field(default_factory=dict)


class BondsWait(NodeChecker):
    """A bond that is asked back waits; no seat, no lease and no dispute of its owner's is open.

    Where a node takes several blocks at once, it is given the benefit of the doubt.
    """

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        self._seen: dict[bytes, _Seen] = {}
        self.returned = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Follow what waits, as each honest node has it."""
        if isinstance(effect, DiskLost):
            self._seen.pop(node.key, None)
        for change, rows in written(effect) if node.is_honest else ():
            assert isinstance(node, Resident)
            is_last = node.ledger.applied_index == change.committed.blocks[-1].index
            if change.is_leap or not is_last:
                self._seen.pop(node.key, None)  # what was in between is not seen
            else:
                self._saw_change(node, change, rows, now)

    def _saw_change(
        self, node: Resident, change: PersistLedger, rows: Iterable[Row], now: int
    ) -> None:
        ledger = node.ledger
        time_ms = _time_of(change.writes)
        seen = self._seen.get(node.key)
        if seen is None:
            waiting = {each: ledger.moves(each).waiting_msat for each in ledger.nodes()}
            seen = _Seen(time_ms, frozenset(ledger.members), waiting=waiting)
            self._seen[node.key] = seen
            return
        is_exact = len(change.committed.blocks) == 1
        at_ms = time_ms if is_exact else seen.time_ms
        for table, name, entry, _ in rows:
            if table is Table.MOVES and isinstance(entry, Moves):
                owner = NodeId(name)
                before_msat = seen.waiting.get(owner, 0)
                if entry.waiting_msat > before_msat:
                    seen.since_ms[owner] = at_ms
                elif entry.waiting_msat < before_msat:
                    fault = self._fault(ledger, seen, owner, time_ms, is_exact=is_exact)
                    if fault is not None:
                        text = f"{fault}, {owner.hex()[:12]} at {now} ms"
                        raise InvariantViolation("a bond that is asked back waits", text)
                seen.waiting[owner] = entry.waiting_msat
        members = frozenset(ledger.members)
        seen.since_ms.update(dict.fromkeys(seen.members - members, at_ms))
        seen.time_ms, seen.members = time_ms, members
        has_waiting = any(seen.waiting.values())
        seen.busy = _workers(ledger) if has_waiting else frozenset()

    def _fault(
        self, ledger: LedgerState, seen: _Seen, owner: NodeId, time_ms: int, *, is_exact: bool
    ) -> str | None:
        entry = ledger.node(owner)
        if entry is not None and entry.tombstoned:
            return None  # it is lost
        self.returned += 1
        if time_ms < seen.since_ms.get(owner, time_ms - self._wait_ms) + self._wait_ms:
            return "it came back early"
        if is_exact and owner in seen.members:
            return "it came back to a member"
        return "its owner has open work" if is_exact and owner in seen.busy else None


def _workers(ledger: LedgerState) -> frozenset[NodeId]:
    """Give who has a slot of a task that has not ended, by a look at all of them."""
    return frozenset(slot.worker for _, entry in ledger.open_tasks() for slot in entry.slots)


def _time_of(writes: Mapping[Key, Entry | None]) -> int:
    meta = writes[META_KEY]
    assert isinstance(meta, Meta), "each block writes its time"
    return meta.time_ms
