"""The rounds under way, as the ledger has them."""

from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.learning import StudyId, StudyState
from ambientd.model.learning_effect import Model


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
