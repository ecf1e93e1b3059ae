"""The numbers of system calls that a worker may make are those of the kernel's own headers."""

import re
from pathlib import Path

import pytest

from ambientd.worker.lockdown import _ALLOWED, _MACHINES
from tests.missing import missing

# What libc-dev brings on every machine: arm64 takes the numbers that are no architecture's own.
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
DEFINED = re.compile(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", re.MULTILINE)


@pytest.mark.parametrize("machine", HEADERS)
def test_a_worker_may_call_what_is_named_and_nothing_that_has_its_number_elsewhere(
    machine: str,
) -> None:
    path = next((path for path in map(Path, HEADERS[machine]) if path.is_file()), None)
    if path is None:
        missing("the kernel's headers are missing; Debian has them in linux-libc-dev")
    told = {name: int(number) for name, number in DEFINED.findall(path.read_text("ascii"))}
    _, seccomp, column = _MACHINES[machine]
    assert told["seccomp"] == seccomp
    assert {name: numbers[column] for name, numbers in _ALLOWED.items()} == {
        name: told[name] for name in _ALLOWED
    }
