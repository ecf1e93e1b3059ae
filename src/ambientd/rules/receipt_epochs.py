"""The epochs that a receipt file leads through: from the founders to who cosigned its note."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ambientd.codec.merkle import root_from_inclusion
from ambientd.codec.statements import epoch_leaf
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION, Genesis
from ambientd.model.receipt import ReceiptFile


@dataclass(frozen=True, slots=True)
class FollowedEpoch:
    """An epoch that a proof leads to: its name, who sits in it, its rules, its stop's time."""

    number: int
    hash: bytes
    members: tuple[NodeId, ...]
    state_version: int = FIRST_STATE_VERSION
    since_ms: int = 0


FollowEpochs = Callable[[Genesis, tuple[bytes, ...]], tuple[FollowedEpoch, ...] | str]
"""Gives the epoch that each proof of an epoch's end leads to, or what is wrong with one."""


def only_founders(_: Genesis, epochs: tuple[bytes, ...]) -> tuple[FollowedEpoch, ...] | str:
    """Follow no epoch beyond the first."""
    return "changes of the committee cannot be followed here" if epochs else ()


def way_text(members: int, changes: int, trusted: FollowedEpoch | None) -> str:
    """Say how the committee came to be."""
    count = "1 change" if changes == 1 else f"{changes} changes"
    text = f"{members} members, by {count} that a quorum signed each"
    return text if trusted is None else f"{text}; epoch {trusted.number} is the one given"


def versions_of(file: ReceiptFile, epochs: Sequence[FollowedEpoch]) -> tuple[int, ...]:
    """Give the state version by whose rules the task was settled; two if at the time of a stop.

    A settlement's time is block time, as is that of the block which ended an epoch: both are
    certified. A block behind the stop may have the stop's own time.
    """
    first = file.genesis.state_version, 0
    begun = [first, *((each.state_version, each.since_ms) for each in epochs)]
    ended = [since_ms for _, since_ms in begun[1:]]
    settled_ms, found = file.settlement.settled_ms, set()
    for place, (version, since_ms) in enumerate(begun):
        if since_ms <= settled_ms and (place == len(ended) or settled_ms <= ended[place]):
            found.add(version)
    return tuple(sorted(found))


def rules_text(file: ReceiptFile, epochs: Sequence[FollowedEpoch]) -> str:
    """Say by which state version's rules the task was settled.

    Nothing in a file shows that no epoch came behind those that it proves: a note names none, so
    who keeps a quorum of its seats in two epochs has cosigned it for both.
    """
    versions = " or ".join(map(str, versions_of(file, epochs)))
    text = f"settled by the rules of state version {versions}"
    is_open = not epochs or epochs[-1].since_ms <= file.settlement.settled_ms
    return (
        f"{text}, unless the file leaves out an epoch that had begun by then" if is_open else text
    )


def leaf_fault(file: ReceiptFile, epochs: Sequence[FollowedEpoch]) -> str | None:
    """Give why the file's last epoch is no leaf of its note's tree, or None when it is one."""
    leaf, note = file.epoch_leaf, file.note
    if leaf is None or note is None or not epochs:
        return "the file proves no epoch that a leaf could be of, or has no checkpoint"
    if not 0 <= leaf.leaf_index < note.size:
        return f"leaf {leaf.leaf_index} is outside the checkpoint's {note.size} leaves"
    digest = epoch_leaf(epochs[-1].hash)
    if root_from_inclusion(digest, leaf.leaf_index, note.size, leaf.path) != note.root:
        return f"the path does not lead from epoch {epochs[-1].number} to the checkpoint's root"
    return None
