"""Copies of a node's log: one when the owner asks, and one each period when the config says so."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import structlog
import trio

from ambientd.adapters.age_files import recipients_of, seal
from ambientd.adapters.copy_places import copy_of, place_of
from ambientd.api import replies, requests
from ambientd.api.backup_values import CopiesUnderWay, CopyUnderWay, LookAtBackups
from ambientd.api.operations import OperationError
from ambientd.config.backup_options import BackupOptions
from ambientd.errors import AmbientError, ConfigError, StoreError, UsageError
from ambientd.model.base import NodeId
from ambientd.ports.copies import CopyPlace
from ambientd.ports.store import Writer
from ambientd.runtime.backup import Seal, has_blocks, write_backup

log = structlog.get_logger("ambientd.backups")

LOOK_S = 60.0
AGAIN_MS = 600_000
"""After one that failed."""
NO_MOMENT = -1
ID_CHARS = 12
_T = TypeVar("_T")
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


class _Copying:
    """A copy that is being written; its own thread tells how far it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows, self.total = 0, 0

    def told(self, rows: int, total: int) -> None:
        self.rows, self.total = rows, total


class Backups:
    """Makes the copies of one node's log; raises ConfigError for a key or place that is none."""

    def __init__(
        self,
        options: BackupOptions,
        cluster: bytes,
        node: NodeId,
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
        self._place = _place_of(options)
        self._cluster = cluster
        self._writer = writer
        self._now = now
        # Nodes may be called alike, and may share a folder: none counts or deletes another's.
        self._name = f"{_SAFE.sub('-', name)}-{node.hex()[:ID_CHARS]}"
        self._form = re.compile(re.escape(self._name) + r"-(\d{8}T\d{6}Z)\.backup(?:\.age)?")
        self._failed_ms: int | None = None
        self._fault = ""
        self._under_way: list[_Copying] = []

    async def look_at(self, _: LookAtBackups) -> CopiesUnderWay:
        """Say how far the copies are that are being written now."""
        copies = (
            CopyUnderWay(name=c.name, rows=c.rows, rows_total=c.total) for c in self._under_way
        )
        return CopiesUnderWay(copies=tuple(copies))

    async def make(self, request: requests.CreateBackup) -> replies.BackupMade:
        """Write the log to a file, while the node goes on."""
        try:
            place, name = await _aside(partial(copy_of, request.path))
            return await self._write(place, name, request.recipients)
        except (ConfigError, UsageError) as error:
            raise OperationError("invalid", str(error)) from error
        except StoreError as error:
            raise OperationError("store", str(error)) from error

    async def _write(
        self, place: CopyPlace, name: str, recipients: Sequence[str]
    ) -> replies.BackupMade:
        sealing: Seal | None = None
        if recipients:
            sealing = partial(seal, recipients=recipients_of(recipients))
        copying = _Copying(name)
        self._under_way.append(copying)
        try:
            made, size_bytes = await write_backup(
                self._writer, self._cluster, place, name, sealing, copying.told
            )
        finally:
            self._under_way.remove(copying)
        return replies.BackupMade(
            path=f"{place.where}/{name}",
            height=made.height,
            state_root=made.root.hex(),
            size_bytes=size_bytes,
            from_height=made.base,
            sealed=bool(recipients),
        )

    async def keep(self) -> None:
        """Make a copy each period and delete the oldest, until cancelled."""
        if self._place is None:
            return
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Make a copy if one is due, and delete the oldest."""
        if self._place is not None and await self._is_due(self._place):
            await self._make_next(self._place)

    async def _is_due(self, place: CopyPlace) -> bool:
        now_ms, failed_ms = self._now(), self._failed_ms
        if failed_ms is not None and failed_ms <= now_ms < failed_ms + AGAIN_MS:
            return False
        try:
            kept = await _aside(partial(self._kept, place))
        except StoreError as error:
            self._fails(str(error))
            return False
        if not await self._writer.call(has_blocks):
            return False  # a node that begins has nothing to lose, and that is no trouble
        newest_ms = kept[-1][0] if kept else NO_MOMENT
        return newest_ms == NO_MOMENT or now_ms >= newest_ms + self._options.every_ms

    async def _make_next(self, place: CopyPlace) -> None:
        try:
            await _aside(partial(self._clear_drafts, place))
            name = self._file_name(self._now())
            made = await self._write(place, name, self._options.recipients)
            await _aside(partial(self._delete_oldest, place))
        except AmbientError as error:
            self._fails(str(error))
        else:
            self._failed_ms, self._fault = None, ""
            log.info("backup made", path=made.path, height=made.height, size_bytes=made.size_bytes)

    def _clear_drafts(self, place: CopyPlace) -> None:
        """Remove what a crash amid a copy left; others may be writing theirs here."""
        for name in place.drafts():
            if self._form.fullmatch(name):
                place.drop_draft(name)

    def _delete_oldest(self, place: CopyPlace) -> None:
        for _, name in self._kept(place)[: -self._options.kept]:
            place.delete(name)

    def _fails(self, fault: str) -> None:
        if fault != self._fault:
            log.error("NO BACKUP WAS MADE", reason=fault)
        self._failed_ms, self._fault = self._now(), fault

    def _file_name(self, now_ms: int) -> str:
        moment = datetime.fromtimestamp(now_ms / 1000, UTC)
        ending = ".age" if self._options.recipients else ""
        return f"{self._name}-{moment:%Y%m%dT%H%M%SZ}.backup{ending}"

    def _kept(self, place: CopyPlace) -> list[tuple[int, str]]:
        """Give the copies that this node made by itself and when, the oldest first.

        One that bears a later moment than now was made by a clock that went wrong. It may be of
        any age: it holds no copy up, and is the first to go.
        """
        found, now_ms = [], self._now()
        for name in place.names():
            match = self._form.fullmatch(name)
            moment = None if match is None else _read_moment(match[1])
            if moment is not None:
                found.append((moment if moment <= now_ms else NO_MOMENT, name))
        return sorted(found)

    def troubles(self) -> tuple[replies.Trouble, ...]:
        """Give what keeps copies from being made; nothing when all is well or none are wanted."""
        if not self._fault:
            return ()
        trouble = replies.Trouble(
            kind=replies.TroubleKind.BACKUP_FAILS,
            text=f"no backup is made: {self._fault}",
            hint="see that the folder of [backup] is there, that the daemon may write to it, and "
            "that it has room; of a bucket, the address and keys in the daemon's environment; the "
            "next try is within ten minutes",
        )
        return (trouble,)


def _place_of(options: BackupOptions) -> CopyPlace | None:
    """Give the place of the copies by the clock; none: there are none."""
    if not options.folder:
        return None
    try:
        return place_of(options.folder)
    except (ConfigError, UsageError) as error:
        raise ConfigError(f"[backup] folder: {error}") from error


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
