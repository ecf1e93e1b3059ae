"""Games that a lying member plays with what others have signed; it makes nothing up."""

import random
from collections import deque
from collections.abc import Sequence

from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.messages import (
    Append,
    Blocks,
    Message,
    Position,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
)
from sim.lies import Lie
from sim.machine import Effect

THROTTLED_MS = 300  # of the 400 ms that a term bears without a certificate
HEARD_MAX = 64
COLLECTED_MAX = 16
REPLAYS_ONE_IN = 2

Ballot = tuple[Position, int, bytes]


class Games:
    """Keeps what others said, and gives what can be made of it."""

    def __init__(
        self, key: bytes, lies: frozenset[Lie], dice: random.Random, told: set[Lie]
    ) -> None:
        self._key = key
        self._lies = lies
        self._dice = dice
        self._told = told
        self._heard: deque[Message] = deque(maxlen=HEARD_MAX)
        self._late: deque[tuple[int, Effect]] = deque()
        self._votes: dict[Ballot, dict[int, bytes]] = {}
        self._timeouts: dict[int, dict[int, Timeout]] = {}

    def forget(self) -> None:
        """Lose what was kept back."""
        self._late.clear()

    def begin_epoch(self) -> None:
        """Lose what was said in the epoch before, but for what may be said again."""
        self._late.clear()
        self._votes, self._timeouts = {}, {}

    def heard(self, message: Message, quorum: int) -> list[QcNotice]:
        """Take in what another said; give certificates other than those that all know."""
        if Lie.REPLAY in self._lies and self._dice.randrange(4) == 0:
            self._heard.append(message)
        if Lie.SUBSET not in self._lies:
            return []
        match message:
            case Vote():
                return self._other_certificate(message, quorum)
            case Timeout():
                return self._lowest_timeouts(message, quorum)
            case _:
                return []

    def _other_certificate(self, vote: Vote, quorum: int) -> list[QcNotice]:
        """Certify a block a second time, by other signatures than the first q."""
        ballot = (vote.position, vote.parent_term, vote.hash)
        votes = self._votes.setdefault(ballot, {})
        votes[vote.member] = vote.signature
        while len(self._votes) > COLLECTED_MAX:
            del self._votes[next(iter(self._votes))]
        if len(votes) < quorum:
            return []
        chosen = tuple(sorted(list(votes.items())[-quorum:]))
        self._told.add(Lie.SUBSET)
        return [QcNotice(QuorumCertificate(*ballot, chosen), None)]

    def _lowest_timeouts(self, timeout: Timeout, quorum: int) -> list[QcNotice]:
        """Begin the next term by the q time-outs that admit least."""
        timeouts = self._timeouts.setdefault(timeout.term, {})
        timeouts[timeout.member] = timeout
        while len(self._timeouts) > COLLECTED_MAX:
            del self._timeouts[next(iter(self._timeouts))]
        if len(timeouts) < quorum:
            return []
        self._told.add(Lie.SUBSET)
        lowest = sorted(timeouts.values(), key=lambda each: (each.high_position, each.member))
        chosen = sorted(lowest[:quorum], key=lambda each: each.member)
        high = max(chosen, key=lambda each: each.high_position).high_qc
        entries = tuple((each.member, each.high_position, each.signature) for each in chosen)
        return [QcNotice(high, TimeoutCertificate(timeout.term, entries, high))]

    def replayed(self) -> list[Effect]:
        """Now and then, say something again as if it was new."""
        if not self._heard or self._dice.randrange(REPLAYS_ONE_IN):
            return []
        self._told.add(Lie.REPLAY)
        return [Broadcast(self._heard[self._dice.randrange(len(self._heard))])]

    @property
    def next_due(self) -> int | None:
        """Give when something is let go that was kept back."""
        return self._late[0][0] if self._late else None

    def due(self, now: int) -> list[Effect]:
        """Let go what has been kept back for long enough."""
        effects: list[Effect] = []
        while self._late and self._late[0][0] <= now:
            effects.append(self._late.popleft()[1])
        return effects

    def held_back(
        self, effects: Sequence[Effect], others: Sequence[bytes], quorum: int, now: int
    ) -> list[Effect]:
        """Keep own blocks back for a while, or from most; serve nobody who fetches."""
        shown: list[Effect] = []
        for effect in effects:
            is_own = (
                isinstance(effect, Broadcast | Send)
                and isinstance(effect.message, Append)
                and effect.message.header.proposer == self._key
            )
            if Lie.WITHHOLD in self._lies and isinstance(effect, Send):
                if is_own or isinstance(effect.message, Blocks):
                    self._told.add(Lie.WITHHOLD)
                else:
                    shown.append(effect)
            elif is_own and Lie.WITHHOLD in self._lies and isinstance(effect, Broadcast):
                self._told.add(Lie.WITHHOLD)
                few = self._dice.sample(list(others), min(quorum - 1, len(others)))
                shown += [Send(to, effect.message) for to in few]
            elif is_own and Lie.THROTTLE in self._lies:
                self._told.add(Lie.THROTTLE)
                self._late.append((now + THROTTLED_MS, effect))
            else:
                shown.append(effect)
        return shown
