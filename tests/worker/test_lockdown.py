"""From inside: a locked-down process can compute and use its pipes, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.ports.worker_protocol import Protection
from ambientd.worker.lockdown import filter_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock-down is Linux's")

PROBE = """
import ctypes, json, os, resource, signal, socket, struct, subprocess, sys, threading
from ambientd.worker.lockdown import lock_down

libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    def call():
        if libc.syscall(number, *arguments) == -1:
            raise OSError(ctypes.get_errno(), "raw")
    return call

before = os.getpid()
encoder = json.JSONEncoder()
probes = {
    "open": lambda: open("/etc/passwd"),
    "open for writing": lambda: open("/tmp/x", "w"),
    "list": lambda: os.listdir("/"),
    "stat": lambda: os.stat("/"),
    "socket": lambda: socket.socket(),
    "local socket": lambda: socket.socket(socket.AF_UNIX),
    "pipe": os.pipe,
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=int).start(),
    "kill": lambda: os.kill(1, 0),
    "signal to oneself": lambda: os.kill(before, signal.SIGTERM),
    "ptrace": raw(101, 0, 0, 0, 0),
    "process memory": raw(310, 1, 0, 0, 0, 0, 0),
    "memory file": lambda: os.memfd_create("x"),
    "raise limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "change directory": lambda: os.chdir("/"),
    "unshare": raw(272, 0x10000000),
    "bpf": raw(321, 0, 0, 0),
    "io_uring": raw(425, 1, 0),
    "keyring": raw(250, 0, 0, 0, 0, 0),
    "control oneself": raw(157, 4, 1, 0, 0, 0),
    "x32 open": raw(0x40000000 + 2, 0, 0, 0),
}
holds = lock_down()
seen = {}
for name, probe in probes.items():
    try:
        probe()
        seen[name] = "ALLOWED"
    except (OSError, RuntimeError, ValueError) as error:
        seen[name] = type(error).__name__
bytearray(64 << 20)
try:
    bytearray(4 << 30)
    seen["a large allocation"] = "ALLOWED"
except MemoryError:
    seen["a large allocation"] = "MemoryError"
text = encoder.encode({"holds": sorted(holds), "seen": seen, "environment": dict(os.environ)})
os.write(1, text.encode())
os._exit(0)
"""


def inside(program: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, timeout=60, **options
    )


@pytest.fixture(scope="module")
def report() -> dict[str, dict[str, str]]:
    ended = inside(PROBE, env={"SECRET": "1"})
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the raw call numbers are x86-64's")
def test_nothing_but_computing_is_left(report: dict[str, dict[str, str]]) -> None:
    seen = report["seen"]
    assert len(seen) == 24
    assert {name for name, result in seen.items() if result == "ALLOWED"} == set()


def test_every_protection_holds_here_and_says_so(report: dict[str, dict[str, str]]) -> None:
    # A control group is the daemon's to make, from outside.
    assert set(report["holds"]) == {*Protection} - {Protection.CONTROL_GROUP}
    assert report["environment"] == {}


def test_the_kernel_confirms_filter_and_privileges() -> None:
    program = (
        "import os\n"
        "from ambientd.worker.lockdown import lock_down\n"
        "status = os.open('/proc/self/status', os.O_RDONLY)\n"
        "lock_down()\n"
        "os.write(1, os.read(status, 65536)); os._exit(0)"
    )
    fields = dict(
        line.split(":\t", 1)
        for line in inside(program).stdout.decode().splitlines()
        if ":\t" in line
    )
    assert fields["Seccomp"].strip() == "2"
    assert fields["NoNewPrivs"].strip() == "1"


def test_a_locked_process_dies_with_the_one_that_started_it() -> None:
    """The middle process ends; the locked one would compute for ever."""
    program = (
        "import subprocess, sys\n"
        "locked = 'import os; from ambientd.worker.lockdown import lock_down; lock_down();'\n"
        "locked += 'os.write(1, b\"x\")\\nwhile True: pass'\n"
        "child = subprocess.Popen([sys.executable, '-I', '-c', locked], stdout=subprocess.PIPE)\n"
        "child.stdout.read(1)\n"
        "print(child.pid, flush=True)\n"
        "import os; os._exit(0)"
    )
    ended = subprocess.Popen([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE)
    with ended:
        assert ended.stdout is not None
        pid = int(ended.stdout.readline())
    # The kernel signals children before it lets the parent be reaped.
    status = Path(f"/proc/{pid}/stat")
    for _ in range(10_000):
        if not status.exists() or status.read_text("ascii").rsplit(")", 1)[1].split()[0] == "Z":
            return
    pytest.fail("the locked process outlived its parent")


def test_the_filter_is_well_formed_for_any_list() -> None:
    program = filter_program(0xC000003E, [0, 1, 2])
    assert len(program) == 8 * (4 + 3 + 2)
    steps = [program[at : at + 8] for at in range(0, len(program), 8)]
    jumps = [step[2] for step in steps[4:7]]
    assert jumps == [3, 2, 1]  # each lands on the last step, which allows
    assert steps[-1][4:] == bytes.fromhex("0000ff7f")
