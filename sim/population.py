"""Hundreds of workers, tens of thousands of tasks, and colluders who wait until they are trusted.

Who gets a task, who works alone, what is audited and what a reputation is, the daemon's own rules
decide. BOINC's adaptive replication runs beside them on the same seeds. Only the rules are played:
time is counted in tasks, every worker answers, and a committee that is right decides disputes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush

from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError
from ambientd.ledger.suitors import SAMPLE_NODES
from ambientd.model.base import NodeId
from ambientd.model.reputation import Reputation
from ambientd.model.task import TaskSpec
from ambientd.rules import auditing, reputation
from ambientd.rules.scheduling import (
    SLOTS_PER_CAPACITY,
    Candidate,
    sample,
    select,
    slot_seed,
)
from ambientd.rules.verdicts import quorum

COMMITTEE = 7
SUBMITTERS = 100
TASK_MS = 10_000
"""60,000 tasks a week."""
PARTS = 60
"""A run is counted in so many parts of equal length."""
BLOCKS_MAX = 1_000
FARMED_EACH = 4
"""Colluders who farm trust give themselves a task each time that others had so many."""


class Rule(Enum):
    """Whose rules verify the tasks."""

    AMBIENT = "ambient"
    BOINC = "BOINC"
    """Ten valid in a row, then alone but for one case in the streak; two that agree are right."""


class Lying(Enum):
    """When colluders give the same wrong answer: only where every replica is theirs."""

    ONCE_TRUSTED = "once trusted"
    IN_PAIRS = "in pairs"
    """Only where the task is replicated, so that nobody audits it."""


@dataclass(frozen=True, slots=True)
class PopulationOptions:
    """One population, and whose rules it lives by."""

    seed: int = 1
    rule: Rule = Rule.AMBIENT
    workers: int = 900
    tasks: int = 60_000
    colluders_permille: int = 333
    lying: Lying = Lying.ONCE_TRUSTED
    audit_delay: int = 300
    """Tasks between an answer and its audit, as six confirmations take an hour."""
    farmed: TaskSpec | None = None
    """What colluders submit so that only they verify it; they execute nothing of it."""

    crowded_permille: int = 0
    """Of all workers, honest ones whose queues colluders keep full with tasks of their own."""


@dataclass(slots=True)
class Worker:
    """What the ledger knows of a worker, and whether it colludes."""

    node: NodeId
    colludes: bool
    open_slots: int = 0
    found: Reputation = reputation.UNKNOWN
    convicted: bool = False
    done: int = 0
    done_before_lie: int | None = None
    said: list["Answer"] = field(default_factory=list)

    @property
    def is_trusted(self) -> bool:
        """Whether it may work alone."""
        return auditing.is_trusted(self.found.streak)

    def candidate(self, now_ms: int) -> Candidate:
        """Give what the selection sees; all bonds are equal."""
        now = reputation.as_of(self.found, now_ms)
        return Candidate(
            node=self.node,
            bond_msat=0,
            reputation_permille=reputation.permille(now.good, now.bad),
            newcomer=reputation.outcomes(now) < reputation.NEWCOMER_OUTCOMES_MAX,
            load_percent=0,
            latency_ms=0,
            carbon_g_per_kwh=0,
            open_slots=self.open_slots,
            capacity=1,
        )


@dataclass(slots=True)
class Answer:
    """An accepted answer, and who gave or confirmed it."""

    number: int
    wrong: bool
    said_by: list[Worker]
    revoked_at: int | None = None
    audits: int = 0

    @property
    def stands_wrong(self) -> bool:
        """Whether it is wrong and nobody has found out."""
        return self.wrong and self.revoked_at is None

    @property
    def suspect(self) -> bool:
        """Whether everybody who gave or confirmed it has been convicted."""
        return all(worker.convicted for worker in self.said_by)


@dataclass(frozen=True, slots=True)
class PopulationOutcome:
    """What became of a population; workers' executions by what they were for."""

    options: PopulationOptions
    given_wrong_in: tuple[int, ...]
    """Wrong answers that nobody differed from at first, by the part of the run."""
    accepted_wrong_in: tuple[int, ...]
    """Those of them that were accepted: their draw passed them, or their auditor backed them."""
    standing_wrong_in: tuple[int, ...]
    """Those of them that nobody has found out."""
    executions: dict[str, int]
    colluders: int
    convicted: int
    honest_convicted: int
    own_tasks_until_found: tuple[int, ...]
    """Of each convicted colluder, its tasks since its first lie, in ascending order."""
    tasks_until_revoked: tuple[int, ...]
    farmed_outcomes: int = 0
    """Outcomes that colluders verified for each other, and that were counted."""

    blocks_waited: int = 0
    """Blocks in which a slot was given to nobody, as too many workers were busy."""

    @property
    def compute(self) -> float:
        """Give the workers' executions a task."""
        return sum(self.executions.values()) / self.options.tasks

    @property
    def given_wrong(self) -> int:
        """Count the wrong answers that were given."""
        return sum(self.given_wrong_in)

    @property
    def given_wrong_late(self) -> int:
        """Count those of the second half."""
        return sum(self.given_wrong_in[PARTS // 2 :])

    @property
    def accepted_wrong(self) -> int:
        """Count the wrong answers that were accepted."""
        return sum(self.accepted_wrong_in)

    @property
    def accepted_wrong_late(self) -> int:
        """Count the wrong answers of the second half."""
        return sum(self.accepted_wrong_in[PARTS // 2 :])

    @property
    def standing_wrong(self) -> int:
        """Count the wrong answers that nobody has found out."""
        return sum(self.standing_wrong_in)

    @property
    def standing_wrong_late(self) -> int:
        """Count those of the second half."""
        return sum(self.standing_wrong_in[PARTS // 2 :])

    @property
    def disputes(self) -> int:
        """Count the answers that an auditor differed from; each was wrong."""
        return len(self.tasks_until_revoked)

    @property
    def compute_with_referees(self) -> float:
        """Give executions a task if referees execute whatever is disputed as a whole."""
        return self.compute + self.disputes * quorum(COMMITTEE) / self.options.tasks


class Population:
    """Workers, the answers they gave, and what is still to be audited."""

    def __init__(self, options: PopulationOptions) -> None:
        self.options = options
        nodes = [NodeId(self._hash("node", number)) for number in range(options.workers)]
        colluders = options.workers * options.colluders_permille // 1000
        crowded = colluders + options.workers * options.crowded_permille // 1000
        self.workers = {
            node: Worker(
                node, place < colluders, SLOTS_PER_CAPACITY * (colluders <= place < crowded)
            )
            for place, node in enumerate(nodes)
        }
        self.answers: list[Answer] = []
        self.executions: Counter[str] = Counter()
        self._fit = sorted(nodes)
        self._candidates = {node: worker.candidate(0) for node, worker in self.workers.items()}
        self._due: list[tuple[int, int]] = []
        self._suspects: list[Answer] = []
        self._farmed_outcomes = 0
        self._blocks_waited = 0

    def run(self) -> PopulationOutcome:
        """Give out every task, then end the audits that are under way."""
        for number in range(self.options.tasks):
            if number * TASK_MS % reputation.DAY_MS == 0:
                for worker in self.workers.values():
                    self._candidates[worker.node] = worker.candidate(number * TASK_MS)
            self._execute(number)
            self._farm(number)
            self._audit_until(number)
        for number in range(self.options.audit_delay + 1):
            self._audit_until(self.options.tasks + number)
        return self._outcome()

    def _hash(self, what: str, number: int) -> bytes:
        seed = self.options.seed.to_bytes(8, "big")
        return tagged(f"ambient/population/{what}", seed, number.to_bytes(8, "big"))

    def _execute(self, number: int) -> None:
        task, beacon = self._hash("task", number), self._hash("beacon", number)
        team = self._team(task, beacon)
        streak = team[0].found.streak
        self.executions["first"] += 1
        self.executions["replicas"] += len(team) - 1
        answer = Answer(number, self._lies(team, streak), [])
        self.answers.append(answer)
        self._say(team, answer)
        if len(team) > 1:
            self._praise(team, number, answer)
        elif self.options.rule is Rule.AMBIENT:
            share = auditing.lone_permille(streak)
            if auditing.is_audited(self._hash("bitcoin", number), task, share):
                heappush(self._due, (number + self.options.audit_delay, number))

    def _farm(self, number: int) -> None:
        """Let two colluders verify a task for each other that was submitted for the two of them."""
        farmed = self.options.farmed
        if farmed is None or number % FARMED_EACH:
            return
        free = [each for each in self.workers.values() if each.colludes and not each.convicted]
        first = number // FARMED_EACH
        pair = [free[(first + place) % len(free)] for place in range(min(2, len(free)))]
        if auditing.earns_trust(farmed, auditing.AUDIT_STRATEGY, [0] * len(pair)):
            self._praise(pair, number, Answer(number, wrong=False, said_by=pair))
            self._farmed_outcomes += len(pair)

    def _team(self, task: bytes, beacon: bytes) -> list[Worker]:
        """Draw who executes a task: one who is trusted alone, anybody else with a second."""
        first = self._drawn(task, beacon, [], 0)
        if first.is_trusted and not self._is_checked(first, task, beacon):
            return [first]
        return [first, self._drawn(task, beacon, [first], 1)]

    def _is_checked(self, first: Worker, task: bytes, beacon: bytes) -> bool:
        """Tell whether even a trusted worker gets a second: now and then by BOINC's rule."""
        is_boinc = self.options.rule is Rule.BOINC
        return is_boinc and auditing.is_audited(beacon, task, 1000 // first.found.streak)

    def _drawn(
        self,
        task: bytes,
        beacon: bytes,
        taken: Sequence[Worker],
        slot: int,
    ) -> Worker:
        """Draw a worker as the ledger does, block by block until enough of them have room."""
        held = {worker.node for worker in taken}
        for _ in range(BLOCKS_MAX):
            seed = slot_seed(beacon, task, slot, 0)
            drawn = [node for node in sample(self._fit, seed, SAMPLE_NODES) if node not in held]
            node = select([self._candidates[node] for node in drawn], seed, "weighted")
            if node is not None:
                return self.workers[node]
            self._blocks_waited += 1
            beacon = tagged("ambient/population/later", beacon)
        msg = f"{task.hex()[:12]} waited for {BLOCKS_MAX} blocks: too many workers are busy"
        raise ConfigError(msg)

    def _lies(self, team: Sequence[Worker], streak: int) -> bool:
        if not all(worker.colludes for worker in team):
            return False
        if self.options.lying is Lying.IN_PAIRS:
            return len(team) > 1
        return auditing.is_trusted(streak)

    @staticmethod
    def _say(team: Sequence[Worker], answer: Answer) -> None:
        """Let workers sign an answer, or confirm it."""
        for worker in team:
            if answer.wrong and worker.done_before_lie is None:
                worker.done_before_lie = worker.done
            worker.done += 1
            worker.said.append(answer)
        answer.said_by.extend(team)

    def _praise(self, team: Sequence[Worker], number: int, answer: Answer) -> None:
        """Count a verified outcome for workers, at the time of a task."""
        submitter = NodeId(self._hash("submitter", answer.number % SUBMITTERS))
        now_ms = number * TASK_MS
        for worker in team:
            worker.found = reputation.verified(worker.found, submitter, now_ms)
            self._candidates[worker.node] = worker.candidate(now_ms)

    def _audit_until(self, number: int) -> None:
        """Do again what was drawn long enough ago, and what only the convicted vouch for."""
        while self._suspects or (self._due and self._due[0][0] <= number):
            if self._suspects:
                answer, kind = self._suspects.pop(), "reopened"
            else:
                answer, kind = self.answers[heappop(self._due)[1]], "audits"
            if answer.revoked_at is None and answer.audits < auditing.AUDITS_MAX:
                answer.audits += 1
                self._audit(answer, number, kind)

    def _audit(self, answer: Answer, number: int, kind: str) -> None:
        """Let auditors execute a task again; colluders among them back a lie if nobody differs."""
        beacon = self._hash(kind, number)
        task, auditors = self._hash("task", answer.number), list[Worker]()
        for slot in range(auditing.AUDITORS):
            taken = [*answer.said_by, *auditors]
            auditor = self._drawn(task, beacon, taken, slot)
            assert auditor is not None, "a population is larger than any set of auditors"
            auditors.append(auditor)
        self.executions[kind] += len(auditors)
        standing = [worker for worker in answer.said_by if not worker.convicted]
        backed = answer.wrong and all(auditor.colludes for auditor in auditors)
        if not answer.wrong or backed:
            self._say(auditors, answer)
            self._praise([*standing, *auditors], number, answer)
            return
        answer.revoked_at = number
        for auditor in auditors:
            auditor.done += 1
        self._praise(auditors, number, answer)
        for liar in standing:
            self._convict(liar)

    def _convict(self, worker: Worker) -> None:
        worker.convicted = True
        self._fit.remove(worker.node)
        self._suspects += [each for each in worker.said if each.suspect and not each.revoked_at]

    def _outcome(self) -> PopulationOutcome:
        wrong = [answer for answer in self.answers if answer.wrong]
        found = [worker for worker in self.workers.values() if worker.convicted]
        return PopulationOutcome(
            options=self.options,
            given_wrong_in=self._by_part(wrong),
            accepted_wrong_in=self._by_part([each for each in wrong if self._is_accepted(each)]),
            standing_wrong_in=self._by_part([each for each in wrong if each.stands_wrong]),
            executions=dict(self.executions),
            colluders=sum(worker.colludes for worker in self.workers.values()),
            convicted=len(found),
            honest_convicted=sum(not worker.colludes for worker in found),
            own_tasks_until_found=tuple(
                sorted(w.done - w.done_before_lie for w in found if w.done_before_lie is not None)
            ),
            tasks_until_revoked=tuple(
                sorted(a.revoked_at - a.number for a in wrong if a.revoked_at is not None)
            ),
            farmed_outcomes=self._farmed_outcomes,
            blocks_waited=self._blocks_waited,
        )

    def _is_accepted(self, answer: Answer) -> bool:
        """Tell whether an answer outlived its draw: all are drawn after the same time."""
        due = answer.number + (self.options.audit_delay if len(answer.said_by) == 1 else 0)
        return answer.revoked_at is None or answer.revoked_at > due

    def _by_part(self, answers: Sequence[Answer]) -> tuple[int, ...]:
        counts = Counter(answer.number * PARTS // self.options.tasks for answer in answers)
        return tuple(counts[part] for part in range(PARTS))


def run(options: PopulationOptions) -> PopulationOutcome:
    """Play one population."""
    return Population(options).run()
