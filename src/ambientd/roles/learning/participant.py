"""Participant: trains on its own data, and says how good the round's model is (protocols/16).

What it owes follows from the ledger alone, so a restart takes it up again. A node whose owner has
not named data for a study, or has no more to spend, stays silent: the round goes on without it.
"""

from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.learning_words import asked, speakers
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import RoleEffect
from ambientd.model.learning import RoundState, Score, StudyId
from ambientd.model.learning_effect import (
    LearningEffect,
    Model,
    Place,
    ScoreWanted,
    Step,
    TrainWanted,
)
from ambientd.model.learning_record import FlScore, FlUpdate
from ambientd.roles.learning.duties import Duties
from ambientd.roles.learning.under_way import model_of, rounds


class Participant:
    """One node's part in the studies that its owner lets it join."""

    def __init__(self, own_id: NodeId) -> None:
        self._id = own_id
        self._duties = Duties()

    @property
    def next_deadline(self) -> int | None:
        """Give when something is done or said again."""
        return self._duties.next_deadline

    def look(self, state: LedgerState) -> list[RoleEffect]:
        """Take up what the rounds under way want of this node."""
        wanted = (
            self._wanted(study, entry, row)
            for study, entry, row in rounds(state)
            if self._id in entry.participants
        )
        return self._duties.owe({each.place: each for each in wanted if each is not None})

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Do and say again what is due."""
        return self._duties.on_tick(now)

    def on_trained(self, place: Place, update: Digest, samples: int, now: int) -> list[RoleEffect]:
        """Say which update this node has for the round."""
        if self._duties.wanted(place) is None:
            return []
        body = FlUpdate(study=place.study, round=place.round, update=update, samples=samples)
        return self._duties.say(place, body, now)

    def on_score(self, place: Place, score: Score, now: int) -> list[RoleEffect]:
        """Say how good the round's model is here."""
        if self._duties.wanted(place) is None:
            return []
        body = FlScore(study=place.study, round=place.round, score=score)
        return self._duties.say(place, body, now)

    def on_failed(self, place: Place, now: int, *, declined: bool) -> None:
        """Try again later, unless it cannot be done here at all."""
        if not declined:
            self._duties.fail(place, now)

    def _wanted(self, study: StudyId, entry: StudyEntry, row: RoundEntry) -> LearningEffect | None:
        # The update below is plain: nobody who joined a private study may show it.
        if entry.plan.is_private or self._id not in asked(entry, row):
            return None
        number, most = entry.round, entry.terms.samples_max
        match row.state:
            case RoundState.TRAINING:
                if self._id in speakers(row):
                    return None
                model = model_of(entry, row)
                return TrainWanted(Place(study, number, Step.TRAIN), entry.plan, model, most)
            case RoundState.EVALUATING:
                if self._id in speakers(row):
                    return None
                holders = tuple(each.node for each in row.findings)
                after = Model(row.after, entry.model_size_bytes, holders)
                return ScoreWanted(Place(study, number, Step.SCORE), entry.plan, after, most)
            case _:
                return None
