"""What owners publish in worlds of whole nodes, and what must hold of what names mean."""

import random
from collections.abc import Sequence

from ambientd.codec.digest import sha256
from ambientd.ledger.entries import Table
from ambientd.ledger.module_entries import ModuleEntry
from ambientd.model.base import Digest
from ambientd.model.record import Publish, Yank
from sim.checkers import InvariantViolation, Kinds
from sim.disk import DiskLost
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, written
from sim.node_machine import Persisted
from sim.seasons import Storm, work_times
from sim.stage import Stage
from sim.vices import Resident

PUBLISH_EVERY_MS = 250
FROM_MS = 1_500
NAME = "sums"
MINORS, PATCHES = 2, 2
CONTENTS = 2
YANKS_ONE_IN = 5


class Publishers:
    """What owners publish and advise against; much of it is refused, as it is taken or below."""

    def __init__(self, world: Stage, hosts: Sequence[Resident], dice: random.Random) -> None:
        self._world = world
        self._hosts = hosts
        self._dice = dice

    def schedule(self, storms: Sequence[Storm], end_ms: int) -> None:
        """Lay out what is said up to a time."""
        for at in work_times(storms, FROM_MS, end_ms, PUBLISH_EVERY_MS, self._dice):
            self._world.at(at + self._dice.randrange(PUBLISH_EVERY_MS), self._say)

    def _say(self) -> None:
        up = [host for host in self._hosts if host.node is not None]
        if not up:
            return
        host = self._dice.choice(up)
        version = f"1.{self._dice.randrange(MINORS)}.{self._dice.randrange(PATCHES)}"
        if self._dice.randrange(YANKS_ONE_IN) == 0:
            yank = Yank(name=NAME, version=version, reason=f"no {self._dice.randrange(3)}")
            self._world.act(host.key, lambda now: host.want(yank, now))
            return
        content = sha256(b"module %d" % self._dice.randrange(CONTENTS))
        body = Publish(
            name=NAME,
            version=version,
            summary="",
            manifest=Digest(sha256(content + version.encode())),
            module=Digest(content),
            module_size_bytes=8,
        )
        self._world.act(host.key, lambda now: host.want(body, now))


class NamesLast(NodeChecker):
    """What a version of a module names never changes, nor why it was yanked; none goes."""

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self) -> None:
        self._means: dict[tuple[bytes, str], tuple[Digest, Digest]] = {}
        self._yanked: dict[tuple[bytes, str], str] = {}
        self._known: dict[bytes, dict[bytes, int]] = {}
        self.published = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Compare each written module with what its versions meant before, to anybody."""
        if isinstance(effect, DiskLost):
            self._known.pop(node.key, None)
        for _, rows in written(effect) if node.is_honest else ():
            for table, name, entry, _ in rows:
                if table is Table.MODULE:
                    assert isinstance(entry, ModuleEntry), "no module is deleted"
                    self._saw_module(node.key, name, entry, now)

    def _saw_module(self, node: bytes, name: bytes, entry: ModuleEntry, now: int) -> None:
        known = self._known.setdefault(node, {})
        fault = "a version is gone" if len(entry.versions) < known.get(name, 0) else None
        known[name] = len(entry.versions)
        for each in entry.versions:
            place = name, each.version
            self.published += place not in self._means
            means = each.manifest, each.module
            if self._means.setdefault(place, means) != means:
                fault = f"{each.version} means another module"
            if each.yanked and self._yanked.setdefault(place, each.yanked) != each.yanked:
                fault = f"{each.version} is yanked for another reason"
        if fault is not None:
            raise InvariantViolation("names of modules last", f"{fault}, at {now} ms")
