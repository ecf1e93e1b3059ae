"""Bugs of audits and of pay that vests."""

from collections.abc import Callable

from msgspec.structs import replace

from ambientd.ledger import audits, draft, tasks, vesting
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import TaskEntry, audit_key, unvested_key
from ambientd.model.base import NodeId, TaskId
from sim.mutants.patch import Patch, always, bug


def _takes_nothing_back(revoke: Callable[..., None]) -> object:
    def revoked(draft: Draft, audit: TaskId, entry: TaskEntry, *rest: object) -> None:
        assert entry.audits is not None
        about = draft.get(audit_key(entry.audits.task))
        revoke(draft, audit, entry, *rest)
        assert isinstance(about, AuditEntry)
        confirmed = replace(about, state=AuditState.CONFIRMED, confirmed_by=_workers(entry))
        draft.put(audit_key(entry.audits.task), confirmed)

    return revoked


def _workers(entry: TaskEntry) -> tuple[NodeId, ...]:
    return tuple(slot.worker for slot in entry.slots)


def _left_there(taken: Callable[..., int]) -> object:
    def left(draft: Draft, worker: NodeId, task: TaskId) -> int:
        unvested = draft.get(unvested_key(worker, task))
        amount_msat = taken(draft, worker, task)
        if unvested is not None:
            draft.put(unvested_key(worker, task), unvested)
        return amount_msat

    return left


AUDIT_MUTANTS = (
    bug(
        "friends-vouch",
        "lets tasks earn trust whose submitter chose the workers",
        Patch(draft, "earns_trust", always(True)),
        scenario="node-choices",
    ),
    bug(
        "audits-itself",
        "lets a worker audit its own answer",
        Patch(TaskEntry, "barred", lambda _: property(lambda _: frozenset())),
        scenario="node-audits",
    ),
    bug(
        "believes-auditors",
        "takes an answer back on an auditor's word, without the referees",
        Patch(tasks, "confirms", always(True)),
        scenario="node-audits",
        vice="lie",
    ),
    bug(
        "forgives-lies",
        "leaves the other answers of a convicted worker as they are",
        Patch(audits, "reopen", always(None)),
        scenario="node-audits",
        vice="lie",
    ),
    bug(
        "draws-nothing",
        "never draws who is audited",
        Patch(audits, "draw", always(None)),
        scenario="node-audits",
    ),
    bug(
        "hides-revocations",
        "convicts a liar and takes nothing back",
        Patch(audits, "_revoke", _takes_nothing_back),
        scenario="node-audits",
        vice="lie",
    ),
    bug(
        "vests-at-once",
        "pays who worked alone without waiting for audits",
        Patch(vesting, "window_ms", always(0)),
        scenario="node-calm",
    ),
    bug(
        "vests-twice",
        "pays again and again what waits once",
        Patch(vesting, "_taken", _left_there),
        scenario="node-calm",
    ),
)
