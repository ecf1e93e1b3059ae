"""Who was convicted, and of whom no certificate is kept yet; imports what any daemon has anyway."""

from pathlib import Path

from ambientd.adapters.certificate_files import CertificateFiles
from ambientd.ledger.entries import EvidenceEntry
from ambientd.ledger.events import LiarNamed, NodeConvicted
from ambientd.ledger.state import LedgerState
from ambientd.node.effect import Told
from ambientd.runtime.news import Tidings


def is_conviction(told: Tidings) -> bool:
    """Tell whether an event convicts a node."""
    return isinstance(told, Told) and isinstance(told.event, LiarNamed | NodeConvicted)


def evidence_in(state: LedgerState) -> list[EvidenceEntry]:
    """Give all evidence in the ledger."""
    return [entry for entry in state.items().values() if isinstance(entry, EvidenceEntry)]


def lacks_certificate(state: LedgerState, folder: Path) -> bool:
    """Tell whether a certificate is to be kept that is not in the folder."""
    files = CertificateFiles(folder)
    convicted = dict.fromkeys(entry.culprit for entry in evidence_in(state))
    return any(state.conviction(node) is not None and not files.has(node) for node in convicted)
