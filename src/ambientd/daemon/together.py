"""Several nodes in one process: they share all that it imported and one loop, and end together.

Each has its own folder, key, store, links and worker processes. What ends one by itself ends all,
and whoever watches the process starts them again.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import trio

from ambientd.adapters.service_manager import ServiceManager
from ambientd.adapters.slim_structlog import structlog
from ambientd.daemon.composition import StandBy, run_daemon


class Company:
    """Says that all nodes of a process are ready, and tells all of them when to stop."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._is_whole, self._is_told = trio.Event(), trio.Event()
        self._told = signal.SIGTERM

    async def stand_by(self) -> signal.Signals:
        """Be one that is ready; give what told all of them to stop, once that has come."""
        self._missing -= 1
        if not self._missing:
            self._is_whole.set()
        await self._is_told.wait()
        return self._told

    async def watch(self, manager: ServiceManager) -> None:
        """Pass on to everybody what the process is told."""
        await self._is_whole.wait()
        self._told = await manager.stand_by()
        self._is_told.set()


__all__ = ["Company", "StandBy", "run_together"]


async def run_together(folders: Sequence[Path], passphrase: str) -> None:
    """Run the nodes of these folders until SIGTERM or SIGINT; raise what one of them raises."""
    company = Company(len(folders))

    async def run_one(folder: Path) -> None:
        structlog.contextvars.bind_contextvars(folder=folder.name)
        await run_daemon(folder, passphrase, company.stand_by)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(company.watch, ServiceManager.of(os.environ))
        for folder in folders:
            nursery.start_soon(run_one, folder)
