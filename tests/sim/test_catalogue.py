"""Each fault is named once, does something, and stands in the document as the code has it."""

from pathlib import Path

import pytest

from sim.__main__ import main
from sim.faults import ALL_FAULTS, LOG, Fault, catalogue, labels, named
from sim.happenings import Deafens, Forgets, Parts, Pauses, WeatherTurns
from sim.lies import Lie
from sim.plans import Plan, drawn_happenings
from sim.repertoire import SCENARIOS
from sim.scenarios import ScenarioOptions, build
from sim.vices import Vice

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulator.md"


def test_the_document_has_the_catalogue_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert catalogue() in DOCUMENT.read_text(encoding="utf-8")
    assert main(["faults"]) == 0
    assert capsys.readouterr().out == catalogue() + "\n"


def test_the_document_names_every_scenario_as_the_code_does() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    said = {f"| `{name}` | {each.text} |" for name, each in SCENARIOS.items()}
    assert said <= set(lines)


def test_a_name_of_the_catalogue_names_one_thing() -> None:
    names = [fault.label for fault in Fault]
    names += [each.name.lower() for kind in (Lie, Vice) for each in kind]
    assert len(set(names)) == len(names)


def test_each_fault_has_one_name() -> None:
    assert len({fault.label for fault in Fault}) == len(Fault)
    assert named(labels(ALL_FAULTS)) == ALL_FAULTS


def test_a_seed_draws_every_kind_of_happening() -> None:
    drawn = [each for seed in (4, 8, 12) for each in drawn_happenings(Plan("log", seed, 7))]
    kinds = {type(each) for each in drawn}
    assert {Deafens, Forgets, Parts, Pauses, WeatherTurns} <= kinds


def world_with(happening: object) -> tuple[list[bytes], object]:
    options = ScenarioOptions(
        1,
        faults=frozenset(),
        time_ms=30_000,
        happenings=(happening,),  # type: ignore[arg-type]
    )
    world, cast, _, _ = build(options)
    return [replica.key for replica in cast.replicas], world


def test_a_deaf_node_is_heard() -> None:
    keys, world = world_with(Deafens(1_000, ((0, 1),), 4_000))
    world.run(2_000)  # type: ignore[attr-defined]
    network = world.network  # type: ignore[attr-defined]
    assert not network.arrivals(keys[0], keys[1])
    assert network.arrivals(keys[1], keys[0])
    world.run(4_000)  # type: ignore[attr-defined]
    assert network.arrivals(keys[0], keys[1])


def test_a_paused_node_catches_up_with_what_came() -> None:
    keys, world = world_with(Pauses(1_000, 0, 3_000))
    place = world.places[keys[0]]  # type: ignore[attr-defined]
    world.run(1_100)  # type: ignore[attr-defined]
    before = len(place.host.store.log)
    world.run(2_999)  # type: ignore[attr-defined]
    assert len(place.host.store.log) == before
    world.run(4_000)  # type: ignore[attr-defined]
    assert len(place.host.store.log) > before + 10


def test_a_member_without_its_safety_file_follows_and_votes_no_more() -> None:
    keys, world = world_with(Forgets(2_000, 0, 60))
    world.run(3_000)  # type: ignore[attr-defined]
    host = world.places[keys[0]].host  # type: ignore[attr-defined]
    head = len(host.store.log)
    world.run(6_000)  # type: ignore[attr-defined]
    assert len(host.store.log) > head + 5
    assert host.store.safety is None or host.store.safety.last_vote is None
    assert LOG in Fault.AMNESIA.worlds
