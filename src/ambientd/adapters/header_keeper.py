"""Keeps the headers of a chain: fetches them in portions, checks each, follows reorganisations.

What a server calls the best chain is taken when its headers keep the network's rules and show more
work than those at hand (protocols/09); otherwise the keeper stays where it is and says why.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from ambientd.adapters.header_file import HeaderFile
from ambientd.errors import AmbientError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.ports.chain import Chain, Tip
from ambientd.ports.headers import HeadersState
from ambientd.rules.bitcoin import HEADER_SIZE, HEIGHT_MAX, decode_header, double_sha256
from ambientd.rules.bitcoin_networks import RETARGET_BLOCKS
from ambientd.rules.header_chain import Extended, HeaderChain, HeaderFault

log = structlog.get_logger("ambientd.headers")

PORTION: Final = RETARGET_BLOCKS
FUTURE_S_MAX: Final = 2 * 3600
TURNS_MAX: Final = 5
STALE_S: Final = 6 * 3600
"""Six hours without a Bitcoin block come once in ten million years of a whole network."""
SOLITARY: Final = frozenset({"regtest"})
FOLLOWING: Final = "following"
Progress = Callable[[int, int], None]


class HeaderKeeper:
    """A file of headers that follows what one server calls the best chain."""

    def __init__(self, chain: Chain, file: HeaderFile, unix_s: Callable[[], float]) -> None:
        """Follow a chain; headers may claim no time later than two hours ahead of the clock."""
        self._chain = chain
        self._file = file
        self._unix_s = unix_s
        self._lock = trio.Lock()
        self._followed_at_s = -float("inf")
        self._state = "not followed yet"

    @property
    def chain(self) -> HeaderChain:
        """The headers that were checked."""
        return self._file.chain

    def status(self) -> HeadersState:
        """Tell how far the headers have come."""
        own = self.chain
        return HeadersState(self._state, own.base_height, own.height, own.tip_hash)

    def check_fresh(self) -> None:
        """Refuse a tip that is hours old: its server still downloads, or is cut off.

        Raises:
            UnreachableError: on a network whose Bitcoin blocks come by themselves.
        """
        if self._chain.network in SOLITARY:
            return
        own = self.chain
        age_s = int(self._unix_s()) - decode_header(own.header(own.height)).time_s
        if age_s > STALE_S:
            msg = (
                f"the newest Bitcoin block that the server of {self._chain.network} has, at height "
                f"{own.height}, is {age_s // 3600} hours old: it is still downloading the chain, "
                "or cut off from the network. Anchors wait until it has newer ones: see to that "
                "server and its peers, or name another under [bitcoin]; and compare this clock"
            )
            raise UnreachableError(msg)

    def newest(self, count: int) -> tuple[int, tuple[bytes, ...]]:
        """Give so many of the last headers, or fewer, and the first one's height."""
        own = self.chain
        first = max(own.base_height, own.height + 1 - count)
        return first, tuple(own.header(height) for height in range(first, own.height + 1))

    async def keep(self, period_s: float) -> None:
        """Follow for ever; what a server does wrong is told and tried again."""
        while True:
            before = self._state
            try:
                await self.follow()
            except AmbientError as error:
                if str(error) != before:
                    log.warning("the Bitcoin headers do not move", reason=str(error))
            await trio.sleep(period_s)

    async def follow(self, progress: Progress | None = None, *, age_s: float = 0.0) -> None:
        """Bring the headers to the server's tip, unless that was done within `age_s` seconds.

        Raises:
            UnreachableError: when the server does not answer, or has not come as far as we have.
            RemoteProtocolError: when its headers break a rule of the network.
        """
        async with self._lock:
            if age_s and trio.current_time() - self._followed_at_s < age_s:
                return
            try:
                await self._follow(progress)
            except AmbientError as error:
                self._state = str(error)
                raise
            self._state = FOLLOWING
            self._followed_at_s = trio.current_time()

    async def _follow(self, progress: Progress | None) -> None:
        for _ in range(TURNS_MAX):
            tip = await self._chain.tip()
            if tip.hash == self.chain.tip_hash:
                return
            try:
                await self._fetch(tip, progress)
            except (RemoteProtocolError, UsageError) as error:
                # Between two portions the chain may have been reorganised: that is no fault.
                if (await self._chain.tip()).hash != tip.hash:
                    continue
                if isinstance(error, RemoteProtocolError):
                    raise
                msg = f"the server does not have the headers up to its own tip: {error}"
                raise RemoteProtocolError(msg) from error
            else:
                return
        msg = f"the {self._chain.network} chain moves faster than its headers can be fetched"
        raise UnreachableError(msg)

    async def _fetch(self, tip: Tip, progress: Progress | None) -> None:
        """Take headers up to a tip; those of another branch only once they are heavier."""
        if not self.chain.base_height <= tip.height <= HEIGHT_MAX:
            msg = (
                f"the server is at height {tip.height} of {self._chain.network}, and our headers "
                f"begin at {self.chain.base_height}: wait until it has synchronised"
            )
            raise UnreachableError(msg)
        start = await self._first_other(tip)
        pending = bytearray()
        wanted = PORTION
        while (at := start + len(pending) // HEADER_SIZE) <= tip.height:
            end = min(at + PORTION, tip.height + 1)
            pending += await self._portion(at, end)
            if end <= tip.height and end - start < wanted:
                continue
            raw = bytes(pending)
            outcome = self._file.take(start, raw, int(self._unix_s()) + FUTURE_S_MAX)
            if isinstance(outcome, HeaderFault):
                msg = (
                    f"the server's chain is refused: its {self._chain.network} header at height "
                    f"{outcome.height} is not valid: {outcome.reason}"
                )
                raise RemoteProtocolError(msg)
            if isinstance(outcome, Extended):
                await trio.to_thread.run_sync(self._file.write, start, raw)
                start, wanted = end, PORTION
                pending.clear()
                if progress is not None:
                    progress(end - 1, tip.height)
            else:
                wanted *= 2  # so that a long branch is checked a few times only
        if pending:
            msg = (
                f"the server's chain has less work than our {self._chain.network} headers: it is "
                "behind, or on a branch that others have left. Ask another server; or, when its "
                f"network was started afresh, delete {self._file.path}"
            )
            raise UnreachableError(msg)

    async def _portion(self, start: int, end: int) -> bytes:
        raw = await self._chain.headers(start, end)
        if len(raw) != (end - start) * HEADER_SIZE:
            raise RemoteProtocolError(f"the server gave {len(raw)} bytes of headers")
        return raw

    async def _first_other(self, tip: Tip) -> int:
        """Find a height up to which the server has our headers, and give the next."""
        own = self.chain
        height, step = min(own.height, tip.height), 1
        while True:
            if await self._chain.block_hash(height) == double_sha256(own.header(height)):
                return height + 1
            if height == own.base_height:
                break
            height = max(own.base_height, height - step)
            step *= 2
        msg = (
            f"the server's chain is refused: it does not have the {self._chain.network} header "
            f"that ours begin with at height {height}"
        )
        raise RemoteProtocolError(msg)
