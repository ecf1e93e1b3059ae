"""Options refuse what cannot work, naming themselves."""

import dataclasses

import pytest

from ambientd.errors import ConfigError
from ambientd.ports.transport import HostPort, PeerAddress, TransportOptions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queue_frames_max": 0}, r"transport\.queue_frames_max is 0; it must be above 0"),
        ({"frames_per_s": -1.0}, r"transport\.frames_per_s is -1\.0"),
        (
            {"idle_limit_s": 2.5},
            r"transport\.idle_limit_s is 2\.5; it must be at least three times",
        ),
        ({"backoff_max_s": 0.01}, r"transport\.backoff_max_s is 0\.01"),
        ({"queue_bytes_max": 1024}, r"it must not exceed queue_bytes_max \(1024\)"),
        ({"gossip_bytes_max": 1 << 20}, "send larger data as a blob"),
    ],
)
def test_an_option_that_cannot_work_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TransportOptions(), **change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"short", "10.0.0.1", 4001), "has 5 bytes; it must have 32"),
        ((bytes(32), "", 4001), "needs a host and a port"),
        ((bytes(32), "10.0.0.1", 0), "needs a host and a port from 1 to 65535"),
    ],
)
def test_a_peer_address_that_cannot_be_dialled_is_refused(
    arguments: tuple[bytes, str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PeerAddress(*arguments)


def test_a_listen_address_is_checked_and_reads_as_one() -> None:
    assert str(HostPort("127.0.0.1", 4001)) == "127.0.0.1:4001"
    assert str(HostPort("::1", 4001)) == "[::1]:4001"
    with pytest.raises(ConfigError, match="between 0 and 65535"):
        HostPort("127.0.0.1", 70_000)
    with pytest.raises(ConfigError, match="empty host"):
        HostPort("", 1)
