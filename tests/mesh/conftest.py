from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mesh.cluster import Cluster


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "mesh", 4)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
