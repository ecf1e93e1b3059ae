"""How one committee hands over to the next, and how anybody checks it (section 11)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.messages import Count, EpochEnd, Hash, Key, block_hash, records_root
from ambientd.consensus.options import ConsensusOptions
from ambientd.model.genesis import FIRST_STATE_VERSION, MEMBERS_MAX
from ambientd.rules.committees import seats_fault

EMPTY_ROOT = records_root(())
CHAIN_MAX = 65_536


class Epoch(Struct, frozen=True, array_like=True):
    """One committee's time: its number, members in ascending order, their tips; its rules."""

    number: Count
    members: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    seed: Annotated[bytes, Meta(max_length=64)]
    beacon_tips: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    state_version: Count = FIRST_STATE_VERSION


ReadStop = Callable[[bytes], Epoch | None]
"""Gives the epoch that a record begins; None for any record that ends no epoch."""


class Stops(Protocol):
    """The host's part in ending epochs; every honest node reads and wants the same epochs."""

    def read(self, record: bytes) -> Epoch | None:
        """Give the epoch that this record begins, by its bytes alone; None for other records."""
        ...

    def due(self, index: int) -> bytes | None:
        """Give the record that is to end the epoch, by the state after `index`; else None.

        Asked only of an index whose state root the host has given.
        """
        ...


class Endless:
    """No epoch ever ends."""

    def read(self, record: bytes) -> Epoch | None:  # noqa: ARG002  # it is no stop, whatever it says
        """Know no stop."""
        return None

    def due(self, index: int) -> bytes | None:  # noqa: ARG002  # none ever is
        """Want no stop."""
        return None


def epoch_of(options: ConsensusOptions) -> Epoch:
    """Give the epoch that these options describe."""
    seats = options.members, options.seed, options.beacon_tips
    return Epoch(options.epoch, *seats, options.state_version)


def succession_fault(present: Epoch, proposed: Epoch) -> str | None:
    """Give why an epoch may not follow another, or None when it may."""
    members, tips = proposed.members, proposed.beacon_tips
    if proposed.number != present.number + 1:
        return f"epoch {proposed.number} does not follow epoch {present.number}"
    if not 1 <= len(members) <= MEMBERS_MAX:
        return f"the next committee has {len(members)} members; 1 to {MEMBERS_MAX} are possible"
    if any(len(value) != 32 for value in (*members, *tips)):
        return "keys and beacon tips have 32 bytes each"
    if list(members) != sorted(set(members)):
        return "the next committee's keys are not sorted, or one is there twice"
    if len(tips) != len(members):
        return f"{len(tips)} beacon tips do not fit {len(members)} members"
    before = dict(zip(present.members, present.beacon_tips, strict=True))
    for member, tip in zip(members, tips, strict=True):
        if before.get(member, tip) != tip:
            return "a member that stays may not change its beacon tip"
    if proposed.state_version - present.state_version not in {0, 1}:
        versions = f"{proposed.state_version}, now {present.state_version}"
        return f"the state's version grows by one at a time, not to {versions}"
    return seats_fault(present.members, members)


def next_options(
    options: ConsensusOptions, proposed: Epoch, index: int, hash_: bytes
) -> ConsensusOptions:
    """Give this node's options in an epoch that begins at the stop block (index, hash)."""
    return replace(
        options,
        epoch=proposed.number,
        members=proposed.members,
        seed=proposed.seed,
        beacon_tips=proposed.beacon_tips,
        state_version=proposed.state_version,
        root_index=index,
        root_hash=hash_,
    )


def carried_beacons(
    before: Sequence[bytes], links: Sequence[BeaconLink], proposed: Epoch
) -> tuple[BeaconLink, ...]:
    """Give the next members' links: a chain goes on for who stays, begins for who joins."""
    revealed = dict(zip(before, links, strict=True))
    return tuple(
        revealed.get(member, BeaconLink(tip, 0))
        for member, tip in zip(proposed.members, proposed.beacon_tips, strict=True)
    )


def end_fault(
    end: EpochEnd, options: ConsensusOptions, verifier: Verifier, read: ReadStop
) -> str | None:
    """Give why this does not prove how the epoch of `options` ended, or None when it does."""
    proposed = read(end.record)
    if proposed is None:
        return "the record does not end an epoch"
    fault = succession_fault(epoch_of(options), proposed)
    if fault is not None:
        return fault
    headers = [header for header, _ in end.links]
    stop, last = headers[0], headers[-1]
    if stop.index <= options.root_index:
        return "the stop block is not above the epoch's root"
    if stop.records_root != records_root((end.record,)):
        return "the stop block does not hold the record alone"
    if any(header.records_root != EMPTY_ROOT for header in headers[1:]):
        return "a block behind the stop holds records"
    for (header, qc), (child, _) in pairwise(end.links):
        if (child.index, child.parent_hash) != (header.index + 1, qc.hash):
            return "the headers do not follow from one another"
    for header, qc in end.links:
        if (qc.position, qc.hash) != (header.position, block_hash(header)):
            return "a certificate is not of its header"
    if not last.term == headers[-2].term == end.links[-1][1].parent_term:
        return "the last two blocks are not of one term"
    if not all(verifier.qc_holds(qc) for _, qc in end.links):
        return "a certificate does not hold"
    return trust_fault(next_options(options, proposed, end.index, end.hash))


def trust_fault(options: ConsensusOptions) -> str | None:
    """Give why this epoch is not the one that is trusted, or None when nothing speaks against it.

    No certificate helps against the keys of a committee that is gone: they can still sign.
    """
    trusted = options.trusted
    if trusted is None or options.epoch != trusted.number or options.epoch_hash == trusted.hash:
        return None
    return f"epoch {trusted.number} is {options.epoch_hash.hex()}, not {trusted.hash.hex()}"


def verify_epoch_chain(
    first: ConsensusOptions, ends: Sequence[EpochEnd], read: ReadStop
) -> ConsensusOptions | str:
    """Follow epochs from a known one: give the options of the last, or what is wrong.

    All it believes is the known epoch's committee. The options name the last committee and the
    block it builds on; a longer chain is checked in pieces, going on from what a piece gave.
    """
    if len(ends) > CHAIN_MAX:
        return f"{len(ends)} epochs are too many at once; {CHAIN_MAX} are checked"
    options = first
    for end in ends:
        verifier = Verifier(options, Committee(options.members, options.seed))
        fault = end_fault(end, options, verifier, read)
        if fault is not None:
            return f"epoch {options.epoch}: {fault}"
        proposed = read(end.record)
        assert proposed is not None  # else end_fault had said so
        options = next_options(options, proposed, end.index, end.hash)
    return options
