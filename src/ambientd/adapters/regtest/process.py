"""The regtest chain as a process: its lock, its files, its threads and its end."""

import fcntl
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ambientd.adapters.regtest.esplora_paths import EsploraPaths
from ambientd.adapters.regtest.files import COOKIE_FILE, ENDPOINT_FILE, LOCK_FILE, write_atomically
from ambientd.adapters.regtest.miner import OPEN_SCRIPT
from ambientd.adapters.regtest.node import RegtestNode
from ambientd.adapters.regtest.rpc_methods import RpcMethods
from ambientd.adapters.regtest.rpc_server import COOKIE_USER, RpcServer
from ambientd.errors import ConfigError

_WATCH_PERIOD_S = 1.0


class InUseError(ConfigError):
    """Another process holds the data directory."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run the chain; an interval or idle time of 0 switches that off."""

    data_dir: Path
    port: int
    block_interval_ms: int
    idle_exit_s: int


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the data directory alone.

    Raises:
        InUseError: when another process holds it.
    """
    with (data_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = (
                f"another regtest chain is running on {data_dir}: "
                f"use it (its port is in {ENDPOINT_FILE}), or stop it first"
            )
            raise InUseError(msg) from None
        yield


def serve(options: Options, on_ready: Callable[[int], None]) -> None:
    """Run the chain until SIGTERM, SIGINT, a `stop` call or too long a silence.

    Raises:
        ConfigError: when the port is taken.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    (options.data_dir / ENDPOINT_FILE).unlink(missing_ok=True)
    node = RegtestNode(options.data_dir)
    try:
        password = secrets.token_hex(32)
        try:
            server = RpcServer(
                options.port, RpcMethods(node, stop.set), EsploraPaths(node), password
            )
        except OSError as error:
            msg = f"cannot listen on 127.0.0.1:{options.port} ({error}): choose another --port"
            raise ConfigError(msg) from None
        with server:
            cookie = f"{COOKIE_USER}:{password}".encode()
            write_atomically(options.data_dir / COOKIE_FILE, cookie)
            _run(options, node, server, stop, on_ready)
    finally:
        (options.data_dir / ENDPOINT_FILE).unlink(missing_ok=True)
        node.close()


def _run(
    options: Options,
    node: RegtestNode,
    server: RpcServer,
    stop: threading.Event,
    on_ready: Callable[[int], None],
) -> None:
    failures: list[BaseException] = []
    serving = threading.Thread(target=server.serve_forever, name="rpc", daemon=True)
    serving.start()
    mining = threading.Thread(
        target=_mine_until, args=(options.block_interval_ms, node, stop, failures), name="miner"
    )
    mining.start()
    endpoint = f"127.0.0.1:{server.port}\n".encode()
    write_atomically(options.data_dir / ENDPOINT_FILE, endpoint)
    on_ready(server.port)
    while not stop.wait(_WATCH_PERIOD_S):
        server.close_expired()
        silence_s = time.monotonic() - server.called_at_s
        if options.idle_exit_s and silence_s > options.idle_exit_s:
            sys.stderr.write(f"no call for {options.idle_exit_s} s: stopping\n")
            stop.set()
    mining.join()
    server.shutdown()
    serving.join()
    if failures:
        raise failures[0]


def _mine_until(
    interval_ms: int, node: RegtestNode, stop: threading.Event, failures: list[BaseException]
) -> None:
    """Confirm what people send, one Bitcoin block an interval, and rest when all is confirmed."""
    if not interval_ms:
        return
    try:
        while not stop.wait(interval_ms / 1000):
            with node.lock:
                if node.wants_block():
                    node.mine(OPEN_SCRIPT)
    except BaseException as error:  # noqa: BLE001 - the whole process must end, not this thread alone
        failures.append(error)
        stop.set()


def detach(log_path: Path, run: Callable[[Callable[[int], None]], int]) -> int:
    """Run in a session of its own; return 0 when it is ready, else its exit status.

    Must be called before the process has a second thread.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            if pipe.read(1):
                return 0
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reader)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, wanted in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, wanted)
    os.close(null)
    os.close(log)

    def on_ready(_port: int) -> None:
        os.write(writer, b"+")
        os.close(writer)

    return run(on_ready)
