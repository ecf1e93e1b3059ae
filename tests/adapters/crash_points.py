"""Stop a real process before each of its writes to disk, and say what a crash there leaves.

The child is traced: it stops at the entry of every system call that changes or syncs a file. A
kill there leaves exactly what the page cache holds, so either the child is killed at the n-th
call, or its folder is copied at every call and the child goes on. Beside that copy a second one
is kept of what each file held at its last sync: a power cut leaves any mix of the two.
"""

import ctypes
import os
import platform
import random
import shutil
import signal
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512

_TRACEME, _SETOPTIONS, _SYSCALL, _GET_SYSCALL_INFO = 0, 0x4200, 24, 0x420E
_SYSGOOD, _CLONE, _EXITKILL = 1, 8, 1 << 20
_ENTRY = 1
_WALL = 0x40000000
_WRITE, _RESIZE, _SYNC, _UNLINK, _RENAME = "write", "resize", "sync", "unlink", "rename"
# write, pwrite, writev and fallocate; ftruncate; fsync and fdatasync; unlink and rename.
_NUMBERS = {
    "x86_64": ((1, 18, 20, 296, 285), (77,), (74, 75, 277), (87, 263), (82, 264, 316)),
    "aarch64": ((64, 66, 68, 70, 47), (46,), (82, 83, 84), (35,), (38, 276)),
}.get(platform.machine(), ())
_AT = frozenset({263, 264, 316} if platform.machine() == "x86_64" else {35, 38, 276})
"""Calls that name a file by their second argument."""
_CALLS = {
    number: name
    for name, numbers in zip((_WRITE, _RESIZE, _SYNC, _UNLINK, _RENAME), _NUMBERS, strict=False)
    for number in numbers
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int = 0, data: object = 0) -> int:
    result = _libc.ptrace(request, pid, address, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return int(result)


@dataclass(slots=True)
class Moment:
    """The child stands before a call: what it has acknowledged, and what a crash now leaves."""

    number: int
    call: str
    acknowledged: int
    folder: Path
    synced: dict[int, bytes] = field(default_factory=dict)
    """By inode, what each file held at its last sync; `cut` says how short it was made since."""
    cut: dict[int, int] = field(default_factory=dict)

    def copy_to(self, place: Path) -> None:
        """Leave what a kill leaves."""
        shutil.copytree(self.folder, place)

    def power_cut_to(self, place: Path, source: random.Random) -> None:
        """Leave what a power cut may leave: of each sector the synced or the present bytes."""
        for path, now, old in self._unsynced(place, source):
            size = source.choice([len(now), len(old), source.randint(0, len(now))])
            size = max(size, min(len(now), len(old)))
            keep = source.choice([0.0, 0.2, 0.5, 0.9, 1.0])
            mixed = bytearray()
            for start in range(0, size, SECTOR):
                end = min(size, start + SECTOR)
                chosen = now if source.random() < keep else old
                mixed += chosen[start:end].ljust(end - start, b"\0")
            path.write_bytes(mixed)

    def shortened_to(self, place: Path, source: random.Random) -> None:
        """Leave a start of what was appended to each file since its last sync."""
        for path, now, old in self._unsynced(place, source):
            assert now.startswith(old), f"{path.name} is not only appended to"
            path.write_bytes(now[: source.randint(len(old), len(now))])

    def _unsynced(self, place: Path, source: random.Random) -> Iterator[tuple[Path, bytes, bytes]]:
        self.copy_to(place)
        for live in sorted(self.folder.rglob("*")):
            path = place / live.relative_to(self.folder)
            if not path.is_file():
                continue
            inode = live.stat().st_ino
            now, old = path.read_bytes(), self.synced.get(inode, b"")
            if inode in self.cut:
                # A file is shortened wholly or not at all, and what was written after comes after.
                if source.random() < 0.3:
                    path.write_bytes(old)
                    continue
                old = old[: self.cut[inode]]
            yield path, now, old


def moments(
    action: Callable[[Path], Iterator[None]], folder: Path, *, but: str = ""
) -> Iterator[Moment]:
    """Run `action(folder)` in a traced child; give every moment before it changes the folder.

    What is there at the beginning counts as synced. Each value that the action yields
    acknowledges what it has written so far; a program that it executes writes a byte to the
    handle named by $ACKNOWLEDGE. Files named `but` do not count.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    child = _start(action, folder, writer)
    os.close(writer)
    files = [path for path in folder.rglob("*") if path.is_file()]
    synced = {path.stat().st_ino: path.read_bytes() for path in files}
    cut: dict[int, int] = {}
    number = acknowledged = 0
    try:
        for thread, call, subject, second in _calls(child):
            if call in (_UNLINK, _RENAME):
                path = _name_at(thread, subject)
            else:
                path = _file_of(thread, subject)
            if path is None or not path.is_relative_to(folder) or path.name == but:
                continue
            acknowledged += _count(reader)
            yield Moment(number, call, acknowledged, folder, synced, cut)
            number += 1
            if not path.is_file():
                continue
            state = path.stat()
            if call == _SYNC:
                # The child stands still: what is there now is what the call syncs.
                synced[state.st_ino] = path.read_bytes()
                cut.pop(state.st_ino, None)
            elif call == _UNLINK:
                synced.pop(state.st_ino, None)
            elif call == _RESIZE and second < state.st_size:
                cut[state.st_ino] = min(second, cut.get(state.st_ino, second))
    finally:
        os.close(reader)
        _end(child)


def kill_at(
    action: Callable[[Path], Iterator[None]], folder: Path, number: int, *, but: str = ""
) -> int | None:
    """Kill the child before its `number`-th call; give how much was acknowledged, None if past."""
    running = moments(action, folder, but=but)
    try:
        for moment in running:
            if moment.number == number:
                return moment.acknowledged
    finally:
        running.close()  # type: ignore[attr-defined]
    return None


def _start(action: Callable[[Path], Iterator[None]], folder: Path, writer: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.set_inheritable(writer, True)
        os.environ["ACKNOWLEDGE"] = str(writer)
        _ptrace(_TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        for _ in action(folder):
            os.write(writer, b".")
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may run on in the copy of the test process
        os._exit(1)


def _calls(child: int) -> Iterator[tuple[int, str, int, int]]:
    """Drive the traced process; give thread, call, the file it names, and its second argument."""
    os.waitpid(child, 0)
    _ptrace(_SETOPTIONS, child, 0, _SYSGOOD | _CLONE | _EXITKILL)
    _ptrace(_SYSCALL, child)
    info = ctypes.create_string_buffer(96)
    while True:
        thread, status = os.waitpid(-1, _WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == child:
                assert os.WIFEXITED(status), f"the child died of {os.WTERMSIG(status)}"
                assert os.WEXITSTATUS(status) == 0, "the action failed in the child"
                return
            continue
        passed_on = 0
        number = os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            _ptrace(_GET_SYSCALL_INFO, thread, len(info), info)
            # struct ptrace_syscall_info: op, padding, arch, two pointers, then number and args.
            if info.raw[0] == _ENTRY:
                call_number, first, second = struct.unpack_from("QQQ", info.raw, 24)
                call = _CALLS.get(call_number)
                if call is not None:
                    yield thread, call, second if call_number in _AT else first, second
        elif number not in (signal.SIGTRAP, signal.SIGSTOP):
            passed_on = number
        _ptrace(_SYSCALL, thread, 0, passed_on)


def _file_of(thread: int, handle: int) -> Path | None:
    try:
        return Path(os.readlink(f"/proc/{thread}/fd/{handle & 0xFFFFFFFF}"))
    except OSError:
        return None


def _name_at(thread: int, address: int) -> Path | None:
    try:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return Path(os.fsdecode(memory.read(4096).split(b"\0")[0]))
    except OSError:
        return None


def _count(reader: int) -> int:
    try:
        return len(os.read(reader, 4096))
    except BlockingIOError:
        return 0


def memory_folder(folder: Path) -> Path:
    """Give a folder in memory where there is one: what is synced here needs no disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        return folder
    return Path(tempfile.mkdtemp(prefix="ambient-test-", dir=shared))


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        # Each of its threads is traced and must be seen off; the process itself comes last.
        while os.waitpid(-1, _WALL)[0] != child:
            pass
    except (ProcessLookupError, ChildProcessError):
        return
