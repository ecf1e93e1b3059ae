"""Kept machine code: given back as it was kept, for the same maker on the same device, or not."""

import logging
import os
from pathlib import Path

import pytest

from ambientd.adapters import compiled_files as subject
from ambientd.adapters.compiled_files import CompiledFiles, compiled_key
from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.ports.module_cache import ReadyModule
from ambientd.wasm.interface import Interface

KEY = compiled_key(bytes(32))
ENGINE = "wasmtime 50.0.1"


def ready(
    number: int = 0, code: bytes = b"machine code", *, is_compiled: bool = True
) -> ReadyModule:
    return ReadyModule(
        source=sha256(bytes([number])),
        prepared=sha256(b"prepared" + bytes([number])),
        interface=Interface.WASI,
        imports=("fd_write", "proc_exit"),
        code=code,
        is_compiled=is_compiled,
    )


@pytest.fixture
def files(tmp_path: Path) -> CompiledFiles:
    return CompiledFiles(tmp_path / "compiled", KEY)


def entry_of(files: CompiledFiles, module: ReadyModule) -> Path:
    return files.root / module.source.hex()


@pytest.mark.parametrize("is_compiled", [True, False])
def test_what_was_kept_is_found_again_after_a_restart(
    files: CompiledFiles, is_compiled: bool
) -> None:
    module = ready(is_compiled=is_compiled)
    assert files.find(module.source, ENGINE) is None
    files.keep(ENGINE, module)
    assert files.find(module.source, ENGINE) == module
    assert CompiledFiles(files.root, KEY).find(module.source, ENGINE) == module


def test_nobody_else_can_read_an_entry(files: CompiledFiles) -> None:
    files.keep(ENGINE, ready())
    assert entry_of(files, ready()).stat().st_mode & 0o777 == 0o600
    assert files.root.stat().st_mode & 0o777 == 0o700


def is_deleted_and_said(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture, engine: str = ENGINE
) -> bool:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = files.find(ready().source, engine)
    said = "deleted, it is compiled again" in caplog.text
    return found is None and said and not entry_of(files, ready()).exists()


def test_an_entry_with_any_byte_changed_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.keep(ENGINE, ready())
    whole = entry_of(files, ready()).read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        entry_of(files, ready()).write_bytes(changed)
        assert is_deleted_and_said(files, caplog), position


def test_an_entry_torn_or_extended_anywhere_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.keep(ENGINE, ready())
    whole = entry_of(files, ready()).read_bytes()
    for size_bytes in range(len(whole)):
        entry_of(files, ready()).write_bytes(whole[:size_bytes])
        assert is_deleted_and_said(files, caplog), size_bytes
    entry_of(files, ready()).write_bytes(whole + b"\0")
    assert is_deleted_and_said(files, caplog)


def test_an_entry_of_another_device_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    CompiledFiles(files.root, compiled_key(b"\1" * 32)).keep(ENGINE, ready())
    assert is_deleted_and_said(files, caplog)


def test_an_entry_under_another_modules_name_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.keep(ENGINE, ready(1))
    entry_of(files, ready(1)).rename(entry_of(files, ready()))
    assert is_deleted_and_said(files, caplog)


def test_an_entry_of_another_engine_version_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.keep("wasmtime 49.0.0", ready())
    assert is_deleted_and_said(files, caplog)


def test_an_entry_of_another_rewriter_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.keep(ENGINE, ready())
    monkeypatch.setattr(subject, "REWRITER_VERSION", 99)
    assert is_deleted_and_said(files, caplog)


def test_an_entry_made_on_another_processor_is_deleted(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.keep(ENGINE, ready())
    monkeypatch.setattr("platform.machine", lambda: "another")
    moved = CompiledFiles(files.root, KEY)
    assert is_deleted_and_said(moved, caplog)


def test_the_longest_unused_makes_room_also_after_a_restart(files: CompiledFiles) -> None:
    for number in range(3):
        files.keep(ENGINE, ready(number, bytes(1000)))
        os.utime(entry_of(files, ready(number)), (number, number))
    assert files.find(ready(0).source, ENGINE) is not None
    small = CompiledFiles(files.root, KEY, quota_bytes=files.used_bytes)
    small.keep(ENGINE, ready(3, bytes(1000)))
    kept = [small.find(ready(number).source, ENGINE) is not None for number in range(4)]
    assert kept == [True, False, True, True]
    assert small.used_bytes == sum(file.stat().st_size for file in files.root.iterdir())


def test_a_module_larger_than_the_quota_is_not_kept(files: CompiledFiles) -> None:
    small = CompiledFiles(files.root, KEY, quota_bytes=1000)
    small.keep(ENGINE, ready(0))
    small.keep(ENGINE, ready(1, bytes(1000)))
    assert small.find(ready(0).source, ENGINE) is not None
    assert small.find(ready(1).source, ENGINE) is None


def test_drafts_that_a_crash_left_are_removed(files: CompiledFiles) -> None:
    (files.root / ".draft").write_bytes(b"half")
    CompiledFiles(files.root, KEY)
    assert list(files.root.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="compiled modules"):
        CompiledFiles(tmp_path / "file" / "compiled", KEY)


def test_a_folder_that_is_gone_only_costs_the_entry(
    files: CompiledFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.root.rmdir()
    with caplog.at_level(logging.WARNING):
        files.keep(ENGINE, ready())
    assert "check the folder" in caplog.text
    assert files.find(ready().source, ENGINE) is None
    files.discard(ready().source)
