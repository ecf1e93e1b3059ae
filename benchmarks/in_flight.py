"""A thousand tasks open at once, for minutes: how long a new one waits, and whether any is lost.

Scenes, each on a mesh of four daemons of its own:

- `calm`: nothing is open beside. `waiting`: a thousand tasks that no node may take. `long`: a
  thousand that two of the four work off, some seconds each. In these three, probes (no-ops that
  the nodes with room take) are submitted one after the other: what open tasks cost others.
- `full`: a thousand no-ops and nothing else, on all four. A task can be given no slot while all
  queues are full, so what it waits for there is the thousand before it.

Whenever one of the thousand ends, the next is submitted. A task is *open* from its admission to
its end. *Admitted*: the call that submits has answered. *Assigned*: node1 tells that the ledger
has given a slot away, the first or the last of the task. *Output*: the bytes have been fetched.

In the end every task that was accepted must have ended as it should, its workers be paid once
each, and receipts hold; and so many must have been open throughout. Else the run fails.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_CANCEL, TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import CancelTask, GetOutput, SubmitTask, WaitForTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from benchmarks.in_flight_checks import check_all
from benchmarks.in_flight_ledger import Book, Flight, Follower
from benchmarks.in_flight_watch import Watch
from benchmarks.mesh import NOOP, machine, percentile, running_daemons
from benchmarks.task_throughput import processor_time_s

XORSHIFT = Path(__file__).parent / "xorshift.wat"
CALLERS = 32
ROOM_OVER = 2 * CALLERS
"""Open above what is asked for: while the next is submitted, one that has ended is missing."""
FETCHED_ONE_IN = 20
DRAIN_S = 600.0
WALL_MS_MAX = 120_000
GAS_A_ROUND = 40
"""More than a round of xorshift takes."""

HELD, FREE = "held", "free"
PLAN = ClusterPlan(
    bitcoin="off",
    regions=(HELD, FREE),  # node1 and node3, node2 and node4
    options={"execution": {"gas_max": 10**15, "wall_ms_max": WALL_MS_MAX}},
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is open, and whether probes run beside it."""

    name: str
    request: Callable[[bytes], SubmitTask] | None
    """What is held open; its argument makes each task another."""
    submitters: tuple[int, ...] = (0, 1, 2, 3)
    """The nodes, by place, that are asked for what is held open."""
    is_probed: bool = True
    is_cancelled: bool = True
    """What is open in the end is taken back where its answers are not sealed."""


