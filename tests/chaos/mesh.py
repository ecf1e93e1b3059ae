"""A real cluster whose nodes live in namespaces of their own behind one switch."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ambientd.adapters.stores import open_store
from ambientd.api.cluster import BOND_MSAT, GRANT_MSAT, ClusterPlan
from ambientd.api.identity import read_identity
from ambientd.api.operations import RECEIPT_GET, TASK_LIST
from ambientd.api.requests import GetReceipt, ListTasks
from ambientd.api.views import task_reply
from ambientd.codec.canonical import decode
from ambientd.consensus.messages import Append, block_hash
from ambientd.errors import AmbientError
from ambientd.model.genesis import Rules
from ambientd.ports.store import StoreTable
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.runtime.persistence import recover
from tests.chaos.history import Ending
from tests.chaos.network import Place, Switch, Weather
from tests.mesh.cluster import Cluster, Daemon

PLAN = ClusterPlan(bitcoin="off", rules=Rules(batch_ms=500))
SLOW_MS = 150
RECEIPT_S = 60.0
_HERE = Path(__file__).parent


def build_shim(folder: Path) -> Path | None:
    """Compile what slows disks and skews clocks; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    shim = folder / "shim.so"
    options = ["-shared", "-fPIC", "-O1", "-o", str(shim), str(_HERE / "shim.c"), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    return shim


class PlacedDaemon(Daemon):
    """A node's process in its own namespace."""

    def __init__(self, data_dir: Path, place: Place, shim: Path | None) -> None:
        super().__init__(data_dir)
        self.place = place
        self.skew_ms = 0
        self.slow = data_dir / "slow-disk"
        self._shim = shim

    def start(self) -> None:
        """Start it with the clock that it has now."""
        number = self.place.namespace
        program = [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(self.data_dir)]
        environment = dict(os.environ)
        if self._shim is not None:
            environment |= {
                "LD_PRELOAD": str(self._shim),
                "CHAOS_SLOW": str(self.slow),
                "CHAOS_SLOW_MS": f"{SLOW_MS}",
                "CHAOS_SKEW_MS": f"{self.skew_ms}",
            }
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(_HERE / "enter.py"), f"{number}", *program],
                pass_fds=(number,),
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def is_up(self) -> bool:
        """Tell whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def pause(self) -> None:
        """Let it stand still, as a machine that sleeps."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.is_up:
            assert self.process is not None
            os.kill(self.process.pid, signal.SIGCONT)


@dataclass(frozen=True, eq=False)
class Island:
    """Who is cut off, fewer than a quorum, and since when by clocks that are right."""

    members: frozenset[int]
    since_ms: int

    @property
    def name(self) -> str:
        """Name it in a history."""
        nodes = ", ".join(f"node{number + 1}" for number in sorted(self.members))
        return f"the island of {nodes} since {self.since_ms}"


