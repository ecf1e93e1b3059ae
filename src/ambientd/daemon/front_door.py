"""Where a node's owner knocks: answered at once, or, by a slim node, once somebody has knocked.

What answers is a third of what a daemon imports. A slim node opens its local socket like any
other, and imports that with the first caller, who waits for it; the node does not. It also does
once a node is convicted, as what answers keeps the certificates.
"""

import importlib
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
import trio

from ambientd.adapters.slim_standard import openssl_later
from ambientd.api.convictions import is_conviction, lacks_certificate
from ambientd.api.identity import Identity
from ambientd.api.socket_file import SocketFile
from ambientd.config.places import socket_path_for
from ambientd.runtime.service import Parts
from ambientd.runtime.uploads import Uploads
from ambientd.runtime.workers import WorkerPool

log = structlog.get_logger("ambientd")

FRONT_DESK = "ambientd.daemon.front_desk"


class TaskStatus(Protocol):
    """Where `nursery.start` hears that callers can connect."""

    def started(self) -> None:
        """Tell it."""
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """What answers an owner's questions is made of."""

    identity: Identity
    parts: Parts
    pool: WorkerPool
    uploads: Uploads
    addresses: tuple[str, ...]
    started_ms: int
    nodes_here: int = 1
    """How many nodes share this process, itself included."""

    @property
    def socket(self) -> Path:
        """Give the local socket's path."""
        places, config = self.identity.places, self.identity.config
        return socket_path_for(places.data_dir, config.api.socket)

    @property
    def waits(self) -> bool:
        """Tell whether nothing is to be answered or told before somebody asks."""
        config = self.identity.config
        return config.is_slim and not config.tells_unasked


async def answer_owner(front: Front, task_status: TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
    """Answer until cancelled; raise ConfigError when the local socket cannot be opened."""
    with SocketFile(front.socket) as listening:
        if front.waits:
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await _until_wanted(front, listening)
        # In a thread: peers and timers do not wait for imports.
        desk = await trio.to_thread.run_sync(_front_desk)
        await desk.answer(front, listening, task_status)


async def _until_wanted(front: Front, listening: socket.socket) -> None:
    """Wait for a caller, or for a conviction.

    What answers keeps its certificate, which needs a task that the ledger soon forgets.
    """
    async with (
        front.parts.news.listen(is_conviction) as convictions,
        trio.open_nursery() as nursery,
    ):

        async def wait_for(why: str, wait: Callable[[], Awaitable[object]]) -> None:
            with suppress(trio.EndOfChannel):
                await wait()
            log.info("what answers is loaded", why=why)
            nursery.cancel_scope.cancel()

        if lacks_certificate(front.parts.node.ledger, front.identity.places.certificates):
            log.info("what answers is loaded", why="a certificate is not kept yet")
            return
        knock = partial(trio.lowlevel.wait_readable, listening.fileno())
        nursery.start_soon(wait_for, "somebody asks", knock)
        nursery.start_soon(wait_for, "a node was convicted", convictions.receive)


def _front_desk() -> Any:  # noqa: ANN401
    with openssl_later(with_hashes=True):
        return importlib.import_module(FRONT_DESK)
