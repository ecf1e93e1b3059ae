"""Participant: trains on its own data, and says how good the round's model is (protocols/16).

What it owes follows from the ledger alone, so a restart takes it up again. A node whose owner has
not named data for a study, or has no more to spend, stays silent: the round goes on without it.
"""

from msgspec.structs import replace

from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_receipt, spec_hash
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.learning_words import asked, speakers
from ambientd.ledger.lessons import lesson_in
from ambientd.ledger.native_audits import own_consent
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import ExecutionReport, RoleEffect
from ambientd.model.learning import NO_DATA, Announced, Lesson, RoundState, Score, StudyId
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    KeysWanted,
    LearningEffect,
    Model,
    OpenWanted,
    Place,
    ScoreWanted,
    Step,
    TrainWanted,
)
from ambientd.model.learning_record import (
    FlKeys,
    FlLeave,
    FlScore,
    FlShares,
    FlUnmask,
    FlUpdate,
)
from ambientd.model.receipt import Receipt, SignedReceipt
from ambientd.roles.learning.duties import Duties
from ambientd.roles.learning.under_way import circles, committed, model_of, rounds


class Participant:
    """One node's part in the studies that its owner lets it join."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._duties = Duties()

    @property
    def next_deadline(self) -> int | None:
        """Give when something is done or said again."""
        return self._duties.next_deadline

    def look(self, state: LedgerState) -> list[RoleEffect]:
        """Take up what the rounds under way want of this node."""
        wanted = (
            self._wanted(state, study, entry, row)
            for study, entry, row in rounds(state)
            # Most often it is asked nothing: that is known sooner than who takes part.
            if self._id in asked(entry, row) and self._id in entry.participants
        )
        return self._duties.owe({each.place: each for each in wanted if each is not None})

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Do and say again what is due."""
        return self._duties.on_tick(now)

    def on_trained(
        self,
        place: Place,
        update: Digest,
        samples: int,
        report: ExecutionReport | None,
        now: int,
    ) -> list[RoleEffect]:
        """Say which update this node has for the round, signed where training is proven."""
        wanted = self._duties.wanted(place)
        if not isinstance(wanted, TrainWanted | ConcealWanted):
            return []
        receipt = None
        lesson = wanted.lesson if isinstance(wanted, TrainWanted) else None
        if lesson is not None and report is not None:
            receipt = self._receipt(lesson, report)
        body = FlUpdate(
            study=place.study, round=place.round, update=update, samples=samples, receipt=receipt
        )
        return self._duties.say(place, body, now)

    def _receipt(self, lesson: Lesson, report: ExecutionReport) -> SignedReceipt:
        """Sign what the training came to; there is no seal, so the nonce hides nothing."""
        receipt = Receipt(
            task=lesson.task,
            slot=0,
            attempt=0,
            worker=self._id,
            spec=spec_hash(lesson.spec),
            module=lesson.spec.module,
            input=lesson.spec.input,
            result=report.result,
            engine=report.engine,
            engine_version=report.engine_version,
            nonce=Digest(lesson.nonce),
            started_ms=report.started_ms,
            finished_ms=report.finished_ms,
            telemetry=NO_DATA,
            energy_mj=report.energy_mj,
            energy_source=report.energy_source,
        )
        return sign_receipt(self._signer, receipt)

    def on_score(self, place: Place, score: Score, now: int) -> list[RoleEffect]:
        """Say how good the round's model is here."""
        if self._duties.wanted(place) is None:
            return []
        body = FlScore(study=place.study, round=place.round, score=score)
        return self._duties.say(place, body, now)

    def on_keys(self, place: Place, keys: Announced, now: int) -> list[RoleEffect]:
        """Say this node's keys for a round of private mode."""
        if self._duties.wanted(place) is None:
            return []
        body = FlKeys(
            study=place.study,
            round=place.round,
            mask_key=keys.mask_key,
            seal_key=keys.seal_key,
            self_commitment=keys.self_commitment,
        )
        return self._duties.say(place, body, now)

    def on_dealt(self, place: Place, digest: Digest, size_bytes: int, now: int) -> list[RoleEffect]:
        """Say where the sealed shares are."""
        if self._duties.wanted(place) is None:
            return []
        body = FlShares(study=place.study, round=place.round, digest=digest, size_bytes=size_bytes)
        return self._duties.say(place, body, now)

    def on_opened(
        self, place: Place, digest: Digest, size_bytes: int, now: int
    ) -> list[RoleEffect]:
        """Say where the opened shares are."""
        if self._duties.wanted(place) is None:
            return []
        body = FlUnmask(study=place.study, round=place.round, digest=digest, size_bytes=size_bytes)
        return self._duties.say(place, body, now)

    def on_gave_up(self, place: Place, state: LedgerState, now: int) -> list[RoleEffect]:
        """Leave a study that this node has no more budget for, so that nobody waits for it."""
        entry = state.study(place.study)
        if self._duties.wanted(place) is None or entry is None:
            return []
        before = [said.said_ms for said in entry.consents if said.node == self._id]
        body = FlLeave(study=place.study, said_ms=max([now, *(each + 1 for each in before)]))
        return self._duties.say(place, body, now)

    def on_failed(self, place: Place, now: int, *, declined: bool) -> None:
        """Try again later, unless it cannot be done here at all."""
        if not declined:
            self._duties.fail(place, now)

    def _wanted(
        self, state: LedgerState, study: StudyId, entry: StudyEntry, row: RoundEntry
    ) -> LearningEffect | None:
        if self._id in speakers(row):
            return None
        if entry.plan.is_private:
            return self._wanted_in_private(study, entry, row)
        number, most = entry.round, entry.terms.samples_max
        match row.state:
            case RoundState.TRAINING:
                model = model_of(entry, row)
                place = Place(study, number, Step.TRAIN)
                lesson = lesson_in(state, study, entry, row, self._id)
                consent = own_consent(entry, self._id)
                own = None if consent is None else committed(entry.plan, consent)
                return TrainWanted(place, entry.plan, model, most, lesson, own)
            case RoundState.EVALUATING:
                holders = tuple(each.node for each in row.findings)
                after = Model(row.after, entry.model_size_bytes, holders)
                return ScoreWanted(Place(study, number, Step.SCORE), entry.plan, after, most)
            case _:
                return None

    def _wanted_in_private(
        self, study: StudyId, entry: StudyEntry, row: RoundEntry
    ) -> LearningEffect | None:
        number = entry.round
        if row.state is RoundState.KEYS:
            return KeysWanted(Place(study, number, Step.KEYS), entry.plan)
        own = [circle for circle in circles(entry, row) if self._id in circle.nodes]
        match row.state:
            case RoundState.SHARES:
                # What others have dealt meanwhile changes nothing about what is dealt here.
                alone = replace(own[0], dealt=())
                return DealWanted(Place(study, number, Step.DEAL), alone)
            case RoundState.TRAINING:
                place, model = Place(study, number, Step.TRAIN), model_of(entry, row)
                return ConcealWanted(place, entry.plan, model, own[0])
            case RoundState.UNMASKING:
                kept = tuple(node for node in row.survivors if node in own[0].nodes)
                return OpenWanted(Place(study, number, Step.OPEN), own[0], kept)
            case _:
                return None
