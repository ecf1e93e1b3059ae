"""Translate a module into the image that proofs of it are about: `python -m scripts.proof_image`.

The same module, preparation, translation and compiler give the same bytes, so that anyone finds
the same image id (protocols/18 §4). The compiler is the clang in the wheel that
requirements/wasm.txt pins (`make wasm` sets it up).
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import wasmtime

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.codec.digest import tagged
from ambientd.ports.engine import ModuleInvalidError
from ambientd.wasm.c_module import TRANSLATION_VERSION, Translated, translate
from ambientd.wasm.interface import Interface
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from ambientd.wasm.refusal import RefusalError

ROOT = Path(__file__).resolve().parent.parent
GUEST = ROOT / "native" / "proofs" / "guest"
# Below the stack the machine faults, for 64 KiB. Two frames fit into that, so that no stack steps
# over it to the machine's registers and the digest, which lie behind (protocols/18 §4).
FRAME_BYTES_MAX = 32_768
# The module is a stranger's, and a compiler can be made to think for hours.
TEXT_BYTES_MAX = 32 << 20
COMPILER_SECONDS_MAX = 120  # of a processor
COMPILER_WAIT_S = 900
COMPILER_BYTES_MAX = 3 << 30
_LIMITED = 'ulimit -t "$0" && ulimit -d "$1" && shift && exec "$@"'
FLAGS = (
    *("--target=riscv32-freestanding", "-mcpu=generic_rv32+m", "-ffreestanding", "-nostdlib"),
    *("-std=gnu2x", "-O2", "-g0", "-fno-sanitize=all", "-fno-stack-protector"),
    *("-Wno-everything", f"-Wframe-larger-than={FRAME_BYTES_MAX}", "-Werror=frame-larger-than"),
    *("-fno-builtin", "-ffunction-sections", "-fdata-sections", "-fno-pic"),
    *("-fno-strict-aliasing", "-fwrapv", "-fno-unwind-tables"),
    *("-Wl,--gc-sections", "-Wl,--strip-all", "-Wl,-z,max-page-size=4", "-Wl,--build-id=none"),
)


def translation() -> bytes:
    """Name this translation: all that R is a function of besides the module (protocols/18 §12)."""
    versions = f"{REWRITER_VERSION} {TRANSLATION_VERSION} {' '.join(FLAGS)}".encode()
    told = (ROOT / "requirements" / "wasm.txt").read_text("ascii").splitlines()
    pins = "\n".join(line for line in told if not line.lstrip().startswith("#")).encode()
    parts = ("runtime.h", "main.h", "machine.h", "asking.h", "image.ld")
    return tagged(
        "ambient/translation/1", versions, pins, *((GUEST / name).read_bytes() for name in parts)
    )


class ImageError(Exception):
    """The module has no image; says why."""


def translated(module: bytes) -> Translated:
    """Prepare, validate and translate a submitted module."""
    made = prepare(module)
    if not isinstance(made, Prepared):
        raise ImageError(made.reason)
    if made.interface is not Interface.AMBIENT:
        raise ImageError(
            "it is a WASI command; only modules of the ambient interface can be proven"
        )
    try:
        WasmtimeEngine().compile(made.module)
        return translate(made.module, hashlib.sha256(module).digest())
    except ModuleInvalidError as invalid:
        raise ImageError(f"the module is not valid: {invalid}") from None
    except RefusalError as refusal:
        place = "" if refusal.function is None else f"function {refusal.function}: "
        named = f"{refusal.instruction}: " if refusal.instruction else ""
        raise ImageError(f"{place}{named}{refusal.problem}. {refusal.remedy}") from None


def build(module: bytes) -> bytes:
    """Give the image of a submitted module, an ELF file."""
    made = translated(module)
    if len(made.text) > TEXT_BYTES_MAX:
        raise ImageError(
            f"its translation has {len(made.text)} characters, at most {TEXT_BYTES_MAX} can be "
            "compiled; make the module smaller"
        )
    return _built(made.text, made.data_at)


def build_universal() -> bytes:
    """Give the image that interprets any prepared module that it is given, an ELF file."""
    return _built((GUEST / "universal.c").read_text("ascii"), ())


def build_step() -> bytes:
    """Give the image that goes on from a state of any pausable module, an ELF file."""
    return _built((GUEST / "step.c").read_text("ascii"), ())


def prepared(module: bytes) -> bytes:
    """Prepare a submitted module for the universal image, or raise `ImageError`."""
    made = prepare(module)
    if not isinstance(made, Prepared):
        raise ImageError(made.reason)
    return made.module


def _built(text: str, data_at: tuple[int, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for header in GUEST.glob("*.h"):
            (folder / header.name).write_bytes(header.read_bytes())
        (folder / "module.c").write_text(text, "ascii")
        placed = [
            f"  .memory{n} 0x{at:08x} : {{ KEEP(*(.memory{n})) }}" for n, at in enumerate(data_at)
        ]
        script = (GUEST / "image.ld").read_text("utf-8").replace("@DATA@", "\n".join(placed))
        (folder / "image.ld").write_text(script, "ascii")
        _compile(folder)
        return (folder / "image.elf").read_bytes()


def _compile(folder: Path) -> None:
    """Compile the translation in a folder, in bounded time and memory."""
    # The cache holds nothing but the compiler's own parts, by their contents.
    compiler = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-Wl,-T,image.ld"]
    limits = [str(COMPILER_SECONDS_MAX), str(COMPILER_BYTES_MAX >> 10)]
    with subprocess.Popen(
        ["sh", "-c", _LIMITED, *limits, *compiler, "-o", "image.elf", "module.c"],
        cwd=folder, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            told, _ = process.communicate(timeout=COMPILER_WAIT_S)
        except BaseException as stopped:
            # What the compiler itself has started ends with it.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise ImageError(f"the compiler took more than {COMPILER_WAIT_S} s") from None
            raise
    if process.returncode:
        raise ImageError(
            f"the translation does not compile within {COMPILER_SECONDS_MAX} s of a processor and "
            f"{COMPILER_BYTES_MAX >> 20} MiB: {told[-2000:] or 'the compiler was stopped'}"
        )


def main() -> int:
    """Write the image of a module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path, nargs="?", help="a submitted module")
    parser.add_argument("-o", "--output", type=Path, help="where to write the image")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--c", action="store_true", help="show the translation in C instead")
    instead.add_argument(
        "--prepared",
        action="store_true",
        help="write the prepared module instead (suffix .prepared)",
    )
    instead.add_argument(
        "--universal", action="store_true", help="write the universal image, which takes no module"
    )
    instead.add_argument(
        "--step", action="store_true", help="write the image of steps, which takes no module"
    )
    instead.add_argument(
        "--translation", action="store_true", help="print what names this translation instead"
    )
    arguments = parser.parse_args()
    if arguments.translation:
        print(translation().hex())
        return 0
    fixed = "universal" if arguments.universal else "step" if arguments.step else None
    if (fixed is not None) == (arguments.module is not None):
        parser.error("give a module, --universal or --step")
    named = arguments.module or Path(f"{fixed}.wasm")
    try:
        if fixed is not None:
            made = build_step() if arguments.step else build_universal()
        elif arguments.c:
            print(translated(named.read_bytes()).text)
            return 0
        else:
            made = (prepared if arguments.prepared else build)(named.read_bytes())
    except (ImageError, OSError, wasmtime.WasmtimeError) as problem:
        print(f"{named}: {problem}", file=sys.stderr)
        return 1
    output = arguments.output or named.with_suffix(".prepared" if arguments.prepared else ".elf")
    output.write_bytes(made)
    print(f"{output}: {len(made)} bytes, SHA-256 {hashlib.sha256(made).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
