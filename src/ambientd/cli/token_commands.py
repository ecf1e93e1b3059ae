"""ambientctl token create, list, revoke: who may ask a node over HTTP."""

import time
from pathlib import Path
from typing import Protocol

from ambientd.api.routes import Scope
from ambientd.api.tokens import Token, create_token, read_tokens, revoke_token
from ambientd.cli.console import (
    CommonArguments,
    data_dir_of,
    print_json,
    print_line,
    print_table,
    tell,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.config.load import load_config
from ambientd.config.places import Places
from ambientd.errors import UsageError

NAME_CHARS_MAX = 63


class CreateArguments(CommonArguments, Protocol):
    """Options of `token create`."""

    name: str
    scope: str
    expires_in: float
    certificate: str | None


class RevokeArguments(CommonArguments, Protocol):
    """Options of `token revoke`."""

    id: str


def create(arguments: CreateArguments) -> ExitCode:
    """Make a token and print it, this once."""
    if not arguments.name.isprintable() or not 0 < len(arguments.name) <= NAME_CHARS_MAX:
        msg = f"{arguments.name!r}: a token's name has 1 to {NAME_CHARS_MAX} printable characters"
        raise UsageError(msg)
    now_ms = _now_ms()
    expires_ms = now_ms + max(1, int(arguments.expires_in * 1000))
    scope = Scope(arguments.scope)
    file, certificate = _file(arguments), arguments.certificate
    if certificate is not None and not (
        certificate.isprintable() and 0 < len(certificate) <= NAME_CHARS_MAX + 1
    ):
        msg = f"{certificate!r}: a certificate's name has 1 to 64 printable characters"
        raise UsageError(msg)
    token, words = create_token(file, arguments.name, scope, now_ms, expires_ms, certificate or "")
    if certificate:
        return _told(arguments, token)
    if arguments.as_json:
        print_json({"id": token.id, "token": words, "scope": scope, "expires_ms": expires_ms})
        return ExitCode.DONE
    print_line(words)
    tell("keep it: only its hash is kept here; send it as `Authorization: Bearer TOKEN`")
    return ExitCode.DONE


def _told(arguments: CreateArguments, token: Token) -> ExitCode:
    """Say whom a token without words lets in, and what that needs."""
    if arguments.as_json:
        print_json(_line(token))
        return ExitCode.DONE
    print_line(f"certificates of {token.certificate}: {token.scope}, as token {token.id}")
    if not load_config(data_dir_of(arguments)).http.tls_client_ca:
        tell("this node asks for no certificates: set [http] tls_client_ca, and start it again")
    return ExitCode.DONE


def show(arguments: CommonArguments) -> ExitCode:
    """List the tokens."""
    tokens = read_tokens(_file(arguments))
    if arguments.as_json:
        print_json({"tokens": [_line(token) for token in tokens]})
        return ExitCode.DONE
    now_ms = _now_ms()
    head = ("ID", "NAME", "SCOPE", "EXPIRES", "CERTIFICATE")
    print_table(head, [_row(token, now_ms) for token in tokens])
    return ExitCode.DONE


def revoke(arguments: RevokeArguments) -> ExitCode:
    """End a token; the daemon sees it with the next request."""
    token = revoke_token(_file(arguments), arguments.id)
    if arguments.as_json:
        print_json(_line(token))
    else:
        print_line(f"revoked: {token.id} ({token.name})")
    return ExitCode.DONE


def _file(arguments: CommonArguments) -> Path:
    data_dir = data_dir_of(arguments)
    return Places(data_dir).http_file(load_config(data_dir).http.tokens)


def _line(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "created_ms": token.created_ms,
        "expires_ms": token.expires_ms,
        "certificate": token.certificate,
    }


def _row(token: Token, now_ms: int) -> tuple[str, ...]:
    left_h = (token.expires_ms - now_ms) // 3_600_000
    if not token.is_valid(now_ms):
        when = "expired"
    elif left_h < 48:
        when = f"in {left_h} h"
    else:
        when = f"in {left_h // 24} days"
    return token.id, token.name, str(token.scope), when, token.certificate


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
