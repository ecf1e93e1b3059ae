"""What the race may claim: all answers are alike, who is missing is named, pages are figures."""

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.mesh import NOOP
from benchmarks.race.__main__ import CHART, MEASURED, PAGE, _heat
from benchmarks.race.chart import chart
from benchmarks.race.course import inputs_of, sum_of
from benchmarks.race.field import FIELD, Contestant, Heat, LostError, Running
from benchmarks.race.table import page

HERE = Path(sys.executable)
POOL = Contestant("process pool", "pool_peer.py", (), "nothing", ("wasm-noop", "native-digest"))
TASKS = 40


def started(who: Contestant) -> Running:
    return Running(who, HERE, {"RACE_NOOP": str(NOOP)}, alone=False)


def sums() -> dict[str, str]:
    from benchmarks.race.work import native_digest, native_noop

    return {
        "wasm-noop": sum_of([native_noop(each) for each in inputs_of("wasm-noop", TASKS)]),
        "native-digest": sum_of(
            [native_digest(each) for each in inputs_of("native-digest", TASKS)]
        ),
    }


def test_a_contestant_does_what_it_is_told_and_is_measured() -> None:
    running = started(POOL)
    try:
        heat = _heat(POOL, running, Namespace(tasks=TASKS, alone=2), sums())
    finally:
        running.stop()
    assert heat.seconds.keys() == {"wasm-noop", "native-digest"}
    assert heat.boot_s > 0
    assert heat.memory_mib > 10
    assert heat.processor_s["native-digest"] > 0
    assert len(heat.noop_ms) == 2


def test_no_input_comes_twice_so_that_nobody_profits_from_remembering_answers() -> None:
    orders: list[tuple[str, int, int]] = []

    class Noting(Running):
        def order(
            self, kind: str, tasks: int, *, begin: int = 0, one_by_one: bool = False
        ) -> dict[str, object]:
            orders.append((kind, begin, tasks))
            return super().order(kind, tasks, begin=begin, one_by_one=one_by_one)

    running = Noting(POOL, HERE, {"RACE_NOOP": str(NOOP)}, alone=False)
    try:
        _heat(POOL, running, Namespace(tasks=TASKS, alone=2), sums())
    finally:
        running.stop()
    given = [each for kind, begin, tasks in orders for each in inputs_of(kind, tasks, begin)]
    assert len(given) == len(set(given))


def test_a_wrong_answer_ends_a_contestants_race() -> None:
    running = started(POOL)
    wrong = {**sums(), "native-digest": sum_of([b"another"] * TASKS)}
    try:
        with pytest.raises(LostError, match="a wrong answer among 40 of native-digest"):
            _heat(POOL, running, Namespace(tasks=TASKS, alone=2), wrong)
    finally:
        running.stop()


def test_a_contestant_whose_packages_are_missing_says_so() -> None:
    running = started(next(who for who in FIELD if who.name == "Ray"))
    try:
        with pytest.raises(LostError, match="No module named 'ray'"):
            running.await_ready()
    finally:
        running.stop()


def measured(load: float) -> dict[str, object]:
    def heat(rate: float) -> dict[str, object]:
        kinds = ("wasm-noop", "wasm-digest")
        return asdict(
            Heat(
                boot_s=1.0,
                seconds=dict.fromkeys(kinds, 100 / rate),
                processor_s=dict.fromkeys(kinds, 0.2),
                wire_bytes={"wasm-noop": 12_300},
                noop_ms=[1.0, 2.0],
                memory_mib=40.0,
                load=load,
            )
        )

    found = {
        "process pool": {"heats": [heat(1_000), heat(2_000), heat(4_000)], "lost": None},
        "Ray": {"heats": [], "lost": "No module | named ray"},
        "ambientd, none": {"heats": [heat(500)], "lost": None},
    }
    machine = {"before": "2 cores", "after": "2 cores"}
    return {**machine, "tasks": 100, "bundle": 64, "runs": 3, "found": found}


def test_the_page_has_medians_and_ranges_and_names_who_did_not_take_part() -> None:
    text = page(measured(load=0.3))
    assert "| process pool | 2,000 (1,000 – 4,000) |" in text
    assert "| Ray | did not take part: No module / named ray |" in text
    assert "| 25.0% |" in text
    assert "| 123 B (123 – 123) | each word, 3 of 4 disks |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_a_busy_machine_is_said_on_the_page() -> None:
    assert "busy" in page(measured(load=12.0))
    assert "busy" not in page(measured(load=0.3))


def test_the_page_of_the_documents_is_what_was_measured() -> None:
    kept = json.loads(MEASURED.read_text())
    assert PAGE.read_text() == page(kept)
    assert CHART.read_text() == chart(kept)


def test_the_picture_names_everybody_and_is_sound() -> None:
    drawn = chart(measured(load=0.3))
    root = ElementTree.fromstring(drawn)
    said = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"process pool", "Ray", "ambientd, none", "2,000", "500"} <= set(said)
    bars = [each.get("class") for each in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars.count("wasm-noop") == 3  # the key's and two bars
