"""What must hold of bisected disputes: short, fair to who is honest, and proven to everybody."""

from ambientd.codec.canonical import decode
from ambientd.ledger.entries import EvidenceEntry, Table, TaskEntry
from ambientd.ledger.events import PartyBlamed, RoundBegan, SegmentReached, StepGivenUp
from ambientd.ledger.evidence import EVIDENCE_OF_FALSE_STEP
from ambientd.model.dispute import BEGINNING, SEGMENT_GAS, FalseStep, SegmentVerdict
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.task import Verdict
from ambientd.node.effect import Told
from ambientd.rules.bundles import is_bundle
from sim.checkers import InvariantViolation, Kinds
from sim.judge import needed
from sim.machine import Effect, Host
from sim.node_checkers import EntryChecker
from sim.node_machine import Persisted
from sim.parties import true_run
from sim.vices import Resident

ROUNDS_MAX = 8


class FairDisputes(EntryChecker):
    """Games are short, who is honest and in time is not blamed, and a false step is one."""

    effects: Kinds = (Persisted, Told)

    def __init__(self, honest: frozenset[bytes], *, is_fair: bool) -> None:
        super().__init__()
        self._honest = honest
        self._is_fair = is_fair
        self.rounds: dict[tuple[bytes, int], int] = {}
        self.segments: set[tuple[bytes, int]] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Count rounds and measure segments, as honest nodes tell of them."""
        super().saw_effect(node, effect, now)
        if not isinstance(effect, Told) or not node.is_honest:
            return
        match effect.event:
            case RoundBegan(task=task, game=game, round=number):
                self.rounds[task, game] = number + 1
                if number >= ROUNDS_MAX:
                    self._fail("disputes are short", f"round {number + 1}", task, now)
            case SegmentReached(task=task, game=game, start_gas=start, until_gas=until):
                self.segments.add((task, game))
                if until - start > SEGMENT_GAS:
                    self._fail("disputes are short", f"{until - start} gas are left", task, now)
            case PartyBlamed(task=task, party=party):
                if self._is_fair and party in self._honest:
                    self._fail("who is in time is not blamed", party.hex()[:12], task, now)
            case StepGivenUp(task=task, prover=prover, is_blamed=True):
                if self._is_fair and prover in self._honest:
                    self._fail("who is in time is not blamed", prover.hex()[:12], task, now)
            case _:
                pass

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Replay the evidence of a false step; the truth wins where an honest node says it."""
        del table
        if isinstance(entry, TaskEntry) and _is_cut(entry):
            self._fail("a bundle is executed whole", "it was bisected", name, now)
        if isinstance(entry, TaskEntry) and self._lost(entry):
            self._fail("the truth wins disputes", "a liar won against it", name, now)
        if isinstance(entry, EvidenceEntry) and entry.kind == EVIDENCE_OF_FALSE_STEP:
            fault = self._fault(node, entry)
            if fault is not None:
                self._fail("a false step is proven", fault, entry.task or b"", now)

    def _lost(self, entry: TaskEntry) -> bool:
        """Tell whether an honest worker's answer lost a bisected dispute."""
        settled = entry.settlement
        if settled is None or settled.verdict is not Verdict.BISECTED:
            return False
        workers = {signed.receipt.worker for signed in entry.receipts}
        return bool(workers & self._honest) and settled.result != true_run(entry.spec).result

    def _fault(self, node: Resident, entry: EvidenceEntry) -> str | None:
        traces: FalseStep = decode(entry.first, FalseStep)
        findings: tuple[SegmentVerdict, ...] = decode(entry.second, tuple[SegmentVerdict, ...])
        task = node.ledger.task(entry.task) if entry.task is not None else None
        if task is None or entry.receipt is None:
            return "it names no task or no receipt"
        committees = [
            frozenset(epoch.epoch.members)
            for number in range(FIRST_EPOCH, node.ledger.epoch.number + 1)
            if (epoch := node.ledger.epoch_entry(number)) is not None
        ]
        referees = {each.referee for each in findings}
        if not any(len(referees & seats) >= needed(len(seats)) for seats in committees):
            return "no quorum of a committee found it"
        if len({(each.start, each.until_gas, each.end) for each in findings}) != 1:
            return "the findings are not of one stretch with one end"
        start = BEGINNING if traces[0] is None else traces[0].low
        if findings[0].start != start:
            return "the culprit did not agree to the start"
        run = true_run(task.spec)
        is_true = start == BEGINNING or run.at(start.gas_index) == start
        if is_true and run.at(findings[0].until_gas) != findings[0].end:
            return "the referees found what is not so"
        return None

    @staticmethod
    def _fail(promise: str, text: str, task: bytes, now: int) -> None:
        raise InvariantViolation(promise, f"{text}, task {task.hex()[:12]} by {now} ms")


def _is_cut(entry: TaskEntry) -> bool:
    """Tell whether a bundle, which has no states between its items, was bisected."""
    is_bisected = entry.settlement is not None and entry.settlement.verdict is Verdict.BISECTED
    return is_bisected and is_bundle(entry.spec)
