"""One task, two real daemons, one trace at a real receiver: from the submission to the anchor."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_SUBMIT
from ambientd.api.requests import SubmitTask
from ambientd.api.spans import span_id, trace_id
from ambientd.model.base import TaskId
from ambientd.model.genesis import Rules
from tests.api.test_spans import spans_in
from tests.fakes.receiver import Receiver, receiving
from tests.mesh.cluster import Cluster
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]
WHOLE = {
    "task",
    "admit",
    "wait for a worker",
    "slot",
    "execute",
    "seal",
    "reveal",
    "verdict",
    "batch",
    "anchor",
}


def test_a_task_is_one_trace_told_by_two_nodes(tmp_path: Path) -> None:
    plan = ClusterPlan(block_interval_ms=200, rules=Rules(batch_ms=200))
    cluster = Cluster(tmp_path / "pair", 2, plan)
    with receiving() as receiver:
        for daemon in cluster.daemons:
            config = daemon.data_dir / "config.toml"
            text = config.read_text()
            assert text.count("[traces]\n") == 1
            told = text.replace("[traces]\n", f'[traces]\nurl = "{receiver.url}"\n')
            config.write_text(told)
        try:
            cluster.start()
            collected = Collected(receiver)
            request = SubmitTask(
                module=module("echo"),
                input=b"hi",
                assurance="replicated",
                replicas=2,
                distinct=(),
            )
            answer = cluster.daemons[0].ask(TASK_SUBMIT, request)
            task = TaskId(bytes.fromhex(answer.task_id))
            found = cluster.until(lambda: collected.whole(trace_id(task)), "the whole trace")
        finally:
            cluster.stop()
    instances = {status for status, _ in found}
    assert len(instances) == 2
    spans = [span for _, span in found]
    root = next(span for span in spans if span["name"] == "task")
    assert root["spanId"] == span_id(task, "task")
    assert "parentSpanId" not in root
    ids = [span["spanId"] for span in spans]
    assert len(ids) == len(set(ids))
    assert {span["parentSpanId"] for span in spans if span is not root} <= set(ids)
    assert {node for node, span in found if span["name"] == "execute"} == instances
    for span in spans:
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


class Collected:
    """What a receiver was sent of one trace, with the nodes that sent it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.spans: list[tuple[str, dict[str, Any]]] = []

    def whole(self, trace: str) -> list[tuple[str, dict[str, Any]]]:
        """Give the spans once every kind is there, and every slot has its own."""
        while not self.receiver.posted.empty():
            body = self.receiver.posted.get().body
            [resource] = msgspec.json.decode(body)["resourceSpans"]
            about = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
            node = about["service.instance.id"]["stringValue"]
            self.spans += [(node, span) for span in spans_in(body) if span["traceId"] == trace]
        names = [span["name"] for _, span in self.spans]
        return self.spans if set(names) == WHOLE and names.count("execute") == 2 else []
