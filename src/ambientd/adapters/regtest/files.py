"""The files of a regtest chain's data directory, light enough for every daemon to import."""

import os
import shutil
from pathlib import Path

COOKIE_FILE = ".cookie"
ENDPOINT_FILE = "endpoint"
LOCK_FILE = "lock"
PROCESS_LOG_FILE = "regtest.log"
KERNEL_FOLDER = "kernel"
NEW_CHAIN_MIB = 67
"""Room that the engine wants for a new chain: 16 MiB that it takes, and 50 that it leaves free."""


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file that only its owner may read; a reader sees the old one or the new one."""
    staged = path.with_name(f"{path.name}.new")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    staged.replace(path)


def read_endpoint(data_dir: Path) -> int | None:
    """Give the port that a running chain has written, or None."""
    try:
        text = (data_dir / ENDPOINT_FILE).read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    port = text.strip().removeprefix("127.0.0.1:")
    return int(port) if port.isdigit() and int(port) < 1 << 16 else None


def lack_of_room(data_dir: Path) -> str:
    """Say what the disk of a folder, there or not yet, lacks for a new chain; empty if nothing."""
    there = next(each for each in (data_dir, *data_dir.absolute().parents) if each.is_dir())
    free_mib = shutil.disk_usage(there).free >> 20
    if free_mib >= NEW_CHAIN_MIB:
        return ""
    return f"{there} has {free_mib} MiB of room, and a new chain needs {NEW_CHAIN_MIB}: make room"


def lack_of_chain(data_dir: Path) -> str:
    """Say that a folder holds no chain, and what follows for who used one; empty if it holds it."""
    if (data_dir / KERNEL_FOLDER).is_dir():
        return ""
    return (
        f"no embedded chain is in {data_dir}, and another would begin there at height 0, which "
        "knows no earlier anchor: put the old chain's folder there, or name its place as [bitcoin] "
        "embedded_dir in config.toml"
    )
