"""Ordinary programs, as their compilers leave them: one output, outcome and gas on every engine.

The small modules are committed and held by their hashes. The Go program is built by
`make -C tests/programs go`; with AMBIENT_PROGRAMS=1 in the environment it must be there.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from ambientd.adapters.engines import open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.engine import CompiledModule
from ambientd.ports.module_cache import ReadyModule
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from tests.engines import engines
from tests.missing import missing
from tests.runtime.pools import pool_of
from tests.runtime.pools import prepare as prepare_in

HERE = Path(__file__).parent
GO_PROGRAM = HERE / "out" / "ledger.wasm"
SEED = bytes(range(32))

LINES_SHA256 = "5825e1b9bad9c0a32a563e342d0e015943f50dd1e29f6de2f234cdd508a29989"
TEXT = b"The quick brown fox. The lazy dog; the end!\n" * 3 + b"A fox, a dog\n"
WORDS = """\
the               9  29.0323%
dog               4  12.9032%
fox               4  12.9032%
brown             3   9.6774%
end               3   9.6774%
lazy              3   9.6774%
quick             3   9.6774%
a                 2   6.4516%
"""
WORLD = """\
arguments: 1, the first is module
HOME is not set
fopen: No such file or directory
open for writing: No such file or directory
mkdir: No such file or directory
unlink: No such file or directory
stat: No such file or directory
fstat of standard output: known
lseek: Invalid seek
isatty: 0
clock: 0, 1000000
nanosleep: 0
slept for 1001000500
date: 1970-01-01 00:00:01
getentropy: 0, a9 2e dc e2 fd 07 bb c6 92 25 28 78 fd 27 6b 40
floats: 0.1 0.33333333333333331 0x1.8p+3 -1.000000e+301
"""
HISTOGRAM = """\
145 bytes, 29 values, sha256 6d4b763fcbf7ddb93b2f9dc99d7166d7b2b203de1a0a1fe851f5edcc2ce0d58e
32 27 0.18620689655172416 -2.425021587851466
101 12 0.08275862068965517 -3.5949465892937786
111 11 0.07586206896551724 -3.720477471377637
104 9 0.06206896551724138 -4.009984088572622
100 7 0.04827586206896552 -4.372554167957331
"""
ORDERS = b"""\
{"customer": "ada", "amount": 1.5, "count": 2}
{"customer": "bob", "amount": 0.1, "count": 3}
{"customer": "ada", "amount": 2.25, "count": 4}
{"customer": "eve", "amount": 0.001, "count": 7}
{"customer": 5}
not json
"""
LEDGER = """\
{
 "totals": [
  {
   "customer": "ada",
   "orders": 6,
   "sum": 12,
   "root": 3.4641016151377544
  },
  {
   "customer": "bob",
   "orders": 3,
   "sum": 0.30000000000000004,
   "root": 0.5477225575051662
  },
  {
   "customer": "eve",
   "orders": 7,
   "sum": 0.007,
   "root": 0.08366600265340755
  }
 ],
 "bad": [
  "invalid character 'o' in literal null (expecting 'u')",
  "json: cannot unmarshal number into Go struct field order.customer of type string"
 ],
 "digest": "f17917eaa09ba4145afd2f33aaf568c47a1eb0522b5171ddda46b3c99da010f6",
 "random": "578d89c8154cf85b",
 "slept": "1.1s",
 "ticks": 5,
 "file": "absent",
 "depth": 200,
 "platform": "wasip1"
}
"""


SERIES = "load 0.5\nheat 21.25\nload 1e-3\nheat -4\nload 7\nhöhe 8848.86\n".encode()
SURVEY = """\
heat: 2 values, 8.625000 ± 1.2625e1, 21.25
höhe: 1 values, 8848.860000 ± 0e0, 8848.86
load: 3 values, 2.500333 ± 3.188259748236053e0, 0.5
["module"] false Err(NotPresent) 1ms
"""


def signed() -> bytes:
    """What the digest program reads: a key, a signature, the message."""
    key = SigningKey(bytes(32))
    return key.verify_key.encode() + bytes(key.sign(b"signed words").signature) + b"signed words"


def digests(data: bytes, verdict: str) -> str:
    sha256, blake2b = hashlib.sha256(data), hashlib.blake2b(data, digest_size=32)
    return f"sha256 {sha256.hexdigest()}\nblake2b {blake2b.hexdigest()}\nsignature {verdict}\n"


@dataclass(frozen=True)
class Case:
    """One run of a committed program."""

    program: str
    data: bytes
    output: str
    gas: int
    outcome: str = "completed"
    log: str = ""


DIGEST = signed()
CASES = [
    Case("words", TEXT, WORDS, 229_003, log="4 lines, 31 words, 8 distinct\n"),
    Case("world", b"", WORLD, 324_533),
    Case("world", b"7", "", 349_944, "trapped exit_code:7", "leaving with 7\n"),
    Case("deep", b"1000", "d55971e8\nno room for 2147483648 bytes\n", 305_291),
    Case("deep", b"5000", "fd956188\nno room for 2147483648 bytes\n", 1_271_538),
    Case("deep", b"20000", "", 10_000_000_000, "trapped call_depth"),
    Case("deep", b"", "", 34_143, "trapped exit_code:2", "no depth\n"),
    Case("digest", DIGEST, digests(DIGEST, "holds"), 272_265),
    Case("digest", DIGEST + b".", digests(DIGEST + b".", "does not hold"), 272_463),
    Case("histogram", TEXT, HISTOGRAM, 209_457),
    Case("survey", SERIES, SURVEY, 226_349),
    Case("survey", b"a 1\nb\n", "", 102_629, "trapped exit_code:1", 'line 2: no value in "b"\n'),
    Case("survey", b"", "", 10_000_000_000, "trapped unreachable"),
]


@cache
def prepared(path: Path) -> bytes:
    outcome = prepare(path.read_bytes())
    assert isinstance(outcome, Prepared), outcome
    return outcome.module


@cache
def compiled(path: Path, engine: str) -> CompiledModule:
    return open_engine(engine).compile(prepared(path))


def run(path: Path, engine: str, data: bytes) -> ExecutionResult:
    """Run it twice, which must make no difference."""
    module = compiled(path, engine)
    first, second = (execute(module, data, ExecutionLimits(), SEED) for _ in range(2))
    assert first == second
    assert isinstance(first, ExecutionResult)
    return first


def outcome_of(result: ExecutionResult) -> str:
    return f"{result.kind.name.lower()} {result.reason}".strip()


def built(program: str) -> Path:
    return HERE / "built" / f"{program}.wasm"


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.program}-{len(case.data)}")
def test_a_program_runs_unchanged(case: Case, engine: str) -> None:
    result = run(built(case.program), engine, case.data)
    assert outcome_of(result) == case.outcome
    assert result.output.decode() == case.output
    assert result.gas == case.gas
    if result.gas < ExecutionLimits().gas_max:  # at a trap the engine's own wording follows
        assert result.log.decode() == case.log


@pytest.mark.slow
@pytest.mark.parametrize("engine", engines())
def test_a_large_output_of_floats_is_the_same_to_the_last_digit(engine: str) -> None:
    result = run(built("lines"), engine, b"20000")
    assert outcome_of(result) == "completed"
    lines = result.output.decode().splitlines()
    assert lines[0] == "000001 1.000000 2.287355287e+00 -002.500"
    assert lines[40] == "000041 6.403124 -1.014936826e+17 +002.500"
    assert (len(lines), len(result.output), result.gas) == (20_000, 859_902, 428_812_558)
    assert hashlib.sha256(result.output).hexdigest() == LINES_SHA256


def test_the_committed_modules_are_those_that_the_hashes_name() -> None:
    lines = (HERE / "built" / "SHA256SUMS").read_text().splitlines()
    named = {name: digest for digest, name in (line.split() for line in lines)}
    found = sorted(path.name for path in (HERE / "built").glob("*.wasm"))
    assert found == sorted(named)
    for name, digest in named.items():
        assert hashlib.sha256((HERE / "built" / name).read_bytes()).hexdigest() == digest
    sources = [*(HERE / "c").glob("*.c"), *(HERE / "as").glob("*.ts")]
    sources += (HERE / "rust").glob("*.rs")
    assert found == sorted(f"{path.stem}.wasm" for path in sources)


@pytest.mark.slow
@pytest.mark.parametrize("engine", engines())
async def test_a_locked_down_worker_serves_the_host_calls_as_well(engine: str) -> None:
    async with pool_of(engine=engine) as pool:
        for case in CASES:
            module = await prepare_in(pool, built(case.program).read_bytes())
            assert isinstance(module, ReadyModule)
            result = await pool.execute(module, case.data, ExecutionLimits(), SEED)
            assert isinstance(result, ExecutionResult), result
            assert (outcome_of(result), result.gas) == (case.outcome, case.gas)
            assert result.output.decode() == case.output


def require_go_program() -> Path:
    if not GO_PROGRAM.exists():
        missing(f"{GO_PROGRAM} is missing; build it with `make -C tests/programs go`")
    return GO_PROGRAM


@pytest.fixture
def go_program() -> Path:
    return require_go_program()


@pytest.mark.slow
def test_a_go_program_runs_unchanged_on_every_engine(go_program: Path) -> None:
    results = [run(go_program, engine, ORDERS) for engine in engines()]
    for result in results:
        assert outcome_of(result) == "completed"
        assert result.output.decode() == LEDGER
        assert result.log == b"done\n"
        assert result.gas == results[0].gas  # which depends on the version of Go
    for engine in engines():
        assert outcome_of(run(go_program, engine, b"")) == "trapped exit_code:3"
