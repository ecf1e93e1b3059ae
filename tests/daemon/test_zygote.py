"""A forked daemon is a process of its own from the first line on, and never a second fleet."""

import subprocess
import sys
from pathlib import Path

HEAD = """
import os, random, signal, sys, time
from pathlib import Path
from ambientd.daemon.zygote import Zygote
folder, me, zygote = Path(sys.argv[1]), os.getpid(), Zygote("@nobody")
def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def fork(run, inherited=()):
    pid = zygote.fork(folder, run, inherited)
    if os.getpid() != me:
        os._exit(99)  # it has come back
    return pid
"""


def check(program: str, folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HEAD + program, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={},
    )
    assert ended.returncode == 0, ended.stderr


def test_a_child_whose_last_words_find_a_full_disk_ends_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").symlink_to("/dev/full")
    program = """
def fail():
    raise RuntimeError("of any kind")
try:
    assert status_of(fork(lambda: print("a word that waits to be written") or 5)) == 5
    assert status_of(fork(fail)) == 1
except OSError:
    os._exit(99 if os.getpid() != me else 1)
"""
    check(program, tmp_path)


def test_a_child_that_is_told_to_end_before_it_listens_ends(tmp_path: Path) -> None:
    program = """
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(os.getpid()))
become = zygote._become
def slowly(*arguments):
    time.sleep(0.5)
    become(*arguments)
zygote._become = slowly
pid = fork(lambda: time.sleep(30) or 0)
os.kill(pid, signal.SIGTERM)
assert status_of(pid) == -signal.SIGTERM
assert heard == []
os.kill(me, signal.SIGTERM)
assert heard == [me], "the fleet itself hears again"
"""
    check(program, tmp_path)


def test_children_draw_different_numbers_and_hold_nothing_of_the_fleets(tmp_path: Path) -> None:
    program = """
import gc, secrets, socket
from ambientd.adapters.keys import draw_secret
zygote.warm_up()
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
read, write = os.pipe()
def say():
    assert gc.isenabled()
    assert os.getsid(0) == os.getpid()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for inherited in (read, write, told.fileno()):
        try:
            os.fstat(inherited)
        except OSError:
            continue
        raise AssertionError(inherited)
    assert os.environ["NOTIFY_SOCKET"] == "@nobody"
    drawn = random.getrandbits(64), draw_secret(32).hex(), secrets.token_hex(), os.urandom(8).hex()
    print(*drawn)
    return 0
for _ in range(4):
    status = status_of(fork(say, (read, write, told.fileno())))
    assert status == 0, (folder / "daemon.log").read_text()
drawn = (folder / "daemon.log").read_text().split()
assert len(drawn) == len(set(drawn)) == 16, drawn
"""
    check(program, tmp_path)


def test_a_child_hears_of_the_fleets_end_by_its_standard_input(tmp_path: Path) -> None:
    program = """
pid = fork(lambda: 3 if os.read(0, 1) == b"" else 4)
os.close(zygote._held)
assert status_of(pid) == 3
"""
    check(program, tmp_path)


def test_threads_of_a_child_allocate_from_one_arena(tmp_path: Path) -> None:
    program = """
import ctypes, mmap, threading
zygote.warm_up()
allocate = ctypes.CDLL(None).malloc
def mapped_bytes():
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
def grow():
    gate, before = threading.Barrier(5), mapped_bytes()
    def take():
        allocate(1000)
        gate.wait()
    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    grown = mapped_bytes() - before
    gate.wait()
    print(grown)
    return int(grown >= 64 << 20)  # what one arena more takes; four stacks are half of it
status = status_of(fork(grow))
assert status == 0, (folder / "daemon.log").read_text()
"""
    check(program, tmp_path)
