"""Bugs of the ledger and the roles: money, slots, verdicts, signatures, who may do what."""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import count

from msgspec.structs import replace

from ambientd.codec.signing import SIGNATURE_BYTES
from ambientd.codec.statements import result_root
from ambientd.consensus import snapshots
from ambientd.consensus.log import Log
from ambientd.consensus.messages import Pages
from ambientd.consensus.snapshots import SnapshotFetcher
from ambientd.ledger import (
    accounts,
    admission,
    assigning,
    seats,
    settling,
    suitors,
    tasks,
    upkeep,
)
from ambientd.ledger.assigning import fill
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import EvidenceEntry, NodeEntry, TaskEntry
from ambientd.ledger.events import BondReturned
from ambientd.ledger.task_index import TaskIndex
from ambientd.ledger.word_entries import Topic
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import Cancel, Record
from ambientd.model.task import DEFAULT_CLASS, Commit, SlotState, TaskSpec, TaskState
from ambientd.node import applying
from ambientd.node.compaction import Compactor, PersistSnapshot
from ambientd.roles import anchorer, checkpointer
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import Effect as AnchoringEffect
from ambientd.roles.anchoring.events import PersistBook
from ambientd.rules import reputation
from ambientd.runtime import persistence
from sim.mutants.patch import Patch, always, bug

NEVER_MS = 10**15


def _twice(make: Callable[..., list[object]]) -> object:
    return lambda *arguments: make(*arguments) * 2


def _one_less(quorum: Callable[[int], int]) -> object:
    return lambda members: max(1, quorum(members) - 1)


def _most_agree(_: object) -> object:
    def agreed(receipts: Sequence[SignedReceipt]) -> bool:
        roots = [result_root(signed.receipt.result) for signed in receipts]
        return len(set(roots)) == 1 or len(set(roots)) < len(roots)

    return agreed


def _unless_in_a_batch(verify: Callable[..., bool]) -> object:
    def verified(signed: Commit | SignedReceipt, cluster: bytes) -> bool:
        return len(signed.signature) > SIGNATURE_BYTES or verify(signed, cluster)

    return verified


def _without_label(_: object) -> object:
    return lambda *arguments: arguments[1]


def _nobody_submits(suitors: Callable[..., object]) -> object:
    def found(look_up: object, task: TaskEntry, *rest: object, is_all: bool) -> object:
        return suitors(look_up, replace(task, submitter=NodeId(b"")), *rest, is_all=is_all)

    return found


def _convicts_the_late(_: object) -> object:
    def blame(self: Draft, node: NodeId, task: TaskEntry, *, is_withheld: bool) -> None:
        del task, is_withheld
        entry = self.node(node)
        if entry is not None:
            self.put_node(node, replace(entry, tombstoned=True, accepting=False))

    return blame


def _anyone_cancels(cancel: Callable[..., object]) -> object:
    def cancelled(draft: Draft, record: Record, body: Cancel) -> object:
        entry = draft.task(body.task)
        author = record.author if entry is None else entry.submitter
        return cancel(draft, replace(record, author=author), body)

    return cancelled


def _cancels_the_ended(cancel: Callable[..., object]) -> object:
    def cancelled(draft: Draft, record: Record, body: Cancel) -> object:
        entry = draft.task(body.task)
        if entry is not None and entry.state is TaskState.FINAL:
            ended = replace(entry, state=TaskState.CANCELLED)
            draft.put_task(body.task, ended)
            return None
        return cancel(draft, record, body)

    return cancelled


def _opens_anything(opened: Callable[..., object]) -> object:
    def found(draft: Draft, entry: TaskEntry, signed: SignedReceipt) -> object:
        said = opened(draft, entry, signed)
        if said != "an opened answer that is not the sealed one":
            return said
        slot = next(slot for slot in entry.slots if slot.slot == signed.receipt.slot)
        return replace(slot, state=SlotState.REVEALED, receipt=signed)

    return found


