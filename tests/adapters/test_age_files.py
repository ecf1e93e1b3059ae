"""Files sealed in the age format: what opens them, and what does not."""

import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters import age_files
from ambientd.errors import ConfigError, StoreError, UsageError


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "backup.key"
    return path, age_files.create_identity(path)


def sealed_file(folder: Path, data: bytes, *recipients: str) -> Path:
    path = folder / "sealed"
    with path.open("wb") as file:
        age_files.seal(io.BytesIO(data), file, age_files.recipients_of(recipients))
    return path


def opened(path: Path, identity: Path) -> bytes:
    clear = io.BytesIO()
    age_files.unseal(path, clear, identity)
    return clear.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_what_is_sealed_comes_back_whole(tmp_path: Path, keys: tuple[Path, str], size: int) -> None:
    data = os.urandom(size)
    path = sealed_file(tmp_path, data, keys[1])
    assert age_files.is_sealed(path)
    assert data not in path.read_bytes() or size < 2
    assert opened(path, keys[0]) == data


def test_each_of_several_keys_opens_it_and_no_other(tmp_path: Path, keys: tuple[Path, str]) -> None:
    second, third = tmp_path / "second", tmp_path / "third"
    path = sealed_file(tmp_path, b"the log", keys[1], age_files.create_identity(second))
    assert opened(path, keys[0]) == opened(path, second) == b"the log"
    age_files.create_identity(third)
    with pytest.raises(StoreError, match="is not sealed to a key of"):
        opened(path, third)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_no_changed_byte_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("age")
    key = folder / "key"
    path = sealed_file(folder, bytes(3_000), age_files.create_identity(key))
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= flip
    path.write_bytes(data)
    with pytest.raises(StoreError):
        opened(path, key)


def test_a_secret_key_is_for_its_owner_alone_and_never_overwritten(keys: tuple[Path, str]) -> None:
    path, recipient = keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert recipient in path.read_text()
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        age_files.create_identity(path)


@pytest.mark.parametrize("text", ["", "age1", "age1qqqq", "ssh-ed25519 AAAA"])
def test_what_is_no_public_key_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="is no public key of age"):
        age_files.recipients_of([text])


@pytest.mark.parametrize("text", ["AGE-SECRET-KEY-1QQ", "age-secret-key-1qq"])
def test_a_secret_key_in_the_place_of_a_public_one_is_not_printed(text: str) -> None:
    with pytest.raises(UsageError, match="draw another") as error:
        age_files.recipients_of([text])
    assert text not in str(error.value)


@pytest.mark.parametrize("text", ["", "# only remarks\n", "AGE-SECRET-KEY-1QQ\n", "\xff\n"])
def test_what_is_no_identity_is_refused_by_name(
    tmp_path: Path, keys: tuple[Path, str], text: str
) -> None:
    path = sealed_file(tmp_path, b"x", keys[1])
    other = tmp_path / "other"
    other.write_text(text, "latin-1")
    with pytest.raises(ConfigError, match=str(other)):
        opened(path, other)
    with pytest.raises(ConfigError, match="cannot read the identity"):
        opened(path, tmp_path / "missing")
