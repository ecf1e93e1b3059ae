"""Spans out of the log's events: one trace a task, each span told by one node."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ambientd.api import traces
from ambientd.api.otlp import encode_spans
from ambientd.api.outlets import AGAIN_S, kept_up
from ambientd.api.requests import CancelTask
from ambientd.api.spans import Span, Spans, is_chosen, span_id, trace_id
from ambientd.api.traces import Traces
from ambientd.config.outlet_options import TraceOptions
from ambientd.errors import ConfigError
from ambientd.model.base import NodeId, TaskId
from tests.api.test_desk import assigned, office
from tests.fakes.receiver import receiving

TASK = TaskId(b"t" * 32)


def test_ids_follow_from_the_task_alone() -> None:
    assert len(trace_id(TASK)) == 32
    names = [("task",), ("slot", 0, 1), ("slot", 0, 2), ("slot", 1, 1), ("execute", 0, 1)]
    assert len({span_id(TASK, *each) for each in names}) == len(names)  # type: ignore[arg-type]
    assert all(len(span_id(TASK, *each)) == 16 for each in names)  # type: ignore[arg-type]


def test_a_share_of_the_traces_is_the_same_choice_everywhere() -> None:
    ids = [trace_id(TaskId(bytes([n, m]) * 16)) for n in range(50) for m in range(40)]
    chosen = [each for each in ids if is_chosen(each, 250)]
    assert 400 < len(chosen) < 600
    assert all(is_chosen(each, 600) for each in chosen)
    assert not any(is_chosen(each, 0) for each in ids)
    assert all(is_chosen(each, 1000) for each in ids)


def test_spans_are_written_as_the_protocol_has_them() -> None:
    span = Span(
        trace="ab" * 16,
        id="cd" * 8,
        parent="ef" * 8,
        name="slot",
        start_ms=5,
        end_ms=7,
        attributes={"ambient.slot": 3, "lone": True},
        events=((6, "task_revealed", "said"),),
        error="trapped",
    )
    [told] = msgspec.json.decode(encode_spans([span], {"service.name": "ambientd"}))[
        "resourceSpans"
    ]
    assert told["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "ambientd"}}
    ]
    [written] = told["scopeSpans"][0]["spans"]
    assert written == {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "parentSpanId": "ef" * 8,
        "name": "slot",
        "kind": 1,
        "startTimeUnixNano": "5000000",
        "endTimeUnixNano": "7000000",
        "attributes": [
            {"key": "ambient.slot", "value": {"intValue": "3"}},
            {"key": "lone", "value": {"boolValue": True}},
        ],
        "events": [
            {
                "timeUnixNano": "6000000",
                "name": "task_revealed",
                "attributes": [{"key": "text", "value": {"stringValue": "said"}}],
            }
        ],
        "status": {"code": 2, "message": "trapped"},
    }


async def test_a_node_tells_of_its_own_tasks_and_forgets_what_has_ended(tmp_path: Path) -> None:
    async with office(tmp_path) as it, it.parts.news.listen() as news:
        own = NodeId(it.owner.signer.public_key)
        spans = Spans(own, it.node.ledger, 1000)
        other = Spans(NodeId(b"o" * 32), it.node.ledger, 1000)
        none = Spans(own, it.node.ledger, 0)
        it.desk.submitting.on_submitted = lambda task: spans.submitted(task, it.parts.now() - 5)
        task = await assigned(it.desk)
        await it.desk.cancel(CancelTask(task=task))
        found: list[Span] = []
        while not any(each.name == "task" for each in found):
            told = await news.receive()
            found += spans.note(told)
            assert other.note(told) == none.note(told) == []
        named = {each.name: each for each in found}
        assert list(named) == ["admit", "wait for a worker", "slot", "task"]
        assert named["slot"].error == "the task has ended"
        root = named["task"]
        assert {each.trace for each in found} == {trace_id(TaskId(bytes.fromhex(task)))}
        assert {each.parent for each in found if each is not root} == {root.id}
        assert root.attributes["ambient.state"] == "cancelled"
        assert root.start_ms == named["admit"].start_ms
        assert root.events[0][1] == "task_admitted"
        assert not spans._open


@pytest.mark.net
async def test_spans_reach_the_collector_again_where_it_was_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "EVERY_S", 0.01)
    async with office(tmp_path) as it:
        with receiving([503]) as receiver:
            node = NodeId(it.owner.signer.public_key)
            kept = Traces(TraceOptions(url=receiver.url), node, "node1", it.parts)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kept.run)
                await trio.sleep(0.05)
                await it.desk.cancel(CancelTask(task=await assigned(it.desk)))
                first = await receiver.next()
                names: set[str] = set()
                while "task" not in names:
                    again = await receiver.next()
                    names |= {each["name"] for each in spans_in(again.body)}
                nursery.cancel_scope.cancel()
    assert (first.path, first.headers["content-type"]) == ("/v1/traces", "application/json")
    assert {each["name"] for each in spans_in(first.body)} <= names


def spans_in(body: bytes) -> list[dict[str, Any]]:
    """Give the spans of an export."""
    return [
        span
        for resource in msgspec.json.decode(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_a_daemon_without_traces_loads_nothing_of_them() -> None:
    script = "import sys, ambientd.daemon.front_desk; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert "ambientd.api.outlets" in loaded
    assert not loaded & {"ambientd.api.traces", "ambientd.api.spans", "ambientd.api.otlp"}


async def test_a_fault_of_what_tells_of_a_node_does_not_end_it(autojump_clock: object) -> None:
    tries: list[float] = []

    async def run() -> None:
        tries.append(trio.current_time())
        if len(tries) < 3:
            raise ExceptionGroup("from a nursery", [RuntimeError("a bug")])

    await kept_up("traces", run)
    assert [round(each - tries[0]) for each in tries] == [0, AGAIN_S, 2 * AGAIN_S]

    async def cannot() -> None:
        raise ConfigError("no such file")

    with pytest.raises(ConfigError):
        await kept_up("webhooks", cannot)
