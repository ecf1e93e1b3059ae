"""Write protocols/vectors/modules.json: `python -m tests.wasm.make_vectors`."""

import json
from pathlib import Path

from ambientd.codec.digest import sha256
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from tests.wasm.programs import Program
from tests.wasm.running import Instance, Seen, module
from tests.wasm.test_behaviour import AROUND as TOOLS
from tests.wasm.test_behaviour import PROGRAMS
from tests.wasm.test_gas import AROUND, BY_HAND
from tests.wasm.test_refusals import MAGIC, raw, section

PATH = Path(__file__).parents[2] / "protocols" / "vectors" / "modules.json"
VECTOR_GAS = 1_000_000
DEPTH_MAX = PrepareLimits().call_depth_weight_max
RANDOM_PROGRAMS = 8


def sources() -> list[tuple[str, bytes, str, list[list[float]]]]:
    """Name, module, export to call, and arguments of each call."""
    out: list[tuple[str, bytes, str, list[list[float]]]] = []
    for name, function, arguments, _ in BY_HAND:
        out.append((name, module(f'(func (export "f") {function}) {AROUND}'), "f", [[*arguments]]))
    for name, (function, calls) in PROGRAMS.items():
        source = module(f'(func (export "f") {function}) {TOOLS}')
        out.append((name, source, "f", [list(call) for call in calls]))
    out += [
        (f"random program {seed}", module(Program(seed).text()), "main", [[]])
        for seed in range(RANDOM_PROGRAMS)
    ]
    out.append(("endless loop", module('(func (export "f") (loop (br 0)))'), "f", [[]]))
    out.append(("endless recursion", module('(func (export "f") (call 0))'), "f", [[]]))
    return out


REFUSED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "not a WebAssembly 1 module"),
    ("no exports", MAGIC, "fits no interface"),
    ("a tail call", raw(b"\x12\0\x0b"), "tail calls"),
    ("reaching for the gas global", raw(b"\x23\0\x0b"), "global 0 does not exist"),
    ("reaching for the gas local", raw(b"\x20\0\x0b"), "local 0 does not exist"),
    ("branching past the settlement", raw(b"\x0c\x01\x0b"), "label 1"),
    ("an alignment that names a memory", raw(b"\x28\x42\0\0\x0b"), "i32.load"),
    ("a long prefixed opcode", raw(b"\xfc\x88\0\0\0\x0b"), "0xfc 0x88"),
    ("a computed initial value", MAGIC + section(6, b"\x01\x7f\0\x41\0\x41\0\x6a\x0b"), "constant"),
    ("an imported memory", MAGIC + section(2, b"\x01\x01e\x01m\x02\0\x01"), "'e' 'm'"),
]


def outcome_of(seen: Seen, gas: int, depth: int, depth_max: int) -> str:
    """Classify an end as §10 does."""
    if gas < 0:
        return "out_of_gas"
    if seen.trap is None:
        return "completed"
    return "trapped: call depth" if depth > depth_max else "trapped"


def execute(
    rewritten: bytes, name: str, arguments: list[float], depth_max: int
) -> dict[str, object]:
    """Run one call on a fresh instance with the vectors' gas."""
    instance = Instance(rewritten, VECTOR_GAS)
    seen = instance.call(name, *arguments)
    after = instance.paid(VECTOR_GAS)
    outcome = outcome_of(seen, VECTOR_GAS - after.gas, after.depth, depth_max)
    return {
        "export": name,
        "arguments": arguments,
        "outcome": outcome,
        "gas": after.gas if outcome == "completed" else VECTOR_GAS,
    }


def build() -> dict[str, object]:
    """Return the whole file's content."""
    prepared_vectors = []
    for name, source, export, calls in sources():
        outcome = prepare(source)
        assert isinstance(outcome, Prepared), (name, outcome)
        prepared_vectors.append(
            {
                "name": name,
                "module": source.hex(),
                "prepared_sha256": sha256(outcome.module).hex(),
                "interface": outcome.interface.value,
                "imports": list(outcome.imports),
                "calls": [execute(outcome.module, export, call, DEPTH_MAX) for call in calls],
            }
        )
    return {
        "document": "protocols/04-modules.md",
        "rewriter_version": REWRITER_VERSION,
        "gas_max": VECTOR_GAS,
        "prepared": prepared_vectors,
        "refused": [
            {"name": name, "module": source.hex(), "reason_contains": problem}
            for name, source, problem in REFUSED
        ],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1, sort_keys=True) + "\n")
