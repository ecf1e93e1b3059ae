"""ambientctl module run --pause-at, run --resume and trace, with real worker processes."""

import hashlib
from pathlib import Path

import msgspec
import pytest
import wasmtime

from ambientd.adapters.engines import installed
from ambientd.wasm.pausing import Pausable, make_pausable
from tests.cli.conftest import Ctl

ROOT = Path(__file__).parents[2]
STATS = ROOT / "examples/csv-stats/stats.wasm"
SALES = ROOT / "examples/csv-stats/sales.csv"
CALL = (STATS, "--input", SALES)
PAUSE_KEYS = {
    "outcome", "gas", "root", "state", "state_size_bytes", "engine", "engine_version",
    "prepared_sha256", "wall_ms",
}  # fmt: skip
OUTCOME = ("outcome", "gas", "output_sha256", "reason", "agreed")

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def decoded(text: str) -> dict[str, object]:
    assert text.count("\n") == 1
    value = msgspec.json.decode(text)
    assert isinstance(value, dict)
    return value


def run(ctl: Ctl, *words: str | Path) -> dict[str, object]:
    code, out, err = ctl("module", "run", *CALL, "--json", *words)
    assert (code, err) == (0, "")
    return decoded(out)


def unpausable() -> Path:
    path = Path("table.wasm")
    path.write_bytes(
        bytes(
            wasmtime.wat2wasm("""(module (memory (export "memory") 1) (table 1 funcref)
            (func (export "_start") (table.set (i32.const 0) (ref.null func))))""")
        )
    )
    return path


def test_prepare_writes_the_pausable_module(ctl: Ctl) -> None:
    made = make_pausable(STATS.read_bytes())
    assert isinstance(made, Pausable)
    code, out, _ = ctl("module", "prepare", STATS, "--pausable", "--output", "p.wasm")
    assert (code, out) == (0, f"p.wasm: {hashlib.sha256(made.module).hexdigest()}\n")
    assert Path("p.wasm").read_bytes() == made.module
    code, out, _ = ctl("module", "check", "p.wasm")
    assert code == 1
    assert "not the one that was made pausable" in out


def test_an_execution_goes_on_in_another_engine_as_if_nothing_were(ctl: Ctl) -> None:
    first, second, third = (installed() * 3)[:3]
    whole = run(ctl)
    one = run(ctl, "--engine", first, "--pause-at", "200000", "--state", "s1")
    assert set(one) == PAUSE_KEYS
    assert one["outcome"] == "paused"
    two = run(ctl, "--engine", second, "--resume", "s1", "--pause-at", "400000", "--state", "s2")
    direct = run(ctl, "--engine", third, "--pause-at", "400000", "--state", "s3")
    assert (two["gas"], two["root"]) == (direct["gas"], direct["root"])
    assert Path("s2").read_bytes() == Path("s3").read_bytes()
    rest = run(ctl, "--engine", third, "--resume", "s2", "--output", "out")
    assert [rest[key] for key in OUTCOME] == [whole[key] for key in OUTCOME]
    assert hashlib.sha256(Path("out").read_bytes()).hexdigest() == whole["output_sha256"]


def test_a_pause_is_told_in_words(ctl: Ctl) -> None:
    code, out, err = ctl("module", "run", *CALL, "--pause-at", "200000", "--state", "s")
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["outcome"] == "paused"
    assert int(lines["gas"].replace(",", "")) >= 200_000
    assert len(lines["root"]) == 64
    assert lines["state"] == f"s, {Path('s').stat().st_size:,} bytes"


def test_the_limits_and_seed_of_a_state_need_not_be_said_again(ctl: Ctl) -> None:
    chosen = ("--gas-max", "800000", "--memory-max", "64MiB", "--seed", "ab" * 32)
    whole = run(ctl, *chosen)
    run(ctl, *chosen, "--pause-at", "200000", "--state", "s")
    for words in ((), chosen):
        rest = run(ctl, "--resume", "s", *words)
        assert [rest[key] for key in OUTCOME] == [whole[key] for key in OUTCOME]


def test_an_execution_that_ends_before_the_index_says_so(ctl: Ctl) -> None:
    code, out, err = ctl("module", "run", *CALL, "--pause-at", "9000000", "--state", "s")
    assert code == 0
    assert out.startswith("outcome    completed\n")
    assert err == "it ended before gas index 9,000,000; no state was written\n"
    assert not Path("s").exists()


