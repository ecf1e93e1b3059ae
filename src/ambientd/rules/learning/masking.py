"""Masks over vectors of 32-bit numbers, and the sum of a group without them (protocols/17)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.codec.agreement import PIECE_BYTES, derived, piece_place, stream_pieces
from ambientd.codec.digest import tagged
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import NodeId
from ambientd.rules.learning.secure import (
    BadShareError,
    Group,
    mask_secret,
    own_mask_seed,
    pair_secret,
    recovered,
)

NUMBER_BYTES: Final = 4
# Numbers modulo 2^32, little-endian everywhere: digests are the same on every device.
_Numbers = npt.NDArray[np.uint32]
_LITTLE: Final = np.dtype("<u4")
_PIECE: Final = PIECE_BYTES // NUMBER_BYTES
_RANGES_MAX: Final = 8
_PIECES_MIN: Final = 16
"""Half a million numbers: what is done before a thread is worth its while."""
_Mask = tuple[bytes, bool]
"""A key of a stream, and whether it is added or taken away."""


def _numbers(data: bytes | memoryview) -> _Numbers:
    return np.frombuffer(data, dtype=_LITTLE)


def _own_key(seed: bytes, round_id: bytes) -> bytes:
    return derived(seed, tagged("fl-own-mask-stream", round_id))


def _pair_key(pair: bytes, round_id: bytes, one: NodeId, other: NodeId) -> bytes:
    low, high = sorted((one, other))
    return derived(pair, tagged("fl-pair-stream", round_id, low, high))


Job = Callable[[], None]
Spread = Callable[[Sequence[Job]], None]
"""How jobs that touch nothing in common are done: one after another, or in threads."""


def in_turn(jobs: Sequence[Job]) -> None:
    """Do one job after another."""
    for job in jobs:
        job()


def _ranges(count: int) -> Iterator[tuple[int, int]]:
    """Cut numbers into ranges of whole pieces: few, as each begins all streams anew."""
    step = _PIECE * max(_PIECES_MIN, -(-count // (_PIECE * _RANGES_MAX)))
    return ((at, min(at + step, count)) for at in range(0, count, step))


def _lay(total: _Numbers, masks: Iterable[_Mask], spread: Spread) -> None:
    """Add masks to numbers in place, those that are so marked taken away."""
    listed = list(masks)
    spread([partial(_lay_on, total, listed, *each) for each in _ranges(len(total))])


def _lay_on(total: _Numbers, masks: Sequence[_Mask], begin: int, end: int) -> None:
    """Add masks to a range of numbers.

    All of a piece before the next: it stays in the processor's cache meanwhile.
    """
    place = piece_place()
    first, size_bytes = NUMBER_BYTES * begin, NUMBER_BYTES * end
    streams = [(stream_pieces(key, size_bytes, place, first), is_added) for key, is_added in masks]
    for at in range(begin, end, _PIECE):
        part = total[at : min(at + _PIECE, end)]
        for pieces, is_added in streams:
            apply = np.add if is_added else np.subtract
            apply(part, _numbers(next(pieces)), out=part)


def _add(total: _Numbers, numbers: _Numbers, begin: int, end: int) -> None:
    total[begin:end] += numbers[begin:end]


def masked(
    secret: bytes,
    me: NodeId,
    group: Group,
    values: bytes,
    round_id: bytes,
    spread: Spread = in_turn,
) -> bytes:
    """Mask our numbers towards every other member whose dealing is committed.

    Two uploads under the same masks give away their difference: keep the upload and send it again.

    Raises:
        BadShareError: when a member's key is none.
    """
    total = _numbers(values).copy()
    masks = [(_own_key(own_mask_seed(secret, round_id), round_id), True)]
    for other in sorted(set(group) - {me}):
        pair = pair_secret(mask_secret(secret, round_id), other, group[other].mask_public)
        masks.append((_pair_key(pair, round_id, me, other), me < other))
    _lay(total, masks, spread)
    return total.tobytes()


def unmasked(
    group: Group,
    survivors: Collection[NodeId],
    threshold: int,
    uploads: Mapping[NodeId, bytes],
    opened: Mapping[NodeId, bytes],
    dealt: Mapping[NodeId, Mapping[NodeId, bytes]],
    round_id: bytes,
    count: int,
    spread: Spread = in_turn,
) -> bytes:
    """Give the sum of the survivors' `count` numbers: int32, little-endian.

    Raises:
        BadShareError: naming the member whose words do not fit; what it opened can be left out.
        RemoteProtocolError: when too few survived, or too few shares were opened.
    """
    present = sorted(set(survivors) & set(group))
    if len(present) < threshold:
        raise RemoteProtocolError(
            f"{len(present)} members of the group survived, {threshold} are needed"
        )
    total = np.zeros(count, dtype=_LITTLE)
    for node in present:  # one after the other: together they may be more than memory
        upload = uploads.get(node, b"")
        if len(upload) != NUMBER_BYTES * count:
            raise BadShareError(node, f"its upload does not hold the model's {count} numbers")
        numbers = _numbers(upload)
        spread([partial(_add, total, numbers, *each) for each in _ranges(count)])
    found = recovered(group, present, threshold, opened, dealt, round_id)
    masks = [(_own_key(found.own_mask_seeds[node], round_id), False) for node in present]
    for gone, own in found.mask_secrets.items():
        for node in present:
            pair = pair_secret(own, gone, group[node].mask_public)
            # What the survivor did with it, undone.
            masks.append((_pair_key(pair, round_id, gone, node), gone < node))
    _lay(total, masks, spread)
    return total.view(np.dtype("<i4")).tobytes()
