"""Ed25519 signatures under a domain tag and a cluster fingerprint (protocols/01-signatures.md)."""

from dataclasses import dataclass
from functools import lru_cache

from ambientd.codec import ed25519
from ambientd.codec.digest import tagged

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


@lru_cache(maxsize=1024)
def _statement(domain: str, cluster: bytes, payload: bytes) -> bytes:
    """Give what is really signed: a tagged hash, so no signature means two things."""
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

    def sign_note(self, text: bytes) -> bytes:
        """Sign a checkpoint note's text as it stands; its first line keeps it apart."""
        return ed25519.sign(self.seed, text)


def verify(
    public_key: bytes, domain: str, cluster: bytes, payload: bytes, signature: bytes
) -> bool:
    """Tell whether the key signed the payload for this domain and cluster; never raises."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return ed25519.verify(public_key, _statement(domain, cluster, payload), signature)


def verify_note(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Tell whether the key signed a checkpoint note's text as it stands (C2SP signed-note)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return ed25519.verify(public_key, text, signature)
