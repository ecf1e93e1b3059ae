"""Addresses of HTTP servers, as people write them."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ambientd.errors import ConfigError

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """Where a server is; `path` without a slash at its end."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_url(text: str) -> Url:
    """Read "http://host:port/path".

    Raises:
        ConfigError: saying what is wrong.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f'address "{text}": {error}') from error
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if parts.scheme not in _PORTS or not parts.hostname or not is_plain:
        msg = f'address "{text}" is not of the form "http://host:port" or "https://host/path"'
        raise ConfigError(msg)
    if "@" in parts.netloc or parts.query or parts.fragment:
        msg = f'address "{text}" may hold no login, query or fragment'
        raise ConfigError(msg)
    chosen = _PORTS[parts.scheme] if port is None else port
    return Url(parts.scheme, parts.hostname, chosen, parts.path.rstrip("/"))
