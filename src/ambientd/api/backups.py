"""Copies of a node's log: one when the owner asks, and one each period when the config says so."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from ambientd.adapters.age_files import recipients_of, seal
from ambientd.api import replies, requests
from ambientd.api.operations import OperationError
from ambientd.config.backup_options import BackupOptions
from ambientd.errors import AmbientError, ConfigError, StoreError, UsageError
from ambientd.ports.store import Writer
from ambientd.runtime.backup import Seal, write_backup

log = structlog.get_logger("ambientd.backups")

LOOK_S = 60.0
AGAIN_MS = 600_000
"""After one that failed."""
NO_MOMENT = -1
_T = TypeVar("_T")
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


class Backups:
    """Makes the copies of one node's log; raises ConfigError for a public key that is none."""

    def __init__(
        self,
        options: BackupOptions,
        cluster: bytes,
        name: str,
        writer: Writer,
        now: Callable[[], int],
    ) -> None:
        if options.recipients:  # else what reads them is never loaded
            try:
                recipients_of(options.recipients)
            except UsageError as error:
                raise ConfigError(f"[backup] recipients: {error}") from error
        self._options = options
        self._cluster = cluster
        self._writer = writer
        self._now = now
        self._name = _SAFE.sub("-", name)
        self._form = re.compile(re.escape(self._name) + r"-(\d{8}T\d{6}Z)\.backup(?:\.age)?")
        self._failed_ms: int | None = None
        self._fault = ""

    async def make(self, request: requests.CreateBackup) -> replies.BackupMade:
        """Write the log to a file, while the node goes on."""
        try:
            return await self._write(Path(request.path), request.recipients)
        except UsageError as error:
            raise OperationError("invalid", str(error)) from error
        except StoreError as error:
            raise OperationError("store", str(error)) from error

    async def _write(self, path: Path, recipients: Sequence[str]) -> replies.BackupMade:
        sealing: Seal | None = None
        if recipients:
            sealing = partial(seal, recipients=recipients_of(recipients))
        made, size_bytes = await write_backup(self._writer, self._cluster, path, sealing)
        return replies.BackupMade(
            path=str(path),
            height=made.height,
            state_root=made.root.hex(),
            size_bytes=size_bytes,
            from_height=made.base,
            sealed=bool(recipients),
        )

    async def keep(self) -> None:
        """Make a copy each period and delete the oldest, until cancelled."""
        if not self._options.folder:
            return
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Make a copy if one is due, and delete the oldest."""
        if await self._is_due():
            await self._make_next()

    async def _is_due(self) -> bool:
        now_ms, failed_ms = self._now(), self._failed_ms
        if failed_ms is not None and failed_ms <= now_ms < failed_ms + AGAIN_MS:
            return False
        try:
            kept = await _aside(self._kept)
        except OSError as error:
            self._fails(f"cannot read {self._options.folder}: {error.strerror}")
            return False
        newest_ms = kept[-1][0] if kept else NO_MOMENT
        return newest_ms == NO_MOMENT or now_ms >= newest_ms + self._options.every_ms

    async def _make_next(self) -> None:
        folder = Path(self._options.folder)
        path = folder / self._file_name(self._now())
        try:
            await _aside(partial(self._clear_drafts, folder))
            made = await self._write(path, self._options.recipients)
            await _aside(self._delete_oldest)
        except OSError as error:
            self._fails(f"cannot tidy {self._options.folder}: {error.strerror}")
        except AmbientError as error:
            self._fails(str(error))
        else:
            self._failed_ms, self._fault = None, ""
            log.info("backup made", path=made.path, height=made.height, size_bytes=made.size_bytes)

    def _clear_drafts(self, folder: Path) -> None:
        """Remove what a crash amid a copy left; others may be writing theirs here."""
        for left in folder.iterdir():
            if left.suffix == ".new" and self._form.fullmatch(left.stem):
                left.unlink(missing_ok=True)

    def _delete_oldest(self) -> None:
        for _, old in self._kept()[: -self._options.kept]:
            old.unlink(missing_ok=True)

    def _fails(self, fault: str) -> None:
        if fault != self._fault:
            log.error("NO BACKUP WAS MADE", reason=fault)
        self._failed_ms, self._fault = self._now(), fault

    def _file_name(self, now_ms: int) -> str:
        moment = datetime.fromtimestamp(now_ms / 1000, UTC)
        ending = ".age" if self._options.recipients else ""
        return f"{self._name}-{moment:%Y%m%dT%H%M%SZ}.backup{ending}"

    def _kept(self) -> list[tuple[int, Path]]:
        """Give the copies that this node made by itself and when, the oldest first.

        One that bears a later moment than now was made by a clock that went wrong. It may be of
        any age: it holds no copy up, and is the first to go.
        """
        found, now_ms = [], self._now()
        for path in Path(self._options.folder).iterdir():
            match = self._form.fullmatch(path.name)
            moment = None if match is None else _read_moment(match[1])
            if moment is not None:
                found.append((moment if moment <= now_ms else NO_MOMENT, path))
        return sorted(found)

    def troubles(self) -> tuple[replies.Trouble, ...]:
        """Give what keeps copies from being made; nothing when all is well or none are wanted."""
        if not self._fault:
            return ()
        trouble = replies.Trouble(
            kind=replies.TroubleKind.BACKUP_FAILS,
            text=f"no backup is made: {self._fault}",
            hint="see that the folder of [backup] is there, that the daemon may write to it, and "
            "that it has room; the next try is within ten minutes",
        )
        return (trouble,)


async def _aside(do: Callable[[], _T]) -> _T:
    """Do it in a thread: a share that hangs must not hold the node up, nor its end."""
    return await trio.to_thread.run_sync(do, **_ABANDON)


def _read_moment(text: str) -> int | None:
    """Read a file's moment as Unix milliseconds; None for what is no moment."""
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp() * 1000)
