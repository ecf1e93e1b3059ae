"""Network namespaces, and a switch between them that delays, reorders, loses and cuts.

A namespace has no name and is reached by an open descriptor alone, so it is gone when the processes
that hold it are; interfaces are made inside of them and nowhere else. The switch relays Ethernet
frames between TAP devices, as kernels without the netem module have nothing for this.
"""

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.chaos.enter import NEW_NET

T = TypeVar("T")
TUN = "/dev/net/tun"
PREFIX = "10.99.1."
HOME_PREFIX = "192.168.77."
_SET_TUN = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_SET_ADDRESS, _SET_MASK, _SET_FLAGS = 0x8916, 0x891C, 0x8914
_UP = 0x1
_FRAME_BYTES = 65_536
_QUEUE_MAX = 50_000


def what_is_missing() -> str | None:
    """Say why this machine permits no such network; None when it does."""
    if not os.path.exists(TUN):
        return f"there is no {TUN}: load the kernel module tun"
    try:
        place = Place(1)
    except OSError as error:
        return f"no network namespace with a TAP device can be made ({error}): run it as root"
    place.close()
    return None


def apart(work: Callable[[], T]) -> T:
    """Do something on a thread of its own: a namespace belongs to the thread that entered it."""
    done: list[T] = []
    failed: list[OSError] = []

    def run() -> None:
        try:
            done.append(work())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


