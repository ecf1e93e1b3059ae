"""Real blame certificates: what was signed is signed, what was executed was executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from msgspec.structs import replace

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import (
    end_point,
    sign_receipt,
    sign_segment,
    sign_trace,
    sign_verdict,
    spec_hash,
    task_id,
)
from ambientd.model.base import Digest, NodeId
from ambientd.model.blame import BlamedTask, BlameFile, Contradiction, WrongResult, WrongStep
from ambientd.model.dispute import BEGINNING, Trace, TracePoint
from ambientd.model.mark import GoneOn, Mark
from ambientd.model.receipt import Receipt, SignedReceipt
from ambientd.model.task import Result, TaskSpec
from ambientd.ports.paused_state import PausedState
from ambientd.rules.bisection import Stretch, targets
from ambientd.rules.blame_check import FILE_VERSION, check_blame_file
from ambientd.rules.executions import limits_of, result_of, seed_of
from ambientd.runtime.lies import with_one_bit_wrong
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import decode_state, encode_state
from ambientd.worker.pausing import Ended, PausableExecution, PausableModule, Paused
from tests.ledger.cluster import TestCluster, spec
from tests.modules.compiled import module

CULPRIT, REFEREES = 3, (0, 1, 2)
STRAY_GAS = 700_000
KINDS = ("receipt", "verdict", "trace", "segment")

SUM = module("sum")
DATA = (200_000).to_bytes(4, "little")
NONCE = b"n"


def sum_spec() -> TaskSpec:
    return spec(
        module=Digest(sha256(SUM)),
        input=Digest(sha256(DATA)),
        module_size_bytes=len(SUM),
        input_size_bytes=len(DATA),
        wall_ms_max=20_000,
    )


SPEC = sum_spec()
CLUSTER = TestCluster()
SUBMITTER = CLUSTER.node(0)
TASK = task_id(SUBMITTER, NONCE, SPEC)
BLAMED = BlamedTask(submitter=SUBMITTER, nonce=NONCE, spec=SPEC)


class Run:
    """The task's execution, paused where it is wanted, right or wrong from a gas index on."""

    def __init__(self, stray_gas: int | None) -> None:
        made = make_pausable(SUM)
        assert isinstance(made, Pausable)
        self._prepared = sha256(made.prepared.module)
        self._module = PausableModule(WasmtimeEngine().compile(made.module), sha256(made.module))
        self._stray: PausedState | None = None
        self._stray_gas = SPEC.gas_max
        if stray_gas is not None:
            right = self._go(stray_gas, None)
            assert isinstance(right, PausedState)
            self._stray = with_one_bit_wrong(right)
            self._stray_gas = decode_state(self._stray.data).gas_index

    def _go(self, gas_index: int, start: PausedState | None) -> PausedState | Result:
        if start is None:
            limits, seed = limits_of(SPEC), seed_of(TASK)
            execution = PausableExecution(self._module, DATA, limits, seed)
        else:
            execution = PausableExecution.resume(self._module, decode_state(start.data), DATA)
        stop = execution.run_until(gas_index)
        execution.close()
        if isinstance(stop, Paused):
            return PausedState(root=stop.state.root(), data=encode_state(stop.state))
        assert isinstance(stop, Ended)
        return result_of(stop.result, self._prepared)  # type: ignore[arg-type]

    def at(self, gas_index: int) -> PausedState | Result:
        """Where the execution is at a gas index."""
        right = self._go(gas_index, None)
        if self._stray is None:
            return right
        if isinstance(right, PausedState):
            index = decode_state(right.data).gas_index
            if index <= self._stray_gas:
                return right if index < self._stray_gas else self._stray
        return self._go(gas_index, self._stray)

    def point(self, gas_index: int) -> TracePoint:
        found = self.at(gas_index)
        if isinstance(found, Result):
            return end_point(found)
        return TracePoint(gas_index=decode_state(found.data).gas_index, root=found.root)

    def result(self) -> Result:
        found = self.at(SPEC.gas_max + 1)
        assert isinstance(found, Result)
        return found


@cache
def right() -> Run:
    return Run(None)


@cache
def wrong() -> Run:
    return Run(STRAY_GAS)


def receipt(answer: Result, worker: int = CULPRIT) -> SignedReceipt:
    signer = CLUSTER.signer(worker)
    return sign_receipt(
        signer,
        Receipt(
            task=TASK,
            slot=0,
            attempt=0,
            worker=NodeId(signer.public_key),
            spec=spec_hash(SPEC),
            module=SPEC.module,
            input=SPEC.input,
            result=answer,
            engine="wasmtime",
            engine_version="45",
            nonce=Digest(bytes(32)),
            started_ms=1,
            finished_ms=2,
            telemetry=Digest(bytes(32)),
            energy_mj=None,
            energy_source="unknown",
        ),
    )


