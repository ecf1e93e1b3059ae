"""Aggregator: brings a round's updates together, says whose came, and makes the next model.

A member of the committee is asked in an order drawn for the round (protocols/16 section 4). What it
owes follows from the ledger alone; whoever coordinates meanwhile changes nothing about it.
"""

from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.learning_words import asked, speakers, trainees
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import RoleEffect
from ambientd.model.learning import RoundState, StudyId
from ambientd.model.learning_effect import (
    AggregateWanted,
    BringUpdate,
    GatherWanted,
    LearningEffect,
    Place,
    Step,
    SumWanted,
)
from ambientd.model.learning_record import FlResult, FlSurvivors
from ambientd.roles.learning.duties import Duties
from ambientd.roles.learning.under_way import (
    audited_of,
    circles,
    examined_of,
    model_of,
    rounds,
    unshown_of,
    update_bytes,
)
from ambientd.rules.studies import asked_for_results, viable
from ambientd.rules.tolerances import audit_ms


class Aggregator:
    """One member's part in the rounds that it is drawn for."""

    def __init__(self, own_id: NodeId) -> None:
        self._id = own_id
        self._duties = Duties()
        self._brought: dict[tuple[StudyId, int], set[NodeId]] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is done or said again."""
        return self._duties.next_deadline

    def look(self, state: LedgerState) -> list[RoleEffect]:
        """Take up what the rounds under way want of this node."""
        wanted = (self._wanted(state, study, entry, row) for study, entry, row in rounds(state))
        owed = self._duties.owe({each.place: each for each in wanted if each is not None})
        return [*self._early(state), *owed]

    def _early(self, state: LedgerState) -> list[RoleEffect]:
        """Bring updates of open rounds as they are said, where this node will aggregate them.

        So a round does not wait at its end for what could have come while others trained.
        """
        effects: list[RoleEffect] = []
        brought: dict[tuple[StudyId, int], set[NodeId]] = {}
        for study, entry, row in rounds(state):
            if row.state is not RoundState.TRAINING or entry.plan.is_private:
                continue
            if self._id in asked_for_results(row.aggregators, row.turn):
                before = self._brought.get((study, entry.round), set())
                size_bytes = update_bytes(entry)
                effects += [
                    BringUpdate(said.node, said.update, size_bytes)
                    for said in row.contributed
                    if said.node not in before
                ]
                brought[study, entry.round] = {said.node for said in row.contributed}
        self._brought = brought
        return effects

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Do and say again what is due."""
        return self._duties.on_tick(now)

    def on_gathered(
        self, place: Place, held: tuple[NodeId, ...], state: LedgerState, now: int
    ) -> list[RoleEffect]:
        """Name the survivors, if they are enough; else look again later."""
        entry, row = state.study(place.study), state.round(place.study, place.round)
        if self._duties.wanted(place) is None or entry is None or row is None:
            return []
        trusted = [node for node in held if _is_trusted(state, node)]
        survivors = viable(entry.plan, row.roster, row.seed, trusted)
        if len(survivors) < entry.terms.participants_min:
            self._duties.fail(place, now)
            return []
        body = FlSurvivors(study=place.study, round=place.round, survivors=survivors)
        return self._duties.say(place, body, now)

    def on_aggregated(
        self,
        place: Place,
        after: Digest,
        left_out: tuple[NodeId, ...],
        faulty: tuple[NodeId, ...],
        now: int,
    ) -> list[RoleEffect]:
        """Say which model the round comes to, and who lied."""
        if self._duties.wanted(place) is None:
            return []
        ordered = tuple(sorted(left_out))
        body = FlResult(
            study=place.study,
            round=place.round,
            after=after,
            left_out=ordered,
            faulty=tuple(sorted(faulty)),
        )
        return self._duties.say(place, body, now)

    def on_failed(self, place: Place, now: int, *, declined: bool) -> None:
        """Try again later, unless it cannot be done here at all: another is asked in time."""
        if not declined:
            self._duties.fail(place, now)

    def _wanted(
        self, state: LedgerState, study: StudyId, entry: StudyEntry, row: RoundEntry
    ) -> LearningEffect | None:
        if self._id not in asked(entry, row):
            return None
        groups = circles(entry, row) if entry.plan.is_private else []
        # The rest of the step is for the word on its way into the log.
        number, wait_ms = entry.round, entry.terms.step_ms * 3 // 4
        size_bytes = update_bytes(entry)
        match row.state:
            case RoundState.SURVIVORS:
                place = Place(study, number, Step.GATHER)
                audited = audited_of(state, study, entry, row)
                trained = set(trainees(entry, row))
                held = tuple(each for each in groups if trained & set(each.nodes))
                examined = examined_of(state, entry, row)
                return GatherWanted(
                    place, row.contributed, size_bytes, wait_ms, audited, held, examined
                )
            case RoundState.AGGREGATING:
                if self._id in speakers(row):
                    return None
                place = Place(study, number, Step.AGGREGATE)
                survivors = set(row.survivors)
                kept = tuple(each for each in row.contributed if each.node in survivors)
                model = model_of(entry, row)
                if not entry.plan.is_private:
                    examined = examined_of(state, entry, row)
                    return AggregateWanted(
                        *(place, entry.plan, model, kept, size_bytes, wait_ms),
                        *(examined, audit_ms(entry.terms), unshown_of(row, examined)),
                    )
                summed = tuple(each for each in groups if survivors & set(each.nodes))
                return SumWanted(place, entry.plan, model, summed, kept, row.opened, wait_ms)
            case _:
                return None


def _is_trusted(state: LedgerState, node: NodeId) -> bool:
    known = state.node(node)
    return known is not None and not known.tombstoned
