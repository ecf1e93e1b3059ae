"""Tokens of the HTTP front end: kept as hashes, for their owner alone, until they expire."""

import stat
from pathlib import Path

import pytest

from ambientd.api.routes import Scope
from ambientd.api.tokens import TokenFile, create_token, read_tokens, revoke_token
from ambientd.errors import ConfigError, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "http.tokens"


def test_a_token_is_found_by_its_words_until_it_expires(path: Path) -> None:
    token, words = create_token(path, "ci", Scope.SUBMIT, now_ms=10, expires_ms=100)
    file = TokenFile(path)
    assert file.find(words, 99) == token
    assert file.find(words, 100) is None


def test_the_file_holds_no_secret_and_is_its_owners_alone(path: Path) -> None:
    _, words = create_token(path, "ci", Scope.READ, now_ms=10, expires_ms=0)
    assert words.rpartition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(path)


def test_a_revoked_token_is_unknown_at_once(path: Path) -> None:
    token, words = create_token(path, "ci", Scope.READ, now_ms=10, expires_ms=0)
    file = TokenFile(path)
    assert file.find(words, 10) is not None
    revoke_token(path, token.id)
    assert file.find(words, 10) is None
    with pytest.raises(UsageError, match="token list"):
        revoke_token(path, token.id)


@pytest.mark.parametrize(
    "change",
    [
        lambda words: words + "0",
        lambda words: words[:-1],
        lambda words: words.replace("ambient", "Ambient"),
        lambda words: words.upper(),
        lambda words: words.rpartition("_")[2],
        lambda words: words.rpartition("_")[0],
        lambda words: words + "\ud800",
        lambda _: "",
    ],
)
def test_words_that_differ_anywhere_are_nobodys(path: Path, change: object) -> None:
    _, words = create_token(path, "ci", Scope.READ, now_ms=10, expires_ms=0)
    assert TokenFile(path).find(change(words), 10) is None  # type: ignore[operator]


@pytest.mark.parametrize("data", [b"", b"{", b"[{}]", b"[" * 9_000, b"\xff"])
def test_a_damaged_file_says_what_to_do(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="delete it"):
        read_tokens(path)


def test_expired_tokens_make_room(path: Path) -> None:
    create_token(path, "old", Scope.READ, now_ms=10, expires_ms=20)
    create_token(path, "new", Scope.READ, now_ms=20, expires_ms=0)
    assert [token.name for token in read_tokens(path)] == ["new"]


def test_a_certificates_name_stands_for_one_token_which_no_words_are(path: Path) -> None:
    token, words = create_token(path, "ci", Scope.READ, 10, 100, certificate="laptop")
    assert words == ""
    file = TokenFile(path)
    assert file.find_by_certificate("laptop", 99) == token
    assert file.find_by_certificate("laptop", 100) is None
    assert file.find_by_certificate("", 50) is None
    assert file.find_by_certificate("Laptop", 50) is None
    assert file.find(f"ambient_{token.id}_", 50) is None
    with pytest.raises(UsageError, match="revoke it first"):
        create_token(path, "more", Scope.ADMIN, 10, 100, certificate="laptop")
    revoke_token(path, token.id)
    assert file.find_by_certificate("laptop", 50) is None


def test_the_name_of_no_certificate_stands_for_a_token_with_words(path: Path) -> None:
    create_token(path, "ci", Scope.ADMIN, 10, 0)
    assert TokenFile(path).find_by_certificate("", 50) is None
