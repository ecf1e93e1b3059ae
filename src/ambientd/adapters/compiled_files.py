"""Compiled modules as files named by the hash of the submitted module, under `compiled/`.

An engine runs what it is given here as machine code, so a file counts only with the device's own
authentication code over all of it: AES-256-GCM without plaintext, many times as fast as a keyed
hash, so that checking a file costs no more than reading it. One that is torn, changed, copied
from another device or made by another version is deleted, said so in the log, and made again.
"""

import contextlib
import errno
import logging
import os
import platform
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from ambientd import __version__
from ambientd.adapters.durable_files import write_synced
from ambientd.adapters.keys import draw_secret
from ambientd.adapters.packages import installed_version
from ambientd.codec import canonical
from ambientd.codec.digest import tagged
from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.model.base import Value
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.worker_protocol import COMPILED_BYTES_MAX
from ambientd.wasm.interface import Interface
from ambientd.wasm.prepare import REWRITER_VERSION

_log = logging.getLogger(__name__)

QUOTA_BYTES = 512 * 1024 * 1024
_FIXED_PARTS = _NONCE_BYTES, _TAG_BYTES, _LENGTH_BYTES = 12, 16, 4
_HEADER_BYTES_MAX = 1 << 16
_NAME_CHARACTERS = 64


class _Header(Value, frozen=True):
    """What an entry is for; the code follows it."""

    source: bytes
    engine: str
    host: bytes
    rewriter_version: int
    prepared: bytes
    interface: str
    imports: tuple[str, ...]
    is_compiled: bool


def compiled_key(seed: bytes) -> bytes:
    """Derive the key that authenticates this device's compiled modules from its own key."""
    return tagged("ambient/compiled-modules/1", seed)


