"""Key files: drawn once, private, never overwritten."""

import os
import stat
from pathlib import Path

import pytest

from ambientd.adapters.keys import create_key, draw_secret, load_key
from ambientd.errors import ConfigError


def test_a_created_key_is_private_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    seed = create_key(path)
    assert len(seed) == 32
    assert load_key(path) == seed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    seed = create_key(path)
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        create_key(path)
    assert load_key(path) == seed
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]


def test_two_keys_differ() -> None:
    assert draw_secret(32) != draw_secret(32)
    assert len(draw_secret(7)) == 7


def test_a_place_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write the key file .*missing/node\.key"):
        create_key(tmp_path / "missing" / "node.key")


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no key file .*node\.key: restore it from a backup, or create"
    ):
        load_key(tmp_path / "node.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.: chmod 600 {path}"):
        load_key(path)


@pytest.mark.parametrize("size", [0, 31, 33, 100_000])
def test_a_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=f"has {size} bytes, not 32"):
        load_key(path)


def test_a_key_that_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="not a plain file"):
            load_key(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConfigError, match="cannot read the key file"):
        load_key(tmp_path / "loop")
