"""Tests that go beside each other, in one run or in several, listen at no port of another's."""

import socket

import pytest

from ambientd.api.local_daemons import own_base_port
from tests.own_ports import (
    FRESH_FROM,
    FRESH_TO,
    PORTS_EACH,
    PORTS_FROM,
    PORTS_TO,
    claimed,
    fresh_port,
    own_port,
)

pytestmark = pytest.mark.net


def test_ports_that_a_process_has_are_claimed_by_no_other() -> None:
    assert claimed(own_port(), PORTS_EACH) is None


def test_ports_among_which_anybody_listens_are_claimed_by_nobody() -> None:
    first = own_port() + FRESH_FROM
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 7))
        other.listen()
        assert claimed(first, 10) is None
    claim = claimed(first, 10)
    assert claim is not None
    claim.close()


def test_a_port_is_not_given_again_at_once_nor_while_somebody_listens_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", fresh_port()))
        taken.listen()
        given = [fresh_port() for _ in range(FRESH_TO - FRESH_FROM)]
        assert taken.getsockname()[1] not in given
    assert len(set(given)) == FRESH_TO - FRESH_FROM - 1
    assert min(given) >= own_port() + FRESH_FROM
    assert max(given) < own_port() + FRESH_TO


def test_ports_of_tests_are_not_those_of_demonstrations() -> None:
    assert PORTS_FROM <= own_port() < own_port() + PORTS_EACH <= PORTS_TO <= own_base_port()
