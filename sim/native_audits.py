"""Audits within a tolerance in worlds: whoever trained truly is never named for what it trained."""

from collections.abc import Iterable, Sequence

from ambientd.ledger.entries import Table
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.native_audits import examined, unshown
from ambientd.model.base import NodeId
from ambientd.model.learning import Contributed, RoundState
from sim.checkers import InvariantViolation
from sim.native_training import engine_of, native_update
from sim.node_checkers import EntryChecker
from sim.vices import Resident

STUDY_BYTES = 32


class FairNames(EntryChecker):
    """Whose training is true is never named for it; in fair weather liars are, and they alone."""

    def __init__(self, honest: frozenset[bytes], *, is_fair: bool) -> None:
        super().__init__()
        self._honest = honest
        self._is_fair = is_fair
        self._studies: dict[bytes, StudyEntry] = {}
        self.far: set[NodeId] = set()
        self.absent: set[NodeId] = set()
        self.barred: set[NodeId] = set()

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at a study, or at a round whose model is there."""
        del node, table
        if isinstance(entry, StudyEntry) and entry.plan.tolerance_micro:
            self._studies[name] = entry
            self.barred |= set(entry.barred)
            if self._is_fair and (wronged := self._of_honest(entry.barred)):
                self._broken(f"{wronged[0].hex()[:12]} is honest and was barred at {now} ms")
        study = self._studies.get(name[:STUDY_BYTES])
        if isinstance(entry, RoundEntry) and study and entry.state is RoundState.EVALUATING:
            self._look(study, int.from_bytes(name[STUDY_BYTES:], "big"), entry, now)

    def _of_honest(self, nodes: Iterable[NodeId]) -> Sequence[NodeId]:
        return [each for each in nodes if each in self._honest]

    def _look(self, study: StudyEntry, number: int, row: RoundEntry, now: int) -> None:
        drawn = {each.node for each in examined(study, row)}
        absent, named = unshown(row, drawn), set(row.faulty)
        lied = {said.node for said in row.contributed if not _is_true(row, said, number)}
        self.far |= named - absent
        self.absent |= named & absent
        at = f"in round {number}, at {now} ms"
        for each in sorted(named - absent - lied):
            self._broken(f"{each.hex()[:12]} trained and was named {at}")
        for each in self._of_honest(sorted(named & absent)) if self._is_fair else ():
            self._broken(f"{each.hex()[:12]} had power and was named {at}")
        for each in sorted((drawn & lied) - named) if self._is_fair else ():
            self._broken(f"{each.hex()[:12]} was drawn and was not named {at}")

    def _broken(self, text: str) -> None:
        raise InvariantViolation("audits within a tolerance name liars alone", text)


def _is_true(row: RoundEntry, said: Contributed, number: int) -> bool:
    engine = engine_of(said.node)
    return said.update == native_update(row.before, said.node, number, engine)
