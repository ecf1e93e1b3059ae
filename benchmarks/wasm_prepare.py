"""How long preparing a module takes, in processor time a megabyte of the module."""

import argparse
import time
from pathlib import Path

from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.wasm.sections import MAGIC, ORDER, Module, Section, decode_module
from benchmarks.mesh import machine, report

EXAMPLES = Path(__file__).parent.parent / "examples"
TINY_BYTES = 5_000  # says nothing about a megabyte
LARGE_BYTES = 5_000_000
HOSTILE_CONSTANTS = 400_000
LIMITS = PrepareLimits()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("modules", type=Path, nargs="*", help="the examples, if none is named")
    chosen = parser.parse_args()
    print(machine())
    sources = {path.name: path.read_bytes() for path in chosen.modules}
    if not sources:
        found = {path.name: path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.wasm"))}
        sources = {name: source for name, source in found.items() if len(source) > TINY_BYTES}
        largest = max(sources, key=lambda name: len(sources[name]))
        sources[f"{largest}, repeated"] = enlarged(sources[largest])
        sources[f"{largest}, hostile"] = hostile(sources[largest])
    figures: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(chosen.runs):
        for name, source in sources.items():
            figures[name].append(one_run(name, source))
    for name, runs in figures.items():
        report(f"{name[:40]} ({len(sources[name]) / 1e6:.2f} MB)", runs, "ms/MB")
    print(machine())


def enlarged(source: bytes) -> bytes:
    """Repeat a module's functions until it is large."""
    module = decode_module(source, LIMITS)
    bodies = [source[start:end] for start, end in module.bodies]
    times = LARGE_BYTES // sum(map(len, bodies))
    return with_code(module, module.functions * times, bodies * times)


def hostile(source: bytes) -> bytes:
    """Add a function in which no two constants are equal."""
    module = decode_module(source, LIMITS)
    bodies = [source[start:end] for start, end in module.bodies]
    constants = b"".join(
        b"\x41" + encode_unsigned((1 << 14) + n) + b"\x1a" for n in range(HOSTILE_CONSTANTS)
    )
    return with_code(
        module, [*module.functions, module.functions[0]], [*bodies, b"\0" + constants + b"\x0b"]
    )


def with_code(module: Module, types: list[int], bodies: list[bytes]) -> bytes:
    """Put a module together again with other functions."""
    sections = module.raw | {
        Section.FUNCTION: encode_unsigned(len(types)) + b"".join(map(encode_unsigned, types)),
        Section.CODE: encode_unsigned(len(bodies))
        + b"".join(encode_unsigned(len(body)) + body for body in bodies),
    }
    return MAGIC + b"".join(
        bytes((number,)) + encode_unsigned(len(sections[number])) + sections[number]
        for number in ORDER
        if number in sections
    )


def one_run(name: str, source: bytes) -> float:
    """Prepare once, or several times if it is quick; give ms a MB."""
    times = max(1, 200_000 // len(source))
    begin = time.process_time()
    for _ in range(times):
        outcome = prepare(source, LIMITS)
    took_ms = (time.process_time() - begin) * 1000 / times
    if not isinstance(outcome, Prepared):
        raise SystemExit(f"{name}: {outcome.reason}")
    return took_ms / len(source) * 1e6


if __name__ == "__main__":
    main()
