"""A stretch is executed without the pages that it does not touch, and never by guessing others."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import wasmtime
from msgspec.structs import replace

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.blame_slim import slimmed
from ambientd.api.module_pausing import PausingProcess
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_segment
from ambientd.errors import UsageError
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import PAGE_BYTES, Aborted, ExecutionLimits
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import ModulePrepared, PageLeftOut, StateRefused
from ambientd.rules.blame_check import state_of
from ambientd.wasm.state import State, decode_state, encode_state, leave_out
from tests.engines import engines
from tests.rules import blames

SEED = bytes(32)
LIMITS = ExecutionLimits(gas_max=1_000_000)
TOUCHED = 7


@pytest.fixture
def wide() -> Iterator[BlameFile]:
    """A certificate of a wrong step whose state has twelve pages, of which one is touched."""
    with blames.about(bytes(wasmtime.wat2wasm(blames.WIDE))):
        yield blames.with_blobs(blames.wrong_step())


def here() -> Replay:
    return Replay(PausingProcess("wasmtime"))


def step_of(file: BlameFile) -> WrongStep:
    assert isinstance(file.evidence, WrongStep)
    return file.evidence


def state_in(file: BlameFile) -> State:
    found = state_of(step_of(file))
    assert isinstance(found, State), found
    return found


def without(file: BlameFile, pages: set[int]) -> bytes:
    state = encode_state(leave_out(state_in(file), pages))
    return encode(replace(file, evidence=replace(step_of(file), state=state)))


def test_a_slim_certificate_holds_as_the_whole_one_does(wide: BlameFile) -> None:
    data = slimmed(wide, here())
    assert len(encode(wide)) - len(data) > 10 * PAGE_BYTES
    assert len(data) < 2 * PAGE_BYTES
    slim: BlameFile = decode(data, BlameFile)
    left_out = state_in(slim).left_out
    assert left_out is not None
    assert left_out.pages == set(range(12)) - {TOUCHED}
    report = check_blame(data, blames.CLUSTER.id, here())
    assert report.valid, report.checks
    details = {check.name: check.detail for check in report.checks}
    assert "13 pages of memory, 11 of them left out" in details["state"]
    assert "not to what was claimed" in details["replay"]
    with pytest.raises(UsageError, match="left out already"):
        slimmed(slim, here())


def test_a_certificate_without_a_page_that_is_touched_convicts_nobody(wide: BlameFile) -> None:
    report = check_blame(without(wide, {TOUCHED}), blames.CLUSTER.id, here())
    [fault] = [check for check in report.checks if not check.ok]
    assert fault.name == "replay"
    assert fault.detail.endswith(f"touches page {TOUCHED} of the memory, which is left out")


def test_referees_who_lie_cannot_have_a_page_taken_for_zero(wide: BlameFile) -> None:
    """What a replay would give with zeros in that page is signed by a quorum, and not believed."""
    step = step_of(wide)
    verdict, state = step.verdicts[0], state_in(wide)
    pages = list(state.pages)
    pages[TOUCHED] = bytes(PAGE_BYTES)
    zeroed = State(state.header, state.values, state.host, tuple(pages))
    with PausingProcess("wasmtime") as process:
        made = process.prepare_pausable(blames.SUM)
        assert isinstance(made, ModulePrepared)
        end = process.replay(
            sha256(made.module),
            blames.DATA,
            state.header.limits,
            state.header.seed,
            pause_at=verdict.until_gas,
            state=PausedState(root=zeroed.root(), data=encode_state(zeroed)),
        )
    assert isinstance(end, TracePoint)
    lies = tuple(
        sign_segment(
            blames.CLUSTER.signer(n), blames.TASK, 0, verdict.start, verdict.until_gas, end
        )
        for n in blames.REFEREES
    )
    framed = replace(wide, evidence=replace(step, verdicts=lies))
    report = check_blame(without(framed, {TOUCHED}), blames.CLUSTER.id, here())
    assert not report.valid
    assert "left out" in report.checks[-1].detail


def test_what_has_no_pages_to_leave_out_says_so() -> None:
    for make, problem in (
        (blames.wrong_result, "holds no state"),
        (blames.wrong_at_once, "holds no state"),
    ):
        with pytest.raises(UsageError, match=problem):
            slimmed(blames.with_blobs(make()), here())
    with pytest.raises(UsageError, match="touches all pages"):
        slimmed(blames.with_blobs(blames.wrong_step()), here())
    with pytest.raises(UsageError, match="--module and --input"):
        slimmed(blames.wrong_step(), here())


# What touches a page, one way after the other


@dataclass(frozen=True)
class Scene:
    """A module that does one thing with page 2 of its memory behind a checkpoint."""

    does: str
    memory: str = "4"


SCENES = {
    "nothing": Scene("(nop)"),
    "its first byte": Scene("(drop (i32.load8_u (i32.const 0x20000)))"),
    "its last byte": Scene("(i32.store8 (i32.const 0x2ffff) (i32.const 1))"),
    "over its edge": Scene("(i64.store (i32.const 0x1fffc) (i64.const -1))"),
    "after growing": Scene(
        "(drop (memory.grow (i32.const 1))) (drop (i32.load (i32.const 0x20010)))", "4 8"
    ),
    "with 128 bits": Scene("(drop (v128.load (i32.const 0x2fff0)))"),
}
BULK = {
    "a copy": "(memory.copy (i32.const 0) (i32.const 0x2fff0) (i32.const 32))",
    "a fill": "(memory.fill (i32.const 0x20000) (i32.const 1) (i32.const 8))",
}
BEYOND = "(drop (i32.load (i32.const 0x50000)))"


def replayed(does: str, memory: str = "4", missing: int = 2) -> object:
    source = bytes(
        wasmtime.wat2wasm(f"""(module (memory (export "memory") {memory})
      (func (export "alloc") (param i32) (result i32) (i32.const 0))
      (func (export "run") (param i32 i32) (result i64) (local $n i32)
        (i32.store (i32.const 0x20010) (i32.const 5))
        (local.set $n (i32.const 50))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        {does}
        (local.set $n (i32.const 50))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.const 0)))""")
    )
    with PausingProcess("wasmtime") as process:
        made = process.prepare_pausable(source)
        assert isinstance(made, ModulePrepared), made
        digest = sha256(made.module)
        start = process.execute_until(digest, b"", LIMITS, SEED, pause_at=100)
        assert isinstance(start, PausedState)
        whole = decode_state(start.data)
        until = whole.gas_index + 500

        def go(data: bytes) -> object:
            given = PausedState(root=start.root, data=data)
            return process.replay(digest, b"", LIMITS, SEED, pause_at=until, state=given)

        expected = go(start.data)
        found = go(encode_state(leave_out(whole, {missing})))
    return "the same" if found == expected and isinstance(found, TracePoint) else found


@pytest.mark.parametrize("name", SCENES)
def test_every_touch_of_a_page_that_is_left_out_is_seen(name: str) -> None:
    found = replayed(SCENES[name].does, SCENES[name].memory)
    assert found == ("the same" if name == "nothing" else PageLeftOut(page=2))


def test_memory_that_grows_keeps_the_root_of_what_is_left_out() -> None:
    grows = "(i32.store (i32.add (i32.const 8) (i32.shl (memory.grow (i32.const 2)) (i32.const 16))) (i32.const 9))"  # noqa: E501
    assert replayed(grows, "4 8") == "the same"


@pytest.mark.parametrize("name", BULK)
def test_memory_that_is_moved_in_bulk_ends_the_process_and_convicts_nobody(name: str) -> None:
    assert isinstance(replayed(BULK[name]), Aborted)


def test_a_trap_behind_the_memorys_end_is_no_outcome_while_pages_are_left_out() -> None:
    assert replayed(BEYOND) == PageLeftOut(page=None)


@pytest.mark.parametrize("engine", [name for name in engines() if name != "wasmtime"])
def test_other_engines_say_that_they_cannot_leave_pages_out(engine: str) -> None:
    step = blames.with_blobs(blames.wrong_step())
    data = without(step, {0})
    report = check_blame(data, blames.CLUSTER.id, Replay(PausingProcess(engine)))
    assert not report.valid
    assert "--engine wasmtime" in report.checks[-1].detail


def test_an_ordinary_execution_takes_up_no_state_with_pages_left_out() -> None:
    step = blames.wrong_step()
    partial = encode_state(leave_out(state_in(step), {0}))
    start = step_of(step).verdicts[0].start
    with PausingProcess("wasmtime") as process:
        made = process.prepare_pausable(blames.SUM)
        assert isinstance(made, ModulePrepared)
        refused = process.execute_until(
            sha256(made.module),
            blames.DATA,
            state_in(step).header.limits,
            state_in(step).header.seed,
            pause_at=start.gas_index + 1,
            state=PausedState(root=start.root, data=partial),
        )
    assert isinstance(refused, StateRefused)
