"""Studies in worlds of whole nodes: what owners say of them, and what must hold of their rounds."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.codec.statements import study_id
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.entries import Table, TaskEntry
from ambientd.ledger.learning import due_ms
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.ledger.learning_rounds import ENDED
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Plan, RoundState, StudyId, Terms, within
from ambientd.model.learning_record import FlJoin, FlLeave, FlStop, FlStudy
from ambientd.rules.lessons import LESSON_CLASS
from ambientd.rules.studies import AUDITS_MAX
from ambientd.rules.tolerances import has_commitments
from sim.checkers import InvariantViolation
from sim.node_checkers import EntryChecker, NodeChecker
from sim.private_checkers import PrivateBooks
from sim.pupils import PARAMETER_BYTES, SAMPLES, model_of
from sim.seasons import Storm, work_times
from sim.stage import Stage
from sim.vices import Resident, Vice, honest_answer


class Students:
    """What owners say of studies: they begin some, join, leave, come back, and end their own."""

    def __init__(
        self,
        world: Stage,
        hosts: Sequence[Resident],
        seed: int,
        *,
        in_private: bool = False,
        within: bool = False,
    ) -> None:
        self._world = world
        self._in_private = in_private
        self._within = within
        self._hosts = hosts
        hoarders = frozenset(NodeId(each.key) for each in hosts if Vice.HOARD in each.vices)
        for host in hosts:
            host.hoarders = hoarders
        members = {member.node for member in hosts[0].options.genesis.members}
        # Whoever begins a study pays for it; guests are given little, and late.
        self._founders = [host for host in hosts if NodeId(host.key) in members]
        self._dice = random.Random(seed * 13_007 + len(hosts))

    def schedule(self, storms: Sequence[Storm], end_ms: int, until_ms: int) -> None:
        """Lay out what is said up to a time; studies may begin until the other, in block time."""
        times_ms = work_times(storms, FROM_MS, end_ms, STUDY_EVERY_MS, self._dice)
        for number, at in enumerate(times_ms):
            author = self._dice.choice(self._founders)
            is_proven = number % 2 == 0 and not self._in_private
            body = study_body(number, until_ms, is_proven=is_proven, is_private=self._in_private)
            body = audited_body(number, until_ms) if self._within else body
            study = study_id(NodeId(author.key), body)
            self._say(at, author, body)
            for host in self._hosts:
                joins_at = at + 300 + self._dice.randrange(1_500)
                self._say(joins_at, host, _join(study, host, body, joins_at))
                if self._dice.randrange(6) == 0:
                    leaves_at = joins_at + self._dice.randrange(6_000)
                    self._say(leaves_at, host, FlLeave(study=study, said_ms=leaves_at))
            if self._dice.randrange(6) == 0:
                stopper = self._dice.choice([author, *self._hosts])
                self._say(at + self._dice.randrange(9_000), stopper, FlStop(study=study))

    def _say(self, at: int, host: Resident, body: FlStudy | FlJoin | FlLeave | FlStop) -> None:
        def speak() -> None:
            self._world.act(host.key, lambda now: host.want(body, now))

        self._world.at(at, speak)


FROM_MS = 3_000
STUDY_EVERY_MS = 8_000


TOLERANCE_MICRO = 1_000
MODEL = "mlp:1,1,2"
"""Its trainer gives 32 bytes, as simulated executions do."""


def _join(study: StudyId, host: Resident, body: FlStudy, at: int) -> FlJoin:
    """Take part, with the hash of data of its own where training is proven."""
    if not has_commitments(body.plan):
        return FlJoin(study=study, said_ms=at)
    return FlJoin(study=study, said_ms=at, data=Digest(sha256(host.key)), samples=SAMPLES)


def study_body(
    number: int, until_ms: int, *, is_proven: bool = False, is_private: bool = False
) -> FlStudy:
    """Give a small study: open, of proven training, or private."""
    plan = Plan(model=MODEL, trainer="sim", aggregation="fedavg", seed=bytes(32))
    terms = Terms(
        rounds=3, participants_min=4, wanted=5, invite_ms=2_000, train_ms=2_500, step_ms=1_500
    )
    if is_private:
        plan = replace(plan, clip_micro=1_000_000, noise_milli=8_000, group_size=3, is_private=True)
        terms = replace(terms, participants_min=3)
    elif is_proven:
        plan = replace(plan, module=Digest(sha256(b"trainer")))
        terms = replace(terms, module_size_bytes=100, audits=2)
    return FlStudy(
        nonce=b"%d" % number,
        name=f"study-{number}",
        plan=plan,
        terms=terms,
        initial=Digest(sha256(b"model %d" % number)),
        model_size_bytes=PARAMETER_BYTES,
        until_ms=until_ms,
    )


def audited_body(number: int, until_ms: int) -> FlStudy:
    """Give a small study whose native training is audited within a tolerance."""
    body = study_body(number, until_ms)
    plan = within(replace(body.plan, aggregation="median"), TOLERANCE_MICRO)
    terms = replace(body.terms, rounds=6, participants_min=3, wanted=6, audits=AUDITS_MAX)
    return replace(body, plan=plan, terms=terms)


STUDY_BYTES = 32
SUMMED = frozenset({RoundState.AGGREGATING, RoundState.EVALUATING, RoundState.DONE})
"""States of a round that only enough survivors lead to."""


class SoundRounds(EntryChecker):
    """Rounds go forward; survivors and updates are said once; models are what the updates make."""

    def __init__(self) -> None:
        super().__init__()
        self._survivors: dict[bytes, tuple[NodeId, ...]] = {}
        self._updates: dict[tuple[bytes, NodeId], Digest] = {}
        self._ended: dict[bytes, RoundEntry] = {}
        self._least: dict[bytes, int] = {}
        self._left_msat: dict[bytes, tuple[int, int]] = {}
        self.done: set[bytes] = set()
        self.failed: set[bytes] = set()

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at a study, or at a round."""
        del node, table
        if isinstance(entry, StudyEntry):
            self._least[name] = entry.terms.participants_min
            if entry.done > entry.terms.rounds:
                raise InvariantViolation("studies end", f"{entry.done} rounds at {now} ms")
            if not self._pays_once(name, entry):
                text = f"round {entry.round} at {now} ms"
                raise InvariantViolation("a round is paid for once", text)
        if isinstance(entry, RoundEntry):
            fault = self._fault(name, entry)
            if fault is not None:
                raise InvariantViolation("rounds are sound", f"{fault}, at {now} ms")

    def _pays_once(self, name: bytes, entry: StudyEntry) -> bool:
        """Tell whether a study's money never grows again, and each further round costs some.

        An entry is seen once, from whoever writes it first: each is held against the one before.
        """
        known = self._left_msat.get(name)
        self._left_msat[name] = entry.round, entry.escrow_msat
        if not entry.is_open:
            return entry.escrow_msat == 0
        if known is None:
            return True
        began, left_msat = known
        is_next = entry.round > began
        return entry.escrow_msat < left_msat if is_next else entry.escrow_msat <= left_msat

    def _fault(self, name: bytes, row: RoundEntry) -> str | None:
        if row.survivors and self._survivors.setdefault(name, row.survivors) != row.survivors:
            return "a round has two sets of survivors"
        for said in row.contributed:
            if self._updates.setdefault((name, said.node), said.update) != said.update:
                return "a participant has two updates in one round"
        if row.state in SUMMED and len(row.survivors) < self._least.get(name[:STUDY_BYTES], 0):
            return f"a round went on with {len(row.survivors)} survivors, too few of them"
        if row.state is RoundState.EVALUATING:
            kept = [said for said in row.contributed if said.node in set(row.survivors)]
            if row.after != model_of(row.before, kept):
                return "liars alone made a model"
        if row.state in ENDED:
            (self.done if row.state is RoundState.DONE else self.failed).add(name)
            if self._ended.setdefault(name, row) != row:
                return "a round ended twice"
            if row.state is RoundState.FAILED and row.after != row.before:
                return "a round that failed made a model"
        return None


