"""The audit trail of a node's folder, read without its daemon."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ambientd.adapters.trail_files import TrailCheck, TrailEntry, check_trail, read_trail
from ambientd.config.places import Places


def last_entries(data_dir: Path, count: int) -> list[TrailEntry]:
    """Give the newest entries, the oldest of them first."""
    return list(deque(read_trail(Places(data_dir).trail), maxlen=count))


def all_entries(data_dir: Path) -> Iterator[TrailEntry]:
    """Give every entry that is kept."""
    return read_trail(Places(data_dir).trail)


def check(data_dir: Path, head: tuple[int, str] | None) -> TrailCheck:
    """Follow the chain of hashes."""
    return check_trail(Places(data_dir).trail, head)
