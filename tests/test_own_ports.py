"""Tests that go beside each other, in one run or in several, listen at no port of another's."""

import os
import socket
from pathlib import Path

import pytest

from ambientd.api.cluster import BASE_PORT, MEMBERS_MAX
from ambientd.api.local_daemons import LOCAL_PORTS
from ambientd.api.own_ports import claimed, own_ports, port_beside
from ambientd.config.load import load_config
from ambientd.errors import ConfigError
from tests.own_ports import FRESH_FROM, FRESH_TO, PORTS, fresh_port, own_port

pytestmark = pytest.mark.net


def test_ports_that_a_process_has_are_claimed_by_no_other() -> None:
    assert claimed(own_port(), PORTS.step) is None


def test_ports_among_which_anybody_listens_are_claimed_by_nobody() -> None:
    first = own_port() + FRESH_FROM
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 7))
        other.listen()
        assert claimed(first, 10) is None
    claim = claimed(first, 10)
    assert claim is not None
    claim.close()


def test_meshes_for_the_time_being_look_at_ports_of_their_own_until_they_end() -> None:
    first = own_port() + FRESH_FROM
    room = range(first, first + 20, 10)
    claims = [own_ports(room) for _ in room]
    assert {port for port, _ in claims} == set(room)
    with pytest.raises(ConfigError, match="no 10 ports in a row are free"):
        own_ports(room)
    for _, claim in claims:
        claim.close()
    again, claim = own_ports(room)
    claim.close()
    assert again in room


def test_a_port_is_not_given_again_at_once_nor_while_somebody_listens_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", fresh_port()))
        taken.listen()
        given = [fresh_port() for _ in range(FRESH_TO - FRESH_FROM)]
        assert taken.getsockname()[1] not in given
    assert len(set(given)) == FRESH_TO - FRESH_FROM - 1
    assert min(given) >= own_port() + FRESH_FROM
    assert max(given) < own_port() + FRESH_TO


def test_ports_of_tests_are_not_those_of_demonstrations_which_a_committee_has_room_in() -> None:
    assert PORTS.start > BASE_PORT + MEMBERS_MAX
    assert own_port() in PORTS
    assert PORTS.stop <= LOCAL_PORTS.start
    assert LOCAL_PORTS.step > MEMBERS_MAX
    # From here on Linux gives ports to outgoing connections.
    assert LOCAL_PORTS.stop <= 32_768


def test_a_port_that_a_neighbour_is_to_listen_at_or_that_is_being_chosen_is_passed_over(
    tmp_path: Path,
) -> None:
    base = own_port() + FRESH_FROM
    config = tmp_path / "first" / "config.toml"
    config.parent.mkdir()
    with port_beside(config.parent, base) as first, port_beside(tmp_path / "n", base) as second:
        config.write_text(f'[transport]\nlisten = "0.0.0.0:{first}"\n')
    assert second > first
    for number, unreadable in enumerate(("[transport", '[transport]\nlisten = "nowhere"\n')):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "config.toml").write_text(unreadable)
    with port_beside(tmp_path / "n", first) as third:
        assert third > first
    with port_beside(tmp_path / "elsewhere" / "n", first) as fourth:
        assert fourth == first


def test_a_neighbours_config_that_no_memory_holds_counts_for_nothing(tmp_path: Path) -> None:
    config = tmp_path / "first" / "config.toml"
    config.parent.mkdir()
    config.touch()
    os.truncate(config, 1 << 40)  # takes no room on the disk
    base = own_port() + FRESH_FROM
    with port_beside(tmp_path / "n", base) as port:
        assert port >= base
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        load_config(config.parent)
