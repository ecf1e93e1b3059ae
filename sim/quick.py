"""What makes worlds cheap and changes nothing in them: the same calls, answered faster.

Signatures come from a keyed hash instead of Ed25519: `QuickKeys` passes the contract of the real
ones as long as nobody works at breaking it, which no liar of the simulator does. Keys stay those
of Ed25519, so that members keep their order. What all receivers of one message would work out
alike is worked out once: pure functions of bytes that do not change.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from ambientd.codec import ed25519, signing
from ambientd.consensus import certificates, core, follower, messages
from ambientd.telemetry import cells
from sim import checkers, replica
from sim.mutants.patch import Patch, replaced

REMEMBERED = 8192


class QuickKeys:
    """Signatures for the simulator: right for who signed, wrong for whatever else."""

    @staticmethod
    @lru_cache(maxsize=65_536)
    def public_key(seed: bytes) -> bytes:
        """Give the 32-byte key that a seed stands for, the one that Ed25519 has."""
        return ed25519.public_key(seed)

    @classmethod
    def sign(cls, seed: bytes, message: bytes) -> bytes:
        """Give 64 bytes that stand for this key and message."""
        return blake2b(cls.public_key(seed) + message).digest()

    @staticmethod
    def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether `sign` gave this signature for this key and message."""
        return signature == blake2b(public_key + message).digest()


def _remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    return lru_cache(maxsize=REMEMBERED)(function)


_PATCHES = (
    Patch(signing, "ed25519", lambda _: QuickKeys),
    Patch(messages, "decode_message", _remembering),
    Patch(cells, "decode", _remembering),
    Patch(replica, "decode_message", _remembering),
    Patch(checkers, "decode_message", _remembering),
    Patch(messages, "block_hash", _remembering),
    Patch(checkers, "block_hash", _remembering),
    Patch(core, "block_hash", _remembering),
    Patch(follower, "block_hash", _remembering),
    Patch(certificates, "block_hash", _remembering),
)


@contextmanager
def quick() -> Iterator[None]:
    """Let worlds be cheap for a while."""
    with ExitStack() as stack:
        for patch in _PATCHES:
            stack.enter_context(replaced(patch))
        yield
