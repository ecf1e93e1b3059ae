"""One worker process as the daemon sees it: started, asked over two pipes, ended."""

import contextlib
import os
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from fcntl import fcntl

import trio

from ambientd.codec import canonical
from ambientd.errors import RemoteProtocolError
from ambientd.ports.worker_protocol import (
    COMPILED_BYTES_MAX,
    HELLO_BYTES_MAX,
    LENGTH_BYTES,
    Reply,
    Request,
    RestoreModule,
    reply_bytes_max,
)

NICE = 5
"""So much a task yields to the daemon, and to what else its owner does (ADR 105)."""

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, Linux only
_PIPE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_IDLE_BYTES = 128 << 20  # interpreter and engine, and the mapping of compiled code


class WorkerLostError(Exception):
    """The process died or stopped making sense."""


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """A process and its pipes, and what is loaded there."""

    process: subprocess.Popen[bytes]
    requests: int
    replies: int
    statistics: int | None  # an open /proc/PID/statm
    code: int | None  # memory that the process can read, where the system has such a thing
    # Prepared module to the submitted one: who compiled it may have named another's digest.
    loaded: dict[bytes, bytes] = field(default_factory=dict)
    uses: int = 0
    has_started: bool = False
    lent_since_look: bool = False
    _received: bytearray = field(default_factory=bytearray)
    _is_closed: bool = False

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    @classmethod
    def start(cls, command: tuple[str, ...]) -> "WorkerProcess":
        """Start a process; raise OSError if there is no such command."""
        code, readable = _shared_memory()
        try:
            process = cls._spawn(command, readable)
        except OSError:
            _close(code)
            raise
        finally:
            _close(readable)
        assert process.stdin is not None
        assert process.stdout is not None
        descriptors = []
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # only larger pipes, only where they exist
                fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)
            descriptors.append(os.dup(pipe.fileno()))
            os.set_blocking(descriptors[-1], False)
            pipe.close()
        statistics = None
        with contextlib.suppress(OSError):
            statistics = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        requests, replies = descriptors
        return cls(process, requests, replies, statistics, code)

    @staticmethod
    def _spawn(command: tuple[str, ...], readable: int | None) -> subprocess.Popen[bytes]:
        # From this thread, not a pool thread: the process dies with the thread that started it.
        process = subprocess.Popen(
            command if readable is None else (*command, "--code", str(readable)),
            pass_fds=() if readable is None else (readable,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is for the daemon alone
            bufsize=0,
        )
        with contextlib.suppress(OSError):  # it has ended already, or may not be made to yield
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, own + NICE)
        return process

    @property
    def takes_code(self) -> bool:
        """Tell whether compiled code can be handed over."""
        return self.code is not None

    async def restore(self, prepared: bytes, code: bytes) -> Reply:
        """Hand over compiled code and have it loaded."""
        if self.code is None:
            raise WorkerLostError
        try:
            view = memoryview(code)
            while view:
                view = view[os.pwrite(self.code, view, len(code) - len(view)) :]
            return await self.ask(RestoreModule(prepared=prepared, size_bytes=len(code)))
        except OSError as error:
            raise WorkerLostError from error
        finally:
            # Give the memory back; the process is only to read it between request and reply.
            # Where even that is refused, the next hand-over fails, and the process is replaced.
            with contextlib.suppress(OSError):
                os.ftruncate(self.code, 0)
                os.ftruncate(self.code, COMPILED_BYTES_MAX)

    def resident_bytes(self) -> int:
        """Return the memory that the process occupies, 0 where the system does not tell."""
        if self.statistics is None:
            return 0
        try:
            return int(os.pread(self.statistics, 64, 0).split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def hold_to(self, size_bytes: int) -> None:
        """Let the process take so much more memory than it has when it is idle, where Linux is."""
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # it has ended; whoever asks it next finds out
                _, hard = resource.prlimit(self.pid, resource.RLIMIT_DATA)
                resource.prlimit(self.pid, resource.RLIMIT_DATA, (_IDLE_BYTES + size_bytes, hard))

    def is_quiet(self) -> bool:
        """Tell whether it lives and has said nothing unasked: that would pass for an answer."""
        if self._received:
            return False
        try:
            os.read(self.replies, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def ask(self, request: Request) -> Reply:
        """Send one request and wait for its reply."""
        data = canonical.encode(request)
        view = memoryview(len(data).to_bytes(LENGTH_BYTES, "little") + data)
        # On the bare descriptors: a stream looks round the event loop before each operation, which
        # took a third of a short call.
        while view:
            try:
                view = view[os.write(self.requests, view) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.requests)
            except OSError as error:
                raise WorkerLostError from error
        return await self.receive(reply_bytes_max(request))

    async def receive(self, size_bytes_max: int = HELLO_BYTES_MAX) -> Reply:
        """Wait for one frame; it may be anything, the process has run hostile code."""
        size_bytes = int.from_bytes(await self._take(LENGTH_BYTES), "little")
        if size_bytes > size_bytes_max:
            raise WorkerLostError
        data = await self._take(size_bytes)
        try:
            reply: Reply = canonical.decode(data, Reply, size_bytes_max)
        except RemoteProtocolError as error:
            raise WorkerLostError from error
        return reply

    async def _take(self, size_bytes: int) -> bytes:
        while len(self._received) < size_bytes:
            try:
                piece = os.read(self.replies, _PIECE_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.replies)
                continue
            except OSError as error:
                raise WorkerLostError from error
            if not piece:
                raise WorkerLostError
            self._received += piece
        data = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        return data

    async def end(self) -> int:
        """Kill the process, close the pipes, and return its exit status; twice is no error."""
        with trio.CancelScope(shield=True):
            self.process.kill()
            status = await trio.to_thread.run_sync(self.process.wait)
            if not self._is_closed:
                self._is_closed = True
                for pipe in (self.requests, self.replies):
                    trio.lowlevel.notify_closing(pipe)
                for descriptor in (self.requests, self.replies, self.statistics, self.code):
                    _close(descriptor)
        return status


def _shared_memory() -> tuple[int | None, int | None]:
    """Make memory for compiled code: one descriptor that writes, one that only reads."""
    if not hasattr(os, "memfd_create"):
        return None, None
    code = os.memfd_create("ambient-compiled-code")
    try:
        os.ftruncate(code, COMPILED_BYTES_MAX)
        return code, os.open(f"/proc/self/fd/{code}", os.O_RDONLY | os.O_CLOEXEC)
    except BaseException:
        os.close(code)
        raise


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
