"""What every test can count on, and how workers that share a suite are dealt their tests."""

import faulthandler
import os
import signal
from collections.abc import Generator
from itertools import groupby

import pytest
from hypothesis import settings

# A shell that runs the suite in the background has interrupts ignored, and children inherit that;
# with a handler here they start with the default, as under a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine and what else it does, not of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# Where a run says so, what starts real daemons may fail once: on a machine that does much else,
# some of hundreds wait too long (ADR 95). Cores, simulated worlds, files: a failure is a failure.
MAY_REPEAT = ("mesh", "browser") if os.environ.get("AMBIENT_REPEATS") else ()

# The longest takes three minutes beside others; what is marked so may take longer.
PHASE_S_MAX = 600
PATIENT = ("hunt", "prover", "neon")
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the error stream as it is before tests are captured."""
    config.stash[STDERR] = os.dup(2)


def watched(item: pytest.Item) -> Generator[None, object, object]:
    """End the process, with the stacks of its threads, where a phase of a test hangs.

    From a thread that needs neither the interpreter nor an event loop: a test may hang in the code
    of an engine. Another worker of `-n` takes over, as after a crash. By phases: pytest itself
    calls such a watch off when one fails, and the end of a mesh that failed may be what hangs.
    """
    if not any(map(item.get_closest_marker, PATIENT)):
        faulthandler.dump_traceback_later(PHASE_S_MAX, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


pytest_runtest_setup = pytest.hookimpl(wrapper=True, tryfirst=True)(watched)
pytest_runtest_call = pytest.hookimpl(wrapper=True, tryfirst=True)(watched)
pytest_runtest_teardown = pytest.hookimpl(wrapper=True, tryfirst=True)(watched)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests to the workers of `-n`: first whole modules that are slow, then the others.

    Each worker begins with an even share of the list, and one that is done takes over from the
    end of another's. So what a module shares, the daemons of a mesh above all, is set up once, long
    tests begin early, and what is left to take over is short.
    """
    for item in items:
        if any(map(item.get_closest_marker, MAY_REPEAT)) and not item.get_closest_marker("once"):
            item.add_marker(pytest.mark.flaky(reruns=1))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt(items, workers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why each test that was repeated had failed: it is a fault of something."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"repeated: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


def dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Give the items in an order whose even shares are the workers' hands."""
    modules = [list(module) for _, module in groupby(items, lambda item: item.path)]
    slow = [module for module in modules if any(map(_is_slow, module))]
    quick = [item for module in modules if not any(map(_is_slow, module)) for item in module]
    hands: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, module in enumerate(slow):
        hands[number % workers] += module
    left = len(items)
    for number, hand in enumerate(hands):
        share = left // (workers - number)
        room = max(0, share - len(hand))
        hand.extend(quick[:room])
        del quick[:room]
        left -= share
    return [*(item for hand in hands for item in hand), *quick]


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
