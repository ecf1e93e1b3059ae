"""Who may ask: the name a node is called by, the page that asks, the token, and its scope."""

import ipaddress
from dataclasses import dataclass

from ambientd.api.operations import OperationError
from ambientd.api.routes import Scope
from ambientd.api.tokens import TokenFile
from ambientd.config.http_options import HttpOptions
from ambientd.config.options import is_loopback, split_address
from ambientd.ports.http import HttpRequest

_LOCAL = "localhost"
_MAKE_ONE = "`ambientctl token create` makes one"


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may ask, and for what."""

    name: str
    scope: Scope


class Access:
    """Decides from a request's head alone, before anything of its body is read."""

    def __init__(self, options: HttpOptions, tokens: TokenFile) -> None:
        self._tokens = tokens
        self._origins = frozenset(options.cors_origins)
        host, _ = split_address(options.listen)
        self._hosts = frozenset({_LOCAL, host.lower(), *map(str.lower, options.hosts)})
        self._is_open = options.open_on_loopback and is_loopback(host)
        self._scheme = "https" if options.tls_cert else "http"

    def check_host(self, request: HttpRequest) -> None:
        """Refuse names that are not this node's: a page may have made its own name point here."""
        named = request.all("host")
        host = _without_port(named[0]) if len(named) == 1 else ""
        if not _is_address(host) and host.lower() not in self._hosts:
            msg = f"this node is not called {host[:64]!r}"
            raise OperationError("misdirected", msg, "add the name to [http] hosts")

    def allowed_origin(self, request: HttpRequest) -> str | None:
        """Give the other origin whose page asks, if it may; raise OperationError if it may not."""
        origins = request.all("origin")
        scheme = request.caller.scheme or self._scheme
        if not origins or origins == [f"{scheme}://{request.first('host')}"]:
            return None
        if len(origins) == 1 and origins[0] in self._origins:
            return origins[0]
        msg = f"pages of {origins[0][:64]!r} may not ask this node"
        hint = "add the origin to [http] cors_origins; behind a proxy, see [http] trusted_proxies"
        raise OperationError("forbidden", msg, hint)

    def identify(self, request: HttpRequest, now_ms: int) -> Client | None:
        """Tell who asks; nobody without a token. Raise OperationError for a wrong one."""
        shown = request.all("authorization")
        named = request.caller.certificate
        if not shown and named is not None:
            token = self._tokens.find_by_certificate(named, now_ms)
            if token is not None:
                return Client(token.id, token.scope)
        if not shown:
            if self._is_open and is_loopback(request.caller.address):
                return Client("loopback", Scope.ADMIN)
            return None
        scheme, _, words = shown[0].partition(" ")
        is_bearer = len(shown) == 1 and scheme.lower() == "bearer"
        token = self._tokens.find(words.strip(), now_ms) if is_bearer else None
        if token is None:
            msg = "the token is not known here, or has expired"
            raise OperationError("unauthorized", msg, _MAKE_ONE)
        return Client(token.id, token.scope)


def check_scope(client: Client | None, needed: Scope) -> None:
    """Raise OperationError unless the client may do this."""
    if needed is Scope.OPEN:
        return
    if client is None:
        msg = "this needs a token, in the header `Authorization: Bearer TOKEN`"
        raise OperationError("unauthorized", msg, _MAKE_ONE)
    if not client.scope.includes(needed):
        msg = f"this needs a token of scope {needed}, and this one's is {client.scope}"
        hint = f"`ambientctl token create NAME --scope {needed}` makes one"
        raise OperationError("forbidden", msg, hint)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(host: str) -> bool:
    """Tell whether a host is an address: no page can make one point elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
