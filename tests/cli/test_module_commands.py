"""ambientctl module, with real worker processes and no daemon."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from ambientd.adapters.engines import installed
from tests.cli.conftest import Ctl
from tests.fakes.strange_worker import go_astray
from tests.modules import compiled

GOLDEN = Path(__file__).parent / "golden"
COMMAND = [sys.executable, "-m", "ambientd.cli.main"]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
ENDLESS = ("--gas-max", "9" * 18, "--wall-max", "600")
HELLO = hashlib.sha256(b"hello").hexdigest()
RUN_KEYS = {
    "outcome", "gas", "output_sha256", "engine", "reason", "agreed", "output", "fixes",
    "executions",
}  # fmt: skip
EXECUTION_KEYS = {
    "engine", "engine_version", "rewriter_version", "prepared_sha256", "outcome", "reason", "gas",
    "output_sha256", "output_size_bytes", "wall_ms",
}  # fmt: skip
BENCH_KEYS = EXECUTION_KEYS - {"wall_ms"} | {
    "agreed", "prepare_ms", "compile_ms", "first_call_ms", "call_ms_median", "call_ms_p99",
    "rounds", "gas_per_s", "memory_idle_bytes", "memory_peak_bytes",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with an input that says hello."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_bytes(b"hello")
    return tmp_path


def wasm(name: str) -> Path:
    """Put an assembled module into the present folder."""
    path = Path(f"{name}.wasm")
    path.write_bytes(compiled.module(name))
    return path


def decoded(text: str) -> dict[str, object]:
    assert text.count("\n") == 1
    value = msgspec.json.decode(text)
    assert isinstance(value, dict)
    return value


def test_check_describes_an_accepted_module(ctl: Ctl, folder: Path) -> None:
    code, out, err = ctl("module", "check", wasm("wasi"), "--json")
    answer = decoded(out)
    prepared = compiled.prepared("wasi")
    assert (code, err) == (0, "")
    assert answer["accepted"] is True
    assert answer["interface"] == "wasi"
    assert answer["prepared_sha256"] == hashlib.sha256(prepared).hexdigest()
    assert answer["prepared_size_bytes"] == len(prepared)
    assert answer["memory_bytes"] == {"initial": 65_536, "maximum": 512 << 20}
    assert "fd_write" in str(answer["imports"])
    code, out, _ = ctl("module", "check", wasm("trap"))
    assert code == 0
    assert out.startswith("trap.wasm: accepted\n")
    assert "starts with 2 elements, may grow to 262,144" in out


def test_check_says_why_not_and_how_to_fix_it(ctl: Ctl, folder: Path) -> None:
    Path("empty.wasm").write_bytes(b"\0asm\1\0\0\0")
    code, out, err = ctl("module", "check", "empty.wasm")
    assert (code, err) == (1, "")
    assert out.startswith("empty.wasm: refused: the module fits no interface")
    assert "how to fix it:\n" in out
    assert "GOOS=wasip1" in out
    answer = decoded(ctl("module", "check", "empty.wasm", "--json")[1])
    assert (answer["accepted"], answer["prepared_sha256"]) == (False, None)
    assert answer["reason"]
    assert answer["fixes"]
    code, out, _ = ctl("module", "check", wasm("ill_typed"))
    assert code == 1
    assert "\nwasmtime says: " in out


def test_check_says_which_imports_do_nothing(ctl: Ctl, folder: Path) -> None:
    import wasmtime

    source = """(module
        (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
        (memory (export "memory") 1) (func (export "_start")))"""
    Path("m.wasm").write_bytes(bytes(wasmtime.wat2wasm(source)))
    assert (
        "no files and no sockets: fd_sync can only give an error"
        in ctl("module", "check", "m.wasm")[1]
    )


def test_prepare_writes_what_engines_execute(ctl: Ctl, folder: Path) -> None:
    code, out, _ = ctl("module", "prepare", wasm("echo"), "--output", "p.wasm")
    digest = hashlib.sha256(compiled.prepared("echo")).hexdigest()
    assert (code, out) == (0, f"p.wasm: {digest}\n")
    assert Path("p.wasm").read_bytes() == compiled.prepared("echo")
    code, out, _ = ctl("module", "prepare", "p.wasm", "--output", "pp.wasm", "--json")
    assert code == 1
    assert "not the prepared one" in str(decoded(out)["fixes"])
    assert not Path("pp.wasm").exists()


def test_prepare_can_write_to_standard_output(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "module", "prepare", str(wasm("echo")), "--output", "-", "--json"],
        capture_output=True,
        env=CLEAN,
    )
    assert done.stdout == compiled.prepared("echo")
    assert decoded(done.stderr.decode())["accepted"] is True


@pytest.mark.parametrize("engine", installed())
def test_run_prints_outcome_gas_output_and_engine(ctl: Ctl, folder: Path, engine: str) -> None:
    words = ("module", "run", wasm("echo"), "--input", "in", "--engine", engine)
    code, out, err = ctl(*words, "--json", "--output", "out")
    answer = decoded(out)
    assert (code, err, set(answer)) == (0, "", RUN_KEYS)
    assert answer["outcome"] == "completed"
    assert answer["gas"] == 26
    assert answer["output_sha256"] == HELLO
    assert (answer["engine"], answer["output"]) == (engine, "out")
    assert Path("out").read_bytes() == b"hello"
    (execution,) = msgspec.convert(answer["executions"], list[dict[str, object]])
    assert set(execution) == EXECUTION_KEYS
    code, out, _ = ctl(*words)
    assert code == 0
    assert "outcome    completed\ngas        26\n" in out
    assert f"output     5 bytes, sha256 {HELLO}\n" in out


def test_run_reads_standard_input_and_can_write_standard_output(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "module", "run", str(wasm("echo")), "--input", "-", "--output", "-"],
        input=b"h\xffllo",
        capture_output=True,
        env=CLEAN,
    )
    assert done.stdout == b"h\xffllo"
    assert b"outcome    completed" in done.stderr


def test_run_takes_the_module_from_standard_input(
    ctl: Ctl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(compiled.module("echo"))))
    assert ctl("module", "run", "-", "--input", "in", "--json")[0] == 0


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize(("number", "reason"), [(0, "unreachable"), (5, "integer_divide_by_zero")])
def test_a_trap_is_an_outcome_and_no_wrong_usage(
    ctl: Ctl, folder: Path, engine: str, number: int, reason: str
) -> None:
    Path("in").write_bytes(bytes((number,)))
    words = ("module", "run", wasm("trap"), "--input", "in", "--engine", engine)
    code, out, _ = ctl(*words, "--json", "--gas-max", "100000", "--output", "out")
    answer = decoded(out)
    assert (code, answer["outcome"], answer["reason"]) == (1, "trapped", reason)
    assert (answer["gas"], answer["output_sha256"], answer["output"]) == (100_000, None, None)
    assert not Path("out").exists()
    assert f"outcome    trapped: {reason}\n" in ctl(*words)[1]


@pytest.mark.parametrize("engine", installed())
def test_gas_ends_what_does_not_end(ctl: Ctl, folder: Path, engine: str) -> None:
    words = ("module", "run", wasm("loop"), "--gas-max", "1000000", "--engine", engine)
    code, out, _ = ctl(*words, "--json")
    answer = decoded(out)
    assert (code, answer["outcome"], answer["gas"]) == (1, "out_of_gas", 1_000_000)


def test_the_wall_limit_aborts_without_an_outcome(ctl: Ctl, folder: Path) -> None:
    code, out, _ = ctl(
        "module", "run", wasm("loop"), *ENDLESS[:2], "--wall-max", "0.1", "--runs", "3", "--json"
    )
    answer = decoded(out)
    assert (code, answer["outcome"], answer["gas"], answer["agreed"]) == (1, "aborted", None, None)
    assert "longer than 100 ms" in str(answer["reason"])
    assert len(msgspec.convert(answer["executions"], list[object])) == 1


def test_a_refused_module_is_an_outcome_with_a_way_out(ctl: Ctl, folder: Path) -> None:
    words = ("module", "run", wasm("forbidden_import"))
    answer = decoded(ctl(*words, "--json")[1])
    assert (answer["outcome"], answer["gas"]) == ("refused", 0)
    assert answer["fixes"]
    code, out, _ = ctl(*words)
    assert code == 1
    assert "outcome    refused: byte 25: the import 'env' 'open_socket'" in out
    assert "--allow-undefined" in out


def test_a_module_that_takes_all_memory_gets_what_it_was_given(ctl: Ctl, folder: Path) -> None:
    words = ("module", "run", wasm("bomb"), "--json", "--memory-max")
    few, many = (decoded(ctl(*words, size, "--output", "out")[1]) for size in ("1MiB", "2097152"))
    assert few["outcome"] == many["outcome"] == "completed"
    assert int.from_bytes(Path("out").read_bytes(), "little") == 32
    assert few["output_sha256"] == hashlib.sha256((16).to_bytes(4, "little")).hexdigest()


def test_the_log_is_shown_on_request_and_cannot_reach_the_terminal(ctl: Ctl, folder: Path) -> None:
    words = ("module", "run", wasm("wasi"))
    assert ctl(*words)[2] == ""
    assert ctl(*words, "--log")[2] == "hi\n"
    assert decoded(ctl(*words, "--log", "--json")[1])["log"] == "hi"


def test_the_seed_decides_the_random_bytes(ctl: Ctl, folder: Path) -> None:
    words = ("module", "run", wasm("wasi"), "--json")
    usual, zeros, other = (
        decoded(ctl(*words, *seed)[1])["output_sha256"]
        for seed in ((), ("--seed", "0" * 64), ("--seed", "0" * 63 + "1"))
    )
    assert usual == zeros != other


@pytest.mark.slow
@pytest.mark.parametrize("name", ["echo", "wasi", "trap", "recursion", "large_output", "start"])
def test_all_engines_agree_in_every_run(ctl: Ctl, folder: Path, name: str) -> None:
    words = ("module", "run", wasm(name), "--input", "in", "--engine", "all", "--runs", "3")
    code, out, err = ctl(*words, "--json")
    answer = decoded(out)
    executions = msgspec.convert(answer["executions"], list[dict[str, object]])
    assert answer["agreed"] is True
    assert [item["engine"] for item in executions] == [e for e in installed() for _ in range(3)]
    assert code == (0 if answer["outcome"] == "completed" else 1)
    _, out, err = ctl(*words)
    assert "\nagreed: " in out
    assert ("only wasmtime is installed" in err) == (len(installed()) == 1)


def test_answers_that_differ_are_a_failed_verification(
    ctl: Ctl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray("lies", folder, monkeypatch)
    words = (wasm("echo"), "--engine", "all")
    code, out, _ = ctl("module", "run", *words, "--runs", "2", "--output", "out", "--json")
    answer = decoded(out)
    assert (code, answer["agreed"], answer["outcome"], answer["output"]) == (4, False, None, None)
    assert not Path("out").exists()
    code, out, _ = ctl("module", "run", *words, "--runs", "2")
    assert code == 4
    assert "NOT AGREED" in out
    code, out, _ = ctl("module", "bench", *words, "--rounds", "2")
    assert code == 4
    assert "NOT AGREED" in out


def test_a_check_believes_no_worker_that_takes_everything(
    ctl: Ctl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray("lies", folder, monkeypatch)
    Path("bad.wasm").write_bytes(b"\0asm nonsense")
    code, out, _ = ctl("module", "check", "bad.wasm")
    assert code == 1
    assert "neither accepted nor refused: the worker process contradicts itself" in out


@pytest.mark.slow
@pytest.mark.parametrize("engine", installed())
def test_bench_measures_an_engine(ctl: Ctl, folder: Path, engine: str) -> None:
    words = ("module", "bench", wasm("echo"), "--input", "in", "--engine", engine)
    code, out, err = ctl(*words, "--rounds", "20", "--json")
    answer = decoded(out)
    (figures,) = msgspec.convert(answer["engines"], list[dict[str, object]])
    assert (code, err, answer["agreed"]) == (0, "", True)
    assert set(figures) == BENCH_KEYS
    assert (figures["engine"], figures["rounds"], figures["gas"]) == (engine, 20, 26)
    medians = [float(str(figures[f"call_ms_{which}"])) for which in ("median", "p99")]
    assert 0 < medians[0] <= medians[1]
    code, out, err = ctl(*words, "--rounds", "1")
    assert (code, err) == (0, f"measuring {engine}\n")
    assert "GAS/S" in out


def test_bench_of_what_does_not_complete_says_so(ctl: Ctl, folder: Path) -> None:
    Path("in").write_bytes(b"\0")
    words = ("module", "bench", "--rounds", "1", "--json")
    code, out, _ = ctl(*words, wasm("trap"), "--input", "in")
    (figures,) = msgspec.convert(decoded(out)["engines"], list[dict[str, object]])
    assert (code, figures["outcome"], figures["gas_per_s"]) == (1, "trapped", None)
    code, out, _ = ctl(*words, wasm("forbidden_import"))
    (figures,) = msgspec.convert(decoded(out)["engines"], list[dict[str, object]])
    assert (code, figures["outcome"], figures["compile_ms"]) == (1, "refused", None)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("check", "nowhere"), "nowhere: cannot read the module: No such file or directory; "),
        (("check", "in"), "in: is no WebAssembly binary; compile it to .wasm first"),
        (("check", "/dev/zero"), "/dev/zero: the module has more than 8388608 bytes; make it"),
        (("prepare", "echo.wasm", "--output", "no/p"), "no/p: cannot be written; name a file"),
        (("prepare", "echo.wasm"), "--output"),
        (("run", "echo.wasm", "--input", "nowhere"), "nowhere: cannot read the input"),
        (("run", "echo.wasm", "--output", "no/o"), "no/o: cannot be written"),
        (("run", "echo.wasm", "--engine", "v8"), "--engine v8: no such engine; say wasmtime, "),
        (("run", "echo.wasm", "--memory-max", "5X"), "'5X' is not a size; write bytes, or"),
        (("run", "echo.wasm", "--memory-max", "1GiB"), "between 65536 and 536870912"),
        (("run", "echo.wasm", "--gas-max", "0"), "--gas-max: the value is 0; it must lie"),
        (("run", "echo.wasm", "--wall-max", "-1"), "'-1' is not a number of seconds"),
        (("run", "echo.wasm", "--runs", "0"), "--runs 0: say a number from 1"),
        (("run", "echo.wasm", "--seed", "ff"), "--seed 'ff' is not a seed; write 64 hex digits"),
        (("run", "-", "--input", "-"), "cannot both come from standard input"),
        (("bench", "echo.wasm", "--rounds", "0"), "--rounds 0: say a number from 1"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(
    ctl: Ctl, folder: Path, words: tuple[str, ...], problem: str
) -> None:
    wasm("echo")
    code, out, err = ctl("module", *words)
    assert (code, out) == (2, "")
    assert err.startswith("ambientctl: ")
    assert err.count("\n") == 1
    assert problem in err


@pytest.mark.parametrize("word", ["check", "prepare", "run", "trace", "bench"])
def test_help_is_as_agreed(ctl: Ctl, word: str) -> None:
    golden = GOLDEN / f"help-module-{word}.txt"
    assert ctl("module", word, "--help")[1] == golden.read_text(), f"if meant: {golden.name}"


def test_the_command_line_starts_without_engines_and_loops() -> None:
    look = "import sys, ambientd.cli.dispatch, ambientd.cli.module_commands; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, env=CLEAN
    ).stdout.split()
    assert not {"trio", "wasmtime", "rich", "ambientd.api.module_process"} & set(loaded)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(folder: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "module", "run", str(wasm("loop")), *ENDLESS],
        stderr=subprocess.PIPE,
        env=CLEAN,
    )
    worker = executing_worker_of(process.pid)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130 if how is signal.SIGINT else -how, b"")
    wait_until(lambda: not executes(worker))


def executing_worker_of(pid: int) -> int:
    """Wait for the process's locked-down child and give its id."""
    command = psutil.Process(pid)
    found: list[int] = []

    def locked_down() -> bool:
        found[:] = [child.pid for child in command.children()]
        return bool(found) and "Seccomp:\t2" in Path(f"/proc/{found[0]}/status").read_text()

    wait_until(locked_down)
    return found[0]


def executes(pid: int) -> bool:
    """Tell whether a process is there and not only waiting to be collected."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
