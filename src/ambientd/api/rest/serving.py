"""Puts the REST front end together and serves it."""

from collections.abc import Callable, Mapping

import trio

from ambientd.adapters.http_addresses import Proxies
from ambientd.adapters.http_connection import ServerLimits
from ambientd.adapters.http_listening import serve_http, tls_context
from ambientd.adapters.http_server import HttpServer
from ambientd.api.answering import Handler
from ambientd.api.operations import EVENTS, OPERATIONS
from ambientd.api.rest.access import Access
from ambientd.api.rest.feed import Feed
from ambientd.api.rest.front import Front
from ambientd.api.rest.metrics import Metrics
from ambientd.api.rest.pages import built_pages
from ambientd.api.shelf import Shelf
from ambientd.api.tokens import TokenFile, read_tokens
from ambientd.api.trail_keeping import TrailKeeper
from ambientd.config.http_options import HttpOptions
from ambientd.config.options import split_address
from ambientd.config.places import Places
from ambientd.ports.http import Started
from ambientd.runtime.uploads import Uploads


async def serve_rest(
    options: HttpOptions,
    places: Places,
    handlers: Mapping[str, Handler],
    uploads: Uploads,
    keeper: TrailKeeper,
    now_ms: Callable[[], int],
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer HTTP until cancelled; `task_status` hears the port.

    Raises:
        ConfigError: the address is taken, or a certificate or the tokens cannot be read.
    """
    tokens = places.http_file(options.tokens)
    read_tokens(tokens)  # what is wrong with it is said at the start
    metrics = Metrics(handlers)
    feed = Feed(handlers[EVENTS.name], f"{now_ms():x}", options.streams_max, metrics.happened)
    access = Access(options, TokenFile(tokens))
    shelf = Shelf(uploads, options.bodies_at_once_max, keeper)
    front = Front(
        OPERATIONS, handlers, options, access, feed, shelf, built_pages(), metrics, now_ms
    )
    limits = ServerLimits(
        connections_max=options.connections_max,
        connections_per_address_max=options.connections_per_address_max,
    )
    server = HttpServer(front.answer, limits, Proxies(options.trusted_proxies))
    context = None
    if options.tls_cert:
        authority = places.http_file(options.tls_client_ca) if options.tls_client_ca else None
        certificate, key = places.http_file(options.tls_cert), places.http_file(options.tls_key)
        context = tls_context(certificate, key, authority)
    host, port = split_address(options.listen)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        await serve_http(server, host, port, context, task_status)
