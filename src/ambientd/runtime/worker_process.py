"""One worker process as the daemon sees it: started, asked over two pipes, ended."""

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from fcntl import fcntl

import trio

from ambientd.codec import canonical
from ambientd.errors import RemoteProtocolError
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Reply,
    Request,
)

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, Linux only
_PIPE_BYTES = 1 << 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerLostError(Exception):
    """The process died or stopped making sense."""


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """A process and its pipes, and what is loaded there."""

    process: subprocess.Popen[bytes]
    requests: trio.lowlevel.FdStream
    replies: trio.lowlevel.FdStream
    statistics: int | None  # an open /proc/PID/statm
    loaded: set[bytes] = field(default_factory=set)
    uses: int = 0
    lent_since_look: bool = False
    _received: bytearray = field(default_factory=bytearray)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    @classmethod
    def start(cls, command: tuple[str, ...]) -> "WorkerProcess":
        """Start a process; raise OSError if there is no such command."""
        # From this thread, not a pool thread: the process dies with the thread that started it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is for the daemon alone
            bufsize=0,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        streams: list[trio.lowlevel.FdStream] = []
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # only larger pipes, only where they exist
                fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)
            streams.append(trio.lowlevel.FdStream(os.dup(pipe.fileno())))
            pipe.close()
        statistics = None
        with contextlib.suppress(OSError):
            statistics = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        requests, replies = streams
        return cls(process, requests, replies, statistics)

    def resident_bytes(self) -> int:
        """Return the memory that the process occupies, 0 where the system does not tell."""
        if self.statistics is None:
            return 0
        try:
            return int(os.pread(self.statistics, 64, 0).split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def is_quiet(self) -> bool:
        """Tell whether it lives and has said nothing unasked: that would pass for an answer."""
        if self._received:
            return False
        try:
            os.read(self.replies.fileno(), 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def ask(self, request: Request, code: bytes = b"") -> Reply:
        """Send one request, with code behind it where it announces some; wait for the reply."""
        data = canonical.encode(request)
        try:
            await self.requests.send_all(len(data).to_bytes(LENGTH_BYTES, "little") + data)
            if code:
                await self.requests.send_all(code)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerLostError from error
        return await self.receive()

    async def receive(self) -> Reply:
        """Wait for one frame; it may be anything, the process has run hostile code."""
        size_bytes = int.from_bytes(await self._take(LENGTH_BYTES), "little")
        if size_bytes > FRAME_BYTES_MAX:
            raise WorkerLostError
        data = await self._take(size_bytes)
        try:
            reply: Reply = canonical.decode(data, Reply, FRAME_BYTES_MAX)
        except RemoteProtocolError as error:
            raise WorkerLostError from error
        return reply

    async def _take(self, size_bytes: int) -> bytes:
        while len(self._received) < size_bytes:
            try:
                piece = await self.replies.receive_some(_PIPE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise WorkerLostError from error
            if not piece:
                raise WorkerLostError
            self._received += piece
        data = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        return data

    async def end(self) -> int:
        """Kill the process, close the pipes, and return its exit status."""
        with trio.CancelScope(shield=True):
            self.process.kill()
            status = await trio.to_thread.run_sync(self.process.wait)
            await self.requests.aclose()
            await self.replies.aclose()
            if self.statistics is not None:
                os.close(self.statistics)
                self.statistics = None
        return status
