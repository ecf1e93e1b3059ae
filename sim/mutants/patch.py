"""How a bug is put into code that knows nothing of it: a name is bound to something else."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Patch:
    """One name in a module or class, and what takes its place.

    `make` is given what was there, so that a bug can be written as a small change to it.
    """

    owner: object
    name: str
    make: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A protocol with one bug, and the scenario that shows it."""

    name: str
    text: str
    patches: tuple[Patch, ...]
    scenario: str = "log"
    time_ms: int = 40_000
    lies: tuple[str, ...] | None = None


def bug(
    name: str, text: str, *patches: Patch, scenario: str = "node-liars", vice: str | None = None
) -> Mutant:
    """Give a bug of whole nodes, which shows in worlds where somebody has a vice, or in all."""
    return Mutant(name, text, patches, scenario, 40_000, None if vice is None else (vice,))


@contextmanager
def replaced(patch: Patch) -> Iterator[None]:
    """Bind the name to the bug for a while."""
    before = vars(patch.owner)[patch.name]
    setattr(patch.owner, patch.name, patch.make(before))
    try:
        yield
    finally:
        setattr(patch.owner, patch.name, before)


@contextmanager
def put_in(patches: Iterable[Patch]) -> Iterator[None]:
    """Let a bug be in the code for a while."""
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(replaced(patch))
        yield


def always(value: object) -> Callable[[Any], object]:
    """Give a function that answers the same, whatever it is asked."""
    return lambda _: lambda *_, **__: value


def passing_over(fault: str) -> Callable[[Any], object]:
    """Give a judge that does not mind one fault, whose text begins like this."""

    def make(judge: Callable[..., object]) -> object:
        def lenient(*arguments: object) -> object:
            found = judge(*arguments)
            return None if isinstance(found, str) and found.startswith(fault) else found

        return lenient

    return make
