"""Build wasmi as an image: `python -m benchmarks.wasmi_guest.build wasmi.elf`.

Needs the sources of Rust's own library (`rustup component add rust-src`): the target comes without
one.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAYOUT = HERE.parent.parent / "native" / "proofs" / "guest" / "image.ld"
TARGET = "riscv32im-risc0-zkvm-elf"


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as scratch:
        layout = Path(scratch) / "image.ld"
        layout.write_text(LAYOUT.read_text("utf-8").replace("@DATA@", ""), "utf-8")
        flags = [
            "-Cpasses=lower-atomic",
            "-Cpanic=abort",
            *(f"-Clink-arg={each}" for each in (f"-T{layout}", "-zmax-page-size=4")),
        ]
        command = ["cargo", "build", "--release", "--locked", "--target", TARGET]
        subprocess.run(
            [*command, "-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"],
            cwd=HERE,
            check=True,
            env={
                **os.environ,
                "RUSTC_BOOTSTRAP": "1",
                "CARGO_TARGET_DIR": scratch,
                "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
            },
        )
        shutil.copyfile(Path(scratch) / TARGET / "release" / "wasmi-guest", output)


if __name__ == "__main__":
    main()
