"""What a node says and hears by multicast DNS on one interface, without I/O.

It answers who asks for its mesh, tells its address when that has changed, and asks while members
are missing: at once, then ever less often. What it hears counts when the member has signed it.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.mdns.messages import Asked, Told, decode, encode_answer, encode_question
from ambientd.ports.discovery import Seal, Whereabouts
from ambientd.ports.transport import HostPort, NodeId

ANSWER_MS = 1_000
"""Asked again within this time, a node has just answered."""

TELL_AGAIN_MS = (1_000, 3_000, 7_000)
"""How long after its address has changed a node says so again: a datagram may be lost."""

TELL_MS = 60_000
ASK_MS, ASK_MS_MAX = 1_000, 30_000
VERIFY_PER_S, VERIFY_BURST = 1.0, 4.0
VERIFY_ALL_PER_S, VERIFY_ALL_BURST = 16.0, 64.0
"""Of all members together: forgers may name every one that is missing."""

MARK = b"ambient="
"""The string's key, as DNS-SD wants one."""


def service_of(cluster_id: bytes) -> str:
    """Name a mesh's service: a private network's, as libp2p's discovery by mDNS has it.

    https://github.com/libp2p/specs, discovery/mdns.md
    """
    return f"_p2p-{sha256(b'ambient mesh tag' + cluster_id).hexdigest()[:16]}._udp.local"


@dataclass(slots=True)
class _Heard:
    """What one wanted member has said last, and what it may still cost us to verify."""

    statement: bytes = b""
    where: Whereabouts | None = None
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(VERIFY_PER_S, VERIFY_BURST))


class Talk:
    """One node on one interface."""

    def __init__(self, service: str, instance: str, seal: Seal) -> None:
        self._service = service
        self._instance = instance
        self._seal = seal
        self._addresses: tuple[HostPort, ...] = ()
        self._answer = b""
        self._tell_at_ms: list[int] = []
        self._answered_at_ms: int | None = None
        self._wanted: frozenset[NodeId] = frozenset()
        self._ask_at_ms = 0
        self._ask_every_ms = ASK_MS
        self._heard: dict[NodeId, _Heard] = {}
        self._bucket = TokenBucket(VERIFY_ALL_PER_S, VERIFY_ALL_BURST)

    def tick(
        self, addresses: tuple[HostPort, ...], wanted: frozenset[NodeId], now_ms: int
    ) -> list[bytes]:
        """Give what to say now, being at these addresses and looking for these members."""
        said = []
        if addresses != self._addresses:
            self._move(addresses, now_ms)
        if self._answer and self._tell_at_ms[0] <= now_ms:
            del self._tell_at_ms[0]
            if not self._tell_at_ms:
                self._tell_at_ms = [now_ms + TELL_MS]
                self._sign()  # anew: numbers are of a clock that may have been put right
            said.append(self._answer)
        if wanted - self._wanted:
            self._ask_at_ms, self._ask_every_ms = min(self._ask_at_ms, now_ms), ASK_MS
        self._wanted = wanted
        for gone in self._heard.keys() - wanted:
            del self._heard[gone]
        if wanted and self._ask_at_ms <= now_ms:
            self._ask_at_ms = now_ms + self._ask_every_ms
            self._ask_every_ms = min(2 * self._ask_every_ms, ASK_MS_MAX)
            said.append(encode_question(self._service))
        return said

    def _move(self, addresses: tuple[HostPort, ...], now_ms: int) -> None:
        """Be elsewhere from now on: say so, and ask anew, for others may have moved as well."""
        self._addresses = addresses
        self._answer = b""
        if addresses:
            self._sign()
        self._tell_at_ms = [now_ms, *(now_ms + later_ms for later_ms in TELL_AGAIN_MS)]
        self._ask_at_ms, self._ask_every_ms = now_ms, ASK_MS

    def _sign(self) -> None:
        text = MARK + self._seal.sign(self._addresses)
        self._answer = encode_answer(self._service, self._instance, text)

    def heard(self, message: bytes, now_ms: int) -> tuple[list[Whereabouts], list[bytes]]:
        """Take in a datagram; give who is where, and what to say to it."""
        match decode(message, self._service):
            case Asked():
                return [], self._answers(now_ms)
            case Told(strings):
                said = [each[len(MARK) :] for each in strings if each.startswith(MARK)]
                found = [self._verified(statement, now_ms) for statement in said]
                return [each for each in found if each is not None], []
            case _:
                return [], []

    def _answers(self, now_ms: int) -> list[bytes]:
        late = self._answered_at_ms is None or now_ms - self._answered_at_ms >= ANSWER_MS
        if not self._answer or not late:
            return []
        self._answered_at_ms = now_ms
        return [self._answer]

    def _verified(self, statement: bytes, now_ms: int) -> Whereabouts | None:
        """Verify what is new of who is wanted, cheapest first: whoever is in reach can send.

        What was heard before is given again: who was given up meanwhile may be in reach anew.
        """
        node = self._seal.whose(statement)
        if node is None or node not in self._wanted:
            return None
        heard = self._heard.setdefault(node, _Heard())
        if statement == heard.statement:
            return heard.where
        now_s = now_ms / 1000
        if not heard.bucket.take(1, now_s) or not self._bucket.take(1, now_s):
            return None
        where = self._seal.verify(statement)
        if where is None or (heard.where is not None and where.number <= heard.where.number):
            return None
        heard.statement, heard.where = statement, where
        return where