class Place:
    """One node's namespace: its address, and the TAP device that leads out of it."""

    def __init__(self, number: int, prefix: str = PREFIX) -> None:
        self.address = f"{prefix}{number}"
        self.namespace, self.tap = apart(self._make)

    def _make(self) -> tuple[int, int]:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEW_NET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(tap, _SET_TUN, struct.pack("16sH", b"tap0", _TAP_WITHOUT_HEADER))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                _set(control, b"lo", _SET_FLAGS, struct.pack("H", _UP))
                _set(control, b"tap0", _SET_ADDRESS, _internet(self.address))
                _set(control, b"tap0", _SET_MASK, _internet("255.255.255.0"))
                _set(control, b"tap0", _SET_FLAGS, struct.pack("H", _UP))
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), tap
        except OSError:
            os.close(tap)
            raise

    def enter(self) -> None:
        """Let this thread be there from now on."""
        if ctypes.CDLL(None, use_errno=True).setns(self.namespace, NEW_NET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def move(self, number: int) -> None:
        """Let the node have another address, as a lease that was not renewed."""

        def change() -> None:
            self.enter()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                _set(control, b"tap0", _SET_ADDRESS, _internet(f"{PREFIX}{number}"))
                _set(control, b"tap0", _SET_MASK, _internet("255.255.255.0"))

        apart(change)
        self.address = f"{PREFIX}{number}"

    def close(self) -> None:
        """Let go of it; it ends with the last process inside."""
        os.close(self.tap)
        os.close(self.namespace)


class Router:
    """A device between a home's network and the others', which lets nothing in unasked (NAT)."""

    def __init__(self, outer: Place) -> None:
        self.outer = outer
        self.inner_tap = apart(self._attach)
        self._run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "tap0", "-j", "MASQUERADE")
        self._run("iptables", "-P", "FORWARD", "DROP")
        self._run("iptables", "-A", "FORWARD", "-i", "home", "-j", "ACCEPT")
        answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]
        self._run("iptables", "-A", "FORWARD", *answers)

    def _attach(self) -> int:
        self.outer.enter()
        tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tap, _SET_TUN, struct.pack("16sH", b"home", _TAP_WITHOUT_HEADER))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _set(control, b"home", _SET_ADDRESS, _internet(f"{HOME_PREFIX}1"))
            _set(control, b"home", _SET_MASK, _internet("255.255.255.0"))
            _set(control, b"home", _SET_FLAGS, struct.pack("H", _UP))
        return tap

    def _run(self, *program: str) -> None:
        run_in(self.outer, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        run_in(self.outer, *program)

    def close(self) -> None:
        """End it."""
        os.close(self.inner_tap)
        self.outer.close()


def run_in(place: Place, *program: str) -> None:
    """Run a program in a namespace, and fail with what it says when it fails."""
    entered = [sys.executable, str(Path(__file__).with_name("enter.py")), f"{place.namespace}"]
    done = subprocess.run(
        [*entered, *program], pass_fds=[place.namespace], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise OSError(f"{program}: {done.stderr}")


def _internet(address: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _set(control: socket.socket, name: bytes, what: int, value: bytes) -> None:
    fcntl.ioctl(control, what, struct.pack("16s24s", name, value))


@dataclass(order=True)
class _Flight:
    """A frame under way."""

    due_s: float
    number: int
    to: int = field(compare=False)
    frame: bytes = field(compare=False)


@dataclass(frozen=True)
class Weather:
    """What the network does to every frame when nothing special is wrong."""

    delay_s: float = 0.05
    jitter_s: float = 0.02
    loss: float = 0.02

    def __str__(self) -> str:
        delay_ms, jitter_ms = self.delay_s * 1000, self.jitter_s * 1000
        return f"{delay_ms:.0f} ms +- {jitter_ms:.0f} each way, {self.loss:.0%} loss"

    def over(self, switch: "Switch") -> None:
        """Let a switch be like this."""
        switch.delay_s, switch.jitter_s, switch.loss = self.delay_s, self.jitter_s, self.loss


class Switch:
    """Relays frames between devices, on a thread; what it does to them may change at any time."""

    def __init__(self, taps: list[int], seed: int) -> None:
        self._taps = taps
        self._dice = random.Random(seed)
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.loss = 0.0
        self.cut: frozenset[tuple[int, int]] = frozenset()
        """Pairs (from, to) between which nothing passes, by place in the list of devices."""
        self.frames, self.lost, self.overtaken = 0, 0, 0
        self._homes: dict[bytes, int] = {}
        self._flights: list[_Flight] = []
        self._latest: dict[tuple[int, int], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        poll = select.epoll()
        by_file = {tap: number for number, tap in enumerate(self._taps)}
        for tap in self._taps:
            poll.register(tap, select.EPOLLIN)
        with poll:
            while not self._ended.is_set():
                wait_s = 0.05
                if self._flights:
                    wait_s = min(wait_s, max(0.0, self._flights[0].due_s - time.monotonic()))
                for tap, _ in poll.poll(wait_s):
                    self._take_in(by_file[tap], tap)
                self._land()

    def _land(self) -> None:
        now_s = time.monotonic()
        while self._flights and self._flights[0].due_s <= now_s:
            flight = heapq.heappop(self._flights)
            with contextlib.suppress(OSError):  # its queue is full: lost, as anywhere
                os.write(self._taps[flight.to], flight.frame)

    def _take_in(self, source: int, tap: int) -> None:
        for _ in range(64):
            try:
                frame = os.read(tap, _FRAME_BYTES)
            except OSError:
                return
            self._homes[frame[6:12]] = source
            home = self._homes.get(frame[:6])
            everybody = [number for number in range(len(self._taps)) if number != source]
            for to in everybody if home is None else [home]:
                self._send(source, to, frame)

    def _send(self, source: int, to: int, frame: bytes) -> None:
        self.frames += 1
        if (source, to) in self.cut or self._dice.random() < self.loss:
            self.lost += 1
            return
        drawn_s = self._dice.uniform(self.delay_s - self.jitter_s, self.delay_s + self.jitter_s)
        due_s = time.monotonic() + max(0.0, drawn_s)
        self.overtaken += due_s < self._latest.get((source, to), 0.0)
        self._latest[source, to] = due_s
        if len(self._flights) < _QUEUE_MAX:
            heapq.heappush(self._flights, _Flight(due_s, self.frames, to, frame))
