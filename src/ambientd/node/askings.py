"""Who may answer what: large answers of the log are decoded only where they were asked for.

An answer that comes after its time is nobody's fault, nor is one that comes twice: these are
dropped undecoded, as many as a peer may honestly owe. What was never asked for is a fault.
"""

from dataclasses import dataclass

from ambientd.consensus.messages import Epochs, Fetch, InEpoch, Message, WantPages
from ambientd.node.frames import BLOCKS, EPOCHS, OFFER, PAGES, crowding, peek

WANTED_MAX = 4
"""Answers of one peer and kind that are decoded, when it has been asked so often lately."""

OWED_FIRST = 16
OWED_MAX = 1 << 16
"""Those that are no fault: at first, for questions from before a start, and however many asked.

A slow link may have hundreds under way when a node has caught up; each was asked for. What is owed
does not age: one frame may be on such a link for longer than any quiet time that could be set here,
and what is dropped undecoded costs less than a frame that nobody could object to.
"""

UNASKED_BYTES_MAX = 2 * 1024 * 1024
"""A log frame of a node outside the committee that was asked nothing: a FORWARD has 1 MiB."""

PEERS_MAX = 4096

_ANSWERED_BY = {BLOCKS: Fetch, OFFER: Fetch, PAGES: WantPages}


@dataclass(slots=True)
class _Account:
    wanted: int = 0
    owed: int = OWED_FIRST


class Askings:
    """What this node has asked of each peer, and how much of it may still come."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[bytes, type], _Account] = {}

    def asked(self, peer: bytes, message: Message) -> None:
        """Note a question on its way to a peer; other messages ask for nothing."""
        if isinstance(message, InEpoch):
            message = message.message
        if isinstance(message, Fetch | WantPages):
            self._credit(peer, type(message))
        if isinstance(message, Fetch):
            # It may be of an epoch that is past for the peer, the founders' too, whose messages
            # have no number: how it ended comes beside its blocks.
            self._credit(peer, Epochs)

    def _credit(self, peer: bytes, kind: type) -> None:
        account = self._account(peer, kind)
        account.wanted = min(account.wanted + 1, WANTED_MAX)
        account.owed = min(account.owed + 2, OWED_MAX)

    def refusal(self, sender: bytes, frame: bytes, *, is_member: bool) -> str | None:
        """Give why a log frame is not to be decoded ("" for nobody's fault), else None."""
        tag, start = peek(frame)
        if tag is None:
            return "no message of the log in canonical form"
        is_large = not is_member and len(frame) > UNASKED_BYTES_MAX
        kind = Epochs if is_large and tag == EPOCHS else _ANSWERED_BY.get(tag)
        if kind is not None:
            account = self._account(sender, kind)
            if not account.owed:
                return "an answer that nobody asked for"
            account.owed -= 1
            if not account.wanted:
                return ""
            account.wanted -= 1
        elif is_large:
            return f"{len(frame)} bytes of the log from outside the committee, unasked"
        return crowding(frame, tag, start)

    def _account(self, peer: bytes, kind: type) -> _Account:
        """Give a peer's account; the one that was opened first makes room."""
        account = self._accounts.get((peer, kind))
        if account is None:
            if len(self._accounts) >= PEERS_MAX:
                del self._accounts[next(iter(self._accounts))]
            account = self._accounts[peer, kind] = _Account()
        return account
