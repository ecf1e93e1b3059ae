"""Several nodes in one process: they share all that it imported and one loop, and end together.

Each has its own folder, key, store, links and worker processes. What ends one by itself ends all,
and whoever watches the process starts them again.
"""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import trio

from ambientd.adapters.service_manager import STOPPING, ServiceManager
from ambientd.adapters.slim_structlog import structlog
from ambientd.config.places import Places
from ambientd.daemon.composition import StandBy, run_daemon

JOINING_MAX = 8
"""So many newcomers at a time: fewer than the strangers that a member has room for."""

NEXT_S = 10.0
"""After so long one more starts, though none of those before has joined."""

_LOOK_S = 0.1

log = structlog.get_logger("ambientd")


class Company:
    """Says that all nodes of a process are ready, and tells all of them when to stop."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._is_whole, self._is_told = trio.Event(), trio.Event()
        self._told = signal.SIGTERM

    @property
    def is_told(self) -> bool:
        """Tell whether all have been told to stop."""
        return self._is_told.is_set()

    async def stand_by(self) -> signal.Signals:
        """Be one that is ready; give what told all of them to stop, once that has come."""
        self._missing -= 1
        if not self._missing:
            self._is_whole.set()
        await self._is_told.wait()
        return self._told

    async def watch(self, manager: ServiceManager) -> None:
        """Pass on to everybody what the process is told, also before all are ready."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._be_told, signals, manager, nursery.cancel_scope)
                await self._is_whole.wait()
                self._told = await manager.stand_by()
                nursery.cancel_scope.cancel()
        self._is_told.set()

    async def _be_told(
        self, signals: AsyncIterator[int], manager: ServiceManager, waiting: trio.CancelScope
    ) -> None:
        """Hear what came before all were ready."""
        self._told = signal.Signals(await anext(signals))
        manager.say(STOPPING)
        waiting.cancel()


__all__ = ["Company", "StandBy", "run_together"]


async def run_together(folders: Sequence[Path], passphrase: str) -> None:
    """Run the nodes of these folders until SIGTERM or SIGINT; raise what one of them raises."""
    company = Company(len(folders))

    async def run_one(folder: Path) -> None:
        structlog.contextvars.bind_contextvars(folder=folder.name)
        try:
            await run_daemon(folder, passphrase, company.stand_by, len(folders))
        except Exception as error:
            log.error("A NODE ENDS ALL OF ITS PROCESS", reason=str(error) or repr(error))
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(company.watch, ServiceManager.of(os.environ))
        for count, folder in enumerate(folders, 1):
            if company.is_told:
                break
            nursery.start_soon(run_one, folder)
            with trio.move_on_after(NEXT_S):
                await _room_to_join(folders[:count])


async def _room_to_join(started: Sequence[Path]) -> None:
    """Wait until another newcomer may come; whoever has used up its token is none."""
    while sum(Places(each).invitation.exists() for each in started) >= JOINING_MAX:  # noqa: ASYNC110
        await trio.sleep(_LOOK_S)
