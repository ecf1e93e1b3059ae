"""Many inputs as fewer tasks: how many travel together, and what each of them came to.

Unless a program says how many, the first ones go alone, and what they cost tells how many make
about a second's work on a slow device. As long as tasks come back sooner than that, the next ones
get twice to eight times as much, the sooner the more. Inputs are given little more gas than others
took, and one that does not end well with others is executed again alone, as if there had been no
bundle.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Protocol

import anyio

from ambientd.api import replies
from ambientd.api.registry_values import ModuleInfo
from ambientd.client.failures import ItemFailedError, NoOutcomesError, TaskFailedError
from ambientd.client.terms import Module, Terms, kind_of, read_module
from ambientd.codec.bundles import read_outcomes
from ambientd.errors import AmbientError, RemoteProtocolError
from ambientd.model.bundle import ITEMS_MAX
from ambientd.model.execution import OutcomeKind

AT_ONCE = 16
GAS_A_BUNDLE = 20_000_000
"""About a second on a slow device, as the ledger reckons (protocols/03 section 2)."""

GAS_A_BUNDLE_MAX = 1_000 * GAS_A_BUNDLE
SOON_S = 1.0
LATE_S = 5.0
"""Tasks that come back sooner let the next ones be larger; later, and they get smaller again."""

TIMES_MAX = 8
"""So much larger at once, however soon a task was back: most of its time was not its inputs'."""

BYTES_A_BUNDLE = 1 << 20
OUTCOME_BYTES = 32
"""What the outcome of an input that ended well has besides its output, at most."""

GAS_TIMES = 16
GAS_MORE = 100_000
WALL_MS = 30_000

Came = bytes | TaskFailedError
"""What one input came to: its output, or why it has none."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that has ended with an output."""

    data: bytes
    task: replies.Task


@dataclass(frozen=True, slots=True)
class Bundling:
    """How many tasks are under way at once, of how many inputs, on which terms for each."""

    at_once: int
    bundle: int | None
    terms: Terms


class Executes(Protocol):
    """A mesh, as far as this needs one."""

    async def ended(self, module: Module, data: bytes | tuple[bytes, ...], terms: Terms) -> Ended:
        """Give what a module's task came to, or raise TaskFailedError."""
        ...


