"""The event pump: one coroutine owns the node; what must be durable is, before anything leaves.

Events that wait are handled together, for a slice of time at most; their persist effects become
one transaction, and only then does the rest happen. So a busy node syncs no more often than an
idle one. Before all of them, that a key never votes is kept apart from the store.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from ambientd.consensus.effects import VoteDecided
from ambientd.node.core import Node
from ambientd.node.effect import NodeEffect
from ambientd.node.event import BodiesProposed, Event, FrameReceived, GossipReceived, Ticked
from ambientd.ports.store import Write, Writer
from ambientd.runtime.persistence import writes_of

INBOX_MAX = 2048
INBOX_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of frames and gossip that wait here, or one frame; more waits in the transport."""

INBOX_FRAMES_MAX = 64
"""Frames and gossip that wait here: more wait with their links, where each peer has its turn."""

BATCH_MAX = 256
SLICE_MS = 20


class Perform(Protocol):
    """Carries out one effect that is not a persist effect; never blocks."""

    def __call__(self, effect: NodeEffect) -> None:
        """Carry out the effect."""
        ...


class Pump:
    """Feeds the node and carries its effects out."""

    def __init__(self, node: Node, now: Callable[[], int], writer: Writer) -> None:
        self._node = node
        self._now = now
        self.writer = writer
        self._inbox, self._outlet = trio.open_memory_channel[Event](INBOX_MAX)
        self._waiting_frames = self._waiting_bytes = 0
        self._room = trio.Event()
        self._line = trio.Lock()

    @property
    def stands_aside(self) -> bool:
        """Tell whether the log is of a version that is not known here: nothing is signed."""
        return bool(self._node.outdated)

    async def post(self, event: Event) -> None:
        """Hand an event to the node; waits while too many wait already, or too many bytes."""
        if isinstance(event, FrameReceived | GossipReceived):
            size_bytes = _bytes_of(event)
            async with self._line:  # else small ones would keep a large one out
                while self._waiting_frames and not self._has_room(size_bytes):
                    await self._room.wait()
                self._waiting_frames += 1
                self._waiting_bytes += size_bytes
        await self._inbox.send(event)

    def _has_room(self, size_bytes: int) -> bool:
        fits = self._waiting_bytes + size_bytes <= INBOX_BYTES_MAX
        return fits and self._waiting_frames < INBOX_FRAMES_MAX

    async def run(self, perform: Perform, first: Sequence[Event]) -> None:
        """Handle events until cancelled."""
        batch = deque(first)
        while True:
            effects, due_ms = self._handle_some(batch)
            await self._carry_out(effects, perform)
            if not batch:
                batch = await self._next_batch((due_ms - self._now()) / 1000)

    def _handle_some(self, batch: deque[Event]) -> tuple[list[NodeEffect], int]:
        """Handle events for one slice of time, and give what follows and when the node is due.

        What is to be sent does not wait for all events.
        """
        begin = now = self._now()
        effects: list[NodeEffect] = []
        while batch and now < begin + SLICE_MS:
            event = batch.popleft()
            effects += self._node.handle(event, now=now, is_last=False)
            self._forget(event)
            now = self._now()
        effects += self._node.finish()
        due_ms = self._node.next_deadline
        # What has arrived comes first: it may well be what the clock waits for.
        if not batch and now >= due_ms:
            effects += self._node.handle(Ticked(), now=now)
            due_ms = self._node.next_deadline
        return effects, due_ms

    def _forget(self, event: Event) -> None:
        """Give the room of what is handled to those that wait."""
        if isinstance(event, FrameReceived | GossipReceived):
            self._waiting_frames -= 1
            self._waiting_bytes -= _bytes_of(event)
            self._room.set()
            self._room = trio.Event()

    async def _carry_out(self, effects: list[NodeEffect], perform: Perform) -> None:
        writes: list[Write] = []
        rest: list[NodeEffect] = []
        for effect in effects:
            durable = writes_of(effect)
            if durable is not None:
                writes += durable
            elif effect == VoteDecided(may_vote=False):
                perform(effect)  # what told so is written next, and never tells it again
            else:
                rest.append(effect)
        if writes:
            await self.writer.write(writes)
        for effect in rest:
            perform(effect)

    async def _next_batch(self, wait_s: float) -> deque[Event]:
        batch: deque[Event] = deque()
        with trio.move_on_after(max(0.0, wait_s)):
            batch.append(await self._outlet.receive())
        while len(batch) < BATCH_MAX:
            try:
                batch.append(self._outlet.receive_nowait())
            except trio.WouldBlock:
                break
        return _joined(batch)


def _bytes_of(event: FrameReceived | GossipReceived) -> int:
    return len(event.frame if isinstance(event, FrameReceived) else event.data)


def _joined(batch: deque[Event]) -> deque[Event]:
    """Make one of all that the owner proposes at once: it is signed together."""
    wanted = [event for event in batch if isinstance(event, BodiesProposed)]
    if len(wanted) < 2:
        return batch
    together = BodiesProposed(tuple(body for event in wanted for body in event.bodies))
    rest = (event for event in batch if not isinstance(event, BodiesProposed))
    return deque((together, *rest))
