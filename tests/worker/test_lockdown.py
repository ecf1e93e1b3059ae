"""From inside: a locked-down process can compute and use its pipes, and nothing else."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ambientd.ports.worker_protocol import Protection
from ambientd.worker.lockdown import filter_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock-down is Linux's")

PROBE = """
import codecs, ctypes, json, os, resource, signal, socket, struct, sys, threading
from ambientd.worker.lockdown import lock_down

DROP, LOCK = {drop}, {lock}
codecs.lookup("ascii")  # nothing can be imported as nobody

libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    def call():
        if libc.syscall(number, *arguments) == -1:
            raise OSError(ctypes.get_errno(), "raw")
    return call

def started(child):
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def began(thread):
    thread.start()
    thread.join()

if DROP:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    libc.prctl(4, 1, 0, 0, 0)  # as a process that an ordinary user started
secret = ctypes.create_string_buffer(b"the daemon's key")
daemon = os.getpid()
answers, answer = os.pipe()
if os.fork():  # this process is the daemon, whose memory the other may want
    os.close(answer)
    with os.fdopen(answers, "rb") as pipe:
        os.write(1, pipe.read())
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
os.close(answers)
os.dup2(answer, 1)
os.close(answer)

stolen = ctypes.create_string_buffer(len(secret))
here = struct.pack("QQ", ctypes.addressof(stolen), len(stolen))
there = struct.pack("QQ", ctypes.addressof(secret), len(secret))
encoder = json.JSONEncoder()
probes = {{
    "open": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
    "open for writing": lambda: os.close(os.open("/dev/null", os.O_WRONLY)),
    "list": lambda: os.listdir("/"),
    "stat": lambda: os.stat("/"),
    "own entry in /proc": lambda: os.listdir("/proc/self/fd"),
    "the daemon's entry in /proc": lambda: os.stat(f"/proc/{{daemon}}/cmdline"),
    "the daemon's memory in /proc": lambda: os.close(os.open(f"/proc/{{daemon}}/mem", os.O_RDONLY)),
    "socket": lambda: socket.socket().close(),
    "local socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "pair of sockets": lambda: [each.close() for each in socket.socketpair()],
    "pipe": lambda: [os.close(each) for each in os.pipe()],
    "fork": lambda: started(os.fork()),
    "exec": lambda: os.execv("/nowhere", ["true"]),
    "thread": lambda: began(threading.Thread(target=int)),
    "signal to the daemon": lambda: os.kill(daemon, 0),
    "kill the daemon's group": lambda: os.killpg(0, 0),
    "signal to oneself": lambda: os.kill(os.getpid(), 0),
    "the daemon's memory": raw(310, daemon, here, 1, there, 1, 0),
    "write the daemon's memory": raw(311, daemon, here, 1, there, 1, 0),
    "trace the daemon": raw(101, 16896, daemon, 0, 0),  # seize
    "memory file": lambda: os.close(os.memfd_create("x")),
    "read limits": lambda: resource.getrlimit(resource.RLIMIT_AS),
    "change directory": lambda: os.chdir("/"),
    "who am I": raw(102),
    "control oneself": raw(157, 3, 0, 0, 0, 0),
}}
never = {{  # not granted by every host to an unlocked process, so not asked of one
    "unshare": raw(272, 0x10000000),
    "bpf": raw(321, 0, 0, 0),
    "io_uring": raw(425, 1, 0),
    "keyring": raw(250, 0, 0, 0, 0, 0),
    "x32 open": raw(0x40000000 + 2, 0, 0, 0),
}}
if LOCK:
    probes |= never
holds = lock_down() if LOCK else ()
seen = {{}}
for name, probe in probes.items():
    try:
        probe()
        seen[name] = "ALLOWED"
    except (OSError, RuntimeError, ValueError) as error:
        seen[name] = type(error).__name__
if LOCK:
    bytearray(64 << 20)
    try:
        bytearray(4 << 30)
        seen["a large allocation"] = "ALLOWED"
    except MemoryError:
        seen["a large allocation"] = "MemoryError"
text = encoder.encode({{
    "holds": sorted(holds), "seen": seen, "environment": dict(os.environ),
    "stolen": stolen.value.decode(),
}})
os.write(1, text.encode())
os._exit(0)
"""


def inside(program: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, timeout=60, **options
    )


USERS = [
    "whoever runs this",
    pytest.param(
        "nobody",
        marks=pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user"),
    ),
]


@cache
def report(user: str, *, lock: bool = True) -> dict[str, dict[str, str]]:
    program = PROBE.format(drop=user == "nobody", lock=lock)
    ended = inside(program, env={"SECRET": "1"})
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def allowed(seen: dict[str, str]) -> set[str]:
    return {name for name, result in seen.items() if result == "ALLOWED"}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the raw call numbers are x86-64's")
def test_nothing_but_computing_is_left(user: str) -> None:
    locked, free = report(user), report(user, lock=False)
    assert len(locked["seen"]) == 31
    assert allowed(locked["seen"]) == set()
    assert locked["stolen"] == ""
    # Unlocked, the same process can do all this; a host may keep processes from tracing others.
    refused = free["seen"].keys() - allowed(free["seen"])
    assert refused <= {"exec", *(name for name in free["seen"] if "daemon's memory" in name)} | {
        "trace the daemon"
    }
    if "the daemon's memory" not in refused:
        assert free["stolen"] == "the daemon's key"


@pytest.mark.parametrize("user", USERS)
def test_every_protection_holds_here_and_says_so(user: str) -> None:
    # A control group is the daemon's to make, from outside.
    assert set(report(user)["holds"]) == {*Protection} - {Protection.CONTROL_GROUP}
    assert report(user)["environment"] == {}


@pytest.mark.parametrize("lacking", ["RLIMIT_AS", "RLIMIT_NPROC"])
def test_a_limit_that_a_platform_lacks_keeps_no_other_from_being_set(lacking: str) -> None:
    program = (
        "import os, resource\n"
        "from ambientd.worker.lockdown import lock_down\n"
        f"del resource.{lacking}\n"
        "limits = os.open('/proc/self/limits', os.O_RDONLY)\n"
        "holds = lock_down()\n"
        "os.write(1, ' '.join(holds).encode() + b'\\n' + os.read(limits, 65536)); os._exit(0)"
    )
    holds, *rows = inside(program).stdout.decode().splitlines()
    limits = {row[:26].strip(): row[26:].split()[:2] for row in rows}
    assert Protection.RESOURCES not in holds
    assert limits["Max open files"] == ["3", "3"]
    assert limits["Max file size"] == limits["Max core file size"] == ["0", "0"]


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