def checkers_of_studies(books: PrivateBooks | None = None) -> tuple[NodeChecker, ...]:
    """Give what looks at studies of both modes."""
    return SoundRounds(), books or PrivateBooks()


def check_studies(honest: Sequence[Resident]) -> None:
    """Find no round whose step's time is over: everybody's ledger has let it go on."""
    for host in honest:
        if host.node is None:
            continue
        due = due_ms(host.ledger)
        if due is not None and due <= host.ledger.meta.time_ms:
            text = f"a step of {host.key.hex()[:12]} was due at {due}"
            raise InvariantViolation("no round waits for ever", text)


class ProvenTraining(EntryChecker):
    """What audits of participants' training came to: lies are refuted, and nothing true is."""

    def __init__(self) -> None:
        super().__init__()
        self._lessons: dict[bytes, TaskEntry] = {}
        self.confirmed: set[bytes] = set()
        self.refuted: set[bytes] = set()

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at a lesson that was drawn, or at what became of its audit."""
        del node, table
        if isinstance(entry, TaskEntry) and _is_lesson(entry):
            self._lessons[name] = entry
        if isinstance(entry, AuditEntry) and name in self._lessons:
            lesson = self._lessons[name]
            said = lesson.answer_of(entry.worker).receipt.result
            is_true = said == honest_answer(lesson.spec)
            if entry.state is AuditState.CONFIRMED:
                self.confirmed.add(name)
            elif entry.state is AuditState.REFUTED:
                self.refuted.add(name)
                if is_true:
                    text = f"true training was called a lie at {now} ms"
                    raise InvariantViolation("training is judged rightly", text)


def _is_lesson(entry: TaskEntry) -> bool:
    return entry.spec.task_class == LESSON_CLASS and entry.audits is None
