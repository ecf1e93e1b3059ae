"""The rounds under way, as the ledger has them."""

from collections.abc import Collection

from ambientd.ledger.learning_entries import Consent, RoundEntry, StudyEntry
from ambientd.ledger.learning_rounds import groups_of_round
from ambientd.ledger.lessons import lesson_in
from ambientd.ledger.native_audits import examined, may_be_named, unshown
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.learning import (
    Circle,
    Contributed,
    LessonInput,
    Plan,
    StudyId,
    StudyState,
)
from ambientd.model.learning_effect import Committed, Model
from ambientd.rules.lessons import is_proven, output_bytes
from ambientd.rules.studies import threshold_of
from ambientd.rules.tolerances import row_bytes


def rounds(state: LedgerState) -> list[tuple[StudyId, StudyEntry, RoundEntry]]:
    """Give the rounds under way, by study."""
    found = []
    for study in state.studies.open:
        entry = state.study(study)
        assert entry is not None, "the list names studies that exist"
        row = state.round(study, entry.round)
        if entry.state is StudyState.RUNNING and row is not None:
            found.append((study, entry, row))
    return found


def model_of(entry: StudyEntry, row: RoundEntry) -> Model:
    """Give the model that a round begins with."""
    return Model(row.before, entry.model_size_bytes, (entry.author, *row.aggregators))


def update_bytes(entry: StudyEntry) -> int:
    """Give how long an update is: where training is proven, it is what the trainer gives."""
    return output_bytes(entry.plan) if is_proven(entry.plan) else entry.model_size_bytes


def audited_of(
    state: LedgerState, study: StudyId, entry: StudyEntry, row: RoundEntry
) -> tuple[tuple[NodeId, LessonInput], ...]:
    """Give whose updates of a round were drawn to be audited, and what their training was given."""
    found = []
    for said in row.contributed:
        lesson = lesson_in(state, study, entry, row, said.node)
        if lesson is not None and state.task(lesson.task) is not None:
            found.append((said.node, lesson.parts))
    return tuple(found)


def examined_of(state: LedgerState, entry: StudyEntry, row: RoundEntry) -> tuple[Committed, ...]:
    """Give what those train on whose updates of a round are audited within a tolerance."""
    wanted = may_be_named(state, entry, row) if row.survivors else None
    lots = (each for each in examined(entry, row) if wanted is None or each.node in wanted)
    return tuple(committed(entry.plan, each) for each in lots)


def unshown_of(row: RoundEntry, drawn: Collection[Committed]) -> tuple[Contributed, ...]:
    """Give the updates of those who were drawn and are no survivors: nobody counts them."""
    absent = unshown(row, [each.node for each in drawn])
    return tuple(each for each in row.contributed if each.node in absent)


def committed(plan: Plan, consent: Consent) -> Committed:
    """Give the blob that a node joined with."""
    return Committed(consent.node, consent.data, consent.samples * row_bytes(plan))


def circles(entry: StudyEntry, row: RoundEntry) -> list[Circle]:
    """Give the groups of a round of private mode, once its keys are in the log."""
    found = []
    for group in groups_of_round(entry, row):
        members, threshold = set(group), threshold_of(entry.plan, len(group))
        keys = tuple(each for each in row.keys if each.node in members)
        dealt = tuple(each for each in row.shares if each.node in members)
        found.append(Circle(members=keys, threshold=threshold, dealt=dealt))
    return found
