"""What the HTTP front end may do, for whom: the section `http` of config.toml."""

from typing import Annotated

from msgspec import Meta

from ambientd.config.node_options import Options

_MIB = 1024 * 1024


class HttpOptions(Options, frozen=True):
    """The REST API for programs and browsers; off unless `enabled` says otherwise."""

    enabled: Annotated[bool, Meta(description="Whether this node answers HTTP at all.")] = False
    listen: Annotated[
        str,
        Meta(
            max_length=262,
            description=(
                'Address to listen on, "host:port". Another than this machine\'s own needs '
                "tls_cert, or behind_proxy."
            ),
        ),
    ] = "127.0.0.1:4480"
    hosts: Annotated[
        tuple[Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9:\[\]._-]+$")], ...],
        Meta(
            max_length=32,
            description=(
                "Names under which callers may address this node, without a port, beside its "
                "address and localhost; requests for other names are refused."
            ),
        ),
    ] = ()
    tokens: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="File of the tokens that `ambientctl token create` makes, as hashes.",
        ),
    ] = "http.tokens"
    open_on_loopback: Annotated[
        bool,
        Meta(
            description=(
                "Let every program and user of this machine do everything without a token; only "
                "where `listen` is an address of this machine alone, and nothing stands before it."
            )
        ),
    ] = False
    behind_proxy: Annotated[
        bool,
        Meta(
            description=(
                "Listen beyond this machine without TLS, because something in between has it; "
                "tokens cross that way in clear."
            )
        ),
    ] = False
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(max_length=64)], ...],
        Meta(
            max_length=32,
            description=(
                'Addresses, or networks such as "10.0.0.0/8", of proxies before this node: for '
                "requests from there alone, X-Forwarded-For names the caller that limits count, "
                "and X-Forwarded-Proto the scheme of the dashboard's address."
            ),
        ),
    ] = ()
    tls_cert: Annotated[
        str, Meta(max_length=4096, description="File of this node's certificate chain, PEM.")
    ] = ""
    tls_key: Annotated[
        str, Meta(max_length=4096, description="File of that certificate's key, PEM.")
    ] = ""
    tls_client_ca: Annotated[
        str,
        Meta(
            max_length=4096,
            description=(
                "File of the authorities, PEM, one of which must have signed a caller's "
                "certificate; `ambientctl token create --certificate` says what its name allows, "
                "and others need a token beside it. Empty: none is asked for."
            ),
        ),
    ] = ""
    connections_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Connections served at the same time.")
    ] = 1_024
    connections_per_address_max: Annotated[
        int, Meta(ge=1, le=10_000, description="Of these, from one address.")
    ] = 64
    streams_max: Annotated[
        int, Meta(ge=0, le=10_000, description="Callers that follow events at the same time.")
    ] = 512
    requests_per_s: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Requests a second of one token, and of one address; twice that at once.",
        ),
    ] = 100
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=96 * _MIB,
            description=(
                "Largest body of a request but a blob's, in bytes; nothing else happens while one "
                "is decoded."
            ),
        ),
    ] = 12 * _MIB
    bodies_at_once_max: Annotated[
        int, Meta(ge=1, le=256, description="Bodies above 64 KiB that are read at the same time.")
    ] = 4
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(max_length=262, pattern=r"^https?://[^/\s]+$")], ...],
        Meta(
            max_length=32,
            description=(
                'Pages of other origins, each "https://host:port", whose scripts may use this API; '
                "none unless named."
            ),
        ),
    ] = ()
