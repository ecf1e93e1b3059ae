"""A node's blobs: what is kept, in memory, on its way, and what goes when there is no more room.

Functions are synchronous and safe from several threads at once. A file appears under its name
only when all its bytes are on disk, and its bytes are hashed again at every read from disk.
"""

import contextlib
import errno
import itertools
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from pathlib import Path

from ambientd.adapters.blob_drafts import BlobDraft
from ambientd.adapters.blob_folder import BlobFolder, BlobPlace
from ambientd.adapters.blob_partials import PARTIAL_KEPT_MS, BlobPartial, Partials
from ambientd.codec.chunks import Outline, outlined
from ambientd.codec.digest import sha256
from ambientd.errors import StoreError, UsageError
from ambientd.ports.retention import SweepPlan

_log = logging.getLogger(__name__)

NAME_BYTES = 32
BLOB_BYTES_MAX = 64 * 1024 * 1024
QUOTA_BYTES = 10 * 1024 * 1024 * 1024
MEMORY_BYTES = 4 * 1024 * 1024
MEMORY_BLOB_BYTES_MAX = 64 * 1024
MEMORY_ENTRY_BYTES = 256
"""What a blob in memory takes besides its bytes: without it, half a million tiny ones stay."""
BLOCK_BYTES = 4_096
FRESH_S = 1.0
NOTED_EVERY_MS = 3_600_000
"""How exact a file's time is while its blob is needed: it is not written at every sweep."""


def _held_bytes(data: bytes) -> int:
    return len(data) + MEMORY_ENTRY_BYTES


