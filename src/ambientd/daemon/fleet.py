"""`ambientd fleet`: many nodes on one machine, forked out of one process and watched by it.

Each node has its own folder, key, local socket, port and log, and is driven with
`ambientctl --data-dir ROOT/nodeN`. Few start at once, and others when these are ready and of the
cluster, so that those which run are not starved.
Where the owner says so, several nodes share a process, a crew, which starts and ends as one.
"""

import argparse
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.leash import end_with_standard_input
from ambientd.adapters.log_lines import configure_logging
from ambientd.adapters.passphrases import find_passphrase
from ambientd.adapters.service_manager import READY, STOPPING, ServiceManager
from ambientd.adapters.slim_structlog import structlog
from ambientd.api.cluster import BASE_PORT
from ambientd.api.identity import sealed_keys
from ambientd.config.log_form import LogForm
from ambientd.config.places import Places
from ambientd.daemon.fleet_folders import FleetFolders, FleetPlan
from ambientd.daemon.main import EXIT_DONE, EXIT_FAILED, add_log_arguments, ended, guard_memory
from ambientd.daemon.open_files import raise_open_files
from ambientd.daemon.restarts import Fate, Restarts
from ambientd.daemon.zygote import LOG_NAME, Zygote
from ambientd.errors import AmbientError, ConfigError

log = structlog.get_logger("ambientd.fleet")

STARTING_MAX = 4
"""So many processes, and of those which several nodes share one at a time."""

START_S, START_EACH_S = 120.0, 5.0
"""After so long, one that is not ready and of the cluster makes room for the next all the same."""
STOP_S = 30.0
_LOOK_S = 0.2
_TOKENS_BYTES_MAX = 8 << 20
_WORDS_MAX = 1_024  # at a time: whoever writes without end keeps no node from being watched
_CREDENTIALS = struct.Struct("3i")


def run_fleet(arguments: list[str]) -> int:
    """Run nodes until told to stop; 0 if none was given up."""
    chosen = _parser().parse_args(arguments)
    guard_memory()
    raise_open_files()
    configure_logging(chosen.log_format, verbose=chosen.verbose)
    root = Path(os.path.abspath(chosen.data_dir))
    tokens = () if chosen.tokens is None else _tokens(chosen.tokens)
    plan = FleetPlan(
        root=root,
        nodes=chosen.nodes,
        base_port=chosen.base_port,
        tokens=tokens,
        together=chosen.together,
    )
    folders, held = _taken(plan)
    sealed = [
        path
        for number in range(1, plan.nodes + 1)
        if folders.exists(number)
        for path in sealed_keys(Places(plan.folder(number)))
    ]
    passphrase = find_passphrase(chosen.passphrase_file, sealed)
    manager = ServiceManager.of(os.environ)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("")  # the kernel finds a name that nobody else has
        told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        told.setblocking(False)
        zygote = Zygote("@" + told.getsockname()[1:].decode("ascii"))
        zygote.warm_up()
        run_crew = partial(_run_crew, plan, held, passphrase, chosen.log_format, chosen.verbose)
        return Fleet(plan, folders, zygote, told, run_crew, manager).run()


def _taken(plan: FleetPlan) -> tuple[FleetFolders, DataDir]:
    """Take a fleet's folder for this process alone, and found what is missing there.

    A new cluster wants an empty one; of two who found it at once, the second is refused for that.
    """
    folders = FleetFolders(plan)
    is_new = not any(map(folders.exists, range(1, plan.nodes + 1)))
    held = None if is_new else DataDir(plan.root)
    folders.prepare()
    return folders, held or DataDir(plan.root)


