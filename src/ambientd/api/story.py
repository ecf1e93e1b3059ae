"""What the log decided, in words and fields for people and programs."""

from typing import assert_never

from ambientd.api.audit_story import audit_line
from ambientd.api.counting import in_words, outcome_in_words
from ambientd.api.dispute_story import dispute_line
from ambientd.api.image_story import image_line
from ambientd.api.learning_story import learning_line
from ambientd.api.peg_story import peg_line
from ambientd.api.replies import Event, EventKind
from ambientd.api.story_words import Fields, Line, short
from ambientd.ledger import events as ledger
from ambientd.ledger import image_events as image
from ambientd.ledger import learning_events as learning
from ambientd.ledger import peg_events as peg
from ambientd.ledger.weighing import closed_standing
from ambientd.model.bundle import Bundle
from ambientd.model.execution import OutcomeKind
from ambientd.model.record import SeatWish
from ambientd.model.task import TaskState
from ambientd.ports.anchors import AnchorSent
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, MAGIC, double_sha256, strip_witness
from ambientd.rules.bitcoin_codec import display
from ambientd.rules.energy import is_modelled
from ambientd.runtime.news import OwnEvent, Tidings


def outcome_name(kind: int) -> str:
    """Give an outcome's name as people and programs see it."""
    return OutcomeKind(kind).name.lower()


def anchor_txid(raw_tx: bytes) -> str:
    """Give a transaction's id as Bitcoin programs show it."""
    return display(double_sha256(strip_witness(raw_tx)))


def op_return(root: bytes) -> str:
    """Give what an anchor's OP_RETURN output carries: magic and root, in hex."""
    return (MAGIC + root).hex()


def tell(told: Tidings) -> list[Event]:
    """Put one decided event into words; some make two lines."""
    return [
        Event(time_ms=told.time_ms, kind=kind, text=text, fields=fields)
        for kind, text, fields in _lines(told.event)
    ]


def _lines(event: ledger.LedgerEvent | OwnEvent) -> list[Line]:
    match event:
        case (
            ledger.TaskAdmitted()
            | ledger.TaskCommitted()
            | ledger.TaskFinal()
            | ledger.TaskClosed()
            | ledger.Paid()
            | ledger.Refunded()
        ):
            return _task_lines(event)
        case (
            ledger.TaskDisputed()
            | ledger.RoundBegan()
            | ledger.PartySpoke()
            | ledger.PartyBlamed()
            | ledger.SegmentReached()
            | ledger.WholeWanted()
            | ledger.RefereeSpoke()
            | ledger.ProofSpoke()
            | ledger.StepPromised()
            | ledger.StepShown()
            | ledger.StepGivenUp()
        ):
            return [dispute_line(event)]
        case (
            ledger.PayWaits()
            | ledger.PayLost()
            | ledger.PremiumPaid()
            | ledger.AuditOpened()
            | ledger.ResultSuspected()
            | ledger.ResultConfirmed()
            | ledger.ResultRevoked()
            | ledger.AuditUndecided()
        ):
            return [audit_line(event)]
        case (
            peg.WalletFormed()
            | peg.AddressGiven()
            | peg.PegInCredited()
            | peg.ReturnAsked()
            | peg.PaymentVersioned()
            | peg.PaymentSigned()
            | peg.PaymentFinal()
        ):
            return [peg_line(event)]
        case (
            learning.StudyBegan()
            | learning.StudyJoined()
            | learning.RoundMoved()
            | learning.RoundHeard()
            | learning.RoundEnded()
            | learning.StudyEnded()
        ):
            return [learning_line(event)]
        case (
            ledger.SlotAssigned()
            | ledger.SlotReleased()
            | ledger.StateMarked()
            | ledger.SlotCommitted()
            | ledger.SlotRevealed()
        ):
            return _slot_lines(event)
        case _:
            return _other_lines(event)


def _task_lines(event: ledger.LedgerEvent) -> list[Line]:
    match event:
        case ledger.TaskAdmitted(task=task, escrow_msat=escrow):
            text = f"accepted, {escrow} msat in escrow"
            return [(EventKind.TASK_ADMITTED, text, {"task": task.hex(), "escrow_msat": escrow})]
        case ledger.Paid(task=task, node=node, amount_msat=amount):
            text = f"{short(node)} is paid {amount} msat"
            paid: Fields = {"task": task.hex(), "node": node.hex(), "amount_msat": amount}
            return [(EventKind.TASK_PAID, text, paid)]
        case ledger.Refunded(task=task, node=node, amount_msat=amount):
            text = f"{amount} msat go back to {short(node)}"
            back: Fields = {"task": task.hex(), "node": node.hex(), "amount_msat": amount}
            return [(EventKind.TASK_REFUNDED, text, back)]
        case ledger.TaskFinal(task=task, settlement=settlement):
            outcome = outcome_name(settlement.result.kind)
            verdict_name = settlement.verdict.name.lower()
            end: Fields = {
                "task": task.hex(),
                "state": "final",
                "outcome": outcome,
                "verdict": verdict_name,
                "gas": settlement.result.gas,
                "liars": [liar.hex() for liar in settlement.liars],
            }
            ended = outcome
            if isinstance(extent := settlement.result.output_size_bytes, Bundle):
                end["items"] = extent.items
                ended = outcome_in_words(outcome, extent.items, None)
            text = f"final: {ended}, verdict {verdict_name}, {settlement.result.gas} gas"
            return [(EventKind.TASK_ENDED, text, end)]
        case ledger.TaskClosed(task=task, state=state):
            if state is TaskState.FINAL:
                return []
            name = state.name.lower()
            return [(EventKind.TASK_ENDED, name, {"task": task.hex(), "state": name})]
        case _:
            return []


