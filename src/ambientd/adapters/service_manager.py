"""Tells the service manager that started us how we are: sd_notify(3), which is one datagram a word.

Without $NOTIFY_SOCKET nobody listens, and nothing is sent.
"""

import os
import signal
import socket
from collections.abc import Mapping
from typing import Self

import trio

from ambientd.errors import ConfigError

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


class ServiceManager:
    """Who started us, or nobody; a word that it cannot take is lost, and nothing waits for it."""

    def __init__(self, address: str = "", patience_s: float | None = None) -> None:
        self._address = address
        self.patience_s = patience_s
        """How long it waits for a sign of life before it starts us again; None: for ever."""

    @classmethod
    def of(cls, environment: Mapping[str, str], process: int | None = None) -> Self:
        """Read what it said in the environment; raise ConfigError if that makes no sense."""
        address = environment.get("NOTIFY_SOCKET", "")
        if address and address[0] not in "/@":
            msg = f"$NOTIFY_SOCKET is {address!r}: no path of a socket; unset it"
            raise ConfigError(msg)
        wanted = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID") or str(process or os.getpid())
        if not address or not wanted or meant != str(process or os.getpid()):
            return cls(address)
        if not (wanted.isascii() and wanted.isdigit() and int(wanted)):
            msg = f"$WATCHDOG_USEC is {wanted!r}: not a number of microseconds; unset it"
            raise ConfigError(msg)
        return cls(address, int(wanted) / 1_000_000)

    def say(self, word: str) -> None:
        """Send one word."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of Linux' abstract names.
        place = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(word.encode(), place)
            except OSError:
                return  # it has gone, or has no room: the next sign of life tells the same

    async def stand_by(self) -> signal.Signals:
        """Be ready, and show life, until somebody tells us to stop; give how."""
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                self.say(READY)
                nursery.start_soon(self._show_life)
                told = signal.Signals(await anext(signals))
            self.say(STOPPING)
            nursery.cancel_scope.cancel()
        return told

    async def _show_life(self) -> None:
        """Say in time, again and again, that this loop goes round; nothing if nobody waits."""
        while self.patience_s is not None:
            self.say(ALIVE)
            await trio.sleep(self.patience_s / 3)
