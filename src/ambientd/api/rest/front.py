"""The front end: from a request to the answer of an operation, or to a problem that says why not.

The order is that of cost: the name it is called by, how often its address asks, where it goes,
who asks, and only then its body.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import msgspec
import structlog
import trio

from ambientd.api.answering import Handler, failed_inside, failure_of, only_cause, within
from ambientd.api.berths import Berth, Berths
from ambientd.api.callers import CALLER
from ambientd.api.operations import BLOB_GET, BLOB_PUT, DEADLINE_MS, Failure, OperationError
from ambientd.api.rates import Rates
from ambientd.api.rest.access import Access, check_scope
from ambientd.api.rest.binding import Routes, Row, WrongMethodError, bind
from ambientd.api.rest.bodies import Body
from ambientd.api.rest.downloads import Downloads
from ambientd.api.rest.feed import Feed
from ambientd.api.rest.metrics import PATH as METRICS_PATH
from ambientd.api.rest.metrics import Metrics
from ambientd.api.rest.pages import Pages
from ambientd.api.rest.problems import problem_answer
from ambientd.api.rest.ranges import CONTENT_TYPE as BYTES
from ambientd.api.rest.ranges import bytes_answer, span_of
from ambientd.api.rest.reference import Reference
from ambientd.api.routes import BASE_PATH, Method, Scope
from ambientd.api.shelf import Shelf
from ambientd.api.under_key import KEYED, Keyed, request_hash
from ambientd.codec.digest import tagged
from ambientd.config.http_options import HttpOptions
from ambientd.errors import AmbientError
from ambientd.ports.http import BodyTooLargeError, CallerGoneError, HttpAnswer, HttpRequest
from ambientd.runtime.blobs import BLOB_BYTES_MAX

log = structlog.get_logger("ambientd.http")

DOWNLOAD_WAIT_S = 20.0
BODY_WAIT_S = 20.0
_SMALL_BYTES = 64 * 1024
_ALWAYS = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
]
_PREFLIGHT = [
    ("access-control-allow-methods", "GET, POST, PUT"),
    ("access-control-allow-headers", "authorization, content-type, idempotency-key, last-event-id"),
    ("access-control-max-age", "600"),
]
_JSON = ("content-type", "application/json")
_LARGE = f"bring what is large by PUT {BASE_PATH}/blobs/SHA256, and name it by its SHA-256"


@dataclass(slots=True)
class _Refusal(Exception):  # noqa: N818 - an answer, whosever fault it is
    """An answer instead of the one that was asked for."""

    failure: Failure
    headers: list[tuple[str, str]] = field(default_factory=list)


class Front:
    """Answers HTTP requests from a table of handlers."""

    def __init__(
        self,
        rows: Mapping[str, Row],
        handlers: Mapping[str, Handler],
        options: HttpOptions,
        access: Access,
        feed: Feed,
        shelf: Shelf,
        pages: Pages,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        handlers = {**handlers, BLOB_GET.name: shelf.get}
        served = [row for name, row in rows.items() if name in handlers or row is BLOB_PUT]
        self._routes = Routes(served)
        self._reference = Reference(served)
        self._handlers = handlers
        self._options = options
        self._access = access
        self._feed = feed
        self._shelf = shelf
        self._pages = pages
        self._metrics = metrics
        self._now_ms = now_ms
        self._rates = Rates(options.requests_per_s, 2 * options.requests_per_s)
        self._large = Berths(options.bodies_at_once_max)
        self._downloads = Downloads()
        self._turn = trio.Lock()

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request, whatever it is."""
        origin = None
        try:
            self._access.check_host(request)
            self._spend(f"address {request.caller.address}")
            origin = self._access.allowed_origin(request)
            answer = await self._serve(request, origin)
        except _Refusal as refusal:
            answer = problem_answer(refusal.failure, refusal.headers)
        except AmbientError as error:
            answer = _told(failure_of(error))
        except BodyTooLargeError:
            most = self._options.body_bytes_max
            message = f"a body has at most {most} bytes"
            answer = _told(Failure(code="too_large", message=message, hint=_LARGE))
        told = {name for name, _ in answer.headers}
        answer.headers.extend(each for each in _ALWAYS if each[0] not in told)
        if origin is not None:
            answer.headers.extend([("access-control-allow-origin", origin), ("vary", "origin")])
        return answer

    def _spend(self, key: str) -> None:
        wait_s = self._rates.take(key, trio.current_time())
        if wait_s:
            failure = Failure(code="too_many", message="too many requests", hint="ask less often")
            raise _Refusal(failure, [("retry-after", str(int(wait_s) + 1))])

    async def _serve(self, request: HttpRequest, origin: str | None) -> HttpAnswer:
        page = self._pages.find(request) or self._reference.find(request)
        if page is not None:
            return page
        if (request.method, request.path) == ("GET", METRICS_PATH):
            self._admit(request, Scope.READ)
            return await self._metrics.answer()
        try:
            row, parameters = self._routes.find(request.method, request.path)
        except WrongMethodError as error:
            if request.method == "OPTIONS" and origin is not None:
                return HttpAnswer(204, b"", list(_PREFLIGHT))
            allowed = ", ".join(error.allowed)
            message = f"{request.method[:16]} is not for this path"
            failure = Failure(code="wrong_method", message=message, hint=f"it takes {allowed}")
            raise _Refusal(failure, [("allow", allowed)]) from None
        client = self._admit(request, row.route.scope)
        CALLER.set(_name_of(client, request))
        if row.route.method is Method.GET and _announces_body(request):
            # Nobody without a token shall have a place among the bodies that are read.
            raise OperationError("malformed", "a GET takes no body", "its fields go in the query")
        if any(each.strip().lower() != "identity" for each in request.all("content-encoding")):
            msg = "a body with a Content-Encoding is not read here"
            raise OperationError("unsupported", msg, "send its bytes as they are, uncompressed")
        key = request.all("idempotency-key") if row.route.changes else []
        body = Body(is_hashed=bool(key))
        if row.route.method is not Method.PUT:
            await self._bring(body, request)
        async with self._turn:  # one answer a pass of the loop: heartbeats come in between
            pass
        asked = bind(row, parameters, request.query, body.data)
        KEYED.set(await _keyed(key, request, body, asked) if key else None)
        try:
            with self._metrics.timed(row.name, trio.current_time):
                return await self._perform(request, row, asked)
        except (AmbientError, BodyTooLargeError, CallerGoneError):
            raise
        except Exception as error:  # supervision: a bug in one answer, not of the node
            cause = only_cause(error)
            if isinstance(cause, AmbientError):
                raise cause from None
            log.exception("operation failed", operation=row.name)
            raise _Refusal(failed_inside(row.name)) from None

    def _may_still(self, request: HttpRequest, needed: Scope) -> bool:
        """Tell whether who was let in would still be: its token can be revoked, or expire."""
        try:
            check_scope(self._access.identify(request, self._now_ms()), needed)
        except AmbientError:
            return False
        return True

    def _admit(self, request: HttpRequest, needed: Scope) -> str:
        """Let a caller in and give its name; raise OperationError if it may not do this."""
        client = self._access.identify(request, self._now_ms())
        check_scope(client, needed)
        if client is not None:
            self._spend(f"client {client.name}")
        return "" if client is None else client.name

    async def _bring(self, body: Body, request: HttpRequest) -> None:
        size = request.first("content-length")
        if not size and not request.first("transfer-encoding"):
            return
        if size and int(size) <= _SMALL_BYTES:
            await self._read(body, request, None)
            return
        async with self._large.take(BODY_WAIT_S) as berth:
            await self._read(body, request, berth)

    async def _read(self, body: Body, request: HttpRequest, berth: Berth | None) -> None:
        chunks = request.upload.chunks(self._options.body_bytes_max)
        pieces = chunks if berth is None else berth.counted(chunks)
        async with aclosing(chunks), aclosing(pieces):
            async for chunk in pieces:
                body.take(chunk)
        kind = request.first("content-type").partition(";")[0].strip().lower()
        if body.data and kind != "application/json":
            msg = f"a body of {kind[:64]!r} is not read here"
            raise OperationError("unsupported", msg, "send application/json")

    async def _perform(self, request: HttpRequest, row: Row, asked: msgspec.Struct) -> HttpAnswer:
        if row.streaming:
            last = request.first("last-event-id")
            may_follow = partial(self._may_still, request, row.route.scope)
            events = self._feed.follow(cast("Any", asked), last, may_follow)
            return HttpAnswer(200, events, [("content-type", "text/event-stream")])
        if row.route.method is Method.PUT:
            async with aclosing(request.upload.chunks(BLOB_BYTES_MAX)) as pieces:
                kept = await within(row, self._shelf.put(cast("Any", asked), pieces))
            return HttpAnswer(row.route.status, msgspec.json.encode(kept), [_JSON])
        if row.route.raw:
            return await self._download(request, row, asked)
        handled = cast("Awaitable[msgspec.Struct]", self._handlers[row.name](asked))
        if row.deadline_ms > DEADLINE_MS:
            async with request.upload.caller_stays():
                reply = await within(row, handled)
        else:
            reply = await within(row, handled)
        return HttpAnswer(row.route.status, msgspec.json.encode(reply), [_JSON])

    async def _download(self, request: HttpRequest, row: Row, asked: msgspec.Struct) -> HttpAnswer:
        """Answer with what may be large: few at once, and each until its caller has it."""
        place = await self._downloads.take(DOWNLOAD_WAIT_S)
        try:
            if row is BLOB_GET and _wants_bytes(request):
                served = await within(row, self._shelf.open(cast("Any", asked)))
                span = span_of(served.size_bytes, request.first("range"))
                if isinstance(span, HttpAnswer):
                    place.end()
                    return span
                pieces = served.pieces(span.start, span.stop)
                size_bytes = span.stop - span.start
                return place.stream(span.status, pieces, size_bytes, span.headers)
            handled = cast("Awaitable[msgspec.Struct]", self._handlers[row.name](asked))
            reply = await within(row, handled)
            if _wants_bytes(request):
                answer = bytes_answer(getattr(reply, row.route.raw), request.first("range"))
            else:
                answer = HttpAnswer(row.route.status, msgspec.json.encode(reply), [_JSON])
            assert isinstance(answer.body, bytes), "both are whole"
            return place.answer(answer.status, answer.body, answer.headers)
        except BaseException:
            place.end()
            raise


