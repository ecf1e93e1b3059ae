"""A control group (cgroup v2) for each worker process, where a subtree is delegated to the daemon.

Delegation is what systemd marks with an extended attribute (`Delegate=yes` in the unit); a group
that is merely writable, as all are for root, is somebody else's and left alone.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_CONTROLLERS = ("memory", "pids")
_LEAF = "daemon"  # a group with children that are limited must not hold processes itself
_WORKER_PREFIX = "worker-"


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What the kernel holds one worker process to; no limit of processor time if it is 0."""

    memory_bytes_max: int
    processes_max: int = 1
    cpu_percent_max: int = 0


class ControlGroups:
    """The delegated subtree, with the daemon in a leaf of its own."""

    def __init__(self, root: Path) -> None:
        """Take over a delegated group; raise OSError if it does not have what is needed."""
        self.root = root
        leaf = root / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in (root / "cgroup.procs").read_text("ascii").split():
            (leaf / "cgroup.procs").write_text(pid, "ascii")
        controllers = (root / "cgroup.controllers").read_text("ascii").split()
        for name in (*_CONTROLLERS, *(["cpu"] if "cpu" in controllers else [])):
            (root / "cgroup.subtree_control").write_text(f"+{name}", "ascii")
        for left_over in root.glob(f"{_WORKER_PREFIX}*"):
            with contextlib.suppress(OSError):
                left_over.rmdir()

    def adopt(self, pid: int, limits: GroupLimits) -> bool:
        """Put a process into a group of its own; tell whether its limits hold."""
        group = self.root / f"{_WORKER_PREFIX}{pid}"
        try:
            group.mkdir()
            (group / "memory.max").write_text(str(limits.memory_bytes_max), "ascii")
            (group / "pids.max").write_text(str(limits.processes_max), "ascii")
            if limits.cpu_percent_max:
                quota = f"{limits.cpu_percent_max * 1_000} 100000"
                (group / "cpu.max").write_text(quota, "ascii")
            (group / "cgroup.procs").write_text(str(pid), "ascii")
        except OSError:
            self.release(pid)
            return False
        return True

    def release(self, pid: int) -> None:
        """Remove the group of a process that has ended."""
        with contextlib.suppress(OSError):
            (self.root / f"{_WORKER_PREFIX}{pid}").rmdir()


def delegated_groups() -> ControlGroups | None:
    """Give the subtree that is delegated to this process, None where there is none."""
    try:
        root = _own_group()
        return None if root is None else ControlGroups(root)
    except OSError:
        return None


def _own_group() -> Path | None:
    mounts = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    mounted = next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
    groups = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    own = next((line[3:] for line in groups if line.startswith("0::/")), None)
    if mounted is None or own is None:
        return None
    here = Path(mounted) / own.lstrip("/")
    # systemd can put the daemon into the leaf by itself (DelegateSubgroup=).
    for group in (here, here.parent):
        if _is_delegated(group) and os.access(group / "cgroup.procs", os.W_OK):
            return group
    return None


def _is_delegated(group: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False
