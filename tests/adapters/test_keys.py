"""Key files: drawn once, private, never overwritten."""

import os
import stat
from pathlib import Path

import pytest

from ambientd.adapters.keys import (
    NODE_KEY,
    KeyKind,
    change_passphrase,
    create_key,
    draw_secret,
    is_sealed,
    load_key,
)
from ambientd.adapters.peg_keys import PEG_KEY
from ambientd.adapters.sealing import sealed
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


each_kind = pytest.mark.parametrize("kind", [NODE_KEY, PEG_KEY], ids=["node", "peg"])


@each_kind
def test_a_sealed_key_comes_back_with_its_passphrase_alone(tmp_path: Path, kind: KeyKind) -> None:
    path = tmp_path / "some.key"
    seed = create_key(path, "correct horse", kind)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_sealed(path, kind)
    assert seed not in path.read_bytes()
    assert load_key(path, "correct horse", kind) == seed
    with pytest.raises(ConfigError, match="does not open"):
        load_key(path, "correct hors", kind)
    with pytest.raises(ConfigError, match="is sealed: give its passphrase"):
        load_key(path, "", kind)


@pytest.mark.slow
@each_kind
def test_a_key_that_an_earlier_version_sealed_opens_until_it_is_sealed_anew(
    tmp_path: Path, kind: KeyKind
) -> None:
    path, seed = tmp_path / "some.key", bytes(range(32))
    mark = kind.sealed_mark[:-1] + b"\x02"
    path.write_bytes(mark + sealed(seed, "correct horse", mark))
    path.chmod(0o600)
    assert is_sealed(path, kind)
    assert load_key(path, "correct horse", kind) == seed
    change_passphrase(path, "correct horse", "battery staple", kind)
    assert path.read_bytes().startswith(kind.sealed_mark)
    assert load_key(path, "battery staple", kind) == seed


@each_kind
def test_a_passphrase_for_a_file_that_is_not_sealed_is_refused(
    tmp_path: Path, kind: KeyKind
) -> None:
    path = tmp_path / "some.key"
    create_key(path, kind=kind)
    with pytest.raises(ConfigError, match="not sealed: seal it with `ambientctl key passphrase`"):
        load_key(path, "correct horse", kind)


@pytest.mark.slow
@each_kind
def test_passphrases_are_set_changed_and_removed(tmp_path: Path, kind: KeyKind) -> None:
    path = tmp_path / "some.key"
    seed = create_key(path, kind=kind)
    for old, new in (("", "first"), ("first", "second"), ("second", "")):
        change_passphrase(path, old, new, kind)
        assert load_key(path, new, kind) == seed
        assert is_sealed(path, kind) is bool(new)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["some.key"]


def test_a_wrong_old_passphrase_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    create_key(path, "first")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="does not open"):
        change_passphrase(path, "other", "second")
    assert path.read_bytes() == before


def test_letters_that_keyboards_write_in_two_ways_are_one(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    seed = create_key(path, "Schl\u00fcssel")
    assert load_key(path, "Schlu\u0308ssel") == seed


@pytest.mark.slow
@each_kind
def test_every_damaged_byte_of_a_sealed_key_is_noticed(tmp_path: Path, kind: KeyKind) -> None:
    path = tmp_path / "some.key"
    create_key(path, "correct horse", kind)
    data = path.read_bytes()
    for place in (0, 8, 24, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ConfigError):
            load_key(path, "correct horse", kind)
    for size in (0, 8, 30, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ConfigError):
            load_key(path, "correct horse", kind)


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
