"""Where a node's owner knocks: answered at once, or, by a slim node, once somebody has knocked.

What answers is a third of what a daemon imports. A slim node opens its local socket like any
other, and imports that with the first caller, who waits for it; the node does not.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
import trio

from ambientd.adapters.slim_standard import openssl_later
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
            await trio.lowlevel.wait_readable(listening.fileno())
            log.info("somebody asks: what answers is loaded")
        # In a thread: peers and timers do not wait for imports.
        desk = await trio.to_thread.run_sync(_front_desk)
        await desk.answer(front, listening, task_status)


def _front_desk() -> Any:  # noqa: ANN401
    with openssl_later(with_hashes=True):
        return importlib.import_module(FRONT_DESK)
