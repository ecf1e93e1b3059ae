"""What the annotations of the options cannot say: settings that make no sense, or not together."""

import ipaddress
from collections.abc import Callable, Iterator

from ambientd.config.options import (
    ChainKind,
    Config,
    check_dialable,
    is_loopback,
    split_address,
)
from ambientd.config.urls import parse_url
from ambientd.errors import ConfigError

Complaint = tuple[tuple[str, str], str]
"""Section and key, and what is wrong there."""


def complaints_about(config: Config) -> Iterator[Complaint]:
    """Give what is wrong with settings that are each of the right type."""
    transport, bitcoin = config.transport, config.bitcoin
    yield from _tried(("transport", "listen"), lambda: split_address(transport.listen))
    if transport.advertise:
        yield from _tried(
            ("transport", "advertise"),
            lambda: check_dialable(*split_address(transport.advertise)),
        )
    yield from _tried(("transport", "bootstrap"), config.bootstrap_peers)
    yield from _about_http(config)
    if bitcoin.chain is ChainKind.RPC:
        yield from _tried(("bitcoin", "rpc_url"), bitcoin.rpc_address)
    if bitcoin.chain is ChainKind.ESPLORA:
        yield from _tried(("bitcoin", "esplora_url"), lambda: parse_url(bitcoin.esplora_url))
    if config.webhook.url:
        yield from _tried(("webhook", "url"), lambda: parse_url(config.webhook.url))
    if config.traces.url:
        yield from _tried(("traces", "url"), lambda: parse_url(config.traces.url))
    if config.proving.prover and not config.proving.image:
        complaint = "a prover proves an image; `python -m scripts.proof_image --universal` makes it"
        yield ("proving", "image"), complaint
    if bitcoin.explorer_url:
        yield from _tried(("bitcoin", "explorer_url"), lambda: parse_url(bitcoin.explorer_url))


def _tried(option: tuple[str, str], read: Callable[[], object]) -> Iterator[Complaint]:
    try:
        read()
    except ConfigError as error:
        yield option, str(error)


def _about_http(config: Config) -> Iterator[Complaint]:
    http = config.http
    if bool(http.tls_cert) != bool(http.tls_key):
        missing = "tls_key" if http.tls_cert else "tls_cert"
        yield ("http", missing), "a certificate and its key go together"
    if http.tls_client_ca and not http.tls_cert:
        complaint = "callers can show certificates over TLS only: set tls_cert and tls_key too"
        yield ("http", "tls_client_ca"), complaint
    for number, each in enumerate(http.trusted_proxies):
        try:
            everybody = ipaddress.ip_network(each).prefixlen == 0
        except ValueError as error:
            yield ("http", "trusted_proxies"), f"entry {number + 1}: {error}"
            continue
        if everybody:
            complaint = f"entry {number + 1}: {each} is everybody, and each could claim any address"
            yield ("http", "trusted_proxies"), f"{complaint}; name the proxies or their network"
    if http.trusted_proxies and http.open_on_loopback:
        complaint = "whoever comes by a proxy on this machine might be let in: leave one away"
        yield ("http", "open_on_loopback"), complaint
    try:
        host, _ = split_address(http.listen)
    except ConfigError as error:
        yield ("http", "listen"), str(error)
        return
    if is_loopback(host):
        return
    if http.open_on_loopback:
        complaint = f"{host} can be reached from other machines, who would all be let in"
        yield ("http", "open_on_loopback"), complaint
    if not http.tls_cert and not http.behind_proxy:
        complaint = f"{host} can be reached from other machines, and tokens would cross in clear; "
        complaint += "set tls_cert and tls_key, or behind_proxy if something before it has TLS"
        yield ("http", "listen"), complaint
