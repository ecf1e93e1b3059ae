"""Addresses of HTTP servers, as people write them.

A path can be what only its owner should know, as those of webhooks and of rented servers are, and
people write logins into addresses: neither is shown, as what is shown gets into logs.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ambientd.errors import ConfigError

_PORTS: Final = {"http": 80, "https": 443}
_FORM: Final = 'the address is not of the form "http://host:port" or "https://host/path"'


@dataclass(frozen=True, slots=True)
class Url:
    """Where a server is; `path` without a slash at its end, and not shown."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{'/…' if self.path else ''}"


def parse_url(text: str) -> Url:
    """Read "http://host:port/path".

    Raises:
        ConfigError: saying what is wrong.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(_FORM) from None
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if parts.scheme not in _PORTS or not parts.hostname or not is_plain:
        raise ConfigError(_FORM)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("the address may hold no login, query or fragment")
    chosen = _PORTS[parts.scheme] if port is None else port
    return Url(parts.scheme, parts.hostname, chosen, parts.path.rstrip("/"))