def _run_crew(
    plan: FleetPlan, held: DataDir, passphrase: str, form: LogForm, verbose: bool, crew: range
) -> int:
    """Be one node, or several; in a process of its own, which holds its nodes' folders alone."""
    import trio

    from ambientd.daemon.composition import run_daemon
    from ambientd.daemon.together import run_together

    held.close()
    configure_logging(form, verbose=verbose)
    end_with_standard_input()
    folders = [plan.folder(number) for number in crew]

    def run() -> int:
        if len(folders) == 1:
            trio.run(run_daemon, *folders, passphrase)
        else:
            trio.run(run_together, folders, passphrase)
        return EXIT_DONE

    return ended(run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ambientd fleet",
        description="Run many nodes on this machine, forked from one process: for gateways that "
        "host many virtual devices, and for tests. Where there are no folders yet, a cluster is "
        "founded of which the first four nodes are the committee, and the others join it.",
    )
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="where the folders node1, node2, … are"
    )
    parser.add_argument("--nodes", type=int, required=True, help="how many nodes")
    parser.add_argument(
        "--base-port",
        type=int,
        default=BASE_PORT,
        help="where node1 listens; each next one a port above it (default: %(default)s)",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="join another cluster instead: a token of `ambientctl cluster invite` a line",
    )
    parser.add_argument(
        "--together",
        type=int,
        default=1,
        metavar="NODES",
        help="how many nodes share a process, but for the first four: less memory a node, and what "
        "ends one of them ends all of its process, which start again (default: %(default)s)",
    )
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="what opens sealed key files"
    )
    add_log_arguments(parser)
    return parser


