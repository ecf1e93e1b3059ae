"""What rounds of federated learning ask of this device: brought, worked out in a thread, kept.

One thing at a time on this node's own data, one for the rounds of others, and one training that is
repeated: it takes processor and memory from all else. What waits for its turn holds no model, and
is left alone once its round has ended. What an owner lets a study use is read anew each time,
before training and after it, so a word of the owner counts at once.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, assert_never

import structlog
import trio

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.errors import AmbientError, ConfigError, RemoteProtocolError
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Assignment, Execute, Purpose
from ambientd.model.execution import OutcomeKind
from ambientd.model.learning import Circle, Contributed, Lesson, Plan, StudyId
from ambientd.model.learning_effect import (
    AggregateWanted,
    BringUpdate,
    ConcealWanted,
    DealWanted,
    GatherWanted,
    KeysWanted,
    LearningEffect,
    Model,
    OpenWanted,
    Place,
    ScoreWanted,
    SumWanted,
    TrainWanted,
)
from ambientd.model.private_book import Book
from ambientd.node.event import ExecutionEnded
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    LearningDone,
    LearningFailed,
    ScoreMade,
    Trained,
)
from ambientd.ports.blobs import BlobReads
from ambientd.ports.learning import Consents, Contribution, Learner
from ambientd.rules.learning.circles import Words, round_id
from ambientd.rules.lessons import data_samples
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.gathering import FETCHES_AT_ONCE, Sought, gather, gather_each
from ambientd.runtime.private_rounds import PrivateRounds
from ambientd.runtime.repeating import data_of, too_far

log = structlog.get_logger("ambientd.learning")

EARLY_S = 10.0
"""For an update that nothing waits for yet; whoever needs it later looks for it anew."""
HELD_BYTES_MAX = 4 * 1024 * 1024
"""A model of this size or smaller stays in memory: what is scored now is trained next."""
HELD_WAIT_MS = 1_000
"""For what is here already."""

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
        files: BlobReads,
        execute: ExecuteTask | None = None,
        private: PrivateRounds | None = None,
    ) -> None:
        self._private = private
        self.consents = consents
        self._make_learner = learner
        self._learner: Learner | None = None
        self._blobs = blobs
        self._files = files
        self._execute = execute
        self._own, self._others, self._audits = trio.Lock(), trio.Lock(), trio.Lock()
        self._early = trio.Semaphore(FETCHES_AT_ONCE)
        self._held: tuple[Digest, bytes] | None = None
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
                return Gathered(effect.place, await self._gather(effect))
            case AggregateWanted():
                return await self._aggregate(effect)
            case KeysWanted():
                self._data(effect.place.study)
                await self.learner()
                return await self.private_part().keys(effect)
            case DealWanted():
                self._data(effect.place.study)
                return await self.private_part().deal(effect)
            case ConcealWanted():
                return await self._conceal(effect)
            case OpenWanted():
                return await self.private_part().open(effect)
            case SumWanted():
                return await self._sum_up(effect)
            case _:
                assert_never(effect)

    async def hear(self, ended: RoundEnded) -> None:
        """Keep a round's receipt, so that it can be exported long after the ledger forgot it."""
        study, number = ended.receipt.study, ended.receipt.round
        over = {each for each in self._wanted if each.study == study and each.round <= number}
        self._wanted -= over
        try:
            if self._private is not None:
                await self._private.hear(ended.receipt)
            await self._blobs.put(encode(ended.receipt))
        except AmbientError as error:
            log.warning("a round's end was not kept", reason=str(error))

    async def bring_early(self, effect: BringUpdate) -> None:
        """Bring an update while others train, so that at the round's end few are missing."""
        async with self._early:
            with trio.move_on_after(EARLY_S):
                try:
                    await self._blobs.bring(
                        effect.update, effect.size_bytes, (effect.node,), is_synced=False
                    )
                except AmbientError as error:
                    log.warning("an update was not kept", reason=str(error))

    def _data(self, study: StudyId) -> str:
        consent = self.consents.load().get(study)
        if consent is None:
            msg = f"no data is named for study {study.hex()}: ambientctl fl join names it"
            raise ConfigError(msg)
        return consent.data

    async def _bring_model(self, model: Model) -> None:
        """Have a model here before the turn comes; a large one is read, once, when it has.

        Whoever made it keeps it durably: a copy that a power cut spoils is brought again.
        """
        if self._in_memory(model) is not None:
            return
        if model.size_bytes <= HELD_BYTES_MAX:
            data = await self._blobs.fetch(
                model.digest, model.size_bytes, model.holders, is_synced=False
            )
            if data is None or len(data) != model.size_bytes:
                raise ValueError(_not_fetched(model))
            self._held = model.digest, data
            return
        size_bytes = await self._blobs.bring(
            model.digest, model.size_bytes, model.holders, is_synced=False
        )
        if size_bytes != model.size_bytes:
            raise ValueError(_not_fetched(model))

    def _model(self, model: Model) -> bytes:
        """Read a model that was brought, in a thread; one that is spoiled is brought again."""
        data = self._in_memory(model) or self._files.get(model.digest)
        if data is None or len(data) != model.size_bytes:
            raise ValueError(_not_fetched(model))
        return data

    def _in_memory(self, model: Model) -> bytes | None:
        held = self._held
        if held is None or held[0] != model.digest or len(held[1]) != model.size_bytes:
            return None
        return held[1]

    async def _train(self, effect: TrainWanted) -> LearningDone:
        place, plan = effect.place, effect.plan
        self._data(place.study)
        learner = await self.learner()
        await self._bring_model(effect.model)
        async with self._own:
            self._check_wanted(place)
            if effect.lesson is not None:
                return await self._do_lesson(effect, effect.lesson, learner)
            data, model = self._data(place.study), effect.model
            if effect.committed is None:
                made = await _worked_out(
                    lambda: learner.train(plan, self._model(model), data, place.round)
                )
            else:
                rows = await self._rows(plan, data, effect.committed.data, learner)
                made = await _worked_out(
                    lambda: learner.train_on(plan, self._model(model), rows, place.round)
                )
        self._data(place.study)  # whoever withdrew it meanwhile shows nothing of what came of it
        update = await self._blobs.put(made.update)
        return Trained(place, update, min(made.samples, effect.samples_max))

    async def _rows(self, plan: Plan, source: str, committed: Digest, learner: Learner) -> bytes:
        """Give what this node committed to, kept as a blob for whoever repeats its training."""
        kept = await self._blobs.get(committed)
        if kept is not None:
            return kept
        rows = await _worked_out(lambda: learner.lesson_data(plan, source))
        if sha256(rows) != committed:
            msg = f"{source}: these are not the data that this node has joined the study with"
            raise ConfigError(msg)
        await self._blobs.put(rows)
        return rows

    async def _do_lesson(self, effect: TrainWanted, lesson: Lesson, learner: Learner) -> Trained:
        """Train in the sandbox, as auditors will: on what this node committed to and nothing else.

        What it trains on is kept as a blob that whoever audits it is given.
        """
        place, parts = effect.place, lesson.parts
        if self._execute is None:
            msg = "this node executes no modules"
            raise ConfigError(msg)
        if not await self._blobs.has(parts.data):
            await self._rows(effect.plan, self._data(place.study), parts.data, learner)
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
        await self._bring_model(effect.model)
        async with self._own:
            self._check_wanted(place)
            data, model, most = self._data(place.study), effect.model, effect.samples_max
            score = await _worked_out(lambda: learner.score(plan, self._model(model), data, most))
        self._data(place.study)
        return ScoreMade(place, score)

    def _check_wanted(self, place: Place) -> None:
        """Raise ConfigError for a round that has ended while others had their turn."""
        if place not in self._wanted:
            msg = f"round {place.round} of study {place.study.hex()[:12]} is over"
            raise ConfigError(msg)

    async def _gather(self, effect: GatherWanted) -> tuple[NodeId, ...]:
        """Bring updates here; of whom is audited, also what the training was given."""
        given = [Sought(node, parts.data, parts.data_size_bytes) for node, parts in effect.audited]
        given += data_of(effect.examined)
        wait_ms = effect.wait_ms // 2 if given else effect.wait_ms
        shown = await gather(self._blobs, given, wait_ms)
        unshown = {each.node for each in effect.examined} - shown
        for node, parts in effect.audited:
            if node in shown:
                await self._blobs.put(encode(parts))
            else:
                unshown.add(node)
        said = [each for each in effect.contributed if each.node not in unshown]
        batches = (_updates(said, effect.size_bytes), _dealt(effect.circles))
        # An open round's updates are durable where they were made; a private one's cost a budget.
        is_synced = bool(effect.circles)
        held, dealt = await gather_each(self._blobs, batches, wait_ms, is_synced=is_synced)
        if effect.circles:
            # Without all that was dealt in a circle, nobody could take its masks away.
            whole = (circle for circle in effect.circles if dealt >= set(circle.dealers))
            held &= frozenset(node for circle in whole for node in circle.nodes)
        return tuple(sorted(held))

    async def _aggregate(self, effect: AggregateWanted) -> LearningDone:
        learner = await self.learner()
        await self._bring_model(effect.model)
        contributed = sorted(effect.contributed, key=lambda said: said.node)
        # Whoever named the survivors has their updates: a participant that shows its own to that
        # one alone ends no round.
        shown = await self._bring_all(effect, contributed)

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
            made = await _worked_out(
                lambda: learner.aggregate(effect.plan, self._model(effect.model), updates())
            )
        after = await self._blobs.put(made.model)
        left_out = tuple(contributed[number].node for number in made.left_out)
        far = await too_far(
            effect,
            learner,
            *(shown, self._files, self._audits),
            lambda: self._model(effect.model),
            lambda: effect.place not in self._wanted,
        )
        return Aggregated(effect.place, after, left_out, far)

    async def _bring_all(
        self, effect: AggregateWanted, contributed: Sequence[Contributed]
    ) -> frozenset[NodeId]:
        """Bring what a round is made of; give who of those that were drawn shows all it owes."""
        holders, size_bytes = effect.model.holders, effect.size_bytes
        owing = {each.node for each in effect.unshown}
        rows_of = data_of(effect.examined, holders)
        batches = (
            _updates(contributed, size_bytes, holders),
            [replace(each, is_owed=each.node in owing) for each in rows_of],
            [replace(e, is_owed=True) for e in _updates(effect.unshown, size_bytes, holders)],
        )
        held, rows, others = await gather_each(
            self._blobs, batches, effect.wait_ms, is_synced=False
        )
        if len(held) < len(contributed):
            msg = f"{len(contributed) - len(held)} updates could not be fetched from any holder"
            raise ValueError(msg)
        return rows & (held | others)

    async def _sum_up(self, effect: SumWanted) -> LearningDone:
        """Make the next model of circles' sums, whose masks opened shares take away."""
        learner = await self.learner()
        await self._bring_model(effect.model)
        holders, size_bytes = effect.model.holders, effect.model.size_bytes
        updates = _updates(effect.contributed, size_bytes, holders)
        # Whoever keeps its opened shares back from this node alone ends nothing: others suffice.
        shown = [Sought(e.node, e.digest, e.size_bytes, holders) for e in effect.opened]
        # A circle of liars shows its dealings to whoever named it alone: that one has them.
        batches = (updates, shown, _dealt(effect.circles, holders))
        came, held, _ = await gather_each(self._blobs, batches, effect.wait_ms)
        if len(came) < len(updates):
            msg = f"{len(updates) - len(came)} updates could not be fetched from any holder"
            raise ValueError(msg)
        opened = {e.node: e.digest for e in effect.opened if e.node in held}
        uploads = {each.node: each.update for each in effect.contributed}
        private = self.private_part()
        circles = []
        for circle in effect.circles:
            members, dealings = set(circle.nodes), await private.dealings(circle, HELD_WAIT_MS)
            words = Words(
                circle,
                tuple(sorted(members & set(uploads))),
                FiledBlobs(self._files, {n: d for n, d in uploads.items() if n in members}),
                dealings,
                FiledBlobs(self._files, {n: d for n, d in opened.items() if n in members}),
            )
            circles.append(words)
        rid = round_id(effect.place.study, effect.place.round)
        async with self._others:
            self._check_wanted(effect.place)
            made = await _worked_out(
                lambda: learner.sum_up(effect.plan, self._model(effect.model), circles, rid)
            )
        for node in made.faulty:
            log.warning("shares were false", node=node.hex()[:12], round=effect.place.round)
        after = await self._blobs.put(made.model)
        return Aggregated(effect.place, after, made.left_out, made.faulty)

    async def _conceal(self, effect: ConcealWanted) -> LearningDone:
        """Train, and show what came of it within a sum alone."""
        place, plan, private = effect.place, effect.plan, self.private_part()
        self._data(place.study)
        kept = await private.kept(place)
        if kept is not None:
            return kept
        learner = await self.learner()
        await private.check(effect)
        await self._bring_model(effect.model)
        async with self._own:
            self._check_wanted(place)
            data, model = self._data(place.study), effect.model
            made = await _worked_out(
                lambda: learner.train(plan, self._model(model), data, place.round)
            )
            self._data(place.study)  # whoever withdrew it meanwhile spends nothing for it
            self._check_wanted(place)
            return await private.conceal(effect, made.update, learner)

    def book(self) -> Book:
        """Give what this node has shown in private studies."""
        return Book() if self._private is None else self._private.books.load()

    def private_part(self) -> PrivateRounds:
        """Give this node's part in private mode; raise ConfigError without a book to write in."""
        if self._private is None:
            msg = "this device keeps no book of what private studies spend"
            raise ConfigError(msg)
        return self._private


