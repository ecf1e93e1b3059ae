"""Ed25519 signatures under a domain tag and a cluster fingerprint (protocols/01-signatures.md).

A signature is plain, 64 bytes, or a batch signature: one signature over the Merkle root of many
statements, and the path from this statement to that root, so that each still stands alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ambientd.codec import ed25519
from ambientd.codec.canonical import encode
from ambientd.codec.digest import tagged
from ambientd.codec.merkle import inclusion_proofs, leaf_hash, root_from_inclusion

SEED_BYTES = 32
PUBLIC_KEY_BYTES = ed25519.PUBLIC_KEY_BYTES
SIGNATURE_BYTES = ed25519.SIGNATURE_BYTES

CACHED_BYTES_MAX = 4096

BATCH_STATEMENTS_MAX = 1024
"""How many statements one signature may cover."""

_STEP_BYTES = 32
_PLACE_BYTES = 4
_PATH_MAX = (BATCH_STATEMENTS_MAX - 1).bit_length()
BATCH_SIGNATURE_BYTES_MAX = SIGNATURE_BYTES + _PLACE_BYTES + _STEP_BYTES * _PATH_MAX


def _statement(domain: str, cluster: bytes, payload: bytes) -> bytes:
    """Give what is really signed: a tagged hash, so no signature means two things."""
    # Large payloads are rare; kept, a few hundred of them would fill a small device's memory.
    hashed = _hashed if len(payload) <= CACHED_BYTES_MAX else _hashed.__wrapped__
    return hashed(domain, cluster, payload)


@lru_cache(maxsize=1024)
def _hashed(domain: str, cluster: bytes, payload: bytes) -> bytes:
    return tagged(f"ambient/{domain}/1", cluster, payload)


@dataclass(frozen=True, slots=True)
class Signer:
    """A node's signing key, bound to one cluster."""

    seed: bytes
    cluster: bytes

    @property
    def public_key(self) -> bytes:
        """Give the 32-byte Ed25519 public key, which is the node's id."""
        return ed25519.public_key(self.seed)

    def sign(self, domain: str, payload: bytes) -> bytes:
        """Sign `payload` for one domain; 64 bytes."""
        return ed25519.sign(self.seed, _statement(domain, self.cluster, payload))

    def sign_batch(self, domain: str, payloads: Sequence[bytes]) -> list[bytes]:
        """Sign many payloads at once: a batch signature for each, a plain one for one alone."""
        return self.sign_together([(domain, payload) for payload in payloads])

    def sign_together(self, said: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Sign payloads of any domains, each beside its domain, with one signature over them."""
        signatures: list[bytes] = []
        for first in range(0, len(said), BATCH_STATEMENTS_MAX):
            signatures += self._sign_tree(said[first : first + BATCH_STATEMENTS_MAX])
        return signatures

    def _sign_tree(self, said: Sequence[tuple[str, bytes]]) -> list[bytes]:
        count = len(said)
        if count == 1:
            return [self.sign(*said[0])]
        leaves = [leaf_hash(_statement(domain, self.cluster, payload)) for domain, payload in said]
        root, paths = inclusion_proofs(leaves)
        signature = self.sign("batch", _batch_payload(count, root))
        return [
            signature + _place(count, index) + b"".join(path) for index, path in enumerate(paths)
        ]

    def sign_note(self, text: bytes) -> bytes:
        """Sign a checkpoint note's text as it stands; its first line keeps it apart."""
        return ed25519.sign(self.seed, text)


def verify(
    public_key: bytes, domain: str, cluster: bytes, payload: bytes, signature: bytes
) -> bool:
    """Tell whether the key signed the payload for this domain and cluster; never raises.

    The rest of a batch costs hashes alone: what was verified over its root is remembered.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        return False
    statement = _statement(domain, cluster, payload)
    if len(signature) != SIGNATURE_BYTES:
        signed = _signed_batch(statement, signature)
        if signed is None:
            return False
        statement = _statement("batch", cluster, signed)
    return ed25519.verify(public_key, statement, signature[:SIGNATURE_BYTES])


def _batch_payload(count: int, root: bytes) -> bytes:
    """What is signed of a batch (domain `batch`)."""
    return encode((count, root))


def _place(count: int, index: int) -> bytes:
    """Give a statement's place in its batch, as it stands behind the signature."""
    return count.to_bytes(2, "big") + index.to_bytes(2, "big")


def _signed_batch(statement: bytes, signature: bytes) -> bytes | None:
    """Give what a batch signature says was signed, or None when it has no canonical form."""
    steps, odd_bytes = divmod(len(signature) - SIGNATURE_BYTES - _PLACE_BYTES, _STEP_BYTES)
    if odd_bytes or not 1 <= steps <= _PATH_MAX:
        return None
    path_at = SIGNATURE_BYTES + _PLACE_BYTES
    place = signature[SIGNATURE_BYTES:path_at]
    count, index = int.from_bytes(place[:2], "big"), int.from_bytes(place[2:], "big")
    if count > BATCH_STATEMENTS_MAX:
        return None
    path = [signature[at : at + _STEP_BYTES] for at in range(path_at, len(signature), _STEP_BYTES)]
    root = root_from_inclusion(leaf_hash(statement), index, count, path)
    return None if root is None else _batch_payload(count, root)


def verify_note(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Tell whether the key signed a checkpoint note's text as it stands (C2SP signed-note)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return ed25519.verify(public_key, text, signature)
