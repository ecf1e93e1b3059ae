"""The secret and the headers of webhooks, as the Standard Webhooks document has them."""

import base64
import binascii
import hmac
from pathlib import Path

from ambientd.adapters.durable_files import write_synced
from ambientd.adapters.keys import draw_secret
from ambientd.errors import ConfigError

PREFIX = "whsec_"
_BYTES_MIN, _BYTES_MAX = 24, 64
_FILE_BYTES_MAX = 256


def make_secret(path: Path) -> str:
    """Draw a secret and keep it, for the owner alone; give the one that is there already."""
    if path.exists():
        read_secret(path)
        return path.read_text("ascii").strip()
    text = PREFIX + base64.b64encode(draw_secret(32)).decode()
    try:
        write_synced(path, f"{text}\n".encode())
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}; check the folder and its disk"
        raise ConfigError(msg) from error
    return text


def read_secret(path: Path) -> bytes:
    """Give what signs; raise ConfigError for a file that is not there, or holds no secret."""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; `ambientctl webhook secret` makes it"
        raise ConfigError(msg) from error
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(PREFIX) or not _BYTES_MIN <= len(secret) <= _BYTES_MAX:
        msg = f"{path}: holds no secret; delete it, and make one with `ambientctl webhook secret`"
        raise ConfigError(msg)
    return secret


def signed_headers(secret: bytes, event: str, time_s: int, body: bytes) -> dict[str, str]:
    """Give the headers of a POST; the time is in what is signed, so that none can be replayed."""
    signed = f"{event}.{time_s}.".encode() + body
    mac = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "content-type": "application/json",
        "webhook-id": event,
        "webhook-timestamp": str(time_s),
        "webhook-signature": f"v1,{mac}",
    }