def _credits_twice(credit: Callable[..., None]) -> object:
    def credited(self: Draft, node: NodeId, amount_msat: int) -> None:
        credit(self, node, amount_msat * (2 if amount_msat > 0 else 1))

    return credited


def _keeps_the_bond(convict: Callable[..., None]) -> object:
    def convicted(self: Draft, name: Digest, evidence: EvidenceEntry, owed_msat: int = 0) -> None:
        before = self.node(evidence.culprit)
        convict(self, name, evidence, owed_msat)
        after = self.node(evidence.culprit)
        if before is not None and after is not None:
            self.put_node(evidence.culprit, replace(after, bond_msat=before.bond_msat))

    return convicted


def _spares_what_waits(convict: Callable[..., None]) -> object:
    def convicted(self: Draft, name: Digest, evidence: EvidenceEntry, owed_msat: int = 0) -> None:
        before = self.moves(evidence.culprit)
        convict(self, name, evidence, owed_msat)
        if before.waiting_msat and not self.moves(evidence.culprit).waiting_msat:
            self.put_moves(evidence.culprit, before)
            meta = self.meta
            left_msat = meta.fee_pool_msat - before.waiting_msat
            self.put_meta(replace(meta, fee_pool_msat=left_msat))

    return convicted


def _back_at_once(_: object) -> object:
    return lambda draft: draft.context.time_ms


def _back_twice(give_back: Callable[..., None]) -> object:
    def given_back(draft: Draft) -> None:
        told = len(draft.events)
        give_back(draft)
        for event in draft.events[told:]:
            if isinstance(event, BondReturned):
                draft.credit(event.node, event.amount_msat)

    return given_back


def _own_clock(apply_block: Callable[..., object]) -> object:
    ticks = count()

    def applied(state: object, context: BlockContext, *rest: object) -> object:
        own = dataclasses.replace(context, time_ms=context.time_ms + next(ticks) % 2)
        return apply_block(state, own, *rest)

    return applied


def _keeps_late_slots(run_out: Callable[..., None]) -> object:
    def ran_out(draft: Draft, task: TaskId, entry: TaskEntry) -> None:
        if entry.state is TaskState.PENDING:
            run_out(draft, task, entry)

    return ran_out


def _takes_any_page(_: object) -> object:
    def take(self: SnapshotFetcher, sender: bytes, answer: Pages, now: int) -> None:
        del now
        download = self._download
        if download is not None and sender in download.peers:
            peer = download.peers[sender]
            download.pages.update(zip(peer.asked, answer.pages, strict=False))
            download.miss(peer.asked)
            peer.asked = ()

    return take


def _never_kept(switched: Callable[..., PersistSnapshot]) -> object:
    def kept(*arguments: object, **named: object) -> PersistSnapshot:
        return dataclasses.replace(switched(*arguments, **named), snapshot=None)

    return kept


def _never_too_old(topic: Topic) -> Callable[[Callable[..., bool]], object]:
    def make(speaks: Callable[..., bool]) -> object:
        def spoken(self: Draft, on: Topic, *rest: object) -> bool:
            return speaks(self, on, *rest) or on is topic

        return spoken

    return make


def _moves_again(move: Callable[..., object]) -> object:
    def moved(draft: Draft, record: Record, body: accounts.Move) -> object:
        author = record.author
        before = draft.moves(author)
        if body.said_ms < before.said_ms:
            draft.put_moves(author, replace(before, said_ms=0))
        return move(draft, record, body)

    return moved


def _keeps_no_book(handle: Callable[..., list[AnchoringEffect]]) -> object:
    def handled(*arguments: object, **named: object) -> list[AnchoringEffect]:
        effects = handle(*arguments, **named)
        return [effect for effect in effects if not isinstance(effect, PersistBook)]

    return handled


def _takes_refused(suits: Callable[..., bool]) -> object:
    def suited(node: NodeEntry | None, spec: TaskSpec) -> bool:
        return suits(node, replace(spec, task_class=DEFAULT_CLASS))

    return suited


