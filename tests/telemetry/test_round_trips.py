"""Latency and bandwidth out of recent measurements."""

from ambientd.model.base import NodeId
from ambientd.telemetry import round_trips
from ambientd.telemetry.round_trips import RoundTrips, Transfers, median
from tests.telemetry.builders import FOURTH, OTHER, PEER


def test_latency_is_the_median_of_half_the_round_trips() -> None:
    trips = RoundTrips()
    for round_trip_us in (2_000, 90_000, 4_000):
        trips.add(PEER, round_trip_us, now=0)
    assert trips.latency_us(PEER, now=0) == 2_000
    assert trips.latency_us(OTHER, now=0) is None


def test_one_far_peer_does_not_make_a_node_slow() -> None:
    trips = RoundTrips()
    for peer, round_trip_us in ((PEER, 2_000), (OTHER, 900_000), (FOURTH, 4_000)):
        trips.add(peer, round_trip_us, now=0)
    assert trips.latency_us_of_all(now=0) == 2_000


def test_old_and_impossible_measurements_do_not_count() -> None:
    trips = RoundTrips()
    trips.add(PEER, 2_000, now=0)
    trips.add(PEER, -1, now=0)
    trips.add(PEER, 10**12, now=0)
    trips.add(OTHER, 6_000, now=50_000)
    assert trips.latency_us_of_all(now=60_000) == 1_000
    assert trips.latency_us(PEER, now=60_001) is None
    assert trips.latency_us_of_all(now=60_001) == 3_000
    assert trips.latency_us_of_all(now=500_000) is None


def test_only_so_many_peers_are_remembered() -> None:
    trips = RoundTrips()
    for number in range(round_trips.PEERS_MAX + 10):
        trips.add(NodeId(number.to_bytes(32, "big")), 1_000, now=number)
    assert trips.latency_us(NodeId((9).to_bytes(32, "big")), now=0) is None
    assert trips.latency_us(NodeId((10).to_bytes(32, "big")), now=0) == 500


def test_the_fastest_recent_transfer_tells_the_bandwidth() -> None:
    transfers = Transfers()
    assert transfers.bandwidth_kbit_per_s(now=0) is None
    transfers.add(900_000, now=0)
    transfers.add(100_000, now=300_000)
    transfers.add(-1, now=300_000)
    assert transfers.bandwidth_kbit_per_s(now=600_000) == 900_000
    assert transfers.bandwidth_kbit_per_s(now=600_001) == 100_000


def test_the_median_of_an_even_number_is_the_lower_one() -> None:
    assert median([4, 1, 3, 2]) == 2
    assert median([]) is None
