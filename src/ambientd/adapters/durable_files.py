"""Files that are either wholly there or not at all, after a power cut too."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Force to disk what a file holds."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600, and force its bytes to disk; nothing is left on failure."""
    write_new(path, data, is_synced=True)


def write_new(path: Path, data: bytes, *, is_synced: bool) -> None:
    """Write a new file, mode 0600, forced to disk or not; nothing is left on failure."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_synced(path: Path, draft: Path, data: bytes) -> None:
    """Put a file in the place of an earlier one, durably; a draft that a crash left goes."""
    draft.unlink(missing_ok=True)
    write_synced(draft, data)
    draft.replace(path)
    sync_directory(path.parent)
