"""What a valid receipt file leaves to be trusted, in plain words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ambientd.model.base import NodeId
from ambientd.model.receipt import ReceiptFile
from ambientd.model.task import Assurance, Verdict
from ambientd.rules.auditing import TRUSTED_STREAK
from ambientd.rules.bitcoin import MAIN, display
from ambientd.rules.file_checks import benches
from ambientd.rules.receipt_epochs import FollowedEpoch
from ambientd.rules.verdicts import quorum

if TYPE_CHECKING:
    from ambientd.rules.header_chain import HeaderChain

_DAY_S = 86_400
COLLUDERS_ONE_IN = 5


def utc(time_s: int) -> str:
    """Write seconds since 1970 as a date and time (days to civil date, proleptic Gregorian)."""
    days, rest = divmod(time_s, _DAY_S)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{year:04}-{month:02}-{day:02} {clock} UTC"


VERIFIED_BY_MEMBERS = (
    "The members who verified the proof, unless you verify it yourself: get it with "
    "`ambientctl proof get`, and check again with --proof and --module."
)


def trust_sentences(
    file: ReceiptFile,
    committees: Sequence[frozenset[NodeId]],
    *,
    pinned: bool,
    anchored_s: int | None,
    headers: "HeaderChain | None" = None,
    trusted: FollowedEpoch | None = None,
) -> tuple[str, ...]:
    """Say what no check could show; `anchored_s` is the anchor's time where it means anything."""
    sentences = []
    if not pinned:
        sentences.append(
            "That the cluster is the one you mean: anyone can invent a cluster. Compare its "
            "fingerprint with one you got elsewhere, or check again with --cluster."
        )
    sentences += _about_answer(file, committees)
    if trusted is not None:
        sentences.append(_about_epoch(trusted))
    elif len(committees) > 1:
        founders = len(committees[0])
        sentences.append(
            f"That no {quorum(founders)} of the {founders} founding members, and no quorum of any "
            "committee after them, signed for other successors, then or since: the keys of former "
            "members can still sign. Check again with --epoch and a recent epoch's hash."
        )
    sentences.append(
        "That the workers kept the task to themselves: each of them saw the module, the input "
        "and the output."
    )
    sentences += _about_time(file, anchored_s, headers)
    return tuple(sentences)


def _about_epoch(trusted: FollowedEpoch) -> str:
    """Say what still hangs on keys when an epoch is known from elsewhere."""
    count = len(trusted.members)
    return (
        f"That the hash you gave of epoch {trusted.number} is right, and that no {quorum(count)} "
        f"of its {count} members, and no quorum of any committee after them, signed for other "
        f"successors. Keys of committees before epoch {trusted.number} no longer matter."
    )


def _about_answer(file: ReceiptFile, committees: Sequence[frozenset[NodeId]]) -> list[str]:
    members, sentences = len(committees[-1]), []
    if file.settlement.verdict is Verdict.NONE:
        why = (
            f", trusted to work alone after {TRUSTED_STREAK} verified answers to such tasks"
            if file.spec.assurance is Assurance.AUDITED
            else ""
        )
        sentences.append(
            f"The one worker{why}: nobody else executed the task. An audit may have found it wrong "
            "since this file was made; a new one says so."
        )
        sentences += _about_marks(file)
    elif file.settlement.verdict is Verdict.AGREED and not file.verdicts:
        sentences.append("That not all of the task's workers lied in the same way.")
        if file.spec.assurance is Assurance.QUORUM:
            workers = len(file.receipts)
            sentences.append(
                f"That few nodes collude: if a fifth of all do, {workers} drawn ones are all of "
                f"them in one of {COLLUDERS_ONE_IN**workers:,} cases or fewer."
            )
    elif file.settlement.verdict is Verdict.PROVEN:
        sentences.append(VERIFIED_BY_MEMBERS)
    elif file.settlement.verdict is Verdict.BISECTED:
        sentences += [
            "That one of the task's workers told the truth: it then won against all who did not.",
            "The members for whose step was false: the file does not show it. `ambientctl blame "
            "export` at a node gives the proof.",
        ]
    else:
        referees = {verdict.referee for verdict in file.verdicts}
        needed = quorum(min(benches(committees, referees), default=members))
        sentences.append(
            f"That of the {len(file.verdicts)} referees no {needed} lied in the same way."
        )
    if file.spec.constraints:
        asked = ", ".join(
            f"{each.key} {'not ' if each.is_excluded else ''}{each.value}"
            for each in file.spec.constraints
        )
        sentences.append(
            f"The owners of the workers for what these are, and the submitter for asking for it: "
            f"{asked}. Labels are not checked."
        )
    if any(signed.receipt.worker == file.submitter for signed in file.receipts):
        sentences.append("The submitter, who was one of the workers.")
    if file.note is None:
        sentences.append(
            "Whoever issued the file, for everything in it: no checkpoint is cosigned yet, so it "
            "is not valid. Ask for the receipt again in a few seconds."
        )
    else:
        sentences.append(
            f"That no {quorum(members)} of the cluster's {members} members conspired: they alone "
            "say who the workers are and when the task was settled."
        )
    return sentences


def _about_marks(file: ReceiptFile) -> list[str]:
    """Say whose word it is what came before a state that the worker went on from."""
    makers = [mark for signed in file.receipts for mark in signed.receipt.marks]
    if not makers:
        return []
    last = makers[-1].point.gas_index
    names = ", ".join(dict.fromkeys(mark.worker.hex()[:16] for mark in makers))
    return [
        f"{names} for all up to gas {last}: the worker went on from their states, which no check "
        "shows to be true. Each signed its own, so whoever executes from the beginning sees whose "
        "word was false."
    ]


def _about_time(
    file: ReceiptFile, anchored_s: int | None, headers: "HeaderChain | None"
) -> list[str]:
    if file.anchor is None:
        return ["The members for the time: no Bitcoin block vouches for it yet."]
    network = file.genesis.bitcoin_network
    if network != MAIN.name:
        return [
            f"The members for the time: the anchor is on {network}, a test network whose headers "
            "cost next to nothing, so any single member can make it up: it proves nothing about "
            "time."
        ]
    if anchored_s is None:
        return []
    if headers is not None:
        return [
            f"That the headers you gave are the chain everybody follows: compare block "
            f"{headers.height}, {display(headers.tip_hash)}, with any other source. If they are, "
            f"the receipt existed when its block was mined, about {utc(anchored_s)} (its miner's "
            "clock, within two hours)."
        ]
    return [
        f"That the anchor's Bitcoin block is in the chain everybody follows; if it is, the receipt "
        f"existed when that block was mined, about {utc(anchored_s)} (its miner's clock, within "
        "two hours). The work in its headers was checked."
    ]
