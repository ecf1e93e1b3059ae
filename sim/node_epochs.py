"""The committee in worlds of whole nodes: owners who want seats, and what must hold of epochs."""

import random
from collections.abc import Callable, Sequence
from functools import partial

from ambientd.consensus.effects import Committed, PersistSafety
from ambientd.consensus.epochs import next_options, verify_epoch_chain
from ambientd.consensus.messages import EpochEnd, Message, decode_message
from ambientd.consensus.options import ConsensusOptions
from ambientd.ledger.entries import EpochEntry, Table
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.record import Body, Epoch, SeatAsked, SeatVote, SeatWish
from ambientd.node.build import beacon_tip
from ambientd.node.effect import PersistLedger
from ambientd.node.frames import LOG_FRAME
from ambientd.node.stops import read_stop
from ambientd.rules.verdicts import liars_max, quorum
from ambientd.runtime.persistence import ends_of
from sim.block_checkers import SoundBlocks
from sim.checkers import (
    Agreement,
    Certificates,
    Checker,
    InvariantViolation,
    JustifiedVotes,
    Leapt,
    OneProposal,
    Together,
    VoteDiscipline,
)
from sim.disk import DiskLost
from sim.epoch_checkers import EndProofs, EndsAreFinal, OwnCertificates
from sim.judge import needed
from sim.machine import Delivery, Effect, Host
from sim.money import KEPT_MSAT
from sim.node_checkers import NodeChecker, written
from sim.node_machine import FRAME, Persisted
from sim.replica import unlabelled
from sim.seasons import Storm, work_times
from sim.stage import Stage
from sim.updates import update
from sim.vices import Resident

FROM_MS = 3_000
WISH_EVERY_MS = 4_000
EARLY_MAX = 10_000
UPDATED_MS = 60


