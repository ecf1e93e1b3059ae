"""How much memory this process may still use: what the machine has free, within its control group.

A daemon in a container sees the whole machine's memory and would be ended at the container's limit.
"""

import contextlib
import os
from pathlib import Path

_UNREADABLE = 1 << 62


def available_bytes(root: Path = Path("/")) -> int:
    """Give the smaller of the machine's available memory and what its control groups leave."""
    return min(_machine_bytes(root), _group_bytes(root))


def _machine_bytes(root: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # No such file outside Linux: half of what is built in.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _group_bytes(root: Path) -> int:
    """Give the least that any group above this process leaves, of either version."""
    left = _UNREADABLE
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            number, controllers, place = line.split(":", 2)
            if number == "0":
                base, limit, used = "sys/fs/cgroup", "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                base = "sys/fs/cgroup/memory"
                limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            mounted = root / base
            group = mounted / place.lstrip("/")
            while group.is_relative_to(mounted):
                left = min(left, _left(group / limit, group / used))
                group = group.parent
    return left


def _left(limit: Path, used: Path) -> int:
    try:
        return max(0, int(limit.read_text("ascii")) - int(used.read_text("ascii")))
    except (OSError, ValueError):  # "max", or no such controller here
        return _UNREADABLE