def trace(low: TracePoint, until_gas: int, run: Run | None = None, party: int = CULPRIT) -> Trace:
    run = run or wrong()
    asked = targets(Stretch(low, until_gas, (BEGINNING, BEGINNING)))
    state = b"" if low == BEGINNING else run.at(low.gas_index)
    data = state.data if isinstance(state, PausedState) else b""
    return sign_trace(
        CLUSTER.signer(party),
        Trace(
            task=TASK,
            party=CLUSTER.node(party),
            game=0,
            round=0 if low == BEGINNING else 1,
            low=low,
            until_gas=until_gas,
            points=tuple(run.point(each) for each in asked),
            state=Digest(sha256(data) if data else bytes(32)),
            state_size_bytes=len(data),
            signature=b"",
        ),
    )


def file(evidence: WrongResult | WrongStep | Contradiction, culprit: int = CULPRIT) -> BlameFile:
    return BlameFile(
        version=FILE_VERSION,
        genesis=CLUSTER.state.genesis,
        epochs=(),
        culprit=CLUSTER.node(culprit),
        evidence=evidence,
        module=None,
        input=None,
    )


@contextmanager
def about(source: bytes) -> Iterator[None]:
    """Let the certificates be about another module, for as long as a `with` block lasts."""
    names = ("SUM", "SPEC", "TASK", "BLAMED")
    before, kept = {name: globals()[name] for name in names}, (right, wrong, wrong_step)
    asked = replace(SPEC, module=Digest(sha256(source)), module_size_bytes=len(source))
    task = task_id(SUBMITTER, NONCE, asked)
    blamed = BlamedTask(submitter=SUBMITTER, nonce=NONCE, spec=asked)
    globals().update(zip(names, (source, asked, task, blamed), strict=True))
    for each in kept:
        each.cache_clear()
    try:
        yield
    finally:
        globals().update(before)
        for each in kept:
            each.cache_clear()


# Writes into each of twelve pages, then for long into the eighth.
WIDE = """(module (memory (export "memory") 13)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "run") (param i32 i32) (result i64) (local $at i32) (local $n i32)
    (local.set $n (i32.load (i32.const 0)))
    (loop $page
      (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 0x10000)))
      (br_if $page (i32.lt_u (local.get $at) (i32.const 0xc0000))))
    (loop $again
      (i32.store (i32.const 0x70000) (i32.add (i32.load (i32.const 0x70000)) (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.const 0x0007000000000004)))"""


@cache
def wrong_result() -> BlameFile:
    found = right().result()
    verdicts = tuple(sign_verdict(CLUSTER.signer(number), TASK, found) for number in REFEREES)
    receipt_ = receipt(wrong().result())
    return file(WrongResult(task=BLAMED, receipt=receipt_, verdicts=verdicts))


def until_gas_of_all() -> int:
    return max(right().result().gas, wrong().result().gas) + 1


@cache
def wrong_step() -> BlameFile:
    """The stretch of the first round in which the wrong step is: it begins at a state."""
    first = trace(BEGINNING, until_gas_of_all())
    asked = targets(Stretch(BEGINNING, until_gas_of_all(), (BEGINNING, BEGINNING)))
    truth = [right().point(target) for target in asked]
    number = next(n for n, point in enumerate(first.points) if point != truth[n])
    start, until_gas = truth[number - 1], asked[number]
    second = trace(start, until_gas)
    verdicts = tuple(
        sign_segment(CLUSTER.signer(each), TASK, 0, start, until_gas, truth[number])
        for each in REFEREES
    )
    state = right().at(start.gas_index)
    assert isinstance(state, PausedState)
    return file(
        WrongStep(
            task=BLAMED,
            receipt=receipt(wrong().result()),
            traces=(second, first),
            verdicts=verdicts,
            state=state.data,
        )
    )


@cache
def wrong_at_once() -> BlameFile:
    """A stretch that is the whole execution: no trace is needed, the receipt says its end."""
    until_gas, found = until_gas_of_all(), end_point(right().result())
    verdicts = tuple(
        sign_segment(CLUSTER.signer(each), TASK, 0, BEGINNING, until_gas, found)
        for each in REFEREES
    )
    step = WrongStep(
        task=BLAMED,
        receipt=receipt(wrong().result()),
        traces=(),
        verdicts=verdicts,
        state=b"",
    )
    return file(step)


