"""What happens in a dispute, in words and fields for people and programs."""

from typing import assert_never

from ambientd.api.replies import EventKind
from ambientd.api.story_words import Fields, Line, short
from ambientd.ledger import events as ledger

DisputeEvent = (
    ledger.TaskDisputed
    | ledger.RoundBegan
    | ledger.PartySpoke
    | ledger.PartyBlamed
    | ledger.SegmentReached
    | ledger.WholeWanted
    | ledger.RefereeSpoke
    | ledger.ProofSpoke
    | ledger.StepPromised
    | ledger.StepShown
    | ledger.StepGivenUp
)


def dispute_line(event: DisputeEvent) -> Line:
    """Put one step of a dispute into words."""
    fields: Fields = {"task": event.task.hex()}
    match event:
        case ledger.TaskDisputed():
            return EventKind.TASK_DISPUTED, "the answers are disputed", fields
        case ledger.RoundBegan(game=game, round=number, low_gas=low, until_gas=until):
            first, second = event.parties
            names = f"{short(first)} and {short(second)}"
            text = f"round {number + 1}: {names} differ between gas {low} and {until}"
            fields |= {"game": game, "round": number, "low_gas": low, "until_gas": until}
            return EventKind.ROUND_BEGAN, text, fields | {"parties": [first.hex(), second.hex()]}
        case ledger.PartySpoke(round=number, party=party):
            text = f"round {number + 1}: {short(party)} has signed how it got to its answer"
            return EventKind.PARTY_SPOKE, text, fields | {"round": number, "node": party.hex()}
        case ledger.PartyBlamed(party=party):
            text = f"{short(party)} did not say in time how it got to its answer: it is not paid"
            return EventKind.PARTY_BLAMED, text, fields | {"node": party.hex()}
        case ledger.SegmentReached(start_gas=start, until_gas=until):
            text = f"the referees execute from gas {start} to {until}"
            return EventKind.SEGMENT_REACHED, text, fields | {"low_gas": start, "until_gas": until}
        case ledger.WholeWanted(reason=reason):
            text = f"the referees execute the whole: {reason}"
            return EventKind.WHOLE_WANTED, text, fields | {"reason": reason}
        case ledger.RefereeSpoke(verdict=verdict):
            text = f"referee {short(verdict.referee)} has signed its finding"
            return EventKind.REFEREE_SPOKE, text, fields | {"node": verdict.referee.hex()}
        case ledger.ProofSpoke(word=word):
            found = word.finding.name.lower()
            text = f"member {short(word.referee)} has signed of the proof: {found}"
            return EventKind.REFEREE_SPOKE, text, fields | {"node": word.referee.hex()}
        case ledger.StepPromised() | ledger.StepShown() | ledger.StepGivenUp():
            return _step_line(event, fields | {"node": event.prover.hex()})
        case _:
            assert_never(event)


def _step_line(
    event: ledger.StepPromised | ledger.StepShown | ledger.StepGivenUp, fields: Fields
) -> Line:
    """Put what becomes of the proof of a disputed stretch into words."""
    name, kind = short(event.prover), EventKind.STEP_PROOF
    match event:
        case ledger.StepPromised():
            return kind, f"{name} is to prove what is left", fields | {"state": "promised"}
        case ledger.StepShown():
            text = f"{name} has proven what is left: members verify it"
            return kind, text, fields | {"state": "shown"}
        case ledger.StepGivenUp(reason=reason):
            blame = f"; {name} is blamed" if event.is_blamed else ""
            text = f"the referees execute what is left: {reason}{blame}"
            return kind, text, fields | {"state": "given_up", "reason": reason}
