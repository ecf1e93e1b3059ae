"""Long tasks whose states may be marked, wanted all along once the log knows marks."""

import random
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ambientd.codec.statements import task_id
from ambientd.ledger.versions import MARKS_VERSION
from ambientd.model.base import NodeId, TaskId
from ambientd.model.mark import Attempts
from ambientd.model.record import Admit
from ambientd.model.task import Assurance
from sim.seasons import Storm, work_times
from sim.stage import Kit, Stage
from sim.task_sizes import LARGE_GAS
from sim.vices import Resident, Wish

WANTED_EVERY_MS = 2_000
FROM_MS = 3_000
WALL_MS = 6_000
MARKS = (1, 2, 4, 8, 16)
SERIAL = 1_000_000
"""Above the numbers of all other tasks."""

Want = Callable[[Stage, Resident, Wish], None]
Submitted = Callable[[TaskId, bytes, int], None]


class LongTasks:
    """Owners who submit long tasks."""

    def __init__(
        self,
        kit: Kit,
        hosts: Sequence[Resident],
        dice: random.Random,
        want: Want,
        submitted: Submitted,
    ) -> None:
        self._world = kit.world
        self._spec = kit.spec
        self._submitted = submitted
        self._hosts = hosts
        self._dice = dice
        self._want = want
        self._serial = SERIAL

    def schedule(self, storms: Sequence[Storm], end_ms: int, until_ms: int) -> None:
        """Lay out what is submitted up to a time."""
        for at_ms in work_times(storms, FROM_MS, end_ms, WANTED_EVERY_MS, self._dice):
            self._world.at(at_ms, lambda: self._submit(until_ms))

    def _submit(self, until_ms: int) -> None:
        """Submit one, if there is anybody who knows that the log takes it."""
        ready = [
            host
            for host in self._hosts
            if host.node is not None and host.ledger.version >= MARKS_VERSION
        ]
        if not ready:
            return
        self._serial += 1
        spec = replace(
            self._spec(self._serial, Assurance.NONE, 1),
            gas_max=LARGE_GAS,
            wall_ms_max=WALL_MS,
            price_msat_per_mgas=1,
            attempts_max=Attempts(attempts_max=0, marks_max=self._dice.choice(MARKS)),
        )
        admit = Admit(nonce=b"%d" % self._serial, spec=spec, until_ms=until_ms)
        host = self._dice.choice(ready)
        task = task_id(NodeId(host.key), admit.nonce, admit.spec)
        self._submitted(task, host.key, self._world.now)
        self._want(self._world, host, admit)
