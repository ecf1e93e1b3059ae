"""Webhooks: signed posts of what the owner wants to hear of, to the one address in config.toml.

An event waits in a folder until its receiver has taken it, so it comes at least once, also after a
restart, and always under the same id. Nothing else of the daemon waits for the receiver.
"""

import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from ambientd.adapters.event_spool import EventSpool
from ambientd.api.alerts import KINDS, Watch
from ambientd.api.operations import OperationError
from ambientd.api.replies import Event, Status
from ambientd.api.requests import GetStatus
from ambientd.api.story import tell
from ambientd.api.webhook_signing import read_secret, signed_headers
from ambientd.api.webhook_values import TestWebhook, WebhookTested
from ambientd.codec.digest import tagged
from ambientd.config.outlet_options import WebhookOptions
from ambientd.config.places import Places
from ambientd.config.urls import parse_url
from ambientd.errors import AmbientError, ConfigError, RemoteProtocolError, StoreError
from ambientd.model.base import NodeId, TaskId
from ambientd.runtime.service import Parts

if TYPE_CHECKING:
    from ambientd.adapters.http_client import HttpClient

log = structlog.get_logger("ambientd.webhooks")

FOLDER = "webhooks"
TRIES_MAX = 20
FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 600.0
LOOK_S = 15.0
ANSWER_S = 10.0
TEST_S = 5.0
_ANSWER_BYTES_MAX = 64 * 1024
_GONE = 410
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a receiver is told; `missed` counts older ones that it will never hear of."""

    id: str
    type: str
    timestamp: str
    data: dict[str, object]
    missed: int = 0


class Webhooks:
    """Posts what happens, and answers `webhook test`."""

    def __init__(
        self, options: WebhookOptions, data_dir: Path | None, own: NodeId, name: str, parts: Parts
    ) -> None:
        self._own = own
        self._options = options
        self._data_dir = data_dir
        self._name = name
        self._parts = parts
        self._state = parts.node.ledger
        self._wanted = frozenset(options.events)
        self._missed = 0
        self._more = trio.Event()

    async def run(self, status: Callable[[GetStatus], Awaitable[Status]]) -> None:
        """Tell what happens until cancelled; raise ConfigError for what cannot work.

        `status` says what is wrong with this node.
        """
        if not self._options.url or self._data_dir is None:
            return
        unknown = sorted(self._wanted - KINDS)
        if unknown:
            msg = f"[webhook] events: there is no kind {unknown[0]!r}; there are "
            raise ConfigError(msg + ", ".join(sorted(KINDS)))
        secret = self._secret()
        spool = EventSpool(self._data_dir / FOLDER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, spool)
            nursery.start_soon(self._watch, spool, status)
            nursery.start_soon(self._deliver, spool, secret)

    def _secret(self) -> bytes:
        assert self._data_dir is not None, "a node with a webhook has a folder"
        return read_secret(Places(self._data_dir).http_file(self._options.secret))

    async def _hear(self, spool: EventSpool) -> None:
        """Keep what the log tells."""
        while True:
            async with self._parts.news.listen() as news:
                async for told in news:
                    for event in tell(told):
                        if event.kind in self._wanted and self._is_ours(event):
                            await self._keep(spool, event)
            self._missed += 1  # it told more than this could take

    def _is_ours(self, event: Event) -> bool:
        """Tell whether an event is about no task, or one of this node's own."""
        task = event.fields.get("task")
        if not isinstance(task, str):
            return True
        entry = self._state.task(TaskId(bytes.fromhex(task)))
        return entry is not None and entry.submitter == self._own and entry.audits is None

    async def _watch(
        self, spool: EventSpool, status: Callable[[GetStatus], Awaitable[Status]]
    ) -> None:
        """Keep what begins to be wrong with this node, and what ends."""
        watch = Watch()
        assert self._data_dir is not None, "a node with a webhook has a folder"
        while True:
            free = (await trio.to_thread.run_sync(shutil.disk_usage, self._data_dir)).free
            for event in watch.look(await status(GetStatus()), free, self._parts.now()):
                if event.kind in self._wanted:
                    await self._keep(spool, event)
            await trio.sleep(LOOK_S)

    async def _keep(self, spool: EventSpool, event: Event) -> None:
        notice = self._notice(event, self._missed)
        try:
            gone = await trio.to_thread.run_sync(spool.add, msgspec.json.encode(notice))
        except StoreError as error:
            self._missed += 1
            log.error("an event will not be posted", kind=event.kind, reason=str(error))
            return
        self._missed = gone
        self._more.set()
        self._more = trio.Event()

    def _notice(self, event: Event, missed: int = 0) -> Notice:
        data: dict[str, object] = {
            "node": self._own.hex(),
            "name": self._name,
            "cluster": self._state.genesis.name,
            "fingerprint": self._state.cluster.hex(),
            "text": event.text,
            "fields": event.fields,
        }
        said = msgspec.json.encode((event.time_ms, event.kind, data), order="deterministic")
        return Notice(
            id=f"evt_{tagged('ambient/webhook/1', said).hex()[:32]}",
            type=event.kind,
            timestamp=datetime.fromtimestamp(event.time_ms / 1000, UTC).isoformat(),
            data=data,
            missed=missed,
        )

    async def _deliver(self, spool: EventSpool, secret: bytes) -> None:
        """Post what waits, the oldest first, until each is taken or was tried for hours."""
        client = self._client(ANSWER_S)
        tries = 0
        while True:
            more = self._more
            found = await trio.to_thread.run_sync(spool.first)
            if found is None:
                await more.wait()
                continue
            name, body = found
            status, text = await self._post(client, secret, body)
            tries += 1
            is_taken = status is not None and 200 <= status < 300
            if not is_taken and tries < TRIES_MAX and status != _GONE:
                pause_s = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries - 1))
                log.warning("webhook not delivered", reason=text, tries=tries, again_s=pause_s)
                await trio.sleep(pause_s)
                continue
            if not is_taken:
                self._missed += 1
                log.error("an event was posted in vain", reason=text, tries=tries)
            tries = 0
            await trio.to_thread.run_sync(spool.done, name)

    def _client(self, timeout_s: float) -> "HttpClient":
        from ambientd.adapters.http_client import HttpClient  # its price is for those who use it

        return HttpClient(parse_url(self._options.url), timeout_s)

    async def _post(
        self, client: "HttpClient", secret: bytes, body: bytes
    ) -> tuple[int | None, str]:
        """Post once; give the status of the answer, if there was one, and what to say of it."""
        event = msgspec.json.decode(body, type=Notice).id
        headers = signed_headers(secret, event, self._parts.now() // 1000, body)

        def post() -> tuple[int, bytes]:
            return client.request("POST", "", _ANSWER_BYTES_MAX, body, headers)

        try:
            status, _ = await trio.to_thread.run_sync(post, **_ABANDON)
        except RemoteProtocolError:
            return None, "its answer is too large"
        except AmbientError as error:
            return None, str(error)
        except trio.Cancelled:
            client.cut()
            raise
        return status, f"it answered {status}"

    async def test(self, _: TestWebhook) -> WebhookTested:
        """Post one event now, beside those that wait."""
        if not self._options.url:
            hint = "set [webhook] url in config.toml, and start ambientd again"
            raise OperationError("not_ready", "this node has no webhook", hint)
        told = Event(time_ms=self._parts.now(), kind="test", text="this is a test", fields={})
        notice = self._notice(told)
        client = self._client(TEST_S)
        secret = self._secret()
        try:
            status, text = await self._post(client, secret, msgspec.json.encode(notice))
        finally:
            client.close()
        delivered = status is not None and 200 <= status < 300
        return WebhookTested(
            url=self._options.url,
            event=notice.id,
            status=status,
            delivered=delivered,
            text=text,
        )