def _name_of(client: str, request: HttpRequest) -> str:
    """Name a caller for the audit trail: by its token, and by its certificate if it has one."""
    name = f"token {client}" if client else "nobody named"
    certificate = request.caller.certificate
    return name if certificate is None else f"{name}, certificate {certificate}"


async def _keyed(keys: list[str], request: HttpRequest, body: Body, asked: msgspec.Struct) -> Keyed:
    """Give what a caller means to have done once."""
    if len(keys) > 1:
        raise OperationError("malformed", "a request has one Idempotency-Key")
    place = request.path.encode("utf-8", "replace")
    as_bytes = tagged("ambient/http-request/1", place, body.digest())
    return Keyed(keys[0], await request_hash(asked), as_bytes)


def _told(failure: Failure) -> HttpAnswer:
    """Give a problem; whoever lacks a token is told how one is shown."""
    challenge = [("www-authenticate", "Bearer")] if failure.code == "unauthorized" else []
    return problem_answer(failure, challenge)


def _announces_body(request: HttpRequest) -> bool:
    size = request.first("content-length")
    return bool(request.first("transfer-encoding")) or (size != "" and int(size) > 0)


def _wants_bytes(request: HttpRequest) -> bool:
    return any(
        part.partition(";")[0].strip() == BYTES for part in request.first("accept").split(",")
    )