class EpochsInside(Checker):
    """Shows the log within whole nodes to the log's own checkers, to each one epoch of it."""

    def __init__(self, first: ConsensusOptions, is_valid: Callable[[bytes, int], bool]) -> None:
        self._first = first.epoch
        self._is_valid = is_valid
        self._options = {first.epoch: first}
        self._within = {first.epoch: self._checkers(first)}
        self._early: dict[int, list[tuple[Host, Message, int]]] = {}
        self._agreement = Agreement()
        self._ends = EndsAreFinal(first, read_stop)

    def _checkers(self, options: ConsensusOptions) -> Together:
        return Together(
            [
                VoteDiscipline(),
                OneProposal(),
                JustifiedVotes(options),
                EndProofs(options, read_stop),
                Certificates(options),
                SoundBlocks(options, lambda record: self._is_valid(record, options.state_version)),
                OwnCertificates(options),
            ]
        )

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Pass the log's messages on to the checkers of their epoch."""
        if delivery.data[:2] != FRAME + LOG_FRAME:
            return
        message = decode_message(delivery.data[2:])
        self._ends.saw_message(node, message, now)
        told = unlabelled(message, self._first)
        if told is None:
            return
        epoch, inner = told
        if epoch in self._within:
            self._within[epoch].saw_message(node, inner, now)
        elif len(early := self._early.setdefault(epoch, [])) < EARLY_MAX:
            early.append((node, inner, now))

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge what honest nodes keep, each in its epoch; meet new epochs through them."""
        if isinstance(effect, DiskLost):
            self._agreement.saw_effect(node, effect, now)
            self._ends.saw_effect(node, effect, now)
        if not isinstance(effect, Persisted):
            return
        for each in effect.effects:
            if isinstance(each, PersistLedger):
                self._saw_commit(node, each, now)
            elif isinstance(each, PersistSafety) and each.epoch in self._within:
                self._within[each.epoch].saw_effect(node, each, now)

    def _saw_commit(self, node: Host, change: PersistLedger, now: int) -> None:
        committed: Committed = change.committed
        if change.is_leap:
            leapt = Leapt(committed.blocks, committed.beacons, committed.dropped)
            self._agreement.saw_effect(node, leapt, now)
            self._ends.saw_leap(node, change.epoch, now)
            return
        epoch = change.epoch - (committed.end is not None)
        if epoch not in self._within:
            return  # a liar's own
        self._within[epoch].saw_effect(node, committed, now)
        self._agreement.saw_effect(node, committed, now)
        self._ends.saw_effect(node, committed, now)
        if committed.end is not None and node.is_honest:
            self._begin(self._options[epoch], committed.end, now)

    def _begin(self, before: ConsensusOptions, end: EpochEnd, now: int) -> None:
        begun = read_stop(end.record)
        assert begun is not None, "the proof of an end is judged already"
        options = next_options(before, begun, end.index, end.hash)
        known = self._options.setdefault(options.epoch, options)
        if (known.members, known.root) != (options.members, options.root):
            text = f"two beginnings of epoch {options.epoch} by {now} ms"
            raise InvariantViolation("one root an epoch", text)
        if options.epoch not in self._within:
            self._within[options.epoch] = self._checkers(options)
            for early in self._early.pop(options.epoch, []):
                self._within[options.epoch].saw_message(*early)


class DecidedSeats(NodeChecker):
    """Seats change hands as a quorum of the members wants, and few at a time.

    What they want is judged where a node takes the deciding block alone: the words of blocks that
    it takes together with that one come too late to count.
    """

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge what is due by what the members have said."""
        if not node.is_honest:
            return
        assert isinstance(node, Resident)
        steps = list(written(effect))
        for _, rows in steps:
            for table, _, entry, _ in rows:
                if isinstance(entry, EpochEntry) and entry.due is not None:
                    words = self._words(node, [step for step, _ in steps])
                    if not (table is Table.EPOCH and self._is_right(entry, entry.due, words)):
                        text = f"epoch {entry.due.number} by {now} ms"
                        raise InvariantViolation("a quorum decides on seats", text)

    @staticmethod
    def _words(node: Resident, steps: Sequence[PersistLedger]) -> LedgerState | None:
        """Give what was said by the deciding block; None where more was said in the same step."""
        is_alone = len(steps) == len(steps[0].committed.blocks) == 1 and not steps[0].is_leap
        return node.ledger if is_alone else None

    def _is_right(self, entry: EpochEntry, due: Epoch, words: LedgerState | None) -> bool:
        present, following = set(entry.epoch.members), set(due.members)
        most = max(1, len(present) // 3)
        if max(len(present - following), len(following - present)) > most:
            return False
        if words is None or words.epoch != entry.epoch:
            return True  # where the node went on at once, what was said is forgotten already
        return all(self._is_let_in(words, each, present) for each in following - present)

    @staticmethod
    def _is_let_in(ledger: LedgerState, node: NodeId, members: set[NodeId]) -> bool:
        seat = ledger.seat(node)
        if seat is None or not seat.is_asking:
            return False
        said = {word.member for word in seat.words if word.wish is not SeatWish.OUT}
        return len(said & members) >= needed(len(members))


def check_epochs(first: ConsensusOptions, hosts: Sequence[Resident]) -> None:
    """After healing all are in one epoch, and a stranger gets there by each node's proofs."""
    numbers = {host.ledger.epoch.number for host in hosts}
    if len(numbers) != 1:
        raise InvariantViolation("after healing, all reach the same epoch", f"{sorted(numbers)}")
    for host in hosts:
        found = verify_epoch_chain(first, ends_of(host.disk), read_stop)
        if isinstance(found, str):
            raise InvariantViolation("the epochs are proven", found)
        if (found.epoch, found.members) != (host.ledger.epoch.number, host.ledger.members):
            raise InvariantViolation("the epochs are proven", f"to epoch {found.epoch} only")


class Owners:
    """What the owners of honest nodes want of the committee: never one that cannot go on.

    It bears its liars, and does without those who will have lost what they signed (`idle`).
    """

    def __init__(
        self,
        world: Stage,
        hosts: Sequence[Resident],
        idle: frozenset[bytes],
        dice: random.Random,
        *,
        updates: bool = False,
    ) -> None:
        self._world = world
        self._updates = updates
        self._idle = idle
        self._hosts = {NodeId(host.key): host for host in hosts}
        self._dice = dice
        self._leaving: set[NodeId] = set()  # who wants to leave, shown by the ledger or not yet

    def schedule(self, storms: Sequence[Storm], end_ms: int) -> None:
        """Lay out wishes up to a time."""
        for at in work_times(storms, FROM_MS, end_ms, WISH_EVERY_MS, self._dice):
            self._world.at(at + self._dice.randrange(1_000), self._wish)

    def _honest(self) -> list[Resident]:
        hosts = self._hosts.values()
        return [host for host in hosts if host.is_honest and host.node is not None]

    def _wish(self) -> None:
        """Let one seat change hands, if all that was wanted before has been done."""
        up = self._honest()
        if not up:
            return
        ledger = max((host.ledger for host in up), key=lambda each: each.applied_index)
        members = [self._hosts[node] for node in ledger.members]
        lying = sum(not member.is_honest for member in members)
        idle = sum(member.is_honest and member.key in self._idle for member in members)
        outside = [host for host in up if host not in members and self._may_ask(host, ledger)]
        size = len(members) - 1
        may_shrink = size > 0 and liars_max(size) >= lying and size - quorum(size) >= lying + idle
        self._leaving &= set(ledger.members)
        if ledger.epoch_due is not None:
            return
        honest = [member for member in members if member.is_honest]
        if outside and self._dice.randrange(3):
            self._ask(self._dice.choice(outside), ledger)
        elif may_shrink and honest and not self._leaving:
            host = self._dice.choice(honest)
            self._leaving.add(NodeId(host.key))
            wish = SeatVote(node=NodeId(host.key), wish=SeatWish.OUT, said_ms=self._world.now)
            self._say(host, wish)

    def _may_ask(self, host: Resident, ledger: LedgerState) -> bool:
        return host.key not in self._idle and ledger.node(NodeId(host.key)) is not None

    def _ask(self, host: Resident, ledger: LedgerState) -> None:
        """Let a node ask, and those members' owners let it in who hear of it."""
        asked_ms = self._world.now
        tip = beacon_tip(host.options.seed, asked_ms)
        spare_msat = ledger.balance_msat(NodeId(host.key)) - KEPT_MSAT
        bond_msat = max(0, min(spare_msat, 10**8))
        self._say(host, SeatAsked(beacon_tip=tip, bond_msat=bond_msat, asked_ms=asked_ms))
        wish = self._dice.choice([SeatWish.IN, SeatWish.IN, SeatWish.INSTEAD])
        is_updating = self._updates and self._dice.randrange(3) > 0
        for node in ledger.members:
            member = self._hosts[node]
            wanted = wish if member.is_honest else self._dice.choice(list(SeatWish))
            at = asked_ms + self._dice.randrange(1_000)
            vote = SeatVote(node=NodeId(host.key), wish=wanted, said_ms=at)
            self._world.at(at, partial(self._vote, member, vote, is_updating=is_updating))

    def _vote(self, host: Resident, vote: SeatVote, *, is_updating: bool) -> None:
        """Let an owner speak, or update its node first: then both words come in one breath."""
        if is_updating and host.versions is not host.newest:
            host.once_up.append(vote)
            update(self._world, host.key, UPDATED_MS, is_newer=True)
        else:
            self._say(host, vote)

    def _say(self, host: Resident, body: Body) -> None:
        self._world.act(host.key, lambda now: host.want(body, now))
