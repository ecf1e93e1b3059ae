"""Where the files of a node are."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from ambientd.errors import ConfigError

# sun_path holds 108 bytes with the terminating zero on Linux, 104 on macOS and the BSDs.
SOCKET_PATH_BYTES_MAX = 107 if os.uname().sysname == "Linux" else 103


class Places(msgspec.Struct, frozen=True):
    """The files inside one data directory."""

    data_dir: Path

    @property
    def config(self) -> Path:
        """Give the operator's file."""
        return self.data_dir / "config.toml"

    @property
    def key(self) -> Path:
        """Give the identity key, readable by its owner alone."""
        return self.data_dir / "node.key"

    @property
    def genesis(self) -> Path:
        """Give the genesis in canonical bytes, whose hash is the cluster's fingerprint."""
        return self.data_dir / "genesis.bin"

    @property
    def genesis_json(self) -> Path:
        """Give the same genesis for people; its fingerprint tells when the other is damaged."""
        return self.data_dir / "genesis.json"

    @property
    def invitation(self) -> Path:
        """Give the join token of a node that has not joined yet."""
        return self.data_dir / "invitation.token"

    @property
    def voted_mark(self) -> Path:
        """Give the mark that this key has voted: without what it voted for it never votes again."""
        return self.data_dir / "node.voted"

    @property
    def trail(self) -> Path:
        """Give the folder of the audit trail."""
        return self.data_dir / "trail"

    @property
    def keys_asked(self) -> Path:
        """Give what was done under idempotency keys."""
        return self.data_dir / "idempotency.keys"

    @property
    def telemetry(self) -> Path:
        """Give the folder of what nodes said of themselves, where that is kept."""
        return self.data_dir / "telemetry"

    @property
    def owner(self) -> Path:
        """Give what the owner lets the node do, as `ambientctl owner` and `pause` have it."""
        return self.data_dir / "owner.json"

    @property
    def module_pins(self) -> Path:
        """Give which modules are pinned, and what their names mean."""
        return self.data_dir / "modules.lock"

    def blob(self, sha256: str) -> Path:
        """Give where the blob of this SHA-256, in hex, lies if it is here."""
        return self.data_dir / "blobs" / sha256[:2] / sha256[2:]

    @property
    def states(self) -> Path:
        """Give the folder of states from which long executions go on."""
        return self.data_dir / "states"

    @property
    def handed_states(self) -> Path:
        """Give the folder of states that go from worker to worker."""
        return self.data_dir / "handed-states"

    @property
    def consents(self) -> Path:
        """Give which of this device's data its owner lets each study use."""
        return self.data_dir / "learning.json"

    @property
    def private_book(self) -> Path:
        """Give what this node has shown in private studies, and what that has spent."""
        return self.data_dir / "learning.book"

    @property
    def certificates(self) -> Path:
        """Give the folder of certificates against convicted nodes."""
        return self.data_dir / "blame"

    @property
    def headers(self) -> Path:
        """Give the Bitcoin headers that were checked; anyone can fetch and check them again."""
        return self.data_dir / "bitcoin.headers"

    def rpc_login(self, option: str) -> Path:
        """Give the file of a Bitcoin node's login; a relative one starts at the data directory."""
        return Path(os.path.normpath(self.data_dir / Path(option).expanduser()))

    @property
    def anchors(self) -> Path:
        """Give the anchor book: what was signed, before anybody else sees it."""
        return self.data_dir / "anchors.book"

    @property
    def peg_key(self) -> Path:
        """Give the key with which this node signs for the peg, as a member."""
        return self.data_dir / "peg.key"

    @property
    def peg_book(self) -> Path:
        """Give what was signed for the peg, before a signature leaves."""
        return self.data_dir / "peg.book"

    def http_file(self, option: str) -> Path:
        """Give a file of the HTTP front end; a relative one starts at the data directory."""
        return Path(os.path.normpath(self.data_dir / Path(option).expanduser()))

    def embedded_chain(self, option: str) -> Path:
        """Give the embedded chain's folder; a relative option starts at the data directory."""
        return Path(os.path.normpath(self.data_dir / option))


def default_data_dir() -> Path:
    """Give $AMBIENT_DATA_DIR, else the XDG data folder of this user."""
    chosen = os.environ.get("AMBIENT_DATA_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / "ambient"


def runtime_dir() -> Path:
    """Give this user's folder for sockets: $XDG_RUNTIME_DIR, else one of our own in /tmp."""
    chosen = os.environ.get("XDG_RUNTIME_DIR") or ""
    if chosen.startswith("/"):
        return Path(chosen) / "ambient"
    return Path(f"/tmp/ambient-{os.getuid()}")  # noqa: S108  (checked by ensure_private_dir)


def ensure_private_dir(path: Path) -> None:
    """Create a folder for this user alone; raise ConfigError when someone else owns it.

    It may go as soon as it is there: whoever finds it empty and leaves removes it.
    """
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
        is_private = _is_private(path)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{path}: cannot create the runtime folder: {error.strerror}; set [api] socket"
        raise ConfigError(msg) from error
    if not is_private:
        msg = f"{path}: must be a folder of this user with mode 0700; remove it or set [api] socket"
        raise ConfigError(msg)


def check_runtime_dir(socket: Path) -> None:
    """Raise PermissionError where a socket's runtime folder may be anybody's, who then answers."""
    folder = socket.parent
    if folder == runtime_dir() and not _is_private(folder):
        raise PermissionError(errno.EPERM, "its folder is not this user's alone")


def remove_runtime_dir(socket: Path) -> None:
    """Remove the runtime folder of a socket that is gone, unless others have theirs there."""
    folder = socket.parent
    with suppress(OSError):  # the system refuses while anything is in it
        if folder == runtime_dir() and _is_private(folder):
            folder.rmdir()


def _is_private(folder: Path) -> bool:
    status = folder.stat(follow_symlinks=False)
    is_own = status.st_uid == os.getuid() and not status.st_mode & 0o077
    return is_own and stat.S_ISDIR(status.st_mode)


def socket_path_for(data_dir: Path, option: str = "") -> Path:
    """Give the socket's path; a default too long for AF_UNIX moves to the runtime folder.

    Daemon and ambientctl compute the same path from the same data directory. A path that the
    operator wrote is never moved: too long is a ConfigError.
    """
    absolute = Path(os.path.abspath(data_dir))
    if option:
        path = absolute / Path(option).expanduser()
        size = len(os.fsencode(path))
        if size > SOCKET_PATH_BYTES_MAX:
            msg = (
                f"[api] socket: {path} has {size} bytes, a socket's path at most "
                f"{SOCKET_PATH_BYTES_MAX}; choose a shorter one"
            )
            raise ConfigError(msg)
        return path
    path = absolute / "ambientd.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    import hashlib  # which takes milliseconds, for paths that hardly anybody has

    name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    return runtime_dir() / f"{name}.sock"