def test_a_module_that_cannot_be_paused_says_why_and_what_helps(ctl: Ctl) -> None:
    file = unpausable()
    for words in (
        ("run", file, "--pause-at", "1", "--state", "s"),
        ("prepare", file, "--pausable", "--output", "p"),
        ("trace", file),
    ):
        code, out, err = ctl("module", *words)
        assert (code, err) == (1, "")
        assert "refused: the module can run, but not be paused: table.set changes tables" in out
        assert "nodes take the module as it is" in out
    assert not Path("s").exists()


def test_a_state_of_something_else_is_refused_in_one_line(ctl: Ctl) -> None:
    noop = ROOT / "examples/noop/noop.wasm"
    run(ctl, "--pause-at", "200000", "--state", "s")
    state = Path("s").read_bytes()
    Path("bent").write_bytes(state[:-70_000] + bytes((state[-70_000] ^ 1,)) + state[-69_999:])
    Path("cut").write_bytes(state[:-1])
    Path("stump").write_bytes(state[:70])
    for words, problem in (
        ((noop, "--input", SALES, "--resume", "s"), "s: is the state of another module"),
        ((STATS, "--resume", "s"), "s: was paused with another input; give the same --input"),
        ((*CALL, "--resume", "s", "--gas-max", "7"), "s: was paused under other limits"),
        ((*CALL, "--resume", "s", "--seed", "ab" * 32), "s: was paused with another seed"),
        (
            (*CALL, "--resume", "s", "--pause-at", "200000", "--state", "t"),
            "s: stands at gas index 200",
        ),
        ((*CALL, "--resume", "bent"), "bent: is damaged: the execution state does not have the"),
        ((*CALL, "--resume", "cut"), "cut: is damaged: the execution state ends too early"),
        ((*CALL, "--resume", "stump"), "stump: is damaged"),
        ((*CALL, "--resume", STATS), "is no state of a paused execution"),
        ((*CALL, "--resume", "nowhere"), "nowhere: cannot read the state"),
        ((*CALL, "--pause-at", "5"), "--pause-at and --state belong together"),
        ((*CALL, "--state", "t"), "--pause-at and --state belong together"),
        ((*CALL, "--resume", "s", "--engine", "all"), "one execution on one engine"),
        ((*CALL, "--resume", "s", "--runs", "2"), "one execution on one engine"),
        ((*CALL, "--resume", "-"), "a state is kept in a file"),
        ((*CALL, "--pause-at", "5", "--state", "no/t"), "no/t: cannot be written"),
    ):
        code, out, err = ctl("module", "run", *words)
        assert (code, out) == (2, ""), words
        assert err.startswith("ambientctl: ")
        assert problem in err
        assert err.count("\n") == 1
    assert not Path("t").exists()


def test_a_trace_is_the_same_on_all_engines_and_gives_the_roots_of_pauses(ctl: Ctl) -> None:
    code, out, err = ctl(
        "module", "trace", *CALL, "--checkpoints", "4", "--engine", "all", "--json"
    )
    answer = decoded(out)
    assert (code, err) == (0, "")
    assert set(answer) == {
        "agreed", "outcome", "reason", "gas", "checkpoints", "differences", "engines",
    }  # fmt: skip
    assert answer["agreed"] is True
    points = answer["checkpoints"]
    assert isinstance(points, list)
    assert len(points) == 4
    paused = run(ctl, "--pause-at", str(points[2]["gas"]), "--state", "s")
    assert (paused["gas"], paused["root"]) == (points[2]["gas"], points[2]["root"])
    code, out, _ = ctl("module", "trace", *CALL, "--checkpoints", "4", "--engine", "all")
    assert code == 0
    assert all(point["root"] in out for point in points)
    if len(installed()) > 1:
        assert "engines gave the same outcome, gas, output and roots\n" in out


def test_a_trace_of_nothing_is_refused(ctl: Ctl) -> None:
    code, _, err = ctl("module", "trace", *CALL, "--checkpoints", "0")
    assert (code, err.count("\n")) == (2, 1)
    assert "--checkpoints 0: say a number from 1 to 10,000" in err
