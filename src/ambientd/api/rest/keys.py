"""Idempotency keys: a request that is sent again under its key is the same request."""

from collections import OrderedDict

from ambientd.api.operations import OperationError
from ambientd.codec.digest import tagged

KEYS_MAX = 4096
KEY_CHARS_MAX = 64


class Keys:
    """Turns a caller's key into the name that an operation is known by.

    The name alone makes the log take a request once. What is kept here, for the newest keys, tells
    a caller that has sent something else under a key.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[bytes, bytes] = OrderedDict()

    def name(self, client: str, key: str, body_hash: bytes) -> bytes:
        """Give the name; raise OperationError for a key that cannot be one, or is taken."""
        if not 0 < len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
            msg = f"an Idempotency-Key has 1 to {KEY_CHARS_MAX} printable ASCII characters"
            raise OperationError("malformed", msg)
        name = tagged("ambient/idempotency-key/1", client.encode(), key.encode())
        if self._bodies.setdefault(name, body_hash) != body_hash:
            msg = "this Idempotency-Key came with another request before"
            raise OperationError("reused_key", msg, "take a new key for a new request")
        self._bodies.move_to_end(name)
        while len(self._bodies) > KEYS_MAX:
            self._bodies.popitem(last=False)
        return name