class CompiledFiles:
    """A ModuleCache on disk within a quota; what nobody used for the longest time makes room."""

    def __init__(self, root: Path, key: bytes, *, quota_bytes: int = QUOTA_BYTES) -> None:
        """Open or create the folder; drafts that a crash left are removed."""
        self.root = root
        self._key = key
        self._quota_bytes = quota_bytes
        self._host = _host_identity()
        self._lock = threading.Lock()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for draft in root.glob(".*"):
                draft.unlink()
            self._sizes = _sizes_by_age(root)
        except OSError as error:
            msg = (
                f"cannot use the folder of compiled modules {root}: {error.strerror}; "
                "the daemon's user must own it and its disk must be writable"
            )
            raise StoreError(msg) from error

    @property
    def used_bytes(self) -> int:
        """Give the size of all entries together."""
        return sum(self._sizes.values())

    def find(self, source: bytes, engine: str) -> ReadyModule | None:
        """Give the module that was kept here for this engine, or None; a bad entry is deleted."""
        path = self._path(source)
        try:
            with path.open("rb", buffering=0) as file:
                nonce, tag, length = (file.read(size) for size in _FIXED_PARTS)
                header = file.read(min(int.from_bytes(length, "little"), _HEADER_BYTES_MAX))
                # Asked for its very size: a generous number took four times as long.
                left = os.fstat(file.fileno()).st_size - file.tell()
                code = file.read(min(left, COMPILED_BYTES_MAX))
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("compiled module %s cannot be read: %s", path, error.strerror)
            return None
        if not self._is_authentic(nonce, tag, (length, header, code)):
            found: ReadyModule | str = "is not what this device wrote"
        else:
            found = self._open(source, engine, header, code)
        if isinstance(found, str):
            _log.warning("compiled module %s %s: deleted, it is compiled again", path, found)
            self.discard(source)
            return None
        with contextlib.suppress(OSError), self._lock:
            self._sizes[source.hex()] = self._sizes.pop(source.hex(), len(code))
            os.utime(path)
        return found

    def _is_authentic(self, nonce: bytes, tag: bytes, parts: Sequence[bytes]) -> bool:
        if (len(nonce), len(tag)) != (_NONCE_BYTES, _TAG_BYTES):
            return False
        # With the first module: a node that executes nothing needs none of it.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        check = Cipher(algorithms.AES256(self._key), modes.GCM(nonce, tag)).decryptor()
        for part in parts:
            check.authenticate_additional_data(part)
        try:
            check.finalize()
        except InvalidTag:
            return False
        return True

    def _authenticated(self, parts: Sequence[bytes]) -> tuple[bytes, ...]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        nonce = draw_secret(_NONCE_BYTES)
        maker = Cipher(algorithms.AES256(self._key), modes.GCM(nonce)).encryptor()
        for part in parts:
            maker.authenticate_additional_data(part)
        maker.finalize()
        return nonce, maker.tag, *parts

    def _open(self, source: bytes, engine: str, head: bytes, code: bytes) -> ReadyModule | str:
        """Give the module in an entry, or what is wrong with the entry."""
        try:
            header: _Header = canonical.decode(head, _Header)
            interface = Interface(header.interface)
        except (RemoteProtocolError, ValueError):
            return "is of another version"
        made_for = (header.source, header.engine, header.host, header.rewriter_version)
        if made_for != (source, engine, self._host, REWRITER_VERSION):
            return "was made for another module, engine, processor or version"
        return ReadyModule(
            source=source,
            prepared=header.prepared,
            interface=interface,
            imports=header.imports,
            code=code,
            is_compiled=header.is_compiled,
        )

    def keep(self, engine: str, module: ReadyModule) -> None:
        """Keep a module; a full disk only costs the time to compile it again."""
        name = module.source.hex()
        header = canonical.encode(
            _Header(
                source=module.source,
                engine=engine,
                host=self._host,
                rewriter_version=REWRITER_VERSION,
                prepared=module.prepared,
                interface=module.interface.value,
                imports=module.imports,
                is_compiled=module.is_compiled,
            )
        )
        length = len(header).to_bytes(_LENGTH_BYTES, "little")
        data = b"".join(self._authenticated((length, header, module.code)))
        if len(data) > self._quota_bytes:
            return
        draft = self.root / f".{name}.{draw_secret(4).hex()}"
        try:
            self._make_room(len(data))
            write_synced(draft, data)
            draft.replace(self._path(module.source))
        except OSError as error:
            draft.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "make room on its disk" if full else "check the folder and its disk"
            _log.warning("cannot keep a module in %s: %s; %s", self.root, error.strerror, advice)
            return
        with self._lock:
            self._sizes.pop(name, None)
            self._sizes[name] = len(data)

    def _make_room(self, size_bytes: int) -> None:
        with self._lock:
            while self._sizes and self.used_bytes + size_bytes > self._quota_bytes:
                name, _ = self._sizes.popitem(last=False)
                (self.root / name).unlink(missing_ok=True)

    def discard(self, source: bytes) -> None:
        """Forget a module; forgetting an unknown one is no error."""
        with self._lock:
            self._sizes.pop(source.hex(), None)
            with contextlib.suppress(OSError):
                self._path(source).unlink(missing_ok=True)

    def _path(self, source: bytes) -> Path:
        return self.root / source.hex()


def _host_identity() -> bytes:
    """Tell processors and builds apart: code for one may use what another does not have."""
    features = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.partition(":")[0].strip() in ("flags", "Features"):
                features = line
                break
    # Our own settings of an engine are part of what made the code.
    ours = [__version__]
    if (engines := installed_version("ambientd-engines")) is not None:
        ours.append(engines)
    parts = (platform.system(), platform.machine(), platform.processor(), features, *ours)
    return tagged("ambient/processor/1", *(part.encode() for part in parts))


def _sizes_by_age(root: Path) -> OrderedDict[str, int]:
    """List the entries with their sizes, the longest unused first."""
    found = []
    for file in root.iterdir():
        status = file.stat()
        if len(file.name) == _NAME_CHARACTERS:
            found.append((status.st_mtime_ns, file.name, status.st_size))
    return OrderedDict((name, size) for _, name, size in sorted(found))
