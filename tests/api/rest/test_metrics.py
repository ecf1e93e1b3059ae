"""What Prometheus reads, and that nobody from outside makes it grow."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ambientd.api.rest.metrics import _GAUGES, Metrics
from ambientd.api.routes import Scope
from tests.api.rest.support import Answer, site
from tests.fakes.desk_node import DeskNode

pytestmark = pytest.mark.net


def samples(answer: Answer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    assert answer.status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def test_a_node_and_its_cluster_are_in_figures(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        found = samples(await it.ask("GET", "/metrics", it.token(Scope.READ), base=""))
    assert {f"ambient_{name}" for name in _GAUGES} <= {name for name, _ in found}
    assert found["ambient_tasks", (("state", "final"),)] >= 0
    assert found["process_resident_memory_bytes", ()] > 0


async def test_metrics_need_a_token_as_everything_does(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        assert (await it.ask("GET", "/metrics", base="")).status == 401


async def test_operations_are_counted_by_name_and_outcome(tmp_path: Path) -> None:
    async with site(tmp_path, DeskNode().handlers()) as it:
        token = it.token(Scope.READ)
        for _ in range(3):
            await it.get("/status", token)
        await it.get("/tasks/abcd", token)
        await it.get("/no/such/path", token)
        found = samples(await it.ask("GET", "/metrics", token, base=""))
    done = (("operation", "status"), ("outcome", "done"))
    refused = (("operation", "task.show"), ("outcome", "refused"))
    assert found["ambient_http_seconds_count", tuple(sorted(done))] == 3
    assert found["ambient_http_seconds_count", tuple(sorted(refused))] == 1
    assert not any("path" in value for _, labels in found for _, value in labels)


async def test_events_are_counted_by_kind_and_unknown_kinds_together() -> None:
    metrics = Metrics(DeskNode().handlers())
    for kind in ("task_ended", "task_ended", "invented by a peer", "another one"):
        metrics.happened(kind)
    text = (await metrics.answer()).body
    assert isinstance(text, bytes)
    assert b'ambient_events_total{kind="task_ended"} 2.0' in text
    assert b'ambient_events_total{kind="other"} 2.0' in text
    assert b"invented" not in text
