"""Give up everything a worker does not need, and say what could really be given up.

Afterwards only computing, memory and the open pipes are left. Landlock binds the calling thread
alone, so the process must have no other; the system call filter then lets it start none.
"""

import ctypes
import mmap
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

from ambientd.model.execution import MEMORY_BYTES_CEILING
from ambientd.ports.worker_protocol import Protection

ADDRESS_SPACE_BYTES_MAX = 16 << 30
# Linear memory, stack, compiled modules, frames in both directions, and the interpreter.
DATA_BYTES_MAX = MEMORY_BYTES_CEILING + (2 << 30)

# More than any engine here lets a module take (adapters/wasmtime_engine.py: 6 MiB).
STACK_BYTES_MAX = 16 << 20

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_LANDLOCK_VERSION_QUERY = 1
_SECCOMP_SET_MODE_FILTER, _SECCOMP_ALL_THREADS = 1, 1

# What computing, memory and two open pipes need; a call that is not here fails with EPERM.
_ALLOWED = {  # name: (number on x86-64, number on aarch64)
    "read": (0, 63),
    "readv": (19, 65),
    "write": (1, 64),
    "writev": (20, 66),
    "close": (3, 57),
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "setitimer": (38, 103),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrandom": (318, 278),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# machine: (audit architecture, number of seccomp(2), column of _ALLOWED)
_MACHINES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_SECCOMP_NUMBER_AT, _SECCOMP_ARCHITECTURE_AT = 0, 4
_KILL_PROCESS, _FAIL_WITH_EPERM, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000


def lock_down() -> frozenset[Protection]:
    """Take every protection this platform has, once all is imported and warm; tell which hold."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the daemon to act on
    os.environ.clear()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    steps = (
        (Protection.EMPTY_ENVIRONMENT, not os.environ),
        (Protection.MEMORY_PROMISED, _memory_is_promised()),
        (Protection.FIRST_VICTIM, _is_first_victim()),
        (Protection.DIES_WITH_PARENT, _control(libc, _PR_SET_PDEATHSIG, int(signal.SIGKILL))),
        (Protection.NO_NEW_PRIVILEGES, _control(libc, _PR_SET_NO_NEW_PRIVS, 1)),
        (Protection.FILES, _landlock(libc)),
        (Protection.RESOURCES, _limit_resources()),
        (Protection.SYSTEM_CALLS, _filter_system_calls(libc)),  # last: it forbids the others
    )
    return frozenset(protection for protection, holds in steps if holds)


def _control(libc: ctypes.CDLL | None, option: int, value: int) -> bool:
    return libc is not None and libc.prctl(option, value, 0, 0, 0) == 0


def _memory_is_promised() -> bool:
    """Tell whether `memory.grow` up to the limit can never be refused by this kernel.

    Under strict accounting (mode 2) another process may take the memory first; otherwise the
    kernel decides by size alone, so one trial answers for all executions.
    """
    if sys.platform == "linux":
        try:
            mode = Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip()
        except OSError:
            return False
        if mode == "2":
            return False
    return memory_is_there(MEMORY_BYTES_CEILING)


def memory_is_there(size_bytes: int) -> bool:
    """Tell whether this process may have so much more memory now; a trial of 2 µs."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True


def _is_first_victim() -> bool:
    """Ask the kernel to end this process before any other when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return False
    return True


def _landlock(libc: ctypes.CDLL | None) -> bool:
    """Deny every file operation, TCP and signals to outsiders, as far as this kernel knows them."""
    if libc is None:
        return False
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION_QUERY)
    if version < 1:
        return False
    file_rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    rules = struct.pack(
        "=QQQ",
        (1 << file_rights) - 1,
        0b11 if version >= 4 else 0,  # TCP
        0b11 if version >= 6 else 0,  # abstract sockets, signals
    )
    size_bytes = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_LANDLOCK_CREATE, rules, size_bytes, 0)
    if ruleset < 0:
        return False
    denied = libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(denied)


def _limit_resources() -> bool:
    limits = {
        "RLIMIT_AS": ADDRESS_SPACE_BYTES_MAX,
        "RLIMIT_DATA": DATA_BYTES_MAX,
        "RLIMIT_STACK": STACK_BYTES_MAX,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": 3,  # the two pipes and the null device on standard error
    }
    held = [_limit(name, value) for name, value in limits.items()]
    return all(held)


def _limit(name: str, value: int) -> bool:
    """Lower one limit for good; a platform that lacks it, or takes it from nobody, has the rest."""
    try:
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (lower, lower))
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _filter_system_calls(libc: ctypes.CDLL | None) -> bool:
    machine = _MACHINES.get(platform.machine())
    if machine is None or libc is None:
        return False
    architecture, seccomp, column = machine
    numbers = sorted(pair[column] for pair in _ALLOWED.values())
    program = filter_program(architecture, numbers)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return bool(
        libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_ALL_THREADS, described) == 0
    )


def filter_program(architecture: int, numbers: list[int]) -> bytes:
    """Assemble the filter: a foreign architecture dies, an unlisted call fails with EPERM.

    On x86-64 the x32 calls carry a high bit in their numbers and so are unlisted.
    """
    steps = [
        (_LOAD_WORD, 0, 0, _SECCOMP_ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _SECCOMP_NUMBER_AT),
    ]
    left = len(numbers)
    for number in numbers:
        steps.append((_JUMP_IF_EQUAL, left, 0, number))
        left -= 1
    steps += [(_RETURN, 0, 0, _FAIL_WITH_EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
