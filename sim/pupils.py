"""What simulated nodes do for rounds of federated learning.

Updates and models are names here: hashes of what they were made of, so that whoever works rightly
comes to the same. Liars make them up, leave others out, or stay silent.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ambientd.codec.digest import sha256, tagged
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import ExecutionReport
from ambientd.model.learning import Contributed, Lesson, Score
from ambientd.model.learning_effect import (
    AggregateWanted,
    GatherWanted,
    Place,
    RoundWish,
    ScoreWanted,
    TrainWanted,
)
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningDone,
    LearningFailed,
    ScoreMade,
    Trained,
)
from ambientd.rules.lessons import data_samples
from sim.learners import RememberedBook
from sim.native_training import engine_of, found_faulty, native_update
from sim.private_pupils import PrivatePupil
from sim.vices import Vice, answer_of, output_by

WORK_MS_MAX = 400
FAILS_PERMILLE = 30
LATE_PERMILLE = 100
LATE_MS = 4_000
SAMPLES = 10
PARAMETER_BYTES = 24
SILENT = frozenset({Vice.IDLE, Vice.MUTE})


def update_of(model: Digest, node: bytes, number: int) -> Digest:
    """Name the update that a node's training leads to."""
    return Digest(tagged("sim/update/1", model, node, number.to_bytes(4, "big")))


def model_of(before: Digest, contributed: Sequence[Contributed]) -> Digest:
    """Name the model that updates make of the one before."""
    return Digest(tagged("sim/model/1", before, *(each.update for each in contributed)))


@dataclass(frozen=True, slots=True)
class _Lesson:
    effect: RoundWish
    ends_ms: int


class Pupil:
    """What one device does for rounds; a crash loses what it was at."""

    def __init__(
        self,
        own_id: NodeId,
        dice: random.Random,
        vices: frozenset[Vice],
        book: RememberedBook | None = None,
    ) -> None:
        self._id = own_id
        private = book or RememberedBook()
        self.private = PrivatePupil(own_id, dice, private, lies=bool(vices))
        self._dice = dice
        self._vices = vices
        self._lessons: dict[Place, _Lesson] = {}
        self.hoarders: frozenset[NodeId] = frozenset()

    @property
    def next_deadline(self) -> int | None:
        """Give when something is done."""
        return min((lesson.ends_ms for lesson in self._lessons.values()), default=None)

    def forget(self) -> None:
        """Lose what was under way."""
        self._lessons.clear()

    def begin(self, effect: RoundWish, now: int) -> None:
        """Take up what a round wants; the silent never end it, and some are late."""
        if self._vices & SILENT:
            return
        self._lessons[effect.place] = _Lesson(effect, now + self._takes_ms())

    def _takes_ms(self) -> int:
        late_ms = LATE_MS if self._dice.randrange(1_000) < LATE_PERMILLE else 0
        return 1 + late_ms + self._dice.randrange(WORK_MS_MAX)

    def done(self, reachable: frozenset[NodeId], now: int) -> list[LearningDone]:
        """Give what has been done by now."""
        ended = [each for each in self._lessons.values() if each.ends_ms <= now]
        for lesson in ended:
            del self._lessons[lesson.effect.place]
        return [self._outcome(lesson.effect, reachable) for lesson in ended]

    def _outcome(self, effect: RoundWish, reachable: frozenset[NodeId]) -> LearningDone:
        place, lies = effect.place, bool(self._vices)
        if self._dice.randrange(1_000) < FAILS_PERMILLE:
            return LearningFailed(place, "nobody who has the model is up")
        made_up = Digest(sha256(b"made up" + self._dice.randbytes(8))) if lies else None
        match effect:
            case TrainWanted(lesson=lesson) if lesson is not None:
                return self._lesson(place, lesson)
            case TrainWanted(model=model) if effect.committed is not None:
                engine = engine_of(self._id)
                update = made_up or native_update(model.digest, self._id, place.round, engine)
                return Trained(place, update, SAMPLES)
            case TrainWanted(model=model):
                update = made_up or update_of(model.digest, self._id, place.round)
                return Trained(place, update, SAMPLES)
            case ScoreWanted():
                return ScoreMade(place, Score(correct=SAMPLES - lies, total=SAMPLES, loss_micro=1))
            case GatherWanted(contributed=contributed):
                kept = {each.node for each in effect.examined} - self._showing(reachable)
                nodes = tuple(each.node for each in contributed if each.node not in kept)
                held = tuple(node for node in nodes if node in reachable or node == self._id)
                return Gathered(place, held[lies:])
            case AggregateWanted(model=model, contributed=contributed):
                after = made_up or model_of(model.digest, contributed)
                return Aggregated(place, after, (), self._named(effect, reachable))
            case _:
                done = self.private.outcome(effect)
                assert done is not None, "a wish that nobody knows"
                return done

    def _showing(self, reachable: frozenset[NodeId]) -> frozenset[NodeId]:
        return (reachable - self.hoarders) | {self._id}

    def _named(self, effect: AggregateWanted, reachable: frozenset[NodeId]) -> tuple[NodeId, ...]:
        """Give whom this node names as an aggregator; a liar names everybody."""
        if self._vices:
            return tuple(each.node for each in effect.examined)
        return found_faulty(effect, self._showing(reachable), engine_of(self._id))

    def _lesson(self, place: Place, lesson: Lesson) -> Trained:
        """Train as any task is executed; who lies about tasks lies about this."""
        spec = lesson.spec
        output, gas = output_by(self._id, self._vices, spec.module, spec.input, spec.gas_max)
        if Vice.POISON in self._vices:
            output = tagged("sim/poison/1", self._id, spec.input)
        result = answer_of(spec, output, gas)
        report = ExecutionReport(
            result=result,
            engine="simulated",
            engine_version="1",
            started_ms=0,
            finished_ms=0,
            energy_mj=None,
            energy_source="unknown",
        )
        return Trained(place, result.output, data_samples(lesson.parts), report)
