"""Build the reference modules from source and hold them to SHA256SUMS; `make wasm` runs this.

The compiler is the clang in the `ziglang` wheel that requirements/wasm.txt pins. Everything is
built in a fresh folder, so no path and nothing built earlier can get into a module.
`--update` puts the built modules and their hashes into the tree.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = HERE / "SHA256SUMS"
# `ambientctl demo` runs this module wherever the package is installed.
PACKED = HERE.parent / "src" / "ambientd" / "cli" / "demo_data"
PACKED_FROM = HERE / "image-classify"

COMMON = (
    *("-mcpu=lime1+simd128+bulk_memory", "-std=c2x", "-Wall", "-Wextra", "-Werror", "-g0"),
    # zig cc reads -O3 as -O2 for C; the compiler proper is told again.
    *("-O3", "-Xclang", "-O3", "-ffp-contract=off", "-fno-sanitize=all"),
    *("-Wl,--strip-all", "-Wl,-z,stack-size=65536"),
)
FREESTANDING = ("--target=wasm32-freestanding", "-ffreestanding", "-nostdlib", "-Wl,--no-entry")
# The universal image interprets no vectors, and a module's own image does their lanes in turn.
SCALAR = (*FREESTANDING, "-mno-simd128")
WASI = ("--target=wasm32-wasi",)
WIDE_INTEGERS = ("-Xclang", "-fexperimental-max-bitint-width=256")
MODULES = {
    "csv-stats/stats": (*WASI, *WIDE_INTEGERS),
    "file-hash/hash": FREESTANDING,
    "fixed-cnn/train": FREESTANDING,
    "fixed-train/train": FREESTANDING,
    "hello-compute/hello": FREESTANDING,
    "image-classify/classify": FREESTANDING,
    "int8-cnn/classify": SCALAR,
    "noop/noop": FREESTANDING,
}


def build(name: str, flags: tuple[str, ...], folder: Path) -> bytes:
    """Compile one module inside a fresh copy of the sources."""
    source = folder / f"{name}.c"
    built = source.with_suffix(".wasm")
    command = [sys.executable, "-m", "ziglang", "cc", *COMMON, *flags, "-o", built.name]
    caches = {
        kind: str(folder / "cache") for kind in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    }
    done = subprocess.run(
        [*command, source.name], cwd=source.parent, env={**os.environ, **caches}, check=False
    )
    if done.returncode:
        raise SystemExit(f"examples/{name}.c does not build; the compiler says why above.")
    return built.read_bytes()


def read_sums() -> dict[str, str]:
    """Read SHA256SUMS: hash, two spaces, name."""
    lines = SUMS.read_text(encoding="ascii").splitlines() if SUMS.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def main() -> int:
    """Build all; compare, or update."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the modules and their hashes")
    update = parser.parse_args().update
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "examples"
        shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.wasm", "__pycache__"))
        built = {f"{name}.wasm": build(name, flags, folder) for name, flags in MODULES.items()}
    sums = {name: hashlib.sha256(module).hexdigest() for name, module in built.items()}
    if update:
        for name, module in built.items():
            (HERE / name).write_bytes(module)
        SUMS.write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), "ascii")
        for packed in PACKED.iterdir():
            shutil.copyfile(PACKED_FROM / packed.name, packed)
    known = read_sums()
    wrong = sorted(name for name in known.keys() | sums.keys() if known.get(name) != sums.get(name))
    for name in wrong:
        print(
            f"examples/{name}: built {sums.get(name, 'nothing')}, "
            f"examples/SHA256SUMS says {known.get(name, 'nothing')}.",
            file=sys.stderr,
        )
    if wrong:
        print(
            "The sources, the flags or the compiler changed. If that was meant, run "
            "`examples/build.py --update` and commit what it writes.",
            file=sys.stderr,
        )
        return 1
    print(f"{len(sums)} modules built; their hashes are those of examples/SHA256SUMS.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