LEDGER_MUTANTS = (
    bug(
        "asks-for-nothing",
        "gives out slots without a look at what a task asks for",
        Patch(suitors, "satisfies", always(True)),
        scenario="node-choices",
    ),
    bug(
        "takes-refused",
        "gives out work that its owner refuses",
        Patch(suitors, "suits", _takes_refused),
        scenario="node-choices",
    ),
    bug(
        "trusts-anybody",
        "lets anybody work alone where trust is asked for",
        Patch(assigning, "is_trusted", always(True)),
        scenario="node-choices",
    ),
    bug(
        "works-past-deadlines",
        "looks for workers when a task's own deadline is over",
        Patch(tasks, "miss_deadline", lambda _: fill),
        scenario="node-choices",
    ),
    bug(
        "one-praises-all",
        "counts all that a single submitter makes up",
        Patch(reputation, "SUBMITTER_SHARE", lambda _: 1),
        scenario="node-choices",
    ),
    bug("pays-twice", "pays each worker twice", Patch(settling, "_together", _twice)),
    bug("keeps-escrow", "never empties the escrow", Patch(Draft, "move_escrow", always(None))),
    bug("credits-twice", "credits each amount twice", Patch(Draft, "credit", _credits_twice)),
    bug(
        "unsigned-receipts",
        "takes an opened answer without its signature",
        Patch(tasks, "verify_receipt", always(True)),
        vice="forge",
    ),
    bug(
        "unsigned-seals",
        "takes a sealed answer without its signature",
        Patch(tasks, "verify_commit", always(True)),
        vice="forge",
    ),
    bug(
        "path-unchecked",
        "takes an answer for signed whose signature names a place in a batch",
        Patch(tasks, "verify_receipt", _unless_in_a_batch),
        Patch(tasks, "verify_commit", _unless_in_a_batch),
        vice="forge",
    ),
    bug(
        "opens-anything",
        "takes an opened answer that is not the sealed one",
        Patch(tasks, "_opened", _opens_anything),
        vice="copy",
    ),
    bug(
        "lease-never-ends",
        "gives workers all the time there is",
        Patch(assigning, "_lease_end", always(NEVER_MS)),
    ),
    bug(
        "late-keep-slots",
        "takes no slot away from a late worker",
        Patch(tasks, "run_out", _keeps_late_slots),
        vice="idle",
    ),
    bug(
        "submitter-serves-itself",
        "does not leave the submitter out when it gives out slots",
        Patch(assigning, "suitors", _nobody_submits),
    ),
    bug(
        "most-agree",
        "takes what most replicas say for agreed",
        Patch(tasks, "agreed", _most_agree),
        vice="lie",
    ),
    bug(
        "few-referees",
        "lets a referee too few decide",
        Patch(tasks, "quorum", _one_less),
        vice="lie",
    ),
    bug("spares-liars", "convicts nobody", Patch(Draft, "convict", always(None)), vice="lie"),
    bug(
        "convicts-the-late",
        "takes a late worker for a liar",
        Patch(Draft, "blame", _convicts_the_late),
        scenario="node",
    ),
    bug(
        "keeps-the-bond",
        "leaves a liar its bond",
        Patch(Draft, "convict", _keeps_the_bond),
        vice="lie",
    ),
    bug(
        "bonds-back-at-once",
        "gives a bond back as soon as that is asked for",
        Patch(accounts, "_wait_end", _back_at_once),
        scenario="node-money",
    ),
    bug(
        "bonds-back-twice",
        "gives a bond back twice",
        Patch(accounts, "give_back", _back_twice),
        scenario="node-money",
    ),
    bug(
        "members-unbond",
        "gives bonds back to members",
        Patch(accounts, "is_seated", always(False)),
        scenario="node-money",
    ),
    bug(
        "forgets-open-work",
        "gives bonds back to workers whose answers are still disputed",
        Patch(TaskIndex, "has_work", always(False)),
        scenario="node-money",
    ),
    bug(
        "spares-what-waits",
        "leaves a liar what it had asked back",
        Patch(Draft, "convict", _spares_what_waits),
        scenario="node-money",
        vice="lie",
    ),
    bug(
        "few-cosignatures",
        "closes a batch with a cosignature too few",
        Patch(upkeep, "quorum", _one_less),
        Patch(checkpointer, "quorum", _one_less),
    ),
    bug(
        "joins-uninvited",
        "does not check who signed an invitation",
        Patch(upkeep, "verify", always(True)),
        Patch(admission, "verify", always(True)),
    ),
    bug(
        "anyone-cancels",
        "lets anyone take a task back",
        Patch(tasks, "cancel", _anyone_cancels),
        vice="meddle",
    ),
    bug(
        "cancels-the-ended",
        "lets a task be taken back after its end",
        Patch(tasks, "cancel", _cancels_the_ended),
    ),
    bug(
        "believes-offers",
        "takes a state over that nobody certified",
        Patch(snapshots, "snapshot_fault", always(None)),
        scenario="node-states",
        vice="mislead",
    ),
    bug(
        "believes-pages",
        "takes any page for the one it asked for",
        Patch(SnapshotFetcher, "take_pages", _takes_any_page),
        scenario="node-states",
        vice="mislead",
    ),
    bug(
        "deletes-first",
        "deletes blocks and keeps no snapshot",
        Patch(Compactor, "_switched", _never_kept),
        scenario="node-states",
    ),
    bug(
        "few-seat-votes",
        "gives a seat on one member's word",
        Patch(seats, "quorum", always(1)),
        scenario="node-seats",
    ),
    bug(
        "takes-any-seat",
        "lets nodes into the committee that have not asked",
        Patch(seats, "_may_sit", always(True)),
        scenario="node-seats",
    ),
    bug(
        "hides-ends",
        "shows nobody how an epoch ended",
        Patch(persistence, "ends_of", always([])),
        scenario="node-seats",
    ),
    bug(
        "names-no-epoch",
        "says in no message to which epoch it belongs",
        Patch(Log, "_label", _without_label),
        scenario="node-seats",
    ),
    bug(
        "counts-anew",
        "uses epochs of observations again when its store is lost",
        Patch(
            persistence.Recovered,
            "last_telemetry_epoch",
            lambda _: lambda found, _: found.telemetry_epoch,
        ),
        scenario="node-rot",
    ),
    bug(
        "keeps-first-anchors",
        "keeps a batch's first anchor, also when its Bitcoin block was undone",
        Patch(upkeep, "supersedes", always(False)),
        scenario="node-anchors",
    ),
    bug(
        "takes-any-anchor",
        "lets any anchor take the place of the one before",
        Patch(upkeep, "supersedes", always(True)),
        Patch(anchorer, "supersedes", always(True)),
        scenario="node-anchors",
    ),
    bug(
        "anchors-once",
        "does not notice that a Bitcoin block with an anchor was undone",
        Patch(Anchoring, "_lose", always(None)),
        scenario="node-anchors",
    ),
    bug(
        "pays-after-crashes",
        "forgets which anchors it has signed when it crashes",
        Patch(Anchoring, "handle", _keeps_no_book),
        scenario="node-anchors",
    ),
    bug(
        "older-words-on-nodes",
        "lets a member's older word on the nodes take the place of a newer one",
        Patch(Draft, "speaks", _never_too_old(Topic.NODES)),
        scenario="node-seats",
        vice="recall",
    ),
    bug(
        "older-words-on-seats",
        "lets a member's older word on a seat take the place of a newer one",
        Patch(Draft, "speaks", _never_too_old(Topic.SEATS)),
        scenario="node-seats",
        vice="recall",
    ),
    bug(
        "moves-again",
        "moves money again by what its owner said before",
        Patch(accounts, "move", _moves_again),
        scenario="node-money",
        vice="recall",
    ),
    bug("own-clock", "dates blocks by its own clock", Patch(applying, "apply_block", _own_clock)),
)
