"""Execute again what a receipt is about, and see whose word was false (protocols/03 §12).

Where an answer stands on others' marks, nothing shows for less whether these were true. Each mark's
root is held against this machine's own at the same gas index, from the beginning on; then the
result. It runs in a locked-down process: module and input are anyone's.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from ambientd.api.module_pausing import PausingProcess
from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted, ExecutionResult
from ambientd.model.mark import Mark
from ambientd.model.receipt import Receipt, ReceiptFile
from ambientd.model.task import TaskSpec
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import ModulePrepared, StateRefused
from ambientd.rules.blame_check import point_text
from ambientd.rules.bundles import is_bundle
from ambientd.rules.executions import is_foreign, limits_of, result_of, seed_of
from ambientd.rules.file_checks import Check
from ambientd.rules.lessons import input_of
from ambientd.rules.receipt_check import ReceiptReport

REPLAY = "replay"

_Stopped = PausedState | ExecutionResult | StateRefused | Aborted


def with_replay(
    report: ReceiptReport, process: PausingProcess, module: bytes, data: bytes
) -> ReceiptReport:
    """Add to a receipt's checks what executing it again tells; end the process in any case."""
    with closing(process):
        file = report.file
        if file is None or not report.valid:
            return report
        name, given = input_of(file.spec, data)
        checks = (
            _given("given module", sha256(module), file.spec.module),
            _given("given input", name, file.spec.input),
        )
        report = replace(report, checks=(*report.checks, *checks))
        if not report.valid:
            return report
        return replace(report, checks=(*report.checks, *_replayed(file, process, module, given)))


def _given(name: str, found: bytes, meant: bytes) -> Check:
    if found == meant:
        return Check(name, True, f"{meant.hex()}, as given")
    text = f"the file given has the hash {found.hex()}, the task is about {meant.hex()}"
    return Check(name, False, text)


def _replayed(
    file: ReceiptFile, process: PausingProcess, module: bytes, data: bytes
) -> Iterator[Check]:
    answers = [signed.receipt for signed in file.receipts]
    if is_bundle(file.spec):
        yield Check(REPLAY, False, "a bundle is executed item by item, and has no marks")
        return
    if is_foreign(answer.result for answer in answers):
        yield Check(REPLAY, False, "it was answered by another version: use a program of that one")
        return
    with process:
        made = process.prepare_pausable(module)
        if not isinstance(made, ModulePrepared):
            yield Check(REPLAY, False, f"could not be done here: {made.reason}")
            return
        run = _Run(process, made, file.spec, data, seed_of(file.settlement.task))
        for answer in answers:
            yield from run.checks(answer)


@dataclass(slots=True)
class _Run:
    """One execution from the beginning, as far as it was asked to go."""

    process: PausingProcess
    made: ModulePrepared
    spec: TaskSpec
    data: bytes
    seed: bytes

    def checks(self, answer: Receipt) -> Iterator[Check]:
        """Hold an answer's marks, in their order, and then its result, against this machine."""
        at: PausedState | None = None
        liar: NodeId | None = None
        for number, mark in enumerate(answer.marks):
            is_beyond = at is not None and (at.gas_index or 0) >= mark.point.gas_index
            stop: _Stopped = at if at and is_beyond else self._until(mark.point.gas_index, at)
            if isinstance(stop, StateRefused | Aborted):
                yield Check(REPLAY, False, f"could not be done here: {stop.reason}")
                return
            is_true = isinstance(stop, PausedState) and _point(stop) == mark.point
            if not is_true and liar is None:
                liar = mark.worker
            yield Check(f"mark {number}", is_true, _said(mark, stop, liar))
            if isinstance(stop, ExecutionResult):
                break
            at = stop
        stop = self._until(None, at)
        if not isinstance(stop, ExecutionResult):
            reason = "it did not end" if isinstance(stop, PausedState) else stop.reason
            yield Check(REPLAY, False, f"could not be done here: {reason}")
            return
        here = result_of(stop, self.made.beneath)
        text = f"this machine came to output {here.output.hex()[:16]}, {here.gas} gas"
        if here == answer.result:
            yield Check("result", True, f"{text}, as {_short(answer.worker)} said")
            return
        whose = "which stands on that" if liar else "whose own word was false"
        answered = f"the answer of {_short(answer.worker)}, {whose}"
        yield Check("result", False, f"{text}, and not to {answered}")

    def _until(self, gas_index: int | None, at: PausedState | None) -> _Stopped:
        return self.process.execute_until(
            sha256(self.made.module),
            self.data,
            limits_of(self.spec),
            self.seed,
            pause_at=gas_index,
            state=at,
        )


def _point(state: PausedState) -> TracePoint:
    return TracePoint(state.gas_index or 0, state.root)


def _said(mark: Mark, stop: PausedState | ExecutionResult, liar: NodeId | None) -> str:
    maker = _short(mark.worker)
    if isinstance(stop, ExecutionResult):
        here = f"this machine came to the end at gas {stop.gas}"
    else:
        here = f"this machine came to {point_text(_point(stop))}"
    if liar is None:
        return f"{here}, as {maker} said"
    if liar == mark.worker:
        return f"{here}, and {maker} signed {point_text(mark.point)}: its word was false"
    return f"{here}; what {maker} signed stands on the false mark of {_short(liar)}"


def _short(node: NodeId) -> str:
    return node.hex()[:16]
