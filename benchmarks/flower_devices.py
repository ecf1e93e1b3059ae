"""The participants of our side of the comparison with Flower: what each device does for a round.

A few processes stand for all devices. Every participant has what a daemon has for it: its own key's
signature, consents, a folder of blobs kept durably, and the daemon's `LearningHost` that trains.
"""

import functools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.learning.learner import make_learner
from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.learning import StudyId
from ambientd.model.learning_effect import LearningEffect
from ambientd.node.learning_event import LearningDone
from ambientd.ports.learning import Consent
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import LearningHost
from sim.learners import RememberedConsents


@dataclass(frozen=True, slots=True)
class Device:
    """One participant, and where its own data lie."""

    node: NodeId
    data: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where everybody's blobs and data are, and the study that all take part in."""

    root: Path
    data: Path
    study: StudyId


def folder_of(root: Path, node: NodeId) -> Path:
    """Give the folder of a node's blobs."""
    return root / node.hex()[:16]


def host_of(root: Path, data: Path, node: NodeId, consents: dict[StudyId, Consent]) -> LearningHost:
    """Make what carries out rounds on one device."""
    files = BlobFiles(folder_of(root, node))

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        """Take a blob from who holds it, and check it, as a transport does."""
        name = digest.hex()
        try:
            found = (folder_of(root, peer) / name[:2] / name[2:]).read_bytes()
        except FileNotFoundError:
            return None
        return found if len(found) <= size_bytes and sha256(found) == digest else None

    learner = functools.partial(make_learner, data)
    return LearningHost(learner, RememberedConsents(consents), Blobs(files, request, list), files)


class Devices:
    """All participants, in processes that work side by side."""

    def __init__(self, lines: Sequence[Connection]) -> None:
        self._lines = lines

    def begin(self, wishes: Sequence[tuple[int, LearningEffect]]) -> None:
        """Have each participant do what a round wants of it."""
        for number, line in enumerate(self._lines):
            line.send([each for each in wishes if each[0] % len(self._lines) == number])

    async def tell(self, into: trio.MemorySendChannel[tuple[int, LearningDone]]) -> None:
        """Tell what each has done, as soon as it has, until this is cancelled."""

        async def read(line: Connection) -> None:
            while True:
                await trio.lowlevel.wait_readable(line.fileno())
                await into.send(line.recv())

        async with trio.open_nursery() as nursery:
            for line in self._lines:
                nursery.start_soon(read, line)

    def processor_s(self) -> float:
        """Give what the participants have used of the processors so far; all of them are idle."""
        for line in self._lines:
            line.send(None)
        return sum(line.recv() for line in self._lines)


@contextmanager
def running(devices: Sequence[Device], place: Place, processes: int) -> Iterator[Devices]:
    """Give the participants, up and idle."""
    context = multiprocessing.get_context("spawn")
    lines, started = [], []
    for number in range(processes):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, devices, place, number, processes), daemon=True
        )
        process.start()
        lines.append(ours)
        started.append(process)
    found = Devices(lines)
    found.processor_s()  # each has read its imports
    try:
        yield found
    finally:
        for process in started:
            process.terminate()
            process.join()


def _serve(
    line: Connection, devices: Sequence[Device], place: Place, number: int, processes: int
) -> None:
    hosts = {
        at: host_of(place.root, place.data, each.node, {place.study: Consent(each.data)})
        for at, each in enumerate(devices)
        if at % processes == number
    }
    trio.run(_answer, line, hosts)


async def _answer(line: Connection, hosts: dict[int, LearningHost]) -> None:
    while True:
        wishes = line.recv()
        if wishes is None:
            line.send(time.process_time())
            continue
        async with trio.open_nursery() as nursery:
            for at, wish in wishes:
                nursery.start_soon(_carry_out, hosts, at, wish, line)


async def _carry_out(
    hosts: dict[int, LearningHost],
    at: int,
    wish: LearningEffect,
    line: Connection,
) -> None:
    async with _ROOM:
        line.send((at, await hosts[at].carry_out(wish)))


_ROOM = trio.Semaphore(4)
"""Devices of one process that work at once: while one waits for its disk, another trains."""
