"""Passphrases: from a file, the environment, a person; never handed on."""

import io
import os
from pathlib import Path

import pytest

from ambientd.adapters import passphrases
from ambientd.adapters.passphrases import VARIABLE, find_passphrase, read_passphrase
from ambientd.errors import ConfigError

SEALED = Path("node.key")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


def written(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "words"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_the_first_line_of_a_file_is_the_passphrase(tmp_path: Path, end: bytes) -> None:
    assert read_passphrase(written(tmp_path, "grüne Wiese ".encode() + end)) == "grüne Wiese "


def test_a_file_that_says_nothing_or_is_open_to_everybody_is_refused(tmp_path: Path) -> None:
    for data, mode, reason in (
        (b"", 0o600, "empty line"),
        (b"\nword", 0o600, "empty line"),
        (b"\xff", 0o600, "no text"),
        (b"word", 0o644, "chmod 600"),
    ):
        with pytest.raises(ConfigError, match=reason):
            read_passphrase(written(tmp_path, data, mode))
    with pytest.raises(ConfigError, match="cannot read the passphrase"):
        read_passphrase(tmp_path / "nothing")


def test_the_environment_s_passphrase_is_not_handed_on_to_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, "words")
    assert find_passphrase(None, [SEALED]) == "words"
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "words")
    assert find_passphrase(written(tmp_path, b"others"), [SEALED]) == "others"
    assert VARIABLE not in os.environ


def test_nobody_is_asked_where_nothing_is_sealed() -> None:
    assert find_passphrase(None, []) == ""


def test_where_nobody_can_be_asked_it_is_said_how_to_give_one() -> None:
    with pytest.raises(ConfigError, match=r"node\.key is sealed: .* --passphrase-file FILE or"):
        find_passphrase(None, [SEALED])


def test_a_person_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "words"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(passphrases.getpass, "getpass", answer)
    assert find_passphrase(None, [SEALED]) == "words"
    assert asked == ["passphrase of node.key: "]