class _Sizes:
    """How many inputs the next task gets, by what those that have ended cost."""

    def __init__(self, wanted: Bundling, count: int | None) -> None:
        if wanted.bundle is not None and not 1 <= wanted.bundle <= ITEMS_MAX:
            raise ValueError(f"bundle is {wanted.bundle}: a task has 1 to {ITEMS_MAX} inputs")
        self._wanted = wanted
        self._left = count
        self._share: int | None = None
        self._gas = self._output_bytes = 0
        self.room = GAS_A_BUNDLE

    @property
    def is_chosen(self) -> bool:
        """Tell whether the program has said how many travel together."""
        return self._wanted.bundle is not None

    def note(self, gas: int, output_bytes: int) -> None:
        """Learn what an input cost."""
        self._gas = max(self._gas, gas)
        self._output_bytes = max(self._output_bytes, output_bytes)

    def took(self, room: int, seconds: float) -> None:
        """Learn how long a task took that was made when there was so much room for gas.

        Each room is judged by the first of its tasks, as others say the same again. One input
        goes also where it is larger than the room. There is never more than the most inputs of one
        task fill: the first late one would not make the next smaller.
        """
        if room == self.room and seconds <= SOON_S:
            times = SOON_S / max(seconds, SOON_S / TIMES_MAX)
            full = max(ITEMS_MAX * self._gas, GAS_A_BUNDLE)
            larger = int(max(room, self._gas) * max(times, 2))
            self.room = min(larger, full, GAS_A_BUNDLE_MAX)
        elif room == self.room and seconds >= LATE_S:
            self.room = max(room // 2, GAS_A_BUNDLE)

    def next(self) -> int:
        """Give how many inputs the next task gets at most."""
        if self._wanted.bundle is not None:
            return self._wanted.bundle
        if self._left is None or self._gas == 0:
            return 1
        if self._share is None:  # once, so that the last tasks are as large as the first
            self._share = -(-self._left // self._wanted.at_once)
        short = self.room // self._gas
        allowed = min(BYTES_A_BUNDLE, self._wanted.terms.get("output_bytes_max") or BYTES_A_BUNDLE)
        small = allowed // (self._output_bytes + OUTCOME_BYTES)  # together they have the same room
        return max(1, min(ITEMS_MAX, self._share, short, small))

    def taken(self, count: int) -> None:
        """Count inputs that have gone."""
        if self._left is not None:
            self._left -= count

    def terms(self, count: int) -> Terms:
        """Give the terms for each input of a bundle: what others cost, and some more."""
        terms = self._wanted.terms
        if self.is_chosen:
            return terms
        enough = GAS_TIMES * self._gas + GAS_MORE
        return {
            "wall_ms_max": -(-WALL_MS // count),
            **terms,
            "gas_max": min(terms.get("gas_max") or enough, enough),
        }


async def each_of(
    mesh: Executes,
    module: Module,
    inputs: Iterable[bytes],
    wanted: Bundling,
    take: Callable[[int, Came], None],
) -> None:
    """Execute a module on each input, and tell what each came to, with its place.

    Whatever `take` raises ends it all, and the tasks under way are taken back.
    """
    room = room_for(wanted.at_once)
    if isinstance(inputs, bytes | str):
        raise TypeError(f"inputs is one {kind_of(inputs)}: give a list of inputs, each as bytes")
    sizes = _Sizes(wanted, len(inputs) if isinstance(inputs, Sized) else None)
    body = await read_module(module)
    waiting = enumerate(inputs)
    failures: list[AmbientError | TypeError] = []

    async def execute(part: dict[int, bytes]) -> None:
        began_s, gas_room = anyio.current_time(), sizes.room
        try:
            came = await _came_of(mesh, body, part, wanted.terms, sizes)
            sizes.took(gas_room, anyio.current_time() - began_s)
            for place, each in came.items():
                take(place, each)
        except (AmbientError, TypeError) as error:
            failures.append(error)
            running.cancel_scope.cancel()
        finally:
            room.release()

    async with anyio.create_task_group() as running:
        await room.acquire()
        while part := _part(waiting, sizes.next()):
            sizes.taken(len(part))
            running.start_soon(execute, part)
            await room.acquire()
    if failures:
        raise failures[0]


def room_for(at_once: int) -> anyio.Semaphore:
    """Give room for so many tasks; where there is none, all would wait for ever."""
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}: say 1 or more tasks, as none would ever end")
    return anyio.Semaphore(at_once)


def _part(waiting: Iterator[tuple[int, bytes]], count: int) -> dict[int, bytes]:
    """Take the next inputs, up to so many and about so many bytes, with their places."""
    part: dict[int, bytes] = {}
    size_bytes = 0
    while len(part) < count and size_bytes < BYTES_A_BUNDLE:
        found = next(waiting, None)
        if found is None:
            break
        place, data = found
        part[place] = data
        # What is no input is found out as a task is made of it, where that ends the others, too.
        size_bytes += len(data) if isinstance(data, bytes) else 0
    return part


async def _came_of(
    mesh: Executes, body: bytes | ModuleInfo, part: dict[int, bytes], terms: Terms, sizes: _Sizes
) -> dict[int, Came]:
    """Execute a module on the inputs of one task."""
    if len(part) > 1:
        return await _came_together(mesh, body, part, terms, sizes)
    [(place, data)] = part.items()
    try:
        ended = await mesh.ended(body, data, terms)
    except TaskFailedError as error:
        return {place: error}
    sizes.note(ended.task.gas or 0, len(ended.data))
    return {place: ended.data}


async def _came_together(
    mesh: Executes, body: bytes | ModuleInfo, part: dict[int, bytes], terms: Terms, sizes: _Sizes
) -> dict[int, Came]:
    items = tuple(part.values())
    try:
        ended = await mesh.ended(body, items, sizes.terms(len(items)))
        found = _outcomes(ended, part, sizes)
    except TaskFailedError as error:
        if sizes.is_chosen:
            return dict.fromkeys(part, error)
        found = {}
    came: dict[int, Came] = {}
    for place, data in part.items():
        each = found.get(place)
        if each is None or (isinstance(each, TaskFailedError) and not sizes.is_chosen):
            came |= await _came_of(mesh, body, {place: data}, terms, sizes)
        else:
            came[place] = each
    return came


def _outcomes(ended: Ended, part: dict[int, bytes], sizes: _Sizes) -> dict[int, Came]:
    try:
        outcomes = read_outcomes(ended.data, len(part))
    except RemoteProtocolError as error:
        raise NoOutcomesError(ended.task, str(error)) from error
    came: dict[int, Came] = {}
    for item, (place, outcome) in enumerate(zip(part, outcomes, strict=True)):
        if outcome.kind == OutcomeKind.COMPLETED:
            sizes.note(outcome.gas, len(outcome.output))
            came[place] = outcome.output
        else:
            came[place] = ItemFailedError(ended.task, item, outcome)
    return came
