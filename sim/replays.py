"""What a node said in one epoch, said again in a later one: as it was, and as if it was new."""

import random
from collections import deque
from dataclasses import dataclass

from msgspec.structs import replace

from ambientd.consensus.messages import (
    Append,
    Forward,
    InEpoch,
    Message,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
)

KEPT_MAX = 48
SAID_AGAIN_ONE_IN = 3


@dataclass(frozen=True, slots=True)
class _Said:
    epoch: int
    members: tuple[bytes, ...]
    message: Message


class Replays:
    """Keeps what was said, with the certificates of others in it."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._said: deque[_Said] = deque(maxlen=KEPT_MAX)

    def again(self, message: Message, epoch: int, members: tuple[bytes, ...]) -> list[Message]:
        """Take in what is said now; give what is said beside it."""
        told = message.message if isinstance(message, InEpoch) else message
        older = [each for each in self._said if each.epoch < epoch]
        # What the last messages of an epoch hold is kept until others take their place.
        is_wanted = isinstance(told, Append | Vote | Timeout | QcNotice | Forward)
        if is_wanted and (not older or self._dice.randrange(8) == 0):
            self._said.append(_Said(epoch, members, told))
        if not older or self._dice.randrange(SAID_AGAIN_ONE_IN):
            return []
        chosen = self._dice.choice(older)
        if isinstance(chosen.message, Forward):
            return [chosen.message]
        as_new = _as_new(chosen, members)
        before = chosen.message if chosen.epoch == 1 else InEpoch(chosen.epoch, chosen.message)  # type: ignore[arg-type]
        return [before] if as_new is None else [before, InEpoch(epoch, as_new)]


def _as_new(said: _Said, members: tuple[bytes, ...]) -> Append | Vote | Timeout | QcNotice | None:
    """Give a message with the numbers that its signers have now; None when its author has none."""
    numbers = {
        number: members.index(key) for number, key in enumerate(said.members) if key in members
    }
    match said.message:
        case Append() as append:
            qc, tc = _renumbered(append.qc, numbers), _renumbered_tc(append.tc, numbers)
            return replace(append, qc=qc, tc=tc)
        case QcNotice(qc=qc, tc=tc):
            return QcNotice(_renumbered(qc, numbers), _renumbered_tc(tc, numbers))
        case Vote(member=member) as vote:
            return replace(vote, member=numbers[member]) if member in numbers else None
        case Timeout(member=member, high_qc=qc, tc=tc) as timeout:
            if member not in numbers:
                return None
            high_qc, began = _renumbered(qc, numbers), _renumbered_tc(tc, numbers)
            return replace(timeout, member=numbers[member], high_qc=high_qc, tc=began)
        case _:
            return None


def _renumbered(qc: QuorumCertificate, numbers: dict[int, int]) -> QuorumCertificate:
    kept = [(numbers[number], each) for number, each in qc.signatures if number in numbers]
    return replace(qc, signatures=tuple(sorted(kept)))


def _renumbered_tc(
    tc: TimeoutCertificate | None, numbers: dict[int, int]
) -> TimeoutCertificate | None:
    if tc is None:
        return None
    kept = [(numbers[number], *rest) for number, *rest in tc.entries if number in numbers]
    return replace(tc, entries=tuple(sorted(kept)), max_qc=_renumbered(tc.max_qc, numbers))