def _slot_lines(event: ledger.LedgerEvent) -> list[Line]:
    match event:
        case ledger.SlotAssigned(task=task, slot=slot, attempt=attempt, worker=worker):
            text = f"slot {slot} assigned to {short(worker)}"
            fields: Fields = {
                "task": task.hex(),
                "slot": slot,
                "attempt": attempt,
                "node": worker.hex(),
            }
            return [(EventKind.TASK_ASSIGNED, text, fields)]
        case ledger.SlotReleased(task=task, slot=slot, worker=worker, reason=reason):
            text = f"slot {slot} taken from {short(worker)}: it {reason}"
            fields = {"task": task.hex(), "slot": slot, "node": worker.hex(), "reason": reason}
            return [(EventKind.TASK_RELEASED, text, fields)]
        case ledger.StateMarked(task=task, mark=mark):
            gas = mark.point.gas_index
            text = f"slot {mark.slot}: {short(mark.worker)} has marked a state at gas {gas}"
            fields = {
                "task": task.hex(),
                "slot": mark.slot,
                "attempt": mark.attempt,
                "node": mark.worker.hex(),
                "gas": gas,
                "state": mark.state.hex(),
            }
            return [(EventKind.TASK_MARKED, text, fields)]
        case ledger.SlotCommitted(task=task, slot=slot, worker=worker):
            text = f"slot {slot}: {short(worker)} has sealed its answer"
            fields = {"task": task.hex(), "slot": slot, "node": worker.hex()}
            return [(EventKind.TASK_COMMITTED, text, fields)]
        case ledger.SlotRevealed(task=task, slot=slot, worker=worker, receipt=signed):
            text = f"slot {slot}: {short(worker)} has opened its answer"
            fields = {"task": task.hex(), "slot": slot, "node": worker.hex()}
            receipt = signed.receipt
            energy: Fields = {
                "task": task.hex(),
                "node": worker.hex(),
                "millijoules": receipt.energy_mj,
                "source": receipt.energy_source,
                "modelled": is_modelled(receipt.energy_source),
            }
            used = "unknown" if receipt.energy_mj is None else f"{receipt.energy_mj} mJ"
            if is_modelled(receipt.energy_source):
                used += ", modelled, not measured"
            said = f"energy at {short(worker)}: {used} ({receipt.energy_source})"
            return [
                (EventKind.TASK_REVEALED, text, fields),
                (EventKind.TASK_ENERGY, said, energy),
            ]
        case _:
            return []


