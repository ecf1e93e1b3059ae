"""Tasks that choose their workers, and what must hold of who works on them, and for how long."""

from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.ledger.entries import NodeEntry, Table, TaskEntry
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId
from ambientd.model.genesis import NodeKind, Rules
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, Constraint, SlotState, TaskSpec, TaskState
from sim.checkers import InvariantViolation
from sim.machine import Effect, Host
from sim.node_checkers import EntryChecker, ledger_changes
from sim.vices import Resident

REFUSED_BY_GUESTS = "media"
WAITS_MS = 8_000
HASTE_MS = 900
TRUSTED_STREAK = 10
WEEK_SHARE = 20
WEEK_MIN = 5
MEMBERS_KIND = NodeKind.COMPUTE


def task_spec(serial: int, assurance: Assurance, replicas: int) -> TaskSpec:
    """Give a small task that differs from every other."""
    return TaskSpec(
        module=Digest(sha256(b"module")),
        input=Digest(sha256(b"input %d" % serial)),
        module_size_bytes=100,
        input_size_bytes=10,
        gas_max=10_000_000,
        memory_bytes_max=1 << 20,
        wall_ms_max=500,
        output_bytes_max=1_000,
        assurance=assurance,
        replicas=replicas,
        price_msat_per_mgas=100,
    )


def choosy(spec: TaskSpec, serial: int, now_ms: int) -> TaskSpec:
    """Let a task ask for what one in six does; whatever may find nobody has a deadline."""
    wanted = Constraint(key="kind", value=MEMBERS_KIND.value)
    later = now_ms + WAITS_MS
    return (
        spec,
        replace(spec, task_class=REFUSED_BY_GUESTS, priority=9, deadline_ms=later),
        replace(spec, constraints=(wanted,), distinct=("kind", "region"), deadline_ms=later),
        replace(spec, constraints=(replace(wanted, is_excluded=True),), deadline_ms=later),
        replace(spec, assurance=Assurance.AUDITED, replicas=1, deadline_ms=later),
        replace(spec, deadline_ms=now_ms + HASTE_MS, attempts_max=2, strategy="least-loaded"),
    )[serial % 6]


class PlainChecker(EntryChecker):
    """Judges what one block did by the ledger behind that block."""

    looks_at = "one block"

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Leave out what is written of several blocks at once."""
        if sum(len(change.committed.blocks) for change in ledger_changes(effect)) == 1:
            super().saw_effect(node, effect, now)


class AskedWorkers(PlainChecker):
    """Who works on a task is what it asks for, takes work of its class, and is trusted if alone."""

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at everybody who has a slot."""
        del table
        if not isinstance(entry, TaskEntry):
            return
        for slot in entry.slots:
            worker = node.ledger.node(slot.worker) if slot.state is SlotState.ASSIGNED else None
            if worker is None:
                continue
            text = f"{slot.worker.hex()[:8]} on task {name.hex()[:12]} by {now} ms"
            if not all(_is_asked(worker, each) for each in entry.spec.constraints):
                raise InvariantViolation("workers are as asked", text)
            if entry.spec.task_class in worker.profile.refuses:
                raise InvariantViolation("owners are asked", text)
            alone = entry.spec.assurance is Assurance.AUDITED and len(entry.slots) == 1
            if alone and entry.audits is None and not _has_earned_it(node, slot.worker, entry):
                raise InvariantViolation("who works alone is trusted", text)


def _is_asked(worker: NodeEntry, asked: Constraint) -> bool:
    assert asked.key == "kind", "no other label is asked for in these worlds"
    return (worker.profile.kind.value == asked.value) is not asked.is_excluded


def _has_earned_it(node: Resident, worker: NodeId, entry: TaskEntry) -> bool:
    """Tell whether a worker was trusted, or may have been until a fault in the same block."""
    now_ms = node.ledger.meta.time_ms
    found = node.ledger.reputations.of(worker, entry.spec.task_class, now_ms)
    return found.streak >= TRUSTED_STREAK or (found.streak == 0 and found.bad > 3_000_000)


class KeptDeadlines(PlainChecker):
    """No task is given out, or taken back from its workers, when its own deadline is over."""

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at tasks that are written while somebody still owes an answer."""
        del table
        if isinstance(entry, TaskEntry) and entry.state in {TaskState.PENDING, TaskState.ASSIGNED}:
            time_ms = node.ledger.meta.running_ms
            if 0 < entry.expires_ms <= time_ms:
                text = f"task {name.hex()[:12]} at running time {time_ms}, by {now} ms"
                raise InvariantViolation("deadlines are kept", text)


class SharedWeeks(EntryChecker):
    """No submitter has more than its share in what a week counts of a node."""

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Add up a week."""
        del node, table
        if isinstance(entry, Reputation):
            counts = [tally.count for tally in entry.tallies]
            most = max(WEEK_MIN, entry.counted // WEEK_SHARE)
            if sum(counts) != entry.counted or max(counts, default=0) > most:
                text = f"{name[:4].hex()} by {now} ms: {counts}"
                raise InvariantViolation("a week is of many submitters", text)


class ChanceAlone(PlainChecker):
    """Nobody is trusted for more than it did where chance alone chose who works.

    It counts in the ledger's tasks: for worlds in which none is forgotten.
    """

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Count a worker's tasks of a class that nobody chose it for."""
        del table
        if not isinstance(entry, Reputation):
            return
        worker, task_class = NodeId(name[:DIGEST_BYTES]), name[DIGEST_BYTES:].decode()
        own = [
            each
            for _, each in node.ledger.tasks()
            if each.state is TaskState.FINAL
            and each.spec.task_class == task_class
            and (worker in each.barred or any(slot.worker == worker for slot in each.slots))
        ]
        earned = sum(_is_by_chance(each) for each in own)
        if entry.streak > earned:
            text = f"{name[:4].hex()} by {now} ms: {entry.streak} of {earned} outcomes"
            raise InvariantViolation("trust is earned by chance alone", text)


def _is_by_chance(entry: TaskEntry) -> bool:
    spec = entry.spec
    is_drawn = spec.strategy in {"", "weighted"} and not spec.constraints
    return is_drawn and not any(slot.attempt for slot in entry.slots)


def checkers_of_choices(keep_ms: int) -> list[EntryChecker]:
    """Give what judges who works; trust can be counted where no task is forgotten."""
    counted = [ChanceAlone()] if keep_ms == Rules().keep_ms else []
    return [AskedWorkers(), KeptDeadlines(), SharedWeeks(), *counted]
