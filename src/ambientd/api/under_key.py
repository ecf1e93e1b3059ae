"""What a handler knows of the Idempotency-Key that it is asked under, if it is.

Whatever moves money gives its record a time that is later than the last one's, and the ledger takes
such a record once. Asked again under its key, an operation must say the very same record; so the
time is on disk before the record leaves, and is the same in every attempt.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import msgspec
import trio
from msgspec.structs import fields

from ambientd.api.operation import OperationError
from ambientd.codec.digest import sha256, tagged


@dataclass(frozen=True, slots=True)
class Keyed:
    """A key as a front end heard it, and what came with it, as a hash."""

    key: str
    request: bytes
    as_bytes: bytes = b""
    """The hash by which version 0.1 knew it: of the bytes that it came as."""


class Attempt(Protocol):
    """One time that an operation is asked for under a key: `api.once` keeps these."""

    name: bytes
    said_ms: int
    """The time that an earlier attempt took; 0 when there was none."""

    async def fix(self, proposed_ms: int) -> int:
        """Keep a time durably and give it; give the one that is kept already."""
        ...

    def came_of(self, last_ms: int) -> int | None:
        """Give what the move of `said_ms` came to, None while it may still be proposed."""
        ...


_SMALL_BYTES = 64 * 1024
_encoder = msgspec.msgpack.Encoder(order="deterministic")


async def request_hash(request: msgspec.Struct) -> bytes:
    """Hash what a request says, however its caller wrote it.

    A field that has its default counts as not given, as it does to who never heard of it.
    """
    said = {
        each.encode_name: value
        for each in fields(request)
        if (value := getattr(request, each.name)) != _default(each)
    }
    data = _encoder.encode(said)
    if len(data) <= _SMALL_BYTES:
        return sha256(data)
    return await trio.to_thread.run_sync(sha256, data)


def _default(field: msgspec.structs.FieldInfo) -> object:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()


KEYED: ContextVar[Keyed | None] = ContextVar("keyed", default=None)
"""Set by a front end, which also says in `CALLER` whose key it is."""
ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""Set by `api.once` around a handler."""


async def fixed_ms(proposed_ms: int) -> int:
    """Give the time that a record is to say: under a key, the same in every attempt."""
    attempt = ATTEMPT.get()
    return proposed_ms if attempt is None else await attempt.fix(proposed_ms)


def came_before(last_ms: int) -> int | None:
    """Tell what came of the move that an earlier attempt under this key has begun.

    `last_ms` is the time of the account's last move. None: nothing yet, or nothing was begun; else
    it was taken, as the payment of this number or as none. Raise OperationError if it never will
    be, or if that cannot be told.
    """
    attempt = ATTEMPT.get()
    if attempt is None or not attempt.said_ms:
        return None
    return attempt.came_of(last_ms)


def is_keyed() -> bool:
    """Tell whether who asks may do so again for the same thing."""
    return ATTEMPT.get() is not None


def name_for(drawn: bytes) -> bytes:
    """Give a name for what is made: under a key always the same, else the one that was drawn."""
    attempt = ATTEMPT.get()
    if attempt is None:
        return drawn
    return tagged("ambient/made-under-key/1", attempt.name)[: len(drawn)]


def unknown_outcome() -> OperationError:
    """Give what is said where nobody knows whether a move was made."""
    msg = "the daemon ended while this was under way, and cannot tell whether it was done"
    hint = "look at `ambientctl account show`; a new key does it anew"
    return OperationError("outcome_unknown", msg, hint)
