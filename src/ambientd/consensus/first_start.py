"""A founder's first start: is its key new, or has it lost what it signed (protocols/05-log.md 4)?

A folder that holds nothing but a founder's key looks the same in both cases; only the others know.
So a founder with an empty store follows the log, and brings nothing of its own into it, until it
knows:

    asking ──all, or a quorum with it, have nothing certified──────────► votes
       ├─────the log has begun: it reads as far as the others have shown
       │          ├──the state has no word of this key──────────────► votes, from the next term
       │          └──the state has one─────────────────────────────────► never votes
       └─────anything that it takes in is signed by this key───────────► never votes

It asks with a FETCH above every index, which is answered by the highest certificate alone.
"""

from typing import Protocol

from ambientd.consensus.certificates import Committee
from ambientd.consensus.effects import Broadcast, Effect, EvidenceFound, PersistBlock, Send
from ambientd.consensus.messages import Blocks, Forward

ABOVE_ALL = 2**53 - 1
ASKS_MORE = 4


class Past(Protocol):
    """What the host can tell of what a key has said."""

    def is_in_state(self) -> bool:
        """Tell whether the state has a word of the key's."""
        ...

    def is_own(self, record: bytes) -> bool:
        """Tell whether the key has signed a record."""
        ...


class FirstStart:
    """Which members have shown how far the log is, and whether the key was used."""

    def __init__(self, own: bytes, past: Past, pause_ms: int) -> None:
        self._own = own
        self._past = past
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

    def was_heard(self) -> bool:
        """Tell whether the state has a word of this key."""
        return self._past.is_in_state()

    def shows_use(self, effect: Effect) -> bool:
        """Tell whether what was taken in, and therefore verified, is signed by this key.

        This process has signed nothing, nor has one before it that was stopped while it asked.
        """
        match effect:
            case PersistBlock(block=block):
                is_own = block.header.proposer == self._own
                return is_own or any(map(self._past.is_own, block.records))
            case EvidenceFound(culprit=culprit):
                return culprit == self._own
            case _:
                return False

    def _missing(self, committee: Committee) -> list[bytes]:
        return [key for key in committee.members if key != self._own and key not in self._shown]


def is_forward(effect: Effect) -> bool:
    """Tell whether an effect brings records to others."""
    return isinstance(effect, Send | Broadcast) and isinstance(effect.message, Forward)
