"""A state version 2 of its own, not the one that is shipped: for worlds in which programs change.

Its accounts are written otherwise, and what fees bring goes to the reserve, at once and after each
block. A program that knows it is one with `NEXT_VERSIONS` for its versions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.entries import META_KEY, Account, Entry, Key, Meta, Table
from ambientd.ledger.versions import Changes, Encoding, StateVersion, Versions

if TYPE_CHECKING:
    from ambientd.ledger.draft import Draft

NUMBER = 2


def _encode(entry: Entry) -> bytes:
    return encode((NUMBER, cast("Account", entry).balance_msat))


def _decode(data: bytes) -> Entry:
    row: tuple[int, int] = decode(data, tuple[int, int])
    if row[0] != NUMBER:
        msg = f"an account of version {row[0]}"
        raise RemoteProtocolError(msg)
    return Account(balance_msat=row[1])


def _to_the_reserve(meta: Meta) -> Meta:
    reserve_msat = meta.reserve_msat + meta.fee_pool_msat
    return replace(meta, fee_pool_msat=0, reserve_msat=reserve_msat)


def _step(items: Mapping[Key, Entry]) -> Changes:
    return {META_KEY: _to_the_reserve(cast("Meta", items[META_KEY]))}


def _move(block: "Draft") -> None:
    block.put_meta(_to_the_reserve(block.meta))


OLDER_VERSIONS = Versions(StateVersion(NUMBER - 1))
"""What the program knows that is replaced."""

NEXT_VERSIONS = Versions(
    StateVersion(NUMBER - 1),
    StateVersion(
        NUMBER,
        encodings=MappingProxyType({Table.ACCOUNT: Encoding(_encode, _decode)}),
        step=_step,
        moves=(_move,),
    ),
)
