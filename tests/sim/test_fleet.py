"""Large worlds: cells, heads that change and go away, a committee that knows them all."""

from dataclasses import replace

import pytest

from sim.__main__ import main
from sim.checkers import InvariantViolation
from sim.fleet import FleetOptions, build, finish, run

SMALL = FleetOptions(seed=1, nodes=80, cells=4, members=4, time_ms=190_000)


@pytest.mark.slow
def test_the_committee_knows_every_node_though_many_come_and_go_and_a_wrong_board_is_seen() -> None:
    fleet = build(SMALL)
    fleet.world.run(SMALL.time_ms)
    outcome = finish(fleet, SMALL)
    assert outcome.known >= outcome.nodes - 2
    assert outcome.away > 10
    assert outcome.tasks > 50
    members, guests, light = outcome.rates
    assert members.received.median > guests.received.median > light.received.largest > 0
    assert 0.05 < light.sent.median < 0.2 < light.sent.largest  # a batch in 10 s; more as a head
    fleet.left_ms.clear()  # as if everybody who is away had been away for ever
    with pytest.raises(InvariantViolation, match="the committee knows its cells"):
        finish(fleet, SMALL)


@pytest.mark.slow
def test_a_seed_means_the_same_large_world() -> None:
    short = replace(SMALL, time_ms=60_000)
    assert run(short) == run(short)


def test_the_command_says_how_fast_and_how_large(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--nodes", "30", "--cells", "2", "--time-ms", "30000", "--seed", "3"]
    assert main(["fleet", *arguments]) == 0
    said, beside = capsys.readouterr()
    assert "seed 3: 30 nodes in 2 cells" in said
    assert "times real time" in said
    assert "KiB a node" in said
    assert "processor time of a node and second: " in said
    assert "7 members: sent " in said
    assert "8 guests: sent " in said
    assert "15 light nodes: sent " in said
    assert "judged from 150000 ms on" in said
    assert len(beside.splitlines()) == 10  # nobody sees a bar here
    assert beside.startswith("30 nodes, 3 of 30 s\n")
