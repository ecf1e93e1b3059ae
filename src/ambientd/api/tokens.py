"""Tokens of the HTTP front end: a file of hashes, and the words that are shown once.

A token is `ambient_ID_SECRET`, both hex. The secret has 256 bits, so that one SHA-256 keeps it.
One for the name in a caller's TLS certificate has no words: to show the certificate is enough.
"""

import hashlib
import hmac
import os
import stat
from pathlib import Path

import msgspec

from ambientd.adapters.durable_files import replace_synced
from ambientd.adapters.keys import draw_secret
from ambientd.api.routes import Scope
from ambientd.errors import ConfigError, UsageError

PREFIX = "ambient"
TOKENS_MAX = 1_000
_ID_BYTES = 4
_SECRET_BYTES = 32
_FILE_BYTES_MAX = 1024 * 1024


class Token(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is kept of a token; `expires_ms` 0 means never."""

    id: str
    name: str
    scope: Scope
    secret_sha256: str
    created_ms: int
    expires_ms: int
    certificate: str = ""
    """The common name of the callers that it is for, where it has no secret."""

    def is_valid(self, now_ms: int) -> bool:
        """Tell whether it has not expired."""
        return not self.expires_ms or now_ms < self.expires_ms


def read_tokens(path: Path) -> list[Token]:
    """Read the tokens of a file; none where there is no file.

    Raises:
        ConfigError: the file is open to others, or damaged.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; the daemon's user must own it"
        raise ConfigError(msg) from error
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            msg = f"{path}: must be a file for its owner alone: chmod 600 {path}"
            raise ConfigError(msg)
        data = file.read(_FILE_BYTES_MAX)
    try:
        return msgspec.json.decode(data, type=list[Token])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        msg = f"{path}: is damaged ({error}); delete it and make new tokens"
        raise ConfigError(msg) from error


def create_token(
    path: Path, name: str, scope: Scope, now_ms: int, expires_ms: int, certificate: str = ""
) -> tuple[Token, str]:
    """Make a token, keep its hash, and give the words that nobody can show again.

    One that a certificate stands for has no words.
    """
    tokens = [each for each in read_tokens(path) if each.is_valid(now_ms)]
    if len(tokens) >= TOKENS_MAX:
        msg = f"{path}: holds {len(tokens)} tokens, which is the most; revoke some"
        raise UsageError(msg)
    if certificate and any(each.certificate == certificate for each in tokens):
        msg = f"{path}: there is a token for certificates of {certificate!r}; revoke it first"
        raise UsageError(msg)
    identity, secret = draw_secret(_ID_BYTES).hex(), draw_secret(_SECRET_BYTES).hex()
    token = Token(
        id=identity,
        name=name,
        scope=scope,
        secret_sha256="" if certificate else _hash(secret),
        created_ms=now_ms,
        expires_ms=expires_ms,
        certificate=certificate,
    )
    _write(path, [*tokens, token])
    return token, "" if certificate else f"{PREFIX}_{identity}_{secret}"


def revoke_token(path: Path, identity: str) -> Token:
    """Forget a token; raise UsageError for an unknown one."""
    tokens = read_tokens(path)
    for token in tokens:
        if token.id == identity:
            _write(path, [each for each in tokens if each is not token])
            return token
    msg = f"{path}: has no token {identity!r}; `ambientctl token list` shows those it has"
    raise UsageError(msg)


def _write(path: Path, tokens: list[Token]) -> None:
    data = msgspec.json.format(msgspec.json.encode(tokens), indent=2)
    try:
        replace_synced(path, path.with_name(f".{path.name}.draft"), data + b"\n")
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}; check the folder and its disk"
        raise ConfigError(msg) from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class TokenFile:
    """The tokens as they are now: a file that has changed is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def find(self, words: str, now_ms: int) -> Token | None:
        """Give the valid token that these words are; raise ConfigError for an unusable file."""
        prefix, _, rest = words.partition("_")
        identity, _, secret = rest.partition("_")
        self._refresh()
        token = self._tokens.get(identity)
        if token is None or prefix != PREFIX or not token.secret_sha256:
            return None
        is_right = hmac.compare_digest(_hash(secret), token.secret_sha256)
        return token if is_right and token.is_valid(now_ms) else None

    def find_by_certificate(self, name: str, now_ms: int) -> Token | None:
        """Give the valid token that a certificate's name stands for, if there is one."""
        self._refresh()
        found = (e for e in self._tokens.values() if e.certificate and e.certificate == name)
        return next((each for each in found if each.is_valid(now_ms)), None)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            seen = None
        if seen != self._seen or seen is None:
            self._tokens = {token.id: token for token in read_tokens(self._path)}
            self._seen = seen
