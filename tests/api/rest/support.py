"""A front end on a real port, and a caller that speaks HTTP to it byte by byte."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import msgspec
import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.line_file import LineFile
from ambientd.adapters.trail_files import TrailFiles
from ambientd.api.answering import Handler
from ambientd.api.once import Once, done_once
from ambientd.api.rest.serving import serve_rest
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.api.trail_keeping import TrailKeeper
from ambientd.config.http_options import HttpOptions
from ambientd.config.places import Places
from ambientd.model.base import NodeId
from ambientd.runtime.blobs import SealedBlobs
from ambientd.runtime.uploads import Uploads
from tests.fakes.desk_node import NOW_MS

TOKENS = "http.tokens"


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.body)


class Site:
    """A front end that is being served."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.tokens = folder / TOKENS

    def token(self, scope: Scope = Scope.ADMIN, expires_ms: int = 0) -> dict[str, str]:
        _, words = create_token(self.tokens, "test", scope, NOW_MS, expires_ms)
        return {"authorization": f"Bearer {words}"}

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        base: str = BASE_PATH,
    ) -> Answer:
        async with await self.connect() as stream:
            return await ask(stream, method, base + path, headers or {}, body)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("GET", path, headers)

    async def post(self, path: str, value: object, headers: Mapping[str, str]) -> Answer:
        told = {"content-type": "application/json", **headers}
        return await self.ask("POST", path, told, msgspec.json.encode(value))

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def site(
    folder: Path, handlers: Mapping[str, Handler], **options: Any
) -> AsyncIterator[Site]:
    """Serve handlers on a port of the system's choice."""
    chosen = HttpOptions(**{"enabled": True, "listen": "127.0.0.1:0", "tokens": TOKENS, **options})
    files = BlobFiles(folder / "blobs", blob_bytes_max=1_000_000, quota_bytes=2_000_000)
    uploads = Uploads(files, SealedBlobs(files))
    keeper = TrailKeeper(TrailFiles(folder / "trail"), lambda: NOW_MS)
    lines = LineFile(folder / "idempotency.keys")
    handlers = done_once(handlers, Once(NodeId(bytes(32)), lines, lambda: NOW_MS, lambda: 0))
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[int]) -> None:
            places = Places(folder)
            await serve_rest(chosen, places, handlers, uploads, keeper, lambda: NOW_MS, task_status)

        port = await nursery.start(serve)
        with trio.fail_after(60):
            yield Site(folder, port)
        nursery.cancel_scope.cancel()


def head_of(method: str, path: str, headers: Mapping[str, str], size: int) -> h11.Request:
    told = {"host": "localhost", **headers}
    if size:
        told["content-length"] = str(size)
    return h11.Request(method=method, target=path, headers=list(told.items()))


async def ask(
    stream: trio.abc.Stream, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    """Make one request on a connection and read its whole answer."""
    caller = h11.Connection(h11.CLIENT)
    data = caller.send(head_of(method, path, headers, len(body))) or b""
    data += caller.send(h11.Data(data=body)) or b""
    data += caller.send(h11.EndOfMessage()) or b""
    await stream.send_all(data)
    return await read_answer(stream, caller)


async def read_answer(stream: trio.abc.Stream, caller: h11.Connection) -> Answer:
    answer = Answer(status=0, headers={}, body=b"")
    while True:
        event = caller.next_event()
        match event:
            case h11.NEED_DATA:
                caller.receive_data(await stream.receive_some(65_536))
            case h11.Response():
                answer.status = event.status_code
                answer.headers = {k.decode(): v.decode() for k, v in event.headers}
            case h11.Data():
                answer.body += event.data
            case h11.EndOfMessage():
                return answer
            case h11.InformationalResponse():
                pass
            case _:
                raise AssertionError(f"the server sent {event!r}")