def main() -> None:
    """Run the scenes and print; fail when a task is lost, or too few were open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=int, default=1000, help="tasks open at once")
    parser.add_argument(
        "--scenes",
        nargs="+",
        default=["calm=0.5", "waiting=2", "long=2", "full=10"],
        metavar="NAME=MINUTES",
    )
    parser.add_argument("--assurance", choices=("replicated", "none"), default="replicated")
    parser.add_argument("--rounds", type=int, default=10**9, help="of xorshift, of a long task")
    parser.add_argument("--receipts", type=int, default=100, help="that are checked, of a scene")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the daemons end as well
    known = scenes(chosen.assurance, chosen.rounds)
    faults: list[str] = []
    for said in chosen.scenes:
        name, _, minutes = said.partition("=")
        if name not in known:
            parser.error(f"{name!r} is no scene: choose from {', '.join(known)}")
        found = play(known[name], chosen, 60 * float(minutes or 1))
        faults += [f"{name}: {fault}" for fault in found]
    for fault in faults:
        print(f"FAULT {fault}")
    sys.exit(bool(faults))


def scenes(assurance: str, rounds: int) -> dict[str, Scene]:
    """Give the scenes by name."""
    noop, xorshift = NOOP.read_bytes(), bytes(wasmtime.wat2wasm(XORSHIFT.read_text()))
    count = rounds.to_bytes(4, "little")

    def waiting(name: bytes) -> SubmitTask:
        return SubmitTask(module=noop, input=name, constraints=("region=nowhere",), gas_max=10**6)

    def long(name: bytes) -> SubmitTask:
        return SubmitTask(
            module=xorshift,
            input=count + name,
            constraints=(f"region={HELD}",),
            gas_max=GAS_A_ROUND * rounds,
            wall_ms_max=WALL_MS_MAX,
        )

    def full(name: bytes) -> SubmitTask:
        return SubmitTask(module=noop, input=name, assurance=assurance, gas_max=10**6)

    found = (
        Scene("calm", None),
        Scene("waiting", waiting),
        # Nobody works for itself where others can: so the nodes with room submit.
        Scene("long", long, submitters=(1, 3)),
        Scene("full", full, is_probed=False, is_cancelled=False),
    )
    return {scene.name: scene for scene in found}


def probe(name: bytes, assurance: str) -> SubmitTask:
    """Give a task that the nodes with room take."""
    return SubmitTask(
        module=NOOP.read_bytes(),
        input=name,
        assurance=assurance,
        constraints=(f"region={FREE}",),
        gas_max=10**6,
    )


def play(scene: Scene, chosen: argparse.Namespace, seconds: float) -> list[str]:
    """Hold tasks open for so long; print what was seen, and give what was wrong."""
    print(f"\n{scene.name}, {seconds / 60:g} minutes; {machine()}", flush=True)
    wanted = 0 if scene.request is None else chosen.open
    with running_daemons(plan=PLAN) as daemons:
        nodes = list(daemons)
        book = Book(wanted + ROOM_OVER)
        with Follower(nodes[0], book):
            with held(scene, nodes, book):
                await_open(book, wanted)
                spent_s = sum(map(processor_time_s, nodes))
                ended_before, begin = book.ended(), time.perf_counter()
                with Watch({node: each.pid for node, each in daemons.items()}, book) as watch:
                    if scene.is_probed:
                        send_probes(nodes[0], book, chosen.assurance, begin + seconds)
                    else:
                        fetch_some(nodes, book, begin + seconds)
                took_s = time.perf_counter() - begin
                spent_s = sum(map(processor_time_s, nodes)) - spent_s
                ended = book.ended() - ended_before
            if scene.is_cancelled:
                take_back(nodes, book)
            drained = book.await_all(nodes, DRAIN_S)
            time.sleep(1)  # payments are told after the end
        faults = [] if drained else [f"{book.open()} tasks had not ended {DRAIN_S:.0f} s later"]
        faults += check_all(nodes, book, chosen.receipts)
    latencies = tell(scene, book, watch, begin)
    rate = f"{ended / took_s:.1f} tasks/s" if ended else "none"
    cost = f", {1000 * spent_s / ended:.1f} ms of processor time each" if ended else ""
    print(f"  ended meanwhile: {ended} in {took_s:.0f} s, {rate}{cost}")
    print(f"  processor time: {100 * spent_s / took_s:.0f} % of a core, four daemons and workers")
    print(f"  {machine()}", flush=True)
    if not latencies:
        faults.append("nothing was measured")
    if watch.open_least < wanted:
        faults.append(f"only {watch.open_least} of {wanted} tasks were open for a while")
    return [*faults, *watch.faults]


@contextmanager
def held(scene: Scene, nodes: list[Path], book: Book) -> Iterator[None]:
    """Keep so many tasks open meanwhile."""
    threads = []
    if scene.request is not None:
        for number in range(CALLERS):
            place = scene.submitters[number % len(scene.submitters)]
            arguments = (nodes[place], place, number, scene.request, book)
            threads.append(threading.Thread(target=keep_open, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        book.stop()
        for thread in threads:
            thread.join(60)


def keep_open(
    node: Path, place: int, caller: int, request: Callable[[bytes], SubmitTask], book: Book
) -> None:
    """Submit a task whenever there is room for one more."""
    number = 0
    with Client(socket_path_for(node)) as client:
        while book.take_room():
            number += 1
            begin = time.perf_counter()
            try:
                name = f"{caller} {number}".encode()
                task = client.call(TASK_SUBMIT, request(name)).task_id
            except AmbientError as error:
                book.give_room(f"a task was not accepted: {error}")
                time.sleep(1)
            else:
                book.accepted(task, place, begin, time.perf_counter(), is_held=True)


def await_open(book: Book, wanted: int) -> None:
    """Return once so many are open."""
    begin = time.monotonic()
    while book.open() < wanted:
        if time.monotonic() > begin + DRAIN_S:
            sys.exit(f"{book.open()} of {wanted} tasks are open after {DRAIN_S:.0f} s")
        time.sleep(0.05)
    if wanted:
        print(f"  {wanted} open after {time.monotonic() - begin:.1f} s; {machine()}", flush=True)


def send_probes(node: Path, book: Book, assurance: str, until: float) -> None:
    """Submit small tasks, each when the one before has been answered."""
    number = 0
    with Client(socket_path_for(node)) as client:
        while time.perf_counter() < until:
            number += 1
            begin = time.perf_counter()
            request = probe(b"probe %d" % number, assurance)
            task = client.call(TASK_SUBMIT, request).task_id
            flight = book.accepted(task, 0, begin, time.perf_counter(), is_held=False)
            client.call(TASK_WAIT, WaitForTask(task=task))
            client.call(TASK_OUTPUT, GetOutput(task=task))
            flight.output = time.perf_counter()


def fetch_some(nodes: list[Path], book: Book, until: float) -> None:
    """Fetch the output of one in so many tasks, as it ends."""
    clients = [Client(socket_path_for(node)) for node in nodes]
    fetched = 0
    while (now := time.perf_counter()) < until:
        task, flight = book.next_ended(min(1.0, until - now))
        if flight is None:
            continue
        fetched += 1
        if fetched % FETCHED_ONE_IN == 0 and flight.place is not None:
            # node1 may have told of it before the submitter has it.
            clients[flight.place].call(TASK_WAIT, WaitForTask(task=task))
            clients[flight.place].call(TASK_OUTPUT, GetOutput(task=task))
            flight.output = time.perf_counter()
    for client in clients:
        client.close()


def take_back(nodes: list[Path], book: Book) -> None:
    """Cancel what is open; what is sealed already ends by itself."""
    clients = [Client(socket_path_for(node)) for node in nodes]
    for task, flight in book.all_open():
        try:
            assert flight.place is not None, "who stopped has noted what was accepted"
            clients[flight.place].call(TASK_CANCEL, CancelTask(task=task))
        except AmbientError:
            continue  # too late: its end is awaited
    for client in clients:
        client.close()


def tell(scene: Scene, book: Book, watch: Watch, begin: float) -> int:
    """Print what was measured from `begin` on; give how many tasks that were."""
    rows = (
        ("submit -> admitted", lambda flight: flight.admitted),
        ("submit -> assigned, first slot", lambda flight: flight.assigned_first),
        ("submit -> assigned, last slot", lambda flight: flight.assigned_last),
        ("submit -> final", lambda flight: flight.ended if flight.state == "final" else None),
        ("submit -> output", lambda flight: flight.output),
    )
    measured = 0
    for is_held in (False, True):
        flights = [f for f in book.flights.values() if f.is_held is is_held and f.begin >= begin]
        for name, when in rows:
            found = sorted(spans_ms(flights, when))
            if found:
                measured += 1
                print(row(f"{scene.name}, {'open' if is_held else 'probes'}", name, found))
    watch.tell()
    return measured


def spans_ms(flights: list[Flight], when: Callable[[Flight], float | None]) -> Iterator[float]:
    """Give how long each took from its submission to then."""
    for flight in flights:
        end = when(flight)
        if end is not None:
            yield 1000 * (end - flight.begin)


def row(who: str, name: str, found: list[float]) -> str:
    """Give a line of the table."""
    p50, p99 = percentile(found, 0.5), percentile(found, 0.99)
    return (
        f"  {who:14} | {name:30} | p50 {p50:9.1f} ms | p99 {p99:9.1f} ms | "
        f"most {found[-1]:9.1f} ms | n {len(found)}"
    )


if __name__ == "__main__":
    main()
