"""Whole blobs in a bucket of any S3-compatible store, below a prefix that is one node's own.

What is on its way, and when each blob was needed last, stays on the node's disk. Without that the
store's own times serve. Keys and endpoint come from the environment, as for copies (`s3_copies`).
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from ambientd.adapters.blob_folder import DAMAGED_FILES_MAX
from ambientd.adapters.s3_copies import bucket_and_prefix, store_of, told
from ambientd.errors import StoreError
from ambientd.model.base import NodeId
from ambientd.model.chunk import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PART_BYTES: Final = 8 * 1024 * 1024
_PARTS_AT_ONCE: Final = 2
_READ_BYTES: Final = 32 * CHUNK_BYTES
_KEY: Final = re.compile(r"(?:.*/)?([0-9a-f]{2})/([0-9a-f]{62})")


class BlobBucket:
    """A bucket as the place of blobs. What is removed goes when something else is written."""

    def __init__(self, url: str, node: NodeId, root: Path) -> None:
        """Reach the bucket's part of this node; raise ConfigError or UsageError for none."""
        bucket, prefix = bucket_and_prefix(url)
        self._prefix = "/".join([*filter(None, [prefix]), node.hex()])
        self._where = f"s3://{bucket}/{self._prefix}"
        self._store = store_of(bucket, self._prefix)
        self._noted = root / "noted"
        self._noted.mkdir(mode=0o700, exist_ok=True)
        self._change = threading.Condition()
        self._known: set[bytes] = set()
        self._busy: set[bytes] = set()
        self._doomed: set[bytes] = set()

    @staticmethod
    def _key(name: bytes) -> str:
        text = name.hex()
        return f"{text[:2]}/{text[2:]}"

    def sizes(self) -> OrderedDict[bytes, int]:
        """List the blobs with their sizes, the longest unused first."""
        import obstore

        found = []
        with told(self._where):
            for each in (each for batch in obstore.list(self._store) for each in batch):
                match = _KEY.fullmatch(each["path"])
                if match is None:
                    continue
                name = bytes.fromhex(match[1] + match[2])
                noted_ms = self._marked_ms(name)
                if noted_ms is None:
                    noted_ms = int(each["last_modified"].timestamp() * 1000)
                found.append((noted_ms, name, each["size"]))
        self._known = {name for _, name, _ in found}
        return OrderedDict((name, size) for _, name, size in sorted(found))

    def write(self, name: bytes, data: bytes, draft: Path, *, is_synced: bool) -> None:  # noqa: ARG002
        """Keep a blob; a bucket keeps all of them as well as it can."""
        self._put(name, data)

    def adopt(self, name: bytes, draft: Path, *, is_synced: bool) -> None:  # noqa: ARG002
        """Send a whole file, part by part; the draft goes, unless that fails."""
        try:
            self._put(name, draft)
        except FileExistsError:
            draft.unlink(missing_ok=True)
            raise
        draft.unlink(missing_ok=True)

    def _put(self, name: bytes, data: bytes | Path) -> None:
        import obstore

        self.settle()
        with self._working(name):
            if name in self._known:
                raise FileExistsError(self._key(name))
            with told(self._where):
                obstore.put(
                    self._store,
                    self._key(name),
                    data,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            with suppress(OSError):  # without that the store's own time serves
                self.note_ms(name)
            with self._change:
                self._doomed.discard(name)
                self._known.add(name)

    @contextmanager
    def _working(self, name: bytes) -> Iterator[None]:
        """Let nobody else write or delete a blob."""
        with self._change:
            while name in self._busy:
                self._change.wait()
            self._busy.add(name)
        try:
            yield
        finally:
            with self._change:
                self._busy.discard(name)
                self._change.notify_all()

    def sync(self, name: bytes) -> None:
        """Do nothing: what is there is durable."""

    def read(self, name: bytes) -> bytes:
        """Give all bytes."""
        import obstore

        with self._reading(name):
            return bytes(obstore.get(self._store, self._key(name)).bytes())

    def piece(self, name: bytes, start: int, count: int) -> bytes:
        """Give some bytes, as far as there are."""
        import obstore

        with self._reading(name):
            size_bytes = obstore.head(self._store, self._key(name))["size"]
            count = min(count, size_bytes - start)
            if count <= 0:
                return b""
            return bytes(obstore.get_range(self._store, self._key(name), start=start, length=count))

    def chunks(self, name: bytes) -> Iterator[bytes]:
        """Give all bytes, a chunk at a time."""
        start = 0
        while read := self.piece(name, start, _READ_BYTES):
            for place in range(0, len(read), CHUNK_BYTES):
                yield read[place : place + CHUNK_BYTES]
            start += len(read)
            if len(read) < _READ_BYTES:
                return

    def holds(self, name: bytes) -> bool:
        """Tell whether there is a blob of this name."""
        return name in self._known

    @contextmanager
    def _reading(self, name: bytes) -> Iterator[None]:
        if name not in self._known:
            raise FileNotFoundError(self._key(name))
        with told(self._where):
            try:
                yield
            except FileNotFoundError:  # somebody else removed it
                self._known.discard(name)
                is_gone = True
            else:
                is_gone = False
        if is_gone:
            raise FileNotFoundError(self._key(name))

    def remove(self, name: bytes) -> None:
        """Forget a blob: its object goes later, as who calls may not wait."""
        with self._change:
            if name in self._known:
                self._known.discard(name)
                self._doomed.add(name)

    def settle(self) -> None:
        """Delete what was removed."""
        import obstore

        while True:
            with self._change:
                name = next(iter(self._doomed), None)
                self._doomed.discard(name or b"")
            if name is None:
                return
            with self._working(name):
                if name in self._known:
                    continue  # it was put again
                try:
                    with told(self._where):
                        obstore.delete(self._store, self._key(name))
                except StoreError:
                    with self._change:
                        self._doomed.add(name)
                    return  # what is written next will say so
                self._mark(name).unlink(missing_ok=True)

    def set_aside(self, name: bytes) -> str:
        """Move wrong bytes to the damaged ones, of which so many are kept."""
        import obstore

        place = f"damaged/{name.hex()}"
        with self._reading(name):
            obstore.rename(self._store, self._key(name), place)
            found = [each for batch in obstore.list(self._store, "damaged") for each in batch]
            found.sort(key=lambda each: each["last_modified"])
            for each in found[:-DAMAGED_FILES_MAX]:
                obstore.delete(self._store, f"damaged/{each['path'].rpartition('/')[2]}")
        with self._change:
            self._known.discard(name)
        return f"{self._where}/{place}"

    def _mark(self, name: bytes) -> Path:
        return self._noted / name.hex()

    def _marked_ms(self, name: bytes) -> int | None:
        try:
            return self._mark(name).stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return None

    def noted_ms(self, name: bytes) -> int:
        """Give when a blob was needed last."""
        import obstore

        marked_ms = self._marked_ms(name)
        if marked_ms is not None and name in self._known:
            return marked_ms
        with self._reading(name):
            modified = obstore.head(self._store, self._key(name))["last_modified"]
            return int(modified.timestamp() * 1000)

    def note_ms(self, name: bytes, noted_ms: int | None = None) -> None:
        """Note when a blob was needed last, on this disk."""
        mark = self._mark(name)
        mark.touch(mode=0o600)
        if noted_ms is not None:
            os.utime(mark, ns=(noted_ms * 1_000_000, noted_ms * 1_000_000))