def _other_lines(event: ledger.LedgerEvent | OwnEvent) -> list[Line]:
    match event:
        case ledger.LiarNamed(node=node, task=task, evidence=evidence):
            before = event.reputation_before_permille / 1000
            fields: Fields = {
                "task": task.hex(),
                "node": node.hex(),
                "evidence": evidence.hex(),
                "reputation_before": before,
                "reputation_after": 0.0,
                "bond_lost_msat": event.bond_lost_msat,
            }
            text = f"{short(node)} is named a liar; reputation {before} -> 0.0"
            return [(EventKind.LIAR_NAMED, text, fields)]
        case ledger.CheckpointClosed(size=size, root=root):
            text = f"{in_words(size, 'receipt')} under root {short(root)}, cosigned by a quorum"
            return [(EventKind.BATCH_CLOSED, text, {"size": size, "root": root.hex()})]
        case AnchorSent(root=root, txid=txid):
            carried = op_return(root)
            text = f"Bitcoin transaction {txid} sent, OP_RETURN {carried}"
            return [
                (
                    EventKind.ANCHOR_SENT,
                    text,
                    {"root": root.hex(), "txid": txid, "op_return": carried},
                )
            ]
        case ledger.BatchAnchored(size=size, root=root, proof=proof):
            txid = anchor_txid(proof.raw_tx)
            text = f"root {short(root)} is anchored in Bitcoin block {proof.height}"
            fields = {
                "size": size,
                "root": root.hex(),
                "txid": txid,
                "height": proof.height,
                "confirmations": max(CONFIRMATIONS_MIN, 1 + len(proof.following_headers)),
            }
            return [(EventKind.ANCHOR_CONFIRMED, text, fields)]
        case ledger.NodeJoined(node=node, name=name):
            text = f"{name} has joined"
            return [(EventKind.NODE_JOINED, text, {"node": node.hex(), "name": name})]
        case ledger.NodeOffered(node=node, closed=closed, memory_bytes_max=stated):
            if not closed:
                least = f" that needs up to {stated // 2**20:,} MiB" if stated else ""
                text = f"{short(node)} takes work{least}: its owner lets it"
                return [(EventKind.NODE_OPENED, text, {"node": node.hex()})]
            reason = closed_standing(closed).value
            text = f"{short(node)} takes no work: {reason}"
            return [(EventKind.NODE_CLOSED, text, {"node": node.hex(), "reason": reason})]
        case ledger.NodeConvicted(node=node, kind=kind):
            text = f"{short(node)} has contradicted itself ({kind})"
            return [(EventKind.NODE_CONVICTED, text, {"node": node.hex(), "kind": kind})]
        case ledger.SeatSpoken() | ledger.EpochDue() | ledger.EpochBegan():
            return [_committee_line(event)]
        case (
            ledger.Transferred()
            | ledger.BondRaised()
            | ledger.BondAskedBack()
            | ledger.BondReturned()
        ):
            return [_money_line(event)]
        case ledger.ModulePublished() | ledger.ModuleYanked():
            return [_module_line(event)]
        case image.ImageNamed() | image.ImageDecided() | image.ImageDenied():
            return [image_line(event)]
        case _:
            return []


def _module_line(event: ledger.ModulePublished | ledger.ModuleYanked) -> Line:
    name = f"{short(event.publisher)}/{event.name}@{event.version}"
    fields: Fields = {
        "node": event.publisher.hex(),
        "name": event.name,
        "version": event.version,
    }
    if isinstance(event, ledger.ModulePublished):
        manifest = {"manifest": event.manifest.hex()}
        return EventKind.MODULE_PUBLISHED, f"{name} is published", fields | manifest
    text = f"{name} is advised against: {event.reason}"
    return EventKind.MODULE_YANKED, text, fields | {"reason": event.reason}


def _committee_line(
    event: ledger.SeatSpoken | ledger.EpochDue | ledger.EpochBegan,
) -> Line:
    match event:
        case ledger.SeatSpoken(speaker=speaker, node=node, wish=wish):
            said = wish.name.lower()
            fields: Fields = {"node": node.hex(), "speaker": speaker.hex(), "wish": said}
            text = f"{short(speaker)} wants {short(node)} {said} of the committee"
            if wish is SeatWish.IN:
                text = f"{short(speaker)} wants {short(node)} in the committee"
            if speaker == node:
                text = f"{short(node)} wants {'a' if wish else 'no'} seat in the committee"
            elif wish is SeatWish.INSTEAD:
                text = f"{short(speaker)} wants {short(node)} in the committee, for another"
            return EventKind.SEAT_SPOKEN, text, fields
        case ledger.EpochDue(number=number, members=members):
            names = [member.hex() for member in members]
            text = f"epoch {number} is decided on: {in_words(len(names), 'member')}"
            return EventKind.EPOCH_DUE, text, {"epoch": number, "members": names}
        case ledger.EpochBegan(number=number, members=members):
            names = [member.hex() for member in members]
            text = f"epoch {number} began with {in_words(len(names), 'member')}"
            return EventKind.EPOCH_BEGAN, text, {"epoch": number, "members": names}
        case _:
            assert_never(event)


def _money_line(
    event: ledger.Transferred | ledger.BondRaised | ledger.BondAskedBack | ledger.BondReturned,
) -> Line:
    who, amount_msat = short(event.node), event.amount_msat
    fields: Fields = {"node": event.node.hex(), "amount_msat": amount_msat}
    match event:
        case ledger.Transferred(to=to):
            text = f"{who} has sent {amount_msat} msat to {short(to)}"
            return EventKind.CREDITS_TRANSFERRED, text, fields | {"to": to.hex()}
        case ledger.BondRaised():
            return EventKind.BOND_RAISED, f"{who} has put {amount_msat} msat at risk", fields
        case ledger.BondAskedBack(due_ms=due_ms):
            text = f"{who} asks {amount_msat} msat of its bond back"
            return EventKind.BOND_ASKED_BACK, text, fields | {"due_ms": due_ms}
        case ledger.BondReturned():
            text = f"{who} has {amount_msat} msat of its bond back"
            return EventKind.BOND_RETURNED, text, fields
        case _:
            assert_never(event)
