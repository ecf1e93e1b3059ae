"""SHA-256 with domain tags: a hash of one kind of thing never stands for another."""

import functools
import hashlib


def sha256(data: bytes) -> bytes:
    """Hash plain bytes; used for content identifiers of modules, inputs and outputs."""
    return hashlib.sha256(data).digest()


@functools.cache
def _named(tag: str) -> bytes:
    """Give the bytes of a tag; there are few tags."""
    name = tag.encode("ascii")
    return bytes([len(name)]) + name


def tagged(tag: str, *parts: bytes) -> bytes:
    """Hash parts, each preceded by its length, under a domain tag (protocols/01 section 2)."""
    data = _named(tag)
    for part in parts:  # there are few, and adding them up is faster than joining a list
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).digest()
