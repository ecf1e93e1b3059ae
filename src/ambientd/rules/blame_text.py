"""What a blame certificate shows in plain words, and what it leaves to be trusted."""

from collections.abc import Sequence

from ambientd.model.base import NodeId
from ambientd.model.blame import BlameFile, Contradiction, WrongResult
from ambientd.model.task import Result
from ambientd.rules.receipt_text import NETWORK_CHARS_MAX, PLAIN_CHARS_MAX, plain_fault
from ambientd.rules.verdicts import quorum

KIND_CHARS_MAX = 32


def blame_text_fault(file: BlameFile) -> str | None:
    """Name the first text of a certificate that is not plain, or None."""
    texts = [("bitcoin_network", file.genesis.bitcoin_network, NETWORK_CHARS_MAX)]
    results: list[Result] = []
    if isinstance(file.evidence, Contradiction):
        texts.append(("kind", file.evidence.kind, KIND_CHARS_MAX))
    else:
        receipt = file.evidence.receipt.receipt
        results.append(receipt.result)
        texts += [
            (name, getattr(receipt, name), PLAIN_CHARS_MAX[name])
            for name in ("engine", "engine_version", "energy_source")
        ]
    if isinstance(file.evidence, WrongResult):
        results += [verdict.result for verdict in file.evidence.verdicts]
    texts += [("reason", result.reason, PLAIN_CHARS_MAX["reason"]) for result in results]
    faults = (plain_fault(*text) for text in texts)
    return next((fault for fault in faults if fault is not None), None)


def trust_in_blame(
    file: BlameFile,
    committees: Sequence[frozenset[NodeId]],
    *,
    pinned: bool,
    replayed: bool,
    proven: bool = False,
) -> tuple[str, ...]:
    """Say what no check could show."""
    sentences = []
    if not pinned:
        sentences.append(
            "That the cluster is the one you mean: anyone can invent a cluster. Compare its "
            "fingerprint with one you got elsewhere, or check again with --cluster."
        )
    if isinstance(file.evidence, Contradiction):
        if file.evidence.kind == "log":
            sentences += _about_committees(committees)
    elif proven:
        sentences.append(
            "RISC Zero's circuit, its verifier, and the image of steps (protocols/18 §10) for what "
            "the step leads to: it was proven, not executed here, and needed nobody's word."
        )
    elif replayed:
        sentences.append(
            "This machine for what the execution gives: it did it again, and needed nobody's word."
        )
    else:
        sentences.append(
            f"The {len(file.evidence.verdicts)} members who say what the execution gives, and that "
            "no such quorum conspired: nothing was executed here. Give --module and --input to "
            "see for yourself."
        )
        sentences += _about_committees(committees)
    sentences.append(
        "That the node kept its key to itself: whoever has the key can sign in its name."
    )
    return tuple(sentences)


def _about_committees(committees: Sequence[frozenset[NodeId]]) -> list[str]:
    if len(committees) == 1:
        return []
    founders = len(committees[0])
    return [
        f"That no {quorum(founders)} of the {founders} founding members, and no quorum of any "
        "committee after them, signed for other successors, then or since."
    ]
