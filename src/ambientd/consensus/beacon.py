"""Unpredictable, unbiased bytes in each header: hash chains (protocols/05-log.md section 8).

A member commits to the end of a hash chain before it proposes anything; its n-th block *in the
log* reveals the n-th preimage, so that it has nothing to choose. A chain has LINKS links; the
last one also commits to the next chain, so a member never runs out.
"""

from functools import lru_cache

from msgspec import Struct

from ambientd.codec.digest import tagged

LINKS = 1024


class BeaconLink(Struct, frozen=True, array_like=True):
    """The last value a member revealed in the log, and how many it has revealed."""

    value: bytes
    count: int


def step(value: bytes) -> bytes:
    """Walk one link towards the tip."""
    return tagged("ambient/beacon/1", value)


@lru_cache(maxsize=64)
def _links(secret: bytes, generation: int) -> tuple[bytes, ...]:
    value = tagged("ambient/beacon-seed/1", secret, generation.to_bytes(8, "big"))
    links = [value]
    for _ in range(LINKS):
        value = step(value)
        links.append(value)
    return tuple(reversed(links))


def tip(secret: bytes) -> bytes:
    """Give the commitment that the committee's list of tips holds for this secret."""
    return _links(secret, 0)[0]


def reveal(secret: bytes, count: int) -> bytes:
    """Give what the block after `count` own blocks reveals: 32 bytes, 64 at a chain's end."""
    generation, link = divmod(count, LINKS)
    value = _links(secret, generation)[link + 1]
    return value + _links(secret, generation + 1)[0] if link == LINKS - 1 else value


def follow(last: BeaconLink, beacon: bytes) -> BeaconLink | None:
    """Give the link after `last` when `beacon` is its preimage, else None."""
    ends = last.count % LINKS == LINKS - 1
    if len(beacon) != (64 if ends else 32) or step(beacon[:32]) != last.value:
        return None
    return BeaconLink(beacon[-32:], last.count + 1)
