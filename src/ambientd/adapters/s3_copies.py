"""Copies of a log in a bucket of any S3-compatible store, by obstore, which comes on wish.

Keys, region and endpoint come from the environment, under the names that every tool for S3 reads:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL of a store of one's own.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from ambientd.errors import ConfigError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import WritableFile
    from obstore.store import S3Store

SCHEME: Final = "s3://"
_PART_BYTES: Final = 8 * 1024 * 1024
"""Of at most 10,000 parts; two of them are held in memory."""
_PARTS_AT_ONCE: Final = 2
_WAY: Final = {"timeout": "300s", "connect_timeout": "10s", "allow_http": True}
"""Without TLS only where the endpoint says so; its keys sign and never travel."""
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BEFORE_HOST: Final = re.compile(r"//[^/\s]*@")


class S3Draft:
    """An object that is not there before its last byte is."""

    def __init__(self, file: WritableFile, where: str) -> None:
        self._file = file
        self._where = where
        self._size_bytes = 0

    def write(self, data: bytes, /) -> int:
        """Take some more bytes."""
        with told(self._where):
            self._file.write(data)
        self._size_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: parts go when they are full."""

    def keep(self) -> int:
        """Let the store put the parts together."""
        with told(self._where):
            self._file.close()
        return self._size_bytes

    def drop(self) -> None:
        """Do nothing: what is not closed is no object, and its parts are the store's to forget."""


class S3Copies:
    """All copies below one prefix of a bucket."""

    def __init__(self, url: str) -> None:
        bucket, prefix = bucket_and_prefix(url)
        self._where = f"{SCHEME}{bucket}/{prefix}".rstrip("/")
        self._store = store_of(bucket, prefix)

    @property
    def where(self) -> str:
        """Name bucket and prefix."""
        return self._where

    def begin(self, name: str) -> S3Draft:
        """Begin a copy; two that begin at once under one name are not told apart."""
        import obstore

        where = f"{self._where}/{name}"
        with told(where):
            if self._has(name):
                msg = f"{where} exists already and is not overwritten: name another"
                raise UsageError(msg)
            file = obstore.open_writer(
                self._store, name, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        return S3Draft(file, where)

    def _has(self, name: str) -> bool:
        import obstore

        try:
            obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        """Name the objects right below the prefix."""
        import obstore

        with told(self._where):
            found = obstore.list_with_delimiter(self._store)["objects"]
            return [each["path"].rpartition("/")[2] for each in found]

    def drafts(self) -> list[str]:
        """Name nothing: what is not whole is not seen."""
        return []

    def drop_draft(self, name: str) -> None:
        """Do nothing."""

    def delete(self, name: str) -> None:
        """Remove an object."""
        import obstore

        with told(f"{self._where}/{name}"):
            obstore.delete(self._store, name)

    def fetch(self, name: str, into: BinaryIO) -> None:
        """Write what an object holds into a file."""
        import obstore

        with told(f"{self._where}/{name}"):
            into.writelines(obstore.get(self._store, name))


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Take s3://BUCKET/FOLDER apart; raise UsageError for what names no bucket."""
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{url}: name a bucket, as in s3://BUCKET/FOLDER")
    return bucket, prefix.strip("/")


def store_of(bucket: str, prefix: str) -> S3Store:
    """Give the part of a bucket below a prefix; raise ConfigError where there is no way to one."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        msg = "an S3 store needs obstore: pip install 'ambientd[s3]'"
        raise ConfigError(msg) from error
    try:
        with _no_panic():
            return S3Store(
                bucket,
                prefix=prefix or None,
                client_options=_WAY,
                retry_config={"max_retries": 3},
            )
    except (BaseError, OSError, ValueError) as error:
        raise ConfigError(f"{SCHEME}{bucket}: {_first_line(error)}") from error


@contextmanager
def _no_panic() -> Iterator[None]:
    """Raise OSError for a bug in the library, which else no supervision would take for an error.

    Text that it did not expect, in an address above all, panics in Rust; that is no Exception.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise OSError(f"{error}") from error


@contextmanager
def told(where: str) -> Iterator[None]:
    """Raise StoreError for what the store, or the way to it, refuses."""
    from obstore.exceptions import BaseError

    try:
        with _no_panic():
            yield
    except ValueError as error:
        raise UsageError(f"{where}: {_first_line(error)}") from error
    except FileNotFoundError as error:
        raise StoreError(f"{where} is not there, or its bucket is not") from error
    except (BaseError, OSError) as error:
        msg = (
            f"{where}: {_first_line(error)}; see AWS_ENDPOINT_URL, AWS_REGION and the keys in the "
            "environment of the program that says this"
        )
        raise StoreError(msg) from error


def _first_line(error: Exception) -> str:
    """Give what a person reads of an error; the rest is about the library's inside.

    It has the endpoint in it, with what its owner may have put before the host, and words of the
    server's, which go to logs and terminals.
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    line = _BEFORE_HOST.sub("//", line)[:300]
    return "".join(each if each.isprintable() else "?" for each in line)
