"""A body as it comes: what would take long of all of it at once is done with each piece."""

import hashlib

from ambientd.api.operations import OperationError
from ambientd.api.routes import BASE_PATH

PARTS_MAX = 4096
"""Values of a body, about: what is large in one is base64, in which none of these marks is."""
_MARKS = (b",", b"[", b"{")


class Body:
    """The bytes that are there; a hash over them, where it is wanted."""

    def __init__(self, *, is_hashed: bool) -> None:
        self.data = bytearray()
        self._marks = 0
        self._hasher = hashlib.sha256() if is_hashed else None

    def take(self, piece: bytes) -> None:
        """Take the next piece; raise OperationError once there are too many values."""
        self._marks += sum(map(piece.count, _MARKS))
        if self._marks > PARTS_MAX:
            msg = f"a body of more than {PARTS_MAX} values is not read here"
            raise OperationError("malformed", msg, f"{BASE_PATH}/docs shows what this node takes")
        if self._hasher is not None:
            self._hasher.update(piece)
        self.data += piece

    def digest(self) -> bytes:
        """Give the hash over all of it."""
        assert self._hasher is not None, "asked for at the beginning"
        return self._hasher.digest()
