"""A chain that has nothing but headers, which a test moves, breaks and takes away."""

from ambientd.errors import UnreachableError, UsageError
from ambientd.ports.chain import Inclusion, Tip
from ambientd.rules.bitcoin import HEADER_SIZE, REGTEST, double_sha256
from ambientd.rules.header_chain import HeaderChain
from tests.rules.headers import grow


class HeaderServer:
    """Answers the part of the Chain port that headers and places need."""

    network = "regtest"

    def __init__(self, count: int = 0, *, salt: int = 0) -> None:
        self.chain = HeaderChain(REGTEST)
        self.raw = bytearray(REGTEST.genesis)
        self.is_away = False
        self.calls: list[str] = []
        self.places: dict[bytes, Inclusion] = {}
        if count:
            self.grow(count, salt=salt)

    def grow(self, count: int, *, start: int = 0, salt: int = 0) -> None:
        """Mine on the tip, or from a height on."""
        start = start or self.chain.height + 1
        raw = grow(self.chain, count, start=start, salt=salt)
        self.chain.extend(start, raw)
        self.raw[start * HEADER_SIZE :] = raw

    def header_at(self, height: int) -> bytes:
        return bytes(self.raw[height * HEADER_SIZE : (height + 1) * HEADER_SIZE])

    @property
    def height(self) -> int:
        return len(self.raw) // HEADER_SIZE - 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.is_away:
            raise UnreachableError("the server is away")

    async def tip(self) -> Tip:
        self._called("tip")
        return Tip(self.height, double_sha256(self.header_at(self.height)))

    async def block_hash(self, height: int) -> bytes:
        self._called("block_hash")
        return double_sha256(self.header_at(height))

    async def headers(self, start: int, end: int) -> bytes:
        self._called("headers")
        if end > self.height + 1:
            raise UsageError("not yet")
        return bytes(self.raw[start * HEADER_SIZE : end * HEADER_SIZE])

    async def inclusion(self, txid: bytes) -> Inclusion | None:
        self._called("inclusion")
        return self.places.get(txid)

    def place(self, height: int) -> Inclusion:
        return Inclusion(double_sha256(self.header_at(height)), height)