def contradiction(kind: str, versions_apart: int = 0) -> BlameFile:
    signer = CLUSTER.signer(CULPRIT)
    one, two = right().result(), wrong().result()
    two = replace(two, rewriter_version=two.rewriter_version + versions_apart)
    match kind:
        case "receipt":
            said = receipt(one), receipt(two)
        case "verdict":
            said = sign_verdict(signer, TASK, one), sign_verdict(signer, TASK, two)
        case "trace":
            until_gas = until_gas_of_all()
            said = trace(BEGINNING, until_gas), trace(BEGINNING, until_gas, right())
        case _:
            ends = [end_point(one), end_point(two)]
            said = tuple(sign_segment(signer, TASK, 0, BEGINNING, 9, end) for end in ends)
    return file(Contradiction(kind=kind, first=encode(said[0]), second=encode(said[1])))


def gone_on(said: SignedReceipt) -> SignedReceipt:
    """The same answer, as one that stands on the state of another node."""
    mark = Mark(TASK, 0, 0, CLUSTER.node(0), BEGINNING, Digest(TASK), 1, Digest(TASK), b"")
    told = replace(said.receipt, started_ms=GoneOn(5, (mark,)))
    return sign_receipt(CLUSTER.signer(CULPRIT), told)


def on_another_s_word() -> list[tuple[str, BlameFile]]:
    """What would convict, were the answer the culprit's word alone."""
    whole, two = wrong_result(), contradiction("receipt")
    assert isinstance(whole.evidence, WrongResult)
    assert isinstance(two.evidence, Contradiction)
    evidence = replace(whole.evidence, receipt=gone_on(whole.evidence.receipt))
    second = gone_on(decode(two.evidence.second, SignedReceipt))
    both = replace(two.evidence, second=encode(second))
    return [
        ("an answer that stands on another's state", replace(whole, evidence=evidence)),
        ("two answers of which one stands on another's state", replace(two, evidence=both)),
    ]


def with_blobs(certificate: BlameFile) -> BlameFile:
    return replace(certificate, module=SUM, input=DATA)


def _refereed(made: BlameFile, end: TracePoint, until_gas: int) -> BlameFile:
    """The certificate of a step with another finding, which all referees signed."""
    step = made.evidence
    assert isinstance(step, WrongStep)
    start = step.verdicts[0].start
    verdicts = tuple(
        sign_segment(CLUSTER.signer(each), TASK, 0, start, until_gas, end) for each in REFEREES
    )
    return replace(made, evidence=replace(step, verdicts=verdicts))


def scenes() -> list[tuple[str, BlameFile]]:
    """Certificates that hold, and some that do not, by what they are."""
    step, whole, at_once = wrong_step(), wrong_result(), wrong_at_once()
    assert isinstance(whole.evidence, WrongResult)
    assert isinstance(at_once.evidence, WrongStep)
    few = replace(whole.evidence, verdicts=whole.evidence.verdicts[:2])
    until_gas, lie = at_once.evidence.verdicts[0].until_gas, end_point(wrong().result())
    found = at_once.evidence.verdicts[0].end
    return [
        ("a wrong result", whole),
        ("a wrong step", step),
        ("a wrong step, from the beginning to the end", at_once),
        *((f"two statements: {kind}", contradiction(kind)) for kind in KINDS),
        ("with module and input", with_blobs(at_once)),
        ("too few referees", replace(whole, evidence=few)),
        ("another node", replace(whole, culprit=CLUSTER.node(0))),
        ("the referees found the claim", _refereed(at_once, lie, until_gas)),
        ("nobody was asked for that gas index", _refereed(at_once, found, lie.gas_index)),
        ("another module", replace(at_once, module=b"another")),
        ("no contradiction", replace(contradiction("receipt"), culprit=CLUSTER.node(1))),
        *on_another_s_word(),
        *((f"a {kind} of each of two rewriters", contradiction(kind, 1)) for kind in KINDS[:2]),
    ]


def vectors() -> dict[str, Any]:
    """Vectors of protocols/13-blame.md: certificates, and what their check must say."""
    files = []
    for name, made in scenes():
        report = check_blame_file(encode(made), pinned=CLUSTER.id)
        files.append(
            {
                "name": name,
                "file": encode(made).hex(),
                "valid": report.valid,
                "checks": [each.name for each in report.checks],
                "failed": [each.name for each in report.checks if not each.ok],
            }
        )
    return {
        "document": "protocols/13-blame.md",
        "cluster": CLUSTER.id.hex(),
        "module": SUM.hex(),
        "input": DATA.hex(),
        "files": files,
    }
