"""Anchors of a daemon in the trio world: its wallet on the simulated chain, behind the port."""

import math
from collections.abc import Callable, Mapping

import trio

from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.ports.anchors import AnchorProgress, ChainState, Post
from sim.wallets import Notary


class SimulatedAnchors:
    """Does what a wallet has to do, when it is due."""

    def __init__(self, notary: Notary, now: Callable[[], int]) -> None:
        self._notary = notary
        self._now = now
        self._woken = trio.Event()

    async def run(self, post: Post) -> None:
        """Work for ever; proofs, and what is signed, go to the node."""
        while True:
            for told in self._notary.due(self._now()):
                await post(told)
            deadline_ms = self._notary.next_deadline
            pause_s = math.inf if deadline_ms is None else (deadline_ms - self._now()) / 1000
            with trio.move_on_after(max(0.0, pause_s)):
                await self._woken.wait()
            self._woken = trio.Event()

    def want(self, size: int, root: Digest) -> None:
        """Have a closed batch's root anchored."""
        self._notary.want(size, root)
        self._woken.set()

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        """Learn of an anchor that another member has signed."""
        self._notary.hear(size, root, raw_tx)
        self._woken.set()

    def leave(self, size: int) -> None:
        """Sign nothing new up to this batch."""
        self._notary.leave(size)
        self._woken.set()

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        """See to it that an anchor which the log has stays in the best chain."""
        self._notary.watch(size, root, proof)
        self._woken.set()

    def seat(self, place: int | None, members: int) -> None:
        """Learn of this node's place in the committee."""
        self._notary.seat(place, members)
        self._woken.set()

    def retry(self) -> None:
        """Go on: nothing here waits for a person."""

    async def fee_rate_msat_vb(self) -> int | None:
        """Give no estimate: nobody asks."""
        return None

    def progress(self) -> Mapping[bytes, AnchorProgress]:
        """Tell of nothing: nobody asks."""
        return {}

    def status(self) -> ChainState:
        """Tell what there is."""
        return ChainState("ready", None, "simulated")
