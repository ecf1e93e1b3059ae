"""What rounds of federated learning ask of this device: brought, worked out in a thread, kept.

One thing at a time on this node's own data, and one for the rounds of others: training takes
processor and memory from all else. What waits for its turn holds no model, and is left alone once
its round has ended. What an owner lets a study use is read anew each time, before training and
after it, so a word of the owner counts at once.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
import trio
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.errors import AmbientError, ConfigError, RemoteProtocolError
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import NodeId
from ambientd.model.effect import Assignment, Execute, Purpose
from ambientd.model.execution import OutcomeKind
from ambientd.model.learning import Contributed, Lesson, StudyId
from ambientd.model.learning_effect import (
    AggregateWanted,
    GatherWanted,
    LearningEffect,
    Model,
    Place,
    ScoreWanted,
    TrainWanted,
)
from ambientd.node.event import ExecutionEnded
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningDone,
    LearningFailed,
    ScoreMade,
    Trained,
)
from ambientd.ports.learning import Consents, Contribution, Learner
from ambientd.rules.lessons import data_samples
from ambientd.runtime.blobs import BlobFiles, Blobs

log = structlog.get_logger("ambientd.learning")

FETCHES_AT_ONCE = 4
GATHER_PASSES = 3

Made = TypeVar("Made")
ExecuteTask = Callable[[Execute], Awaitable[ExecutionEnded]]

_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


class LearningHost:
    """Carries out what rounds want of this device."""

    def __init__(
        self,
        learner: Callable[[], Learner],
        consents: Consents,
        blobs: Blobs,
        files: BlobFiles,
        execute: ExecuteTask | None = None,
    ) -> None:
        self.consents = consents
        self._make_learner = learner
        self._learner: Learner | None = None
        self._blobs = blobs
        self._files = files
        self._execute = execute
        self._own, self._others = trio.Lock(), trio.Lock()
        self._wanted: set[Place] = set()

    async def learner(self) -> Learner:
        """Give what trains, imported when it is first needed; raise ConfigError if it cannot be."""
        if self._learner is None:
            self._learner = await trio.to_thread.run_sync(self._make_learner)
        return self._learner

    async def carry_out(self, effect: LearningEffect) -> LearningDone:
        """Do what a round wants; what this device could not do is a LearningFailed."""
        place = effect.place
        self._wanted.add(place)
        try:
            return await self._carry_out(effect)
        except (ConfigError, RemoteProtocolError) as error:
            return _failed(place, error, declined=True)
        except (AmbientError, ValueError) as error:
            return _failed(place, error, declined=False)
        except Exception as error:  # noqa: BLE001 - no plan, model or file must end the daemon
            return _failed(place, error, declined=True)
        finally:
            self._wanted.discard(place)

    async def _carry_out(self, effect: LearningEffect) -> LearningDone:
        match effect:
            case TrainWanted():
                return await self._train(effect)
            case ScoreWanted():
                return await self._score(effect)
            case GatherWanted():
                return await self._gather_all(effect)
            case AggregateWanted():
                return await self._aggregate(effect)

    async def hear(self, ended: RoundEnded) -> None:
        """Keep a round's receipt, so that it can be exported long after the ledger forgot it."""
        study, number = ended.receipt.study, ended.receipt.round
        over = {each for each in self._wanted if each.study == study and each.round <= number}
        self._wanted -= over
        try:
            await self._blobs.put(encode(ended.receipt))
        except AmbientError as error:
            log.warning("a round's receipt was not kept", reason=str(error))

    def _data(self, study: StudyId) -> str:
        consent = self.consents.load().get(study)
        if consent is None:
            msg = f"no data is named for study {study.hex()}: ambientctl fl join names it"
            raise ConfigError(msg)
        return consent.data

    async def _model(self, model: Model) -> bytes:
        data = await self._blobs.fetch(model.digest, model.size_bytes, model.holders)
        if data is None or len(data) != model.size_bytes:
            msg = f"model {model.digest.hex()} could not be fetched from any holder"
            raise ValueError(msg)
        return data

    async def _train(self, effect: TrainWanted) -> LearningDone:
        place, plan = effect.place, effect.plan
        self._data(place.study)
        learner = await self.learner()
        await self._model(effect.model)
        async with self._own:
            self._check_wanted(place)
            if effect.lesson is not None:
                return await self._do_lesson(effect, effect.lesson, learner)
            data, model = self._data(place.study), await self._model(effect.model)
            made = await _worked_out(lambda: learner.train(plan, model, data, place.round))
        self._data(place.study)  # whoever withdrew it meanwhile shows nothing of what came of it
        update = await self._blobs.put(made.update)
        return Trained(place, update, min(made.samples, effect.samples_max))

    async def _do_lesson(self, effect: TrainWanted, lesson: Lesson, learner: Learner) -> Trained:
        """Train in the sandbox, as auditors will: on what this node committed to and nothing else.

        What it trains on is kept as a blob that whoever audits it is given.
        """
        place, parts = effect.place, lesson.parts
        if self._execute is None:
            msg = "this node executes no modules"
            raise ConfigError(msg)
        if not await self._blobs.has(parts.data):
            source = self._data(place.study)
            rows = await _worked_out(lambda: learner.lesson_data(effect.plan, source))
            if await self._blobs.put(rows) != parts.data:
                msg = f"{source}: these are not the data that this node has joined the study with"
                raise ConfigError(msg)
        if not await self._blobs.has(lesson.spec.input):
            await self._blobs.put(encode(parts))
        assignment = Assignment(Purpose.LESSON, lesson.task, 0, 0)
        ended = await self._execute(Execute(assignment, lesson.spec, effect.model.holders))
        if ended.report is None:
            msg = f"training could not be executed: {ended.aborted}"
            raise ValueError(msg)
        result = ended.report.result
        if result.kind != OutcomeKind.COMPLETED:
            why = result.reason or OutcomeKind(result.kind).name.lower()
            msg = f"training ended without a model: {why}"
            raise ConfigError(msg)
        self._data(place.study)
        return Trained(place, result.output, data_samples(parts), ended.report)

    async def _score(self, effect: ScoreWanted) -> LearningDone:
        place, plan = effect.place, effect.plan
        self._data(place.study)
        learner = await self.learner()
        await self._model(effect.model)
        async with self._own:
            self._check_wanted(place)
            data, model = self._data(place.study), await self._model(effect.model)
            most = effect.samples_max
            score = await _worked_out(lambda: learner.score(plan, model, data, most))
        self._data(place.study)
        return ScoreMade(place, score)

    def _check_wanted(self, place: Place) -> None:
        """Raise ConfigError for a round that has ended while others had their turn."""
        if place not in self._wanted:
            msg = f"round {place.round} of study {place.study.hex()[:12]} is over"
            raise ConfigError(msg)

    async def _gather_all(self, effect: GatherWanted) -> Gathered:
        """Bring updates here; of whom is audited, also what the training was given."""
        audited = dict(effect.audited)
        said = [each for each in effect.contributed if each.node in audited]
        given = [replace(each, update=audited[each.node].data) for each in said]
        sizes = {each.node: audited[each.node].data_size_bytes for each in said}
        wait_ms = effect.wait_ms // 2 if given else effect.wait_ms
        shown = set(await self._gather(given, sizes, wait_ms)) if given else set()
        for node in shown:
            await self._blobs.put(encode(audited[node]))
        left = [each for each in effect.contributed if each.node not in set(audited) - shown]
        lengths = dict.fromkeys((each.node for each in left), effect.size_bytes)
        return Gathered(effect.place, await self._gather(left, lengths, wait_ms))

    async def _gather(
        self,
        contributed: Sequence[Contributed],
        sizes: Mapping[NodeId, int],
        wait_ms: int,
        others: Sequence[NodeId] = (),
    ) -> tuple[NodeId, ...]:
        """Bring updates here, a few at a time; give whose came in time.

        Each has its share of the time, so that who answers slowly holds up nobody else's.
        """
        held: set[NodeId] = set()
        end_s = trio.current_time() + wait_ms / 1_000
        for number in range(GATHER_PASSES):
            missing = [said for said in contributed if said.node not in held]
            left_s = end_s - trio.current_time()
            if not missing or left_s <= 0:
                break
            turns = -(-len(missing) // FETCHES_AT_ONCE)
            share_s = left_s / turns / (1 if number + 1 == GATHER_PASSES else 2)
            room = trio.Semaphore(FETCHES_AT_ONCE)
            async with trio.open_nursery() as nursery:
                for said in missing:
                    nursery.start_soon(
                        self._bring, said, sizes[said.node], others, room, share_s, held
                    )
        return tuple(sorted(held))

    async def _bring(
        self,
        said: Contributed,
        size_bytes: int,
        others: Sequence[NodeId],
        room: trio.Semaphore,
        share_s: float,
        held: set[NodeId],
    ) -> None:
        """Bring one update here, and note if it came."""
        async with room:
            with trio.move_on_after(share_s):
                try:
                    data = await self._blobs.fetch(said.update, size_bytes, (*others, said.node))
                except AmbientError as error:
                    log.warning("an update was not kept", reason=str(error))
                    return
                if data is not None and len(data) == size_bytes:
                    held.add(said.node)

    async def _aggregate(self, effect: AggregateWanted) -> LearningDone:
        learner = await self.learner()
        await self._model(effect.model)
        contributed = sorted(effect.contributed, key=lambda said: said.node)
        # Whoever named the survivors has their updates: a participant that shows its own to that
        # one alone ends no round.
        sizes = dict.fromkeys((said.node for said in contributed), effect.size_bytes)
        held = await self._gather(contributed, sizes, effect.wait_ms, effect.model.holders)
        if len(held) < len(contributed):
            msg = f"{len(contributed) - len(held)} updates could not be fetched from any holder"
            raise ValueError(msg)

        def updates() -> Iterator[Contribution]:
            """Read one update after another: together they may be more than fits in memory."""
            for said in contributed:
                data = self._files.get(said.update)
                if data is None:
                    msg = f"update {said.update.hex()} is here no more"
                    raise ValueError(msg)
                yield Contribution(data, said.samples)

        async with self._others:
            self._check_wanted(effect.place)
            model = await self._model(effect.model)
            made = await _worked_out(lambda: learner.aggregate(effect.plan, model, updates()))
        after = await self._blobs.put(made.model)
        left_out = tuple(contributed[number].node for number in made.left_out)
        return Aggregated(effect.place, after, left_out)


async def _worked_out(work: Callable[[], Made]) -> Made:
    """Do in a thread what may take an hour; a daemon that is told to end does not wait for it."""
    return await trio.to_thread.run_sync(work, **_ABANDON)


def _failed(place: Place, error: Exception, *, declined: bool) -> LearningFailed:
    reason = str(error) or type(error).__name__
    log.warning("not done for a study", step=place.step.value, reason=reason)
    return LearningFailed(place, reason, declined=declined)
