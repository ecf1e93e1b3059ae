"""Rounds of private mode that are worked out in truth: masks, shares, noise, sums of real numbers.

Elsewhere in the worlds updates and models are names. Here a participant's secret follows from its
key and the round alone, so that two worlds which differ in who fell silent when come to the same
model, byte by byte, if the same participants survive.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ambientd.codec.digest import sha256, tagged
from ambientd.codec.statements import study_id
from ambientd.ledger.learning_events import RoundHeard, RoundMoved
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Circle, Plan, RoundState, StudyId
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    GatherWanted,
    OpenWanted,
    Place,
    RoundWish,
    SumWanted,
)
from ambientd.model.learning_record import FlJoin, FlStudy
from ambientd.model.private_book import Book
from ambientd.node.build import NodeOptions
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningDone,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.roles.learning import book as lines
from ambientd.rules.learning import circles
from ambientd.rules.learning.masking import masked
from ambientd.rules.learning.private_rounds import concealed, summed, terms_of
from sim.cluster import UNTIL_MS, FastKit
from sim.learners import RememberedBook, WholeNumbers, bytes_of
from sim.machine import Delivery, Effect, Host
from sim.node_machine import NodeHost
from sim.private_pupils import PrivatePupil, refused
from sim.pupils import Pupil
from sim.stage import Stage
from sim.students import study_body
from sim.vices import Resident, Vice

WORK_MS = 60
STEP_MS = 4_000
NUMBERS = 6
START = bytes_of([0] * NUMBERS)


@dataclass(slots=True)
class Shelf:
    """Blobs that everybody can have, who has opened which shares, and who poisons with what."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    poison: dict[NodeId, int] = field(default_factory=dict)
    opened: list[tuple[Place, NodeId, Circle, bytes]] = field(default_factory=list)

    def put(self, data: bytes) -> Digest:
        """Keep a blob."""
        digest = Digest(sha256(data))
        self.blobs[digest] = data
        return digest


def round_secret(node: NodeId, study: StudyId, number: int) -> bytes:
    """Give what everything that a participant says of a round follows from."""
    return tagged("sim/round-secret/1", node, study, bytes([number]))


def update_of(plan: Plan, node: NodeId, model: bytes) -> bytes:
    """Train on a participant's own number, which its key says."""
    return WholeNumbers().train(plan, model, str(100 * (1 + node[0])), 1).update


class SummingPupil(PrivatePupil):
    """A participant's and an aggregator's part, with the arithmetic of protocols/17."""

    def __init__(self, own_id: NodeId, book: RememberedBook, shelf: Shelf) -> None:
        super().__init__(own_id, random.Random(0), book, lies=False)
        self._shelf = shelf

    def _secret(self, place: Place) -> bytes:
        return round_secret(self._id, place.study, place.round)

    def _written(self, place: Place, after: Book | lines.Refusal) -> LearningDone | None:
        """Write a line; power never goes between two steps here: other worlds try that."""
        if isinstance(after, lines.Refusal):
            return refused(place, after)
        self._book.keep(after)
        return None

    def outcome(self, effect: RoundWish) -> LearningDone | None:
        """Do what private mode asks for."""
        place, shelf = effect.place, self._shelf
        rid = circles.round_id(place.study, place.round)
        secret = self._secret(place)
        match effect:
            case DealWanted(circle=circle):
                blob = circles.dealing(secret, self._id, circle, rid)
                return SharesDealt(place, shelf.put(blob), len(blob))
            case ConcealWanted(plan=plan, circle=circle):
                update = update_of(plan, self._id, shelf.blobs[effect.model.digest])
                shown = concealed(plan, update, secret, self._id, circle, rid)
                if (extreme := shelf.poison.get(self._id)) is not None:
                    # Neither clipped nor noised: under its mask nobody sees that.
                    numbers = bytes_of([extreme] * NUMBERS)
                    shown = masked(secret, self._id, circles.dealing_group(circle), numbers, rid)
                terms, digest = terms_of(plan, circle.threshold), Digest(sha256(shown))
                after = lines.release(self._book.load(), place.study, place.round, digest, terms)
                return self._written(place, after) or Trained(place, shelf.put(shown), 1)
            case GatherWanted(contributed=contributed):
                return Gathered(place, tuple(each.node for each in contributed))
            case OpenWanted(circle=circle, survivors=survivors):
                dealt = {each.node: shelf.blobs[each.digest] for each in circle.dealt}
                opened = circles.opened_shares(secret, self._id, circle, dealt, survivors, rid)
                after = lines.open_for(self._book.load(), place.study, place.round, survivors)
                fault = self._written(place, after)
                if fault is not None:
                    return fault
                shelf.opened.append((place, self._id, circle, opened))
                return SharesOpened(place, shelf.put(opened), len(opened))
            case SumWanted():
                return self._sum(effect)
            case _:
                return super().outcome(effect)

    def _sum(self, effect: SumWanted) -> LearningDone:
        blobs, place = self._shelf.blobs, effect.place
        uploads = {each.node: blobs[each.update] for each in effect.contributed}
        opened = {each.node: blobs[each.digest] for each in effect.opened}
        words = [
            circles.Words(
                circle,
                tuple(sorted(set(circle.nodes) & set(uploads))),
                {node: data for node, data in uploads.items() if node in circle.nodes},
                {each.node: blobs[each.digest] for each in circle.dealt},
                {node: data for node, data in opened.items() if node in circle.nodes},
            )
            for circle in effect.circles
        ]
        rid = circles.round_id(place.study, place.round)
        made = summed(effect.plan, blobs[effect.model.digest], words, rid)
        return Aggregated(place, self._shelf.put(made.model), made.left_out, made.faulty)


