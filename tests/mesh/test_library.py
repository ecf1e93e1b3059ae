"""The Python library against real daemons."""

import pytest

from ambientd.client import Mesh
from tests.mesh.cluster import Cluster
from tests.modules import compiled

pytestmark = [pytest.mark.mesh, pytest.mark.slow]


def test_outputs_come_back_in_order_and_their_receipts_hold(mesh: Cluster) -> None:
    fingerprint = bytes.fromhex(mesh.daemons[0].status().fingerprint)  # type: ignore[union-attr]
    inputs = [b"input %d" % number for number in range(12)]
    with Mesh(mesh.daemons[0].data_dir) as client:
        assert client.map(compiled.module("echo"), inputs) == inputs
        task = client.run(compiled.module("echo"), b"to be checked")
        task.wait()
        mesh.until(lambda: task.show().receipt.state in {"batched", "anchored"}, "a checkpoint")
        report = task.verify(fingerprint)
        assert report.valid, report.checks
