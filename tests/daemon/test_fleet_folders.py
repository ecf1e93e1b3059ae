"""Each folder of a fleet that joins has a token of its own, also when it was cut off amid it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.daemon import fleet_folders
from ambientd.daemon.fleet_folders import COMMITTEE, FleetFolders, FleetPlan
from ambientd.errors import UsageError

TOKENS = tuple(f"token{number}" for number in range(1, 6))


class Joining:
    """Writes folders until it is cut off."""

    def __init__(self, cut_after: int) -> None:
        self.left = cut_after
        self.used: dict[str, str] = {}

    def __call__(self, folder: Path, _: object, token: str, plan: object) -> None:
        del plan
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.used[folder.name] = token
        folder.mkdir(parents=True)
        (folder / "config.toml").touch()


@pytest.mark.parametrize("cut_after", range(5))
def test_a_token_is_used_once_wherever_it_was_cut_off_and_when_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    joining = Joining(cut_after)
    monkeypatch.setattr(fleet_folders, "join_cluster", joining)
    monkeypatch.setattr(fleet_folders, "read_token", lambda token: token)
    plan = FleetPlan(root=tmp_path / "fleet", nodes=3, tokens=TOKENS[:3])
    if cut_after < 3:
        with pytest.raises(KeyboardInterrupt):
            FleetFolders(plan).prepare()
    joining.left = 5
    FleetFolders(plan).prepare()
    assert joining.used == {f"node{number}": f"token{number}" for number in range(1, 4)}
    grown = FleetPlan(root=plan.root, nodes=5, tokens=TOKENS)
    FleetFolders(grown).prepare()
    assert joining.used == {f"node{number}": f"token{number}" for number in range(1, 6)}


def test_too_few_tokens_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    plan = FleetPlan(root=tmp_path / "fleet", nodes=3, tokens=TOKENS[:2])
    with pytest.raises(UsageError, match="3 nodes have no folder yet, but there are 2 tokens"):
        FleetFolders(plan).prepare()
    assert not plan.root.exists()


@given(st.integers(1, 300), st.integers(1, 32))
def test_each_node_has_one_process_and_of_a_committee_each_its_own(
    nodes: int, together: int
) -> None:
    crews = FleetPlan(root=Path("fleet"), nodes=nodes, together=together).crews()
    assert [number for crew in crews for number in crew] == list(range(1, nodes + 1))
    assert all(len(crew) <= together for crew in crews)
    assert all(len(crew) == 1 for crew in crews if crew.start <= COMMITTEE)
    assert len(crews) == min(nodes, COMMITTEE) + -(-max(0, nodes - COMMITTEE) // together)


@pytest.mark.parametrize("together", [0, 33])
def test_a_process_of_no_node_or_of_too_many_is_refused(together: int) -> None:
    with pytest.raises(UsageError, match="--together"):
        FleetPlan(root=Path("fleet"), nodes=3, together=together)
