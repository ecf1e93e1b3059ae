"""Lanes compute what numbers compute (native/proofs/prover/kernels/lanes.h)."""

import platform
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.missing import missing

KERNELS = Path(__file__).parents[2] / "native" / "proofs" / "prover" / "kernels"
PRIME = 15 * (1 << 27) + 1
EDGES = (0, 1, 2, PRIME - 1, PRIME - 2, PRIME // 2, 1 << 30)
PROGRAM = """
#include <cstdio>
#include "lanes.h"
using namespace ambient_lanes;
int main() {
  uint32_t a[kLanes], b[kLanes], out[4][kLanes];
  while (true) {
    for (size_t i = 0; i < kLanes; i++)
      if (scanf("%u %u", &a[i], &b[i]) != 2) return 0;
    store(out[0], sum(load(a), load(b)));
    store(out[1], difference(load(a), load(b)));
    store(out[2], product(load(a), load(b)));
    VFp x{load(a)}, y{load(b)};
    store(out[3], products(x, y, x, x, y, y, x, y).v);
    for (size_t i = 0; i < kLanes; i++)
      printf("%u %u %u %u %u\\n", out[0][i], out[1][i], out[2][i], product(a[i], b[i]), out[3][i]);
  }
}
#if defined(__clang__) && AMBIENT_LANES != 4
#pragma clang attribute pop
#endif
"""


ARM64 = platform.machine() in {"aarch64", "arm64"}


def test_sums_differences_and_products_are_those_of_the_field(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        missing("no C++ compiler")
    try:
        flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split()
    except OSError:
        flags = []
    # A machine without any builds the portable kernels, which are the published ones.
    for flag, lanes in (("avx512f", 16), ("avx2", 8)):
        if flag in flags:
            assert_field([compiler], [], lanes, tmp_path)
    if ARM64:
        assert_field([compiler], [], 4, tmp_path)


@pytest.mark.skipif(ARM64, reason="shown above, on the processor itself")
def test_neon_computes_in_the_same_field(tmp_path: Path) -> None:
    """The lanes of arm64, as QEMU's user mode plays it."""
    compiler, player = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
    if compiler is None or player is None:
        missing("no g++-aarch64-linux-gnu or no qemu-user-static")
    assert_field([compiler, "-static"], [player], 4, tmp_path)


def assert_field(compiler: list[str], player: list[str], lanes: int, folder: Path) -> None:
    (folder / "lanes.cpp").write_text(PROGRAM, "ascii")
    built = folder / "lanes"
    subprocess.run(
        [*compiler, "-O2", "-std=c++17", f"-DAMBIENT_LANES={lanes}", f"-I{KERNELS}", "-o",
         str(built), str(folder / "lanes.cpp")],
        check=True,
    )  # fmt: skip
    rng = random.Random(1)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    pairs += [(rng.randrange(PRIME), rng.randrange(PRIME)) for _ in range(16_000 - len(pairs))]
    given = "\n".join(f"{a} {b}" for a, b in pairs)
    told = subprocess.run(
        [*player, str(built)], input=given, capture_output=True, text=True, check=True
    )
    rows = [tuple(map(int, line.split())) for line in told.stdout.splitlines()]
    montgomery = pow(1 << 32, -1, PRIME)
    assert rows == [
        (
            (a + b) % PRIME,
            (a - b) % PRIME,
            a * b * montgomery % PRIME,
            a * b * montgomery % PRIME,
            (2 * a * b + a * a + b * b) * montgomery % PRIME,
        )
        for a, b in pairs
    ]
