"""Programs that are replaced by ones which know another state version, and put back (ADR 73)."""

from msgspec import Struct

from ambientd.codec.canonical import decode
from ambientd.ports.store import StoreTable
from ambientd.runtime.persistence import HEAD_KEY, HeadRow
from sim.next_version import OLDER_VERSIONS
from sim.stage import Stage
from sim.vices import Resident


class Updates(Struct, frozen=True, tag="update"):
    """A node stops, and starts with a program that knows the next state version, or does not."""

    at_ms: int
    node: int
    is_newer: bool
    back_ms: int


def update(world: Stage, key: bytes, back_ms: int, *, is_newer: bool) -> None:
    """Replace a node's program; its owner goes back only where the older one opens the store."""
    host = world.host_of(key)
    assert isinstance(host, Resident), "only whole nodes have programs"
    versions = host.newest if is_newer else OLDER_VERSIONS
    if host.versions is versions or _held(host) > versions.newest:
        return
    world.crash(key)
    world.note("updates", key, versions.newest)
    host.versions = versions
    world.restart_at(world.now + back_ms, key)


def bring_to_newest(world: Stage, key: bytes) -> None:
    """Take a node down whose program is not the newest; it starts with that one."""
    host = world.host_of(key)
    if isinstance(host, Resident) and host.versions is not host.newest:
        world.crash(key)
        world.note("updates", key, host.newest.newest)
        host.versions = host.newest


def _held(host: Resident) -> int:
    """Give the state version of a node's rows; 0 when it has none."""
    row = host.disk.get(StoreTable.LOCAL, HEAD_KEY)
    if row is None:
        return 0
    head: HeadRow = decode(row, HeadRow)
    return head[3]
