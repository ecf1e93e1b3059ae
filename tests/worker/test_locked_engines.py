"""Every engine inside a locked-down process: compiling, trapping, growing, restoring still work."""

import json
import subprocess
import sys

import pytest

from ambientd.adapters.engines import installed
from ambientd.ports.worker_protocol import Protection
from tests.engines import engines
from tests.modules.compiled import module, prepared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock-down is Linux's")

NAMES = ("echo", "wasi", "trap", "recursion", "bomb", "loop", "start", "bad_segment")

PROGRAM = """
import json, os, sys
from ambientd.adapters.engines import open_engine
from ambientd.model.execution import ExecutionLimits
from ambientd.ports.engine import EngineFailureError, ModuleInvalidError
from ambientd.worker.__main__ import warm_up
from ambientd.worker.execution import execute
from ambientd.worker.lockdown import lock_down

job = json.load(sys.stdin)
modules = {name: bytes.fromhex(text) for name, text in job["modules"].items()}
engine = open_engine(job["engine"])
warm_up(engine)
encoder = json.JSONEncoder()
seen = {"holds": sorted(lock_down())}

def outcome(module, data, gas_max=1 << 40):
    limits = ExecutionLimits(gas_max=gas_max, memory_bytes_max=64 << 20)
    result = execute(module, data, limits, bytes(32))
    return [result.kind.name, result.reason, result.output.hex(), result.gas]

for name in job["names"]:
    module = engine.compile(modules[name])
    compiled = module.serialize()
    seen[name] = [outcome(module, bytes([choice]), 1 << 24) for choice in range(8)]
    if compiled is not None:
        again = engine.restore(compiled)
        assert [outcome(again, bytes([choice]), 1 << 24) for choice in range(8)] == seen[name]
try:
    engine.compile(modules["ill_typed"])
except ModuleInvalidError:
    seen["ill_typed"] = "invalid"
instance = engine.compile(modules["unprepared"]).instantiate(1 << 20, None)
try:
    instance.call("run", 0, 0)
except EngineFailureError:
    seen["unprepared"] = "failure"
instance.close()
os.write(1, encoder.encode(seen).encode())
os._exit(0)
"""


def inside(engine: str) -> dict[str, object]:
    modules = {name: prepared(name).hex() for name in NAMES}
    modules |= {"ill_typed": module("ill_typed").hex(), "unprepared": module("recursion").hex()}
    job = {"engine": engine, "names": NAMES, "modules": modules}
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM],
        input=json.dumps(job).encode(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("engine", engines())
def test_a_locked_down_engine_gives_the_outcomes_of_every_other(engine: str) -> None:
    assert engine in installed()
    seen = inside(engine)
    assert (seen["ill_typed"], seen["unprepared"]) == ("invalid", "failure")
    assert {Protection.SYSTEM_CALLS, Protection.RESOURCES} <= set(seen["holds"])
    assert [outcome[1] for outcome in seen["trap"]] == [
        "unreachable",
        "memory_out_of_bounds",
        "table_out_of_bounds",
        "indirect_call_to_null",
        "indirect_call_type_mismatch",
        "integer_divide_by_zero",
        "integer_overflow",
        "bad_conversion_to_integer",
    ]
    assert seen == inside("wasmtime")
