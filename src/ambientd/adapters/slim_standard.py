"""Import a daemon's packages without OpenSSL, as far as it does without.

trio and anyio import `ssl` for connections that a daemon hardly ever makes: it comes with the
first of them. A slim node's hash functions are Python's own; OpenSSL's are faster for long data,
and are 4 MB of code and tables in each process. Afterwards `ssl` is there for whoever asks for it.
"""

import ctypes
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from ambientd.adapters.later import Later, put_in_place

_HASHED = ("hashlib", "hmac")
_M_ARENA_MAX = -8


def keep_one_arena() -> None:
    """Let all threads allocate from one arena, where the C library is glibc; before they start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


@contextmanager
def openssl_later(*, with_hashes: bool) -> Iterator[None]:
    """Import within the block what shall not load OpenSSL, or, `with_hashes`, only its TLS."""
    if not with_hashes:
        with put_in_place({"_hashlib": None}):
            for name in _HASHED:
                importlib.import_module(name)
    with put_in_place({"ssl": Later("ssl")}):
        yield