class FiledBlobs(Mapping[NodeId, bytes]):
    """Blobs of nodes, each read when it is asked for: together they may be more than memory."""

    def __init__(self, files: BlobReads, digests: Mapping[NodeId, Digest]) -> None:
        self._files = files
        self._digests = digests

    def __getitem__(self, node: NodeId) -> bytes:
        """Read a node's blob; raise ValueError for one that is here no more: nobody's fault."""
        data = self._files.get(self._digests[node])
        if data is None:
            msg = f"the blob of node {node.hex()[:12]} is here no more"
            raise ValueError(msg)
        return data

    def __iter__(self) -> Iterator[NodeId]:
        """Go through the nodes."""
        return iter(self._digests)

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self._digests)


def _dealt(circles: Sequence[Circle], others: tuple[NodeId, ...] = ()) -> list[Sought]:
    return [
        Sought(each.node, each.digest, each.size_bytes, (*others, *circle.nodes))
        for circle in circles
        for each in circle.dealt
    ]


def _updates(
    contributed: Sequence[Contributed], size_bytes: int, others: tuple[NodeId, ...] = ()
) -> list[Sought]:
    return [Sought(each.node, each.update, size_bytes, others) for each in contributed]


async def _worked_out(work: Callable[[], Made]) -> Made:
    """Do in a thread what may take an hour; a daemon that is told to end does not wait for it."""
    return await trio.to_thread.run_sync(work, **_ABANDON)


def _failed(place: Place, error: Exception, *, declined: bool) -> LearningFailed:
    reason = str(error) or type(error).__name__
    log.warning("not done for a study", step=place.step.value, reason=reason)
    return LearningFailed(place, reason, declined=declined)


def _not_fetched(model: Model) -> str:
    return f"model {model.digest.hex()} could not be fetched from any holder"