class ChaosMesh(Cluster):
    """All nodes, the switch between them, and their end."""

    def __init__(self, root: Path, members: int, seed: int, weather: Weather) -> None:
        super().__init__(root, members, PLAN)
        shim = build_shim(root)
        self.has_shim = shim is not None
        self.places = self._settle(members)
        self._move_apart(members)
        self.daemons: list[PlacedDaemon] = [  # type: ignore[assignment]
            PlacedDaemon(daemon.data_dir, place, shim)
            for daemon, place in zip(self.daemons, self.places, strict=True)
        ]
        self.weather = weather
        self.island: Island | None = None
        self.switch = Switch(self._taps(), seed)

    def _settle(self, members: int) -> list[Place]:
        """Make a place for each node."""
        return [Place(number) for number in range(1, members + 1)]

    def _taps(self) -> list[int]:
        """Give what the switch lies between."""
        return [place.tap for place in self.places]

    def _move_apart(self, members: int) -> None:
        """Write into each configuration where everybody lives now."""
        configs = [self.root / f"node{number}" / "config.toml" for number in range(1, members + 1)]
        texts = [config.read_text() for config in configs]
        homes: dict[str, str] = {}
        for text, place in zip(texts, self.places, strict=True):
            listens = re.search(r'^listen = "127\.0\.0\.1:(\d+)"', text, re.MULTILINE)
            assert listens is not None
            homes[f"127.0.0.1:{listens[1]}"] = f"{place.address}:{listens[1]}"
        for config, text in zip(configs, texts, strict=True):
            moved = text
            for before, after in homes.items():
                moved = moved.replace(f'"{before}"', f'"{after}"').replace(
                    f"@{before}", f"@{after}"
                )
            config.write_text(moved)

    def calm(self) -> None:
        """End every trouble; what is down comes up again."""
        self.island = None
        self.switch.cut = frozenset()
        self.weather.over(self.switch)
        for daemon in self.daemons:
            daemon.slow.unlink(missing_ok=True)
            daemon.resume()
            if not daemon.is_up:
                daemon.start()

    def split(self, minority: set[int]) -> None:
        """Let nothing pass between some and all others."""
        everybody = range(len(self.daemons))
        self.switch.cut = frozenset(
            (a, b) for a in everybody for b in everybody if (a in minority) != (b in minority)
        )
        skewed = any(daemon.skew_ms for daemon in self.daemons)
        self.island = None if skewed else Island(frozenset(minority), int(time.time() * 1000))

    def is_whole(self) -> bool:
        """Tell whether every node runs, knows a coordinator and is as far as the others."""
        statuses = [daemon.status() for daemon in self.daemons]
        known = [status for status in statuses if status is not None]
        if len(known) < len(statuses) or len({status.coordinator for status in known}) != 1:
            return False
        heights = [status.committed_height for status in known]
        return known[0].coordinator is not None and max(heights) - min(heights) <= 2

    def waits_for_nothing(self) -> bool:
        """Tell whether no node has a task on its disk that the log has not decided on."""
        statuses = [daemon.status() for daemon in self.daemons]
        return all(status is not None and not status.tasks_waiting for status in statuses)

    def has_settled(self) -> bool:
        """Tell whether every node is as far as the others, and has no task that has not ended."""
        if not self.is_whole():
            return False
        return all(
            not daemon.ask(TASK_LIST, ListTasks(limit=1, state="open")).tasks
            for daemon in self.daemons
        )

    def endings(self, wanted: Iterable[str]) -> dict[str, Ending]:
        """Ask one node for some receipts, stop all, and read what they have on disk."""
        judge = self.daemons[0]
        receipts = {task: _receipt_fault(judge, task) for task in wanted}
        for daemon in self.daemons:
            daemon.stop()
        found = {daemon.data_dir.name: _ending(daemon.data_dir) for daemon in self.daemons}
        name = judge.data_dir.name
        return found | {name: replace(found[name], receipts=receipts)}

    @property
    def minted_msat(self) -> int:
        """Give all credits that the founders were granted."""
        return len(self.daemons) * (GRANT_MSAT + BOND_MSAT)

    def close(self) -> None:
        """End processes, switch and namespaces."""
        for daemon in self.daemons:
            daemon.resume()
        self.stop()
        self.switch.stop()
        for place in self.places:
            place.close()


def _receipt_fault(daemon: Daemon, task: str) -> str:
    end_s = time.monotonic() + RECEIPT_S
    while True:
        try:
            report = check_receipt_file(daemon.ask(RECEIPT_GET, GetReceipt(task=task)).data)
        except AmbientError as error:  # its batch is not closed and cosigned yet
            if time.monotonic() > end_s:
                return f"{error}"
            time.sleep(0.5)
        else:
            return "" if report.valid else f"{report.checks}"


def _ending(data_dir: Path) -> Ending:
    identity = read_identity(data_dir)
    store = open_store(data_dir, identity.config.store.engine)
    try:
        ledger = recover(store, identity.genesis).ledger
        blocks = {
            int.from_bytes(key, "big"): block_hash(decode(value, Append).header)
            for key, value in store.scan(StoreTable.COMMITTED)
        }
    finally:
        store.close()
    tasks = {task.hex(): task_reply(ledger, task, entry, ()) for task, entry in ledger.tasks()}
    return Ending(tasks, {}, ledger.total_msat(), blocks)
