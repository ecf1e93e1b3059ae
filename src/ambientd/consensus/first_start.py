"""A founder's first start: is its key new, or has it lost what it signed (protocols/05-log.md 4)?

A folder that holds nothing but a founder's key looks the same in both cases; only the others know.
So a founder with an empty store follows the log and signs nothing in it until it knows:

    asking ──all, or a quorum with it, have nothing certified──────────► votes
       └─────the log has begun: it reads as far as the others have shown
                  ├──the state has no word of this key─────────────────► votes
                  └──the state has one─────────────────────────────────► never votes

It asks with a FETCH above every index, which is answered by the highest certificate alone.
"""

from ambientd.consensus.certificates import Committee
from ambientd.consensus.messages import Blocks

ABOVE_ALL = 2**53 - 1
ASKS_MORE = 4


class FirstStart:
    """Which members have shown how far the log is."""

    def __init__(self, own: bytes, pause_ms: int) -> None:
        self._own = own
        self._pause_ms = pause_ms
        self._epoch: int | None = None
        self._shown: set[bytes] = set()
        self._quorum_at: int | None = None
        self.deadline = 0
        """When to ask again."""

    def enter(self, epoch: int) -> None:
        """Be in an epoch: what was shown in another one counts for nothing."""
        if epoch != self._epoch:
            self._epoch, self.deadline = epoch, 0
            self._shown, self._quorum_at = set(), None

    def is_answer(self, sender: bytes, message: object, committee: Committee) -> bool:
        """Tell whether a message is a member's answer that was waited for."""
        is_certificate = isinstance(message, Blocks) and not message.blocks
        return is_certificate and sender in self._missing(committee)

    def shown(self, sender: bytes) -> None:
        """Note that a member has shown its highest certificate, and that it holds."""
        self._shown.add(sender)

    def is_told(self, committee: Committee, now: int) -> bool:
        """Tell whether all have shown how far the log is, or a quorum has and waited for them."""
        if not self._missing(committee):
            return True
        is_member = committee.number(self._own) is not None
        if len(self._shown) + is_member < committee.quorum:
            return False
        if self._quorum_at is None:
            self._quorum_at = now
        return now >= self._quorum_at + ASKS_MORE * self._pause_ms

    def asks(self, committee: Committee, now: int) -> list[bytes]:
        """Give whom to ask now."""
        if now < self.deadline:
            return []
        self.deadline = now + self._pause_ms
        return self._missing(committee)

    def _missing(self, committee: Committee) -> list[bytes]:
        return [key for key in committee.members if key != self._own and key not in self._shown]
