"""How the suite is dealt to the workers that run it side by side."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import dealt


@dataclass(frozen=True)
class Item:
    """A test, as far as dealing looks at it."""

    path: Path
    number: int
    is_slow: bool

    def get_closest_marker(self, name: str) -> object:
        return object() if name == "slow" and self.is_slow else None


def suite(slow_modules: int, quick_modules: int, tests: int) -> list[Item]:
    modules = [(f"slow{n}", True) for n in range(slow_modules)]
    modules += [(f"q{n}", False) for n in range(quick_modules)]
    return [
        Item(Path(name), number, is_slow and number == 0)
        for name, is_slow in sorted(modules)
        for number in range(tests)
    ]


def shares(items: list[Item], workers: int) -> list[list[Item]]:
    """Give what each worker begins with, as xdist hands it out."""
    found, left = [], list(items)
    for number in range(workers):
        size = len(left) // (workers - number)
        found.append(left[:size])
        left = left[size:]
    return found


def test_every_test_is_dealt_once() -> None:
    items = suite(5, 40, 7)
    for workers in (2, 3, 4):
        assert Counter(dealt(items, workers)) == Counter(items)  # type: ignore[arg-type]


def test_a_slow_module_is_one_workers_and_comes_before_all_that_is_quick() -> None:
    items = suite(5, 40, 7)
    for workers in (2, 3, 4):
        for share in shares(dealt(items, workers), workers):  # type: ignore[arg-type]
            is_slow = [item.path.name.startswith("slow") for item in share]
            assert is_slow == sorted(is_slow, reverse=True)
            slow = Counter(item.path for item in share if item.path.name.startswith("slow"))
            assert slow
            assert set(slow.values()) == {7}


def test_where_everything_is_slow_nothing_is_lost() -> None:
    items = suite(5, 0, 3)
    assert Counter(dealt(items, 4)) == Counter(items)  # type: ignore[arg-type]
