"""The texts that a worker writes into a receipt: people read them, so they are short and plain."""

from collections.abc import Mapping
from types import MappingProxyType

from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import ReceiptFile
from ambientd.model.task import Result

PLAIN_CHARS_MAX: Mapping[str, int] = MappingProxyType(
    {"engine": 64, "engine_version": 64, "energy_source": 64, "reason": 256}
)
"""How long each of these fields may be; all are printable ASCII."""

NETWORK_CHARS_MAX = 32
WORD_CHARS_MAX = 64


def plain_fault(name: str, text: str, most: int) -> str | None:
    """Say why a text could mislead or flood whoever reads it, or None."""
    if len(text) > most:
        return f"{name} has {len(text)} characters, at most {most} are allowed"
    if not (text.isascii() and text.isprintable()):
        return f"{name} has characters that are not printable ASCII"
    return None


def file_text_fault(file: ReceiptFile) -> str | None:
    """Name the first text of a receipt file that is not plain, or None."""
    spec = file.spec
    asked = [spec.task_class, spec.strategy, *spec.distinct]
    asked += [text for each in spec.constraints for text in (each.key, each.value)]
    texts = [("bitcoin_network", file.genesis.bitcoin_network, NETWORK_CHARS_MAX)]
    texts += [("spec", text, WORD_CHARS_MAX) for text in asked]
    results: list[Result] = [file.settlement.result]
    results += [verdict.result for verdict in file.verdicts]
    for signed in file.receipts:
        receipt = signed.receipt
        results.append(receipt.result)
        texts += [
            (name, getattr(receipt, name), PLAIN_CHARS_MAX[name])
            for name in ("engine", "engine_version", "energy_source")
        ]
    texts += [("reason", result.reason, PLAIN_CHARS_MAX["reason"]) for result in results]
    faults = (plain_fault(*text) for text in texts)
    return next((fault for fault in faults if fault is not None), None)


def outcome_text(kind: int) -> str:
    """Name an outcome, also one that is none."""
    known = {each.value: each.name.lower() for each in OutcomeKind}
    return known.get(kind, f"outcome {kind}")


def proven_text(file: ReceiptFile) -> str:
    """Name the proof of a proven task."""
    names = (signed.receipt.nonce.hex() for signed in file.receipts)
    return f"proven: the committee verified the proof {next(names, 'that nobody named')}"
