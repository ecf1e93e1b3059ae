"""What studies and their rounds do, in words and fields."""

from typing import assert_never

from ambientd.api.replies import EventKind
from ambientd.api.story_words import Fields, Line, short
from ambientd.ledger import learning_events as learning
from ambientd.model.learning import RoundState


def learning_line(event: learning.LearningEvent) -> Line:
    """Put one such event into words."""
    match event:
        case learning.StudyBegan(study=study, author=author):
            fields: Fields = {"study": study.hex(), "node": author.hex()}
            return EventKind.STUDY_BEGAN, f"{short(author)} invites to study {short(study)}", fields
        case learning.StudyJoined(study=study, node=node, is_in=is_in):
            fields = {"study": study.hex(), "node": node.hex(), "is_in": is_in}
            text = f"{short(node)} {'takes part in' if is_in else 'has left'} study {short(study)}"
            return EventKind.STUDY_JOINED, text, fields
        case learning.RoundMoved(study=study, round=number, state=state):
            fields = {"study": study.hex(), "round": number, "state": state.name.lower()}
            text = f"round {number} of study {short(study)} is at {state.name.lower()}"
            return EventKind.STUDY_ROUND_MOVED, text, fields
        case learning.RoundHeard(study=study, round=number, state=state, node=node):
            fields = {"study": study.hex(), "round": number, "state": state.name.lower()}
            text = f"{short(node)} has spoken in round {number} of study {short(study)}"
            return EventKind.STUDY_ROUND_HEARD, text, fields | {"node": node.hex()}
        case learning.RoundEnded():
            return _ended_line(event)
        case learning.StudyEnded(study=study, state=state, reason=reason):
            fields = {"study": study.hex(), "state": state.name.lower(), "reason": reason}
            text = f"study {short(study)} is over: {reason or state.name.lower()}"
            return EventKind.STUDY_ENDED, text, fields
        case _:
            assert_never(event)


def _ended_line(event: learning.RoundEnded) -> Line:
    receipt = event.receipt
    fields: Fields = {
        "study": receipt.study.hex(),
        "round": receipt.round,
        "state": receipt.state.name.lower(),
        "survivors": len(receipt.survivors),
        "correct": receipt.score.correct,
        "total": receipt.score.total,
        "leaf": event.leaf,
        "reason": event.reason,
    }
    place = f"round {receipt.round} of study {short(receipt.study)}"
    if receipt.state is RoundState.FAILED:
        return EventKind.STUDY_ROUND_ENDED, f"{place} failed: {event.reason}", fields
    text = f"{place} made a model of {len(receipt.survivors)} updates"
    if receipt.score.total:
        text += f"; {receipt.score.correct} of {receipt.score.total} held-out samples are right"
    return EventKind.STUDY_ROUND_ENDED, text, fields
