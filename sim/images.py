"""Images of modules in worlds of whole nodes: honest ones find the true one, liars name another."""

import random
from collections.abc import Callable, Sequence

from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_image_claim
from ambientd.ledger.entries import Table
from ambientd.ledger.proof_entries import ImageAuthor, ImageEntry
from ambientd.model.base import DIGEST_BYTES, Digest
from ambientd.model.record import ImageClaimed
from ambientd.model.task import Assurance, TaskSpec
from ambientd.rules.images import TRANSLATION
from sim.checkers import InvariantViolation, Kinds
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, written
from sim.node_machine import Persisted
from sim.proofs import false_image, true_image
from sim.seasons import Storm, work_times
from sim.stage import Stage
from sim.vices import Resident

NAME_EVERY_MS = 400
FROM_MS = 3_000
OTHERS = 2
TRANSLATIONS = (TRANSLATION, TRANSLATION, Digest(sha256(b"another program's translation")))
"""Two of three owners have the compiler of this program; another's finds another image."""


def named_by(host: Resident, module: Digest, translation: Digest) -> ImageClaimed:
    """Give what a node says of a module: the truth, or all liars the same lie."""
    image = true_image(module, translation) if host.is_honest else false_image(module)
    return ImageClaimed(claim=sign_image_claim(host.signer, module, translation, image))


class Namers:
    """Owners who name images, of the tasks' module too, and find what others have named."""

    def __init__(
        self,
        world: Stage,
        hosts: Sequence[Resident],
        spec: Callable[[int, Assurance, int], TaskSpec],
        dice: random.Random,
    ) -> None:
        self._world = world
        self._hosts = hosts
        others = (Digest(sha256(b"module %d" % number)) for number in range(OTHERS))
        self._modules = (spec(0, Assurance.NONE, 1).module, *others)
        self._dice = dice

    def schedule(self, storms: Sequence[Storm], end_ms: int) -> None:
        """Lay out what is said up to a time."""
        for at in work_times(storms, FROM_MS, end_ms, NAME_EVERY_MS, self._dice):
            self._world.at(at + self._dice.randrange(NAME_EVERY_MS), self._say)

    def _say(self) -> None:
        up = [host for host in self._hosts if host.node is not None]
        if not up:
            return
        host = self._dice.choice(up)
        module = self._dice.choice(self._modules)
        translation = self._dice.choice(TRANSLATIONS)
        self._world.act(host.key, lambda now: host.want(named_by(host, module, translation), now))


class TrueImages(NodeChecker):
    """What members have found is true, and only liars are denied."""

    effects: Kinds = (Persisted,)

    def __init__(self, honest: frozenset[bytes]) -> None:
        self._honest = honest
        self.decided: set[tuple[bytes, Digest]] = set()
        self.denied: set[bytes] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look at each image that is decided, and at who has named another."""
        for _, rows in written(effect) if node.is_honest else ():
            for table, name, entry, _ in rows:
                if table is Table.IMAGE and isinstance(entry, ImageEntry) and entry.is_decided:
                    module, translation = name[:DIGEST_BYTES], name[DIGEST_BYTES:]
                    self._saw_image(module, Digest(translation), entry, now)
                elif table is Table.IMAGE_AUTHOR and isinstance(entry, ImageAuthor):
                    self._saw_author(name, entry, now)

    def _saw_image(self, module: bytes, translation: Digest, entry: ImageEntry, now: int) -> None:
        self.decided.add((module, translation))
        if entry.image != true_image(module, translation):
            raise InvariantViolation("images are true", f"a false one is decided, at {now} ms")

    def _saw_author(self, name: bytes, entry: ImageAuthor, now: int) -> None:
        if not entry.denied:
            return
        self.denied.add(name)
        if name in self._honest:
            raise InvariantViolation("images are true", f"an honest node is denied, at {now} ms")