def _tokens(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            text = file.read(_TOKENS_BYTES_MAX).decode("ascii", "replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    return tuple(line for line in map(str.strip, text.splitlines()) if line)


class Fleet:
    """Starts the nodes, hears how they are, starts again who ends, and stops all."""

    def __init__(
        self,
        plan: FleetPlan,
        folders: FleetFolders,
        zygote: Zygote,
        told: socket.socket,
        run_crew: Callable[[range], int],
        manager: ServiceManager,
    ) -> None:
        self._plan = plan
        self._folders = folders
        self._zygote = zygote
        self._told = told
        self._run_crew = run_crew
        self._manager = manager
        self._crews = {crew.start: crew for crew in plan.crews()}
        self._waiting = deque(self._crews)
        self._running: dict[int, int] = {}
        self._starting: dict[int, float] = {}
        self._ready: set[int] = set()
        self._given_up: set[int] = set()
        self._restarts = Restarts()
        self._stopping_since_s: float | None = None
        self._is_asked_to_stop = False
        self._told_of = 0, ""
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Run until told to stop, or until no node is left; 0 if none was given up."""
        for each in (self._wake_read, self._wake_write):
            os.set_blocking(each, False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write)
        log.info("fleet", nodes=self._plan.nodes, folder=str(self._plan.root))
        while not self._is_over():
            self._start_some()
            self._sleep()
            self._hear()
            self._bury()
            if self._is_asked_to_stop:
                self._stop()
        return EXIT_FAILED if self._given_up else EXIT_DONE

    def _is_over(self) -> bool:
        if self._running:
            return False
        is_done = not self._waiting and self._restarts.next_deadline is None
        return is_done or self._stopping_since_s is not None

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._is_asked_to_stop = True

    def _start_some(self) -> None:
        """Start who waits, a few at a time, in order."""
        if self._stopping_since_s is not None:
            return
        now_s = time.monotonic()
        self._waiting.extendleft(reversed(self._restarts.take_due(now=int(now_s * 1000))))
        self._starting = {
            pid: until_s
            for pid, until_s in self._starting.items()
            if now_s < until_s and not self._has_come_in(self._crews[self._running[pid]])
        }
        while self._waiting and self._has_room(number := self._waiting[0]):
            crew = self._crews[number]
            try:
                for each in crew:
                    if not self._folders.exists(each):
                        self._folders.bring(each)
                pid = self._zygote.fork(
                    self._plan.folder(number),
                    partial(self._run_crew, crew),
                    (self._wake_read, self._wake_write, self._told.fileno()),
                )
            except ConfigError as error:  # waiting mends none, and would hold up all behind it
                self._waiting.popleft()
                self._given_up.update(crew)
                log.error("A NODE IS GIVEN UP", node=_named(crew), reason=str(error))
                continue
            except (AmbientError, OSError) as error:
                if not self._running and self._restarts.next_deadline is None:
                    raise
                self._tell_once(number, str(error))
                return
            self._waiting.popleft()
            self._running[pid] = number
            self._starting[pid] = time.monotonic() + START_S + START_EACH_S * len(crew)

    def _has_come_in(self, crew: range) -> bool:
        return all(each in self._ready and self._folders.has_joined(each) for each in crew)

    def _has_room(self, number: int) -> bool:
        starting = [self._crews[self._running[pid]] for pid in self._starting]
        is_shared = any(len(crew) > 1 for crew in (*starting, self._crews[number]))
        return len(starting) < (1 if is_shared else STARTING_MAX)

    def _tell_once(self, number: int, reason: str) -> None:
        if self._told_of != (number, reason):
            self._told_of = number, reason
            log.warning("a node cannot start yet", node=f"node{number}", reason=reason)

    def _sleep(self) -> None:
        """Wait for a signal, a word of a node, or the time."""
        look = select.poll()
        for each in (self._wake_read, self._told.fileno()):
            look.register(each, select.POLLIN)
        due_ms = self._restarts.next_deadline
        is_busy = self._waiting or self._stopping_since_s is not None
        wait_ms = _LOOK_S * 1000 if is_busy else None
        if due_ms is not None:
            left_ms = max(0.0, due_ms - time.monotonic() * 1000)
            wait_ms = left_ms if wait_ms is None else min(wait_ms, left_ms)
        look.poll(wait_ms)
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return

    def _hear(self) -> None:
        """Note who is ready; anybody may write here, and only nodes of this fleet are heard."""
        for _ in range(_WORDS_MAX):
            try:
                word, data, *_rest = self._told.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            for level, kind, value in data:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    self._on_word(_CREDENTIALS.unpack(value)[0], word)

    def _on_word(self, pid: int, word: bytes) -> None:
        number = self._running.get(pid)
        if number is None or word != READY.encode():
            return
        for each in self._crews[number]:
            self._ready.add(each)
            log.info("ready", node=f"node{each}", ready=len(self._ready), of=self._plan.nodes)
        if len(self._ready) == self._plan.nodes:
            self._manager.say(READY)

    def _bury(self) -> None:
        """Take note of every node that has ended."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            number = self._running.pop(pid)
            self._starting.pop(pid, None)
            self._ready.difference_update(self._crews[number])
            self._on_ended(number, os.waitstatus_to_exitcode(status))

    def _on_ended(self, number: int, status: int) -> None:
        crew = self._crews[number]
        node, path = _named(crew), str(self._plan.folder(number) / LOG_NAME)
        if self._stopping_since_s is not None:
            log.info("ended", node=node, status=status)
            return
        fate = self._restarts.on_ended(number, status, now=int(time.monotonic() * 1000))
        if fate is Fate.GIVEN_UP:
            self._given_up.update(crew)
            log.error("A NODE IS GIVEN UP", node=node, status=status, log=path)
        elif fate is Fate.WAITS:
            log.error("a node ended, and starts again", node=node, status=status, log=path)
        else:
            log.info("ended", node=node, status=status)

    def _stop(self) -> None:
        """Tell all nodes to end, and make sure of it after a while."""
        now_s = time.monotonic()
        if self._stopping_since_s is None:
            self._stopping_since_s = now_s
            self._manager.say(STOPPING)
            log.info("stopping", nodes=len(self._running))
            number = signal.SIGTERM
        elif now_s - self._stopping_since_s > STOP_S:
            number = signal.SIGKILL
        else:
            return
        for pid in self._running:
            os.kill(pid, number)


def _named(crew: range) -> str:
    """Name the nodes of a process."""
    return f"node{crew.start}" + (f" to node{crew[-1]}" if len(crew) > 1 else "")
