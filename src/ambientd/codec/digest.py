"""SHA-256 with domain tags: a hash of one kind of thing never stands for another."""

import hashlib


def sha256(data: bytes) -> bytes:
    """Hash plain bytes; used for content identifiers of modules, inputs and outputs."""
    return hashlib.sha256(data).digest()


def tagged(tag: str, *parts: bytes) -> bytes:
    """Hash parts, each preceded by its length, under a domain tag (protocols/01 section 2)."""
    name = tag.encode("ascii")
    state = hashlib.sha256(bytes([len(name)]) + name)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()
