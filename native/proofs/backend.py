# ruff: noqa: INP001
"""Builds the programs of proofs: for `make`, and as a wheel, for `pip install ./native/proofs`.

The wheel has the three programs and nothing else, and puts them beside the Python that it is
installed for, which is where the daemon looks. It takes Rust and, for the prover, a C++ compiler
and some ten minutes of two cores. AMBIENT_KERNELS says which kernels: avx512, avx2, neon, portable,
or published; without it, the widest of this machine. For `make`, CARGO_BUILD_TARGET names another
machine's triple, as it does for cargo.
"""

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = ("ambient-verify", "ambient-execute", "ambient-prove")
# What the Rust around the kernels may use of the processor; the C++ says it in its own files.
RUST_FLAGS = {"avx512": "-C target-feature=+avx512f", "avx2": "-C target-feature=+avx2"}
_SETTINGS = (HERE / "pyproject.toml").read_text("utf-8")
NAME, VERSION = (
    re.findall(rf'^{key} = "(.*)"$', _SETTINGS, re.MULTILINE)[0] for key in ("name", "version")
)
Settings = Mapping[str, Any] | None


def widest_kernels() -> str:
    """Name the kernels of the widest registers that this machine has."""
    if platform.machine() in {"aarch64", "arm64"}:
        return "neon"
    try:
        flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split()
    except OSError:
        flags = []
    return "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "portable"


def build(program: str, kernels: str) -> Path:
    """Build a program, and say where it is; what has not changed is not built again."""
    made = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    cargo, environment = ["cargo", "build", "--quiet", "--release"], dict(os.environ)
    if program == "ambient-verify":
        folder, locked = HERE / "verifier", ["--locked"]
    else:
        proves = program == "ambient-prove"
        kernels = kernels if proves else "portable"
        folder = ROOT / "build" / f"proofs-{kernels}"
        patch = [sys.executable, str(HERE / "prover" / "patch.py"), "--kernels", kernels]
        subprocess.run([*patch, str(folder)], check=True)
        # Cargo leaves what the published crates do not need out of their lock file.
        locked = ["--offline" if kernels == "published" else "--locked"]
        made /= f"proofs-{kernels}" if proves else "proofs"
        if proves:
            environment |= {
                "DOCS_RS": "1",
                "CXXFLAGS": "-O3",
                "RUSTFLAGS": RUST_FLAGS.get(kernels, ""),
            }
        else:
            locked.append("--no-default-features")
    subprocess.run(
        [*cargo, *locked, "--target-dir", str(made)], cwd=folder, env=environment, check=True
    )
    made /= os.environ.get("CARGO_BUILD_TARGET", "")
    return made / "release" / ("ambient-verify" if folder.name == "verifier" else "ambient-prove")


def build_wheel(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """Build a wheel (PEP 517)."""
    del settings, metadata
    kernels = os.environ.get("AMBIENT_KERNELS") or widest_kernels()
    programs = {program: build(program, kernels).read_bytes() for program in PROGRAMS}
    machine = re.sub(r"[-.]", "_", sysconfig.get_platform())
    stem, tag = f"{NAME.replace('-', '_')}-{VERSION}", f"py3-none-{machine}"
    info = f"{stem}.dist-info"
    files = {f"{stem}.data/scripts/{program}": data for program, data in programs.items()}
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nLicense: MIT\n"
    ).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: backend.py\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    listed = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    record = f"{info}/RECORD"
    files[record] = ("\n".join([*listed, f"{record},,"]) + "\n").encode()
    wheel = f"{stem}-{tag}.whl"
    with zipfile.ZipFile(Path(folder) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if "/scripts/" in name else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def main() -> None:
    """Build a program for `make`: `backend.py PROGRAM KERNELS DESTINATION`."""
    program, kernels, destination = sys.argv[1:]
    shutil.copy(build(program, kernels), f"{destination}.new")
    Path(f"{destination}.new").replace(destination)  # another may be running the old one


if __name__ == "__main__":
    main()
