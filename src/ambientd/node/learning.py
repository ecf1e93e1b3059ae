"""Where a node's parts in federated learning meet: ledger and runtime on one side, roles below."""

from typing import assert_never

from ambientd.codec.signing import Signer
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.learning_events import LearningEvent
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import RoleEffect
from ambientd.model.learning_effect import Step
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    GaveUp,
    KeysMade,
    LearningDone,
    LearningFailed,
    ScoreMade,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.roles.learning.aggregator import Aggregator
from ambientd.roles.learning.participant import Participant


class Learning:
    """One node as participant and as aggregator."""

    def __init__(self, signer: Signer) -> None:
        self.participant = Participant(signer)
        self.aggregator = Aggregator(NodeId(signer.public_key))

    @property
    def next_deadline(self) -> int | None:
        """Give when one of the two wants a tick."""
        due = (self.participant.next_deadline, self.aggregator.next_deadline)
        return min([each for each in due if each is not None], default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up what the rounds under way want of this node."""
        return [*self.participant.look(state), *self.aggregator.look(state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Follow the rounds."""
        return self.resume(state) if isinstance(event, LearningEvent) else []

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Do and say again what is due."""
        return [*self.participant.on_tick(now), *self.aggregator.on_tick(now)]

    def on_done(self, event: LearningDone, state: LedgerState, now: int) -> list[RoleEffect]:
        """Take what was done here for a round."""
        match event:
            case Trained(place=place, update=update, samples=samples, report=report):
                return self.participant.on_trained(place, update, samples, report, now)
            case ScoreMade(place=place, score=score):
                return self.participant.on_score(place, score, now)
            case Gathered(place=place, held=held):
                return self.aggregator.on_gathered(place, held, state, now)
            case Aggregated(place=place, after=after, left_out=left_out, faulty=faulty):
                return self.aggregator.on_aggregated(place, after, left_out, faulty, now)
            case KeysMade(place=place, keys=keys):
                return self.participant.on_keys(place, keys, now)
            case SharesDealt(place=place, digest=digest, size_bytes=size_bytes):
                return self.participant.on_dealt(place, digest, size_bytes, now)
            case SharesOpened(place=place, digest=digest, size_bytes=size_bytes):
                return self.participant.on_opened(place, digest, size_bytes, now)
            case GaveUp(place=place):
                return self.participant.on_gave_up(place, state, now)
            case LearningFailed(place=place, declined=declined):
                owner = self.participant if place.step in _OWN_DATA else self.aggregator
                owner.on_failed(place, now, declined=declined)
                return []
            case _:
                assert_never(event)


_OWN_DATA = frozenset({Step.TRAIN, Step.SCORE, Step.KEYS, Step.DEAL, Step.OPEN})
