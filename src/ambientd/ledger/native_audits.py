"""Audits within a tolerance: who is drawn, what that costs, and whom aggregators name (16 §12).

Nothing about a round's model hangs on them: aggregators may find otherwise by floats of their own.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.ledger.draft import Draft
from ambientd.ledger.learning_entries import Consent, Finding, RoundEntry, StudyEntry
from ambientd.model.base import NodeId
from ambientd.model.learning import RoundState, StudyId
from ambientd.rules.studies import drawn, equal_findings
from ambientd.rules.study_price import native_audit_price_msat
from ambientd.rules.tolerances import is_audited


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
    draft.put_meta(replace(draft.meta, fee_pool_msat=draft.meta.fee_pool_msat + paid_msat))
    return replace(entry, escrow_msat=entry.escrow_msat - paid_msat), row


def examined(entry: StudyEntry, row: RoundEntry) -> tuple[Consent, ...]:
    """Give what those committed to whose updates of a round are audited; none before its lots."""
    if not is_audited(entry.plan) or row.state <= RoundState.TRAINING:
        return ()
    lots = drawn((each.node for each in row.contributed), row.seed)[: entry.terms.audits]
    kept = set(row.survivors or lots)
    return tuple(each for each in entry.consents if each.node in lots and each.node in kept)


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
