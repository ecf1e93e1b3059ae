"""Audits within a tolerance: who is drawn, what that costs, and whom aggregators name (16 §12).

Nothing about a round's model hangs on them: aggregators may find otherwise by floats of their own.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.ledger.draft import Draft
from ambientd.ledger.learning_entries import (
    ROUNDS_KEPT,
    Consent,
    Finding,
    RoundEntry,
    StudyEntry,
)
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import HIDERS_VERSION
from ambientd.model.base import NodeId
from ambientd.model.learning import RoundState, StudyId
from ambientd.rules.studies import drawn, equal_findings
from ambientd.rules.study_price import native_audit_price_msat
from ambientd.rules.tolerances import is_audited

LEARNING_CLASS = "learning"
"""Rows that did not come are counted like an answer to a task of this class that came late."""


def names_hiders(state: LedgerState) -> bool:
    """Tell whether the state's version names who was drawn and shows no rows."""
    return state.version >= HIDERS_VERSION


def draw(
    draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry
) -> tuple[StudyEntry, RoundEntry]:
    """Draw whose updates are audited, once all are in the log, and let the author pay for it."""
    if not is_audited(entry.plan):
        return entry, row
    number = entry.round.to_bytes(8, "big")
    seed = tagged("ambient/lesson-draw/1", draft.context.beacon, study, number)
    row = replace(row, seed=seed)
    each_msat = native_audit_price_msat(
        len(row.aggregators), draft.state.genesis.rules.price_msat_per_mgas_min
    )
    count = min(entry.terms.audits, len(row.contributed))
    paid_msat = min(entry.escrow_msat, each_msat * count)
    draft.move_escrow(-paid_msat)
    draft.move_pool(paid_msat)
    return replace(entry, escrow_msat=entry.escrow_msat - paid_msat), row


def examined(entry: StudyEntry, row: RoundEntry) -> tuple[Consent, ...]:
    """Give what those committed to who were drawn in a round; none before its lots."""
    if not is_audited(entry.plan) or row.state <= RoundState.TRAINING:
        return ()
    lots = drawn((each.node for each in row.contributed), row.seed)[: entry.terms.audits]
    return tuple(each for each in entry.consents if each.node in lots)


def unshown(row: RoundEntry, nodes: Collection[NodeId]) -> frozenset[NodeId]:
    """Give who of those that were drawn, or named, is no survivor: what it owes did not come."""
    return frozenset(nodes) - frozenset(row.survivors)


def may_be_named(state: LedgerState, entry: StudyEntry, row: RoundEntry) -> frozenset[NodeId]:
    """Give whom aggregators may name: who was drawn, and before hiders were, if it survived."""
    lots = frozenset(each.node for each in examined(entry, row))
    return lots if names_hiders(state) else lots & frozenset(row.survivors)


def count_absent(
    draft: Draft, entry: StudyEntry, row: RoundEntry, faulty: Sequence[NodeId]
) -> None:
    """Count who was named because its rows did not come as late; who has left owes nobody any."""
    if is_audited(entry.plan):
        for node in sorted(unshown(row, faulty) & set(entry.participants)):
            draft.count_late(node, LEARNING_CLASS, entry.author)


def barred(
    draft: Draft, study: StudyId, entry: StudyEntry, row: RoundEntry, faulty: Sequence[NodeId]
) -> tuple[NodeId, ...]:
    """Give who takes part no more; who shows no rows for the first time goes on.

    A device may have lost its power. Twice within the rounds that are kept is once too often.
    """
    absent = unshown(row, faulty) if is_audited(entry.plan) else frozenset()
    again = {node for node in absent if _was_absent(draft, study, entry.round, node)}
    return tuple(sorted({*entry.barred, *again, *(set(faulty) - absent)}))


def _was_absent(draft: Draft, study: StudyId, number: int, node: NodeId) -> bool:
    """Tell whether a node was named in an earlier round because its rows did not come."""
    for earlier in range(number - 1, max(0, number - ROUNDS_KEPT), -1):
        row = draft.round(study, earlier)
        if row is not None and node in unshown(row, row.faulty):
            return True
    return False


def own_consent(entry: StudyEntry, node: NodeId) -> Consent | None:
    """Give what a node said when it joined, where its update may be audited."""
    if not is_audited(entry.plan):
        return None
    return next((each for each in entry.consents if each.node == node), None)


def named(findings: Sequence[Finding], aggregators: int) -> tuple[NodeId, ...]:
    """Give whom f + 1 aggregators name."""
    counted = Counter(node for each in findings for node in each.faulty)
    least = equal_findings(aggregators)
    return tuple(sorted(node for node, votes in counted.items() if votes >= least))


def is_settled(findings: Sequence[Finding], aggregators: int) -> bool:
    """Tell whether of everybody who is named f + 1 say so, or f + 1 do not."""
    counted = Counter(node for each in findings for node in each.faulty)
    least = equal_findings(aggregators)
    return all(votes >= least or len(findings) - votes >= least for votes in counted.values())
