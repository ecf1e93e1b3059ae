"""Tells a collector of traces what this node did for tasks: OTLP over HTTP, in JSON.

Spans wait in a queue of bounded length. Where the collector is away they are sent again later, and
the oldest go; nothing else of the daemon waits for it.
"""

from collections import deque
from typing import Any

import structlog
import trio

from ambientd import __version__
from ambientd.adapters.http_client import HttpClient
from ambientd.api.otlp import PATH, encode_spans
from ambientd.api.spans import Span, Spans, Value
from ambientd.config.outlet_options import TraceOptions
from ambientd.config.urls import parse_url
from ambientd.errors import AmbientError
from ambientd.model.base import NodeId, TaskId
from ambientd.runtime.service import Parts

log = structlog.get_logger("ambientd.traces")

SPANS_MAX = 8_192
SPANS_AT_ONCE = 512
EVERY_S = 2.0
LAST_PAUSE_S = 60.0
ANSWER_S = 10.0
_ANSWER_BYTES_MAX = 64 * 1024
_AGAIN = frozenset({429, 502, 503, 504})
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


class Traces:
    """Follows the log and exports what this node has to say."""

    def __init__(self, options: TraceOptions, own: NodeId, name: str, parts: Parts) -> None:
        self._spans = Spans(own, parts.node.ledger, options.share_permille)
        self._client = HttpClient(parse_url(options.url), ANSWER_S)
        self._parts = parts
        self._queue: deque[Span] = deque()
        self._lost = 0
        self._resource: dict[str, Value] = {
            "service.name": "ambientd",
            "service.version": __version__,
            "service.instance.id": own.hex(),
            "ambient.node": name,
            "ambient.cluster": parts.node.ledger.genesis.name,
        }

    def submitted(self, task: TaskId) -> None:
        """Take note that somebody asks for a task here, now."""
        self._spans.submitted(task, self._parts.now())

    async def run(self) -> None:
        """Follow and export until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            nursery.start_soon(self._export)

    async def _follow(self) -> None:
        while True:
            async with self._parts.news.listen() as news:
                async for told in news:
                    self._queue.extend(self._spans.note(told))
                    while len(self._queue) > SPANS_MAX:
                        self._queue.popleft()
                        self._lost += 1
            log.warning("traces have gaps: the log told more than could be followed")

    async def _export(self) -> None:
        pause_s = EVERY_S
        while True:
            await trio.sleep(pause_s)
            pause_s = EVERY_S
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), SPANS_AT_ONCE))]
                fault = await self._send(batch)
                if fault:
                    self._queue.extendleft(reversed(batch))
                    pause_s = min(LAST_PAUSE_S, max(1.0, 2 * pause_s))
                    log.warning("traces not exported", reason=fault, again_s=pause_s)
                    break
            if self._lost:
                log.warning("spans were lost while no collector took them", spans=self._lost)
                self._lost = 0

    async def _send(self, batch: list[Span]) -> str:
        """Export once; give why it has to be done again, or nothing."""
        body = encode_spans(batch, self._resource)
        headers = {"content-type": "application/json"}

        def post() -> tuple[int, bytes]:
            return self._client.request("POST", PATH, _ANSWER_BYTES_MAX, body, headers)

        try:
            status, _ = await trio.to_thread.run_sync(post, **_ABANDON)
        except AmbientError as error:
            return str(error)
        except trio.Cancelled:
            self._client.cut()
            raise
        if status in _AGAIN:
            return f"the collector answered {status}"
        if not 200 <= status < 300:
            log.error("the collector refuses spans", status=status, spans=len(batch))
        return ""
