"""What makes worlds cheap and changes nothing in them: the same calls, answered faster.

Signatures come from a keyed hash instead of Ed25519: `QuickKeys` passes the contract of the real
ones as long as nobody works at breaking it, which no liar of the simulator does. Keys stay those
of Ed25519, so that members keep their order. What all receivers of one message would work out
alike is worked out once: pure functions of bytes that do not change.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any

from ambientd.codec import ed25519, secp256k1, signing
from ambientd.consensus import certificates, core, follower, messages
from ambientd.node import applying
from ambientd.telemetry import batch, cells
from ambientd.telemetry import core as telemetry
from sim import (
    block_checkers,
    checkers,
    crooked,
    epoch_checkers,
    judge,
    liars,
    node_epochs,
    peg_chain,
    replica,
)
from sim.mutants.patch import Patch, replaced
from sim.shared import SharedBlocks

REMEMBERED = 8192
"""Answers of each function."""


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


class QuickCurve:
    """Signatures on Bitcoin's curve for the simulator, in the form of the real ones."""

    key_of = staticmethod(lru_cache(maxsize=4096)(secp256k1.key_of))

    @classmethod
    def sign(cls, secret: int, digest: bytes) -> bytes:
        """Give 64 bytes that stand for this key and digest."""
        return cls._signature(cls.key_of(secret), digest)

    @classmethod
    def verify(cls, key: bytes, digest: bytes, signature: bytes) -> bool:
        """Tell whether `sign` gave this signature for this key and digest."""
        return signature == cls._signature(key, digest)

    @staticmethod
    def _signature(key: bytes, digest: bytes) -> bytes:
        # Both numbers lie between 1 and half of the curve's order, as those of the real ones do.
        found = blake2b(key + digest).digest()
        return b"\x01" + found[1:32] + b"\x01" + found[33:]


_PATCHES = (
    Patch(signing, "ed25519", lambda _: QuickKeys),
    Patch(judge, "verify", lambda _: QuickKeys.verify),
    Patch(secp256k1, "sign", lambda _: QuickCurve.sign),
    Patch(secp256k1, "verify", lambda _: QuickCurve.verify),
    Patch(peg_chain, "verify", lambda _: QuickCurve.verify),
    Patch(applying, "apply_block", SharedBlocks),
)
_SAID = (messages, replica, liars, checkers, node_epochs)
_HEADED = (
    *(messages, core, follower, certificates),
    *(liars, crooked, checkers, block_checkers, epoch_checkers),
)
_REMEMBERING = (
    *((each, "decode_message") for each in _SAID),
    *((each, "block_hash") for each in _HEADED),
    (certificates, "votes_are_signed"),
    (judge, "votes_are_signed"),
    (cells, "decode"),
    (batch, "in_order"),
    (batch, "observations_fault"),
    (telemetry, "readings_of"),
    (telemetry, "chosen"),
    (telemetry, "hash_of"),
)
"""Where a function is bound that is worked out once for all."""


@contextmanager
def quick() -> Iterator[None]:
    """Let worlds be cheap for a while."""

    @cache
    def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
        return lru_cache(maxsize=REMEMBERED)(function)

    with ExitStack() as stack:
        for owner, name in _REMEMBERING:
            stack.enter_context(replaced(Patch(owner, name, remembering)))
        for patch in _PATCHES:
            stack.enter_context(replaced(patch))
        yield
