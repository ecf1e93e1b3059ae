"""Where the HTTP front end listens, and with which certificates."""

import ssl
from pathlib import Path

import structlog
import trio

from ambientd.adapters.http_server import HttpServer
from ambientd.errors import ConfigError
from ambientd.ports.http import Started

log = structlog.get_logger("ambientd.http")


def tls_context(certificate: Path, key: Path, client_authority: Path | None) -> ssl.SSLContext:
    """Give the TLS side of a server; with an authority, callers must show its certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        msg = f"{certificate}, {key}: no certificate with its key ({error}); see [http] tls_cert"
        raise ConfigError(msg) from error
    if client_authority is not None:
        try:
            context.load_verify_locations(client_authority)
        except (OSError, ssl.SSLError) as error:
            msg = f"{client_authority}: no certificates ({error}); see [http] tls_client_ca"
            raise ConfigError(msg) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve_http(
    server: HttpServer,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status` hears the port. Raise ConfigError if it is not free."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        msg = f"{host}:{port}: cannot listen for HTTP: {error.strerror or error}; set [http] listen"
        raise ConfigError(msg) from error
    opened = listeners[0].socket.getsockname()[1]
    log.info("answering HTTP", host=host, port=opened, tls=context is not None)
    task_status.started(opened)
    if context is None:
        await trio.serve_listeners(server.serve_connection, listeners)
        return
    secure = [trio.SSLListener(each, context, https_compatible=True) for each in listeners]
    await trio.serve_listeners(server.serve_connection, secure)