class _Steady(Pupil):
    """Does everything in the same short time, and never fails."""

    def _takes_ms(self) -> int:
        return WORK_MS

    def _outcome(self, effect: RoundWish, reachable: frozenset[NodeId]) -> LearningDone:
        del reachable
        done = self.private.outcome(effect)
        assert done is not None, "only rounds of private mode are played here"
        return done


class SummingHost(NodeHost):
    """A whole node whose part in rounds is worked out in truth."""

    shelf: Shelf | None = None

    def _forget(self) -> None:
        super()._forget()
        own_id = NodeId(self.key)
        if self.shelf is not None:
            self._pupil = _Steady(own_id, self._dice, frozenset(), self.book)
            self._pupil.private = SummingPupil(own_id, self.book, self.shelf)


class SummingKit(FastKit):
    """The fast world, with one shelf of blobs for all."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.shelf = Shelf()
        self.shelf.put(START)

    def host(self, options: NodeOptions, seed: int, vices: frozenset[Vice]) -> Resident:
        """Make a node's host, with an empty store."""
        host = SummingHost(options, None, seed, vices)
        host.shelf = self.shelf
        return host


def begin_study(
    world: Stage,
    founder: Resident,
    guests: Sequence[Resident],
    at_ms: int,
    *,
    group_size: int = 0,
    **changes: str | int,
) -> StudyId:
    """Let a member begin a private study, of one group unless told, and these take part in it."""
    body, size = study_body(1, UNTIL_MS, is_private=True), group_size or len(guests) // 2 + 1
    body = replace(
        body,
        # One group, however it is drawn: so lots of the round change nothing about the sum.
        plan=replace(body.plan, group_size=size, **changes),
        terms=replace(
            body.terms, participants_min=size, wanted=len(guests), rounds=2, step_ms=STEP_MS
        ),
        initial=Digest(sha256(START)),
        model_size_bytes=len(START),
    )
    study = study_id(NodeId(founder.key), body)
    _say(world, at_ms, founder, body)
    for number, guest in enumerate(guests):
        _say(world, at_ms + 300 + 50 * number, guest, FlJoin(study=study, said_ms=at_ms))
    return study


def _say(world: Stage, at_ms: int, host: Resident, body: FlStudy | FlJoin) -> None:
    def speak() -> None:
        world.act(host.key, lambda now: host.feed([BodiesProposed((body,))], now))

    world.at(at_ms, speak)


@dataclass(slots=True)
class Moment:
    """Watches for a state of the first round in which so many have spoken, as its node has it."""

    world: Stage
    state: RoundState
    heard: int
    struck: NodeId | None = None
    _told: set[NodeId] = field(default_factory=set)

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look whether the first round is there."""
        if self.struck is not None or not isinstance(effect, Told):
            return
        if not isinstance(node, Resident) or node.node is None:
            return
        event = effect.event
        has_begun = isinstance(event, RoundMoved) and event.state is self.state
        if isinstance(event, RoundHeard) and event.state is self.state:
            self._told.add(event.node)
        if (len(self._told) < self.heard) if self.heard else not has_begun:
            return
        self.strike(node, now)

    def strike(self, node: Resident, now: int) -> None:
        """Do what is to be done then, as this node sees the moment."""
        raise NotImplementedError


@dataclass(slots=True)
class Overthrow(Moment):
    """Takes the coordinator away, as soon as it has the moment itself."""

    back_ms: int = 0
    is_killed: bool = True

    def strike(self, node: Resident, now: int) -> None:
        """Stop the coordinator, or let it stand still until others have deposed it."""
        assert node.node is not None, "the node is up"
        victim = node.node.coordinator
        if victim is None or victim != node.key:
            return
        self.struck = victim
        if self.is_killed:
            self.world.crash_within(victim, 0, self.back_ms)
        else:
            self.world.pause(victim, now + self.back_ms)


@dataclass(slots=True)
class Dropout(Moment):
    """Lets a participant do nothing more in rounds, for good."""

    victim: Resident | None = None

    def strike(self, node: Resident, now: int) -> None:
        """Drop out, as soon as the participant has the moment itself, before it answers it."""
        del now
        if self.victim is node:
            self.struck = NodeId(node.key)
            node.drop_out()
