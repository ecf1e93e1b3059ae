"""modules.lock: what written names of modules mean on this device (protocols/15 section 4)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ambientd.errors import ConfigError

_Hex = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version: its publisher as it was written, the key that this meant, and its SHA-256s."""

    written: str
    publisher: _Hex
    name: str
    version: str
    module: _Hex
    manifest: _Hex

    @property
    def place(self) -> tuple[str, str, str]:
        """Give what there is one pin of."""
        return self.publisher, self.name, self.version


def decode_pins(data: bytes, where: str) -> tuple[Pin, ...]:
    """Read a lock file's bytes; raise ConfigError saying what is wrong with it."""
    try:
        return msgspec.json.decode(data, type=tuple[Pin, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{where}: does not read: {error}; mend it, or remove it and pin anew"
        raise ConfigError(msg) from error


def encode_pins(pins: tuple[Pin, ...]) -> bytes:
    """Give a lock file's bytes, for people to read and compare."""
    return msgspec.json.format(msgspec.json.encode(pins), indent=2) + b"\n"
