"""Real daemons keep what nodes sign, within bounds, and over a kill that tears the end off."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.batch_journal import read_journal
from ambientd.api.cluster import ClusterPlan
from ambientd.api.exporting import Format, export_observations
from ambientd.config.places import Places
from ambientd.model.telemetry import TelemetryBatch
from ambientd.telemetry.batch import decode_batch
from tests.mesh.cluster import Cluster

pytestmark = [pytest.mark.mesh, pytest.mark.slow]

BYTES_MAX = 160_000


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    options: dict[str, dict[str, object]] = {
        "memory": {"profile": "slim"},
        "telemetry": {"journal_bytes_max": BYTES_MAX, "interval_ms": 100},
    }
    cluster = Cluster(tmp_path / "pair", 2, ClusterPlan(bitcoin="off", options=options))
    try:
        yield cluster
    finally:
        cluster.stop()


def kept(folder: Path) -> list[TelemetryBatch]:
    return [decode_batch(each.data) for each in read_journal(folder)]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_nodes_sign_is_kept_in_bounds_and_over_a_kill_that_tears_its_end(
    pair: Cluster, tmp_path: Path
) -> None:
    pair.start()
    first = pair.daemons[0]
    folder = Places(first.data_dir).telemetry
    pair.until(lambda: len({each.node for each in kept(folder)}) == 2, "both are heard")
    first.kill()
    whole = kept(folder)
    last = max(folder.iterdir())
    with last.open("ab") as file:
        file.write(b"\x00\x00\x01\x00torn")
    first.start()
    starts = {(each.node, each.epoch) for each in whole}
    pair.until(
        lambda: {(each.node, each.epoch) for each in kept(folder)} - starts, "it goes on keeping"
    )
    known = {(each.node, each.epoch, each.seq) for each in kept(folder)}
    assert known >= {(each.node, each.epoch, each.seq) for each in whole[-5:]}
    pair.until(lambda: kept(folder)[0] != whole[0], "the oldest goes")
    pair.stop()
    assert size_of(folder) <= BYTES_MAX
    check(kept(folder))
    rows = export_observations(folder, tmp_path / "o.csv", Format.CSV)
    assert rows == sum(len(each.observations) for each in kept(folder))


def check(batches: list[TelemetryBatch]) -> None:
    """What each author signed is in order, and none twice."""
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for batch in batches:
        places[batch.node].append((batch.epoch, batch.seq))
    assert len(places) == 2
    for found in places.values():
        assert found == sorted(set(found))