class BlobFiles:
    """Content-addressed files within a quota, with the small and recent ones in memory."""

    def __init__(
        self,
        root: Path,
        *,
        blob_bytes_max: int = BLOB_BYTES_MAX,
        quota_bytes: int = QUOTA_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        block_bytes: int = BLOCK_BYTES,
        place: BlobPlace | None = None,
        makes_way: bool = True,
    ) -> None:
        """Open or create the folder; drafts that a crash left are removed.

        Whole blobs lie in it, too, unless another place is given. Where none makes way for a
        newer one, a full quota takes nothing more until something is deleted.
        """
        self.root = root
        self._makes_way = makes_way
        self._blob_bytes_max = blob_bytes_max
        self._quota_bytes = quota_bytes
        self._memory_bytes_max = memory_bytes
        self._block_bytes = block_bytes
        self._memory: OrderedDict[bytes, bytes] = OrderedDict()
        self._memory_bytes = 0
        self._noted: dict[bytes, float] = {}
        self._unsynced: set[bytes] = set()
        self._lock = threading.Lock()
        self._drafts = itertools.count()
        self._held: AbstractSet[bytes] = frozenset()
        self._used_since: set[bytes] = set()  # the last sweep began
        try:
            for folder in (root, root / "draft", root / "partial"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for draft in (root / "draft").iterdir():
                draft.unlink()
            self._place = place or BlobFolder(root)
            self._sizes = self._place.sizes()
            self._partials = Partials(root / "partial")
            taken = sum(map(self._room, self._sizes.values()))
            self._used_bytes = taken + self._partials.size_bytes
            self._unsynced.update(self._sizes)  # for all that this process knows
        except OSError as error:
            msg = (
                f"cannot use the blob folder {root}: {error.strerror}; "
                "the daemon's user must own it and its disk must be writable"
            )
            raise StoreError(msg) from error

    @property
    def used_bytes(self) -> int:
        """Give the room of all blobs together, in whole blocks, and of those on their way."""
        return self._used_bytes

    @staticmethod
    def _check(name: bytes) -> None:
        if len(name) != NAME_BYTES:
            msg = f"a blob's name has {NAME_BYTES} bytes, not {len(name)}"
            raise UsageError(msg)

    def _draft(self) -> Path:
        return self.root / "draft" / f"{os.getpid()}.{next(self._drafts)}"

    def put(self, data: bytes, *, is_synced: bool = True, name: bytes | None = None) -> bytes:
        """Keep a blob, durably unless others hold it as well, and give its name.

        Bytes whose hash was checked as they came are put by that name, and not hashed again.
        What a power cut leaves of one that was not synced is found out by its hash.
        Raises UsageError for a blob above the size cap, StoreError for a full quota or disk.
        """
        if len(data) > self._blob_bytes_max:
            msg = (
                f"the blob has {len(data)} bytes, this node keeps at most {self._blob_bytes_max} "
                "in one: split it, or raise the cap in the configuration"
            )
            raise UsageError(msg)
        name = sha256(data) if name is None else name
        if self.get(name) is not None:
            with contextlib.suppress(FileNotFoundError):
                self._place.note_ms(name)  # it is needed as if it were new
                if is_synced:
                    self._sync(name)
            self._note(name)
            return name
        room = self._room(len(data))
        self._reserve(room)
        with self._lock:
            self._unsynced.add(name)  # before it is there for others
        try:
            self._place.write(name, data, self._draft(), is_synced=is_synced)
            if is_synced:
                self._note_synced(name)
        except FileExistsError:
            # Another thread was faster with the same bytes.
            self._release(room)
            if is_synced:
                self._sync(name)
        except OSError as error:
            self._release(room)
            raise self._not_kept(name, error) from error
        except BaseException:
            self._release(room)
            raise
        self._use(name, len(data))
        self._remember(name, data)
        self._note(name)
        return name

    def _sync(self, name: bytes) -> None:
        """Make durable what was kept before without being forced to disk."""
        with self._lock:
            if name not in self._unsynced:
                return
        try:
            self._place.sync(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._not_kept(name, error) from error
        self._note_synced(name)

    def _note_synced(self, name: bytes) -> None:
        with self._lock:
            self._unsynced.discard(name)

    def is_unsynced(self, name: bytes) -> bool:
        """Tell whether a blob was kept as well as the system does by itself, and no better yet."""
        with self._lock:
            return name in self._unsynced

    def _not_kept(self, name: bytes, error: OSError) -> StoreError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room on its disk" if full else "check the folder and its disk"
        return StoreError(
            f"cannot keep blob {name.hex()} in {self.root}: {error.strerror}; {advice}"
        )

    def _not_read(self, name: bytes, error: OSError) -> StoreError:
        return StoreError(
            f"cannot read blob {name.hex()} in {self.root}: {error.strerror}; check its disk"
        )

    def is_fresh(self, name: bytes) -> bool:
        """Tell whether a blob is in memory, and was put durably just now."""
        with self._lock:
            noted_s = self._noted.get(name)
            is_known = name in self._memory
        return is_known and noted_s is not None and time.monotonic() - noted_s < FRESH_S

    def _note(self, name: bytes) -> None:
        """Note when a blob that is in memory was put."""
        with self._lock:
            if name in self._memory and name not in self._unsynced:
                self._noted[name] = time.monotonic()

    def _reserve(self, size_bytes: int) -> None:
        """Take room for a blob; the ones that nobody used for the longest time make way."""
        with self._lock:
            while self._used_bytes + size_bytes > self._quota_bytes:
                if (freed := self._partials.drop_one()) is not None:
                    self._used_bytes -= freed
                    continue
                oldest = next((each for each in self._sizes if each not in self._held), None)
                if oldest is None or not self._makes_way:
                    break
                self._forget(oldest)
            if self._used_bytes + size_bytes > self._quota_bytes:
                msg = (
                    f"the blob folder {self.root} holds {self._used_bytes} of "
                    f"{self._quota_bytes} bytes, {size_bytes} more do not fit: "
                    "raise the quota in the configuration"
                )
                raise StoreError(msg)
            self._used_bytes += size_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so many bytes more would be kept, and no whole blob would go for them."""
        with self._lock:
            whole_bytes = self._used_bytes - self._partials.size_bytes
            return whole_bytes + self._room(size_bytes) <= self._quota_bytes

    def _forget(self, name: bytes) -> None:
        """Remove a blob; the caller holds the lock."""
        self._used_bytes -= self._drop_size(name)
        kept = self._memory.pop(name, None)
        self._noted.pop(name, None)
        self._unsynced.discard(name)
        if kept is not None:
            self._memory_bytes -= _held_bytes(kept)
        self._place.remove(name)

    def _room(self, size_bytes: int) -> int:
        """Give what a blob takes of the quota: whole blocks of the disk, one at least.

        So the quota bounds the number of blobs, each of which has its name in memory.
        """
        return max(1, -(-size_bytes // self._block_bytes)) * self._block_bytes

    def _drop_size(self, name: bytes) -> int:
        """Know that a blob is not here; give the room that it had. The caller holds the lock."""
        size_bytes = self._sizes.pop(name, None)
        return 0 if size_bytes is None else self._room(size_bytes)

    def begin_sweep(self) -> None:
        """Note from now on what is used: it is not removed until the next sweep begins."""
        with self._lock:
            self._used_since = set()

    def sweep(self, plan: SweepPlan) -> int:
        """Remove the blobs of one part whose time is over; give how many went.

        A file's time says when its blob was needed last, put back by what its kind is kept less
        than the longest: after the ledger has forgotten the task, it alone tells.
        """
        with self._lock:
            self._held = plan.held
            while (freed := self._partials.drop_one(plan.now_ms - PARTIAL_KEPT_MS)) is not None:
                self._used_bytes -= freed
            names = [name for name in self._sizes if name[0] % plan.parts == plan.part]
        removed = sum(self._sweep_one(name, plan) for name in names)
        self._place.settle()
        return removed

    def _sweep_one(self, name: bytes, plan: SweepPlan) -> bool:
        try:
            noted_ms = self._place.noted_ms(name)
            needed_ms = noted_ms
            if name in plan.held:
                needed_ms = max(noted_ms, plan.now_ms - plan.now_ms % NOTED_EVERY_MS)
            elif noted_ms <= plan.due_ms.get(name, 0):  # else it was put again after that time
                needed_ms = plan.due_ms[name] - plan.longest_ms
            if needed_ms != noted_ms:
                self._place.note_ms(name, needed_ms)
        except FileNotFoundError:
            return False
        except OSError as error:
            msg = f"cannot sweep blob {name.hex()} in {self.root}: {error.strerror}"
            raise StoreError(msg) from error
        if name in plan.held or needed_ms + plan.longest_ms > plan.now_ms:
            return False
        with self._lock:
            if name in self._used_since:
                return False
            self._forget(name)
        return True

    def _use(self, name: bytes, size_bytes: int) -> None:
        """Note that a blob is here and wanted now."""
        with self._lock:
            self._used_since.add(name)
            self._sizes.pop(name, None)
            self._sizes[name] = size_bytes

    def _release(self, size_bytes: int) -> None:
        with self._lock:
            self._used_bytes -= size_bytes

    def begin(self) -> BlobDraft:
        """Begin a blob whose bytes come one piece after the other."""
        try:
            return BlobDraft(self, self._draft(), self._blob_bytes_max)
        except OSError as error:
            msg = f"cannot write into {self.root}: {error.strerror}; check the folder and its disk"
            raise StoreError(msg) from error

    def reserve(self, size_bytes: int) -> None:
        """Take room for a piece of a draft; raise StoreError when there is none."""
        self._reserve(size_bytes)

    def release(self, size_bytes: int) -> None:
        """Give room back that a draft took."""
        self._release(size_bytes)

    def adopt(self, name: bytes, draft: Path, size_bytes: int, *, is_synced: bool = True) -> None:
        """Make a whole draft, whose hash is `name` and whose room is taken, a blob."""
        if self.outline(name) is not None:
            draft.unlink()
            self._release(size_bytes)
            if is_synced:
                self._sync(name)
            return
        room = self._room(size_bytes)
        try:
            self._reserve(room - size_bytes)  # the rest of its last block
        except BaseException:
            self._release(size_bytes)
            raise
        with self._lock:
            self._unsynced.add(name)
        try:
            self._place.adopt(name, draft, is_synced=is_synced)
            if is_synced:
                self._note_synced(name)
        except FileExistsError:
            self._release(room)
            if is_synced:
                self._sync(name)
        except BaseException:
            self._release(room)
            raise
        self._use(name, size_bytes)

    def partial(self, name: bytes) -> BlobPartial:
        """Give what there is of a blob whose chunks come one by one."""
        self._check(name)
        return BlobPartial(self, self._partials.path(name), name)

    def begin_partial(self, name: bytes, size_bytes: int) -> None:
        """Take room for all of a blob that comes by chunks; raise StoreError for none."""
        with self._lock:
            self._used_bytes -= self._partials.begin(name)
        try:
            self._reserve(size_bytes)
        except StoreError:
            self._partials.path(name).unlink(missing_ok=True)
            raise
        with self._lock:
            self._partials.grow(name, size_bytes)

    def end_partial(self, name: bytes) -> None:
        """Know that nobody works on a partial blob."""
        with self._lock:
            self._used_bytes -= self._partials.end(name)

    def forget_partial(self, name: bytes) -> None:
        """Know that a partial blob is whole; its room is taken still."""
        with self._lock:
            self._partials.leave(name)

    def regain_partial(self, name: bytes, size_bytes: int) -> None:
        """Know that a whole file could not become a blob: its next fetch brings nothing again."""
        with self._lock:
            if self._partials.path(name).exists():
                self._used_bytes += size_bytes
                self._partials.grow(name, size_bytes)

    def get(self, name: bytes) -> bytes | None:
        """Give the bytes with this hash, or None.

        A file with other bytes counts as absent: it is moved aside, so that the right bytes
        can be fetched and kept again.
        """
        self._check(name)
        kept = self.remembered(name)
        if kept is not None:
            return kept
        try:
            data = self._place.read(name)
        except FileNotFoundError:
            self._lost(name)
            return None
        except OSError as error:
            raise self._not_read(name, error) from error
        if sha256(data) != name:
            self._set_aside(name, len(data))
            return None
        self._use(name, len(data))
        self._remember(name, data)
        return data

    def outline(self, name: bytes) -> Outline | None:
        """Read a blob once, a chunk at a time, and give its outline; None as `get` does."""
        self._check(name)
        try:
            outline, found = outlined(self._place.chunks(name))
        except FileNotFoundError:
            self._lost(name)
            return None
        except OSError as error:
            raise self._not_read(name, error) from error
        if found != name:
            self._set_aside(name, outline.size_bytes)
            return None
        self._use(name, outline.size_bytes)
        return outline

    def piece(self, name: bytes, start: int, count: int) -> bytes | None:
        """Give some bytes of a blob, unchecked, or None when it is not here."""
        if self.size_of(name) is None:
            return None
        try:
            return self._place.piece(name, start, count)
        except FileNotFoundError:
            self._lost(name)
            return None
        except OSError as error:
            raise self._not_read(name, error) from error

    def remembered(self, name: bytes) -> bytes | None:
        """Give the bytes with this hash if they are in memory, without a look at the disk."""
        with self._lock:
            kept = self._memory.get(name)
            if kept is not None:
                self._memory.move_to_end(name)
                self._used_since.add(name)
                if name in self._sizes:
                    self._sizes[name] = self._sizes.pop(name)
            return kept

    def _lost(self, name: bytes) -> None:
        """Know that somebody else removed a blob: whoever asks for its size brings it again."""
        with self._lock:
            if name in self._sizes and not self._place.holds(name):
                self._used_bytes -= self._drop_size(name)

    def _set_aside(self, name: bytes, size_bytes: int) -> None:
        try:
            place = self._place.set_aside(name)
        except FileNotFoundError:
            return
        with self._lock:
            self._sizes.setdefault(name, size_bytes)
            self._used_bytes -= self._drop_size(name)
        _log.error("blob %s had wrong bytes: moved to %s", name.hex(), place)

    def has(self, name: bytes) -> bool:
        """Tell whether a blob of this name is kept; its bytes are checked when they are read."""
        self._check(name)
        return self._place.holds(name)

    def size_of(self, name: bytes) -> int | None:
        """Give how long a blob is that is kept, without a look at the disk."""
        with self._lock:
            size_bytes = self._sizes.get(name)
            if size_bytes is not None:
                self._sizes.move_to_end(name)
                self._used_since.add(name)
            return size_bytes

    def names(self) -> list[bytes]:
        """Give the names of all blobs that are kept."""
        with self._lock:
            return list(self._sizes)

    def delete(self, name: bytes) -> None:
        """Forget a blob; forgetting an unknown one is no error."""
        self._check(name)
        with self._lock:
            self._forget(name)

    def _remember(self, name: bytes, data: bytes) -> None:
        if len(data) > MEMORY_BLOB_BYTES_MAX:
            return
        with self._lock:
            if name not in self._memory:
                self._memory_bytes += _held_bytes(data)
            self._memory[name] = data
            self._memory.move_to_end(name)
            while self._memory_bytes > self._memory_bytes_max:
                gone, oldest = self._memory.popitem(last=False)
                self._noted.pop(gone, None)
                self._memory_bytes -= _held_bytes(oldest)
