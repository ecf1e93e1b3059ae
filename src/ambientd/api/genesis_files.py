"""The genesis in a node's folder: as canonical bytes, and once more for people."""

from enum import Enum
from pathlib import Path

import msgspec

from ambientd import __version__
from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import fingerprint
from ambientd.config.places import Places
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.genesis import Genesis


def write_genesis(places: Places, genesis: Genesis) -> None:
    """Write the genesis as canonical bytes, and once more for people."""
    places.genesis.write_bytes(encode(genesis))
    readable = {"fingerprint": fingerprint(genesis).hex(), **_readable_struct(genesis)}
    text = msgspec.json.format(msgspec.json.encode(readable), indent=2)
    places.genesis_json.write_bytes(text + b"\n")


def load_genesis(path: Path) -> Genesis:
    """Read a node's genesis; raise ConfigError when it is missing or damaged."""
    try:
        genesis: Genesis = decode(path.read_bytes(), Genesis)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; is this a node's folder?"
        raise ConfigError(msg) from error
    except RemoteProtocolError as error:
        msg = (
            f"{path}: is damaged, or was written by another version of ambientd than {__version__} "
            f"({error}); run that version, or copy the file from another node of the cluster"
        )
        raise ConfigError(msg) from error
    _compare(path, genesis)
    fault = newer_fault(genesis)
    if fault is not None:
        msg = f"{path}: {fault}"
        raise ConfigError(msg)
    return genesis


def newer_fault(genesis: Genesis) -> str | None:
    """Say that a cluster began in a state version that this program does not know, or None."""
    version = genesis.state_version
    if version <= KNOWN_VERSION:
        return None
    knows = f"this program knows {KNOWN_VERSION}: update it"
    return f"the cluster was founded in state version {version}, {knows}"


def _compare(path: Path, genesis: Genesis) -> None:
    """Compare a genesis with the fingerprint beside it, if it is still there."""
    beside = Places(path.parent).genesis_json
    try:
        named = msgspec.json.decode(beside.read_bytes(), type=_Named).fingerprint
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return
    if named != fingerprint(genesis).hex():
        msg = (
            f"{path}: is damaged: it is not what {beside.name} beside it names; copy both from any "
            "other node of the cluster, and leave key and store as they are"
        )
        raise ConfigError(msg)


class _Named(msgspec.Struct, frozen=True):
    fingerprint: str


def _readable_struct(value: msgspec.Struct) -> dict[str, object]:
    return {name: _readable(getattr(value, name)) for name in value.__struct_fields__}


def _readable(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case msgspec.Struct():
            return _readable_struct(value)
        case tuple():
            return [_readable(item) for item in value]
        case Enum():
            return value.value
        case _:
            return value
