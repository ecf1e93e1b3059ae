"""The block log gives back what was synced, and survives a torn tail."""

from pathlib import Path

import pytest

from ambientd.adapters.regtest.block_log import BlockLog

BLOCKS = [b"first", b"second" * 100, b""]


def written(path: Path) -> bytes:
    log = BlockLog(path)
    for raw in BLOCKS:
        log.append(raw)
    log.sync()
    log.close()
    return path.read_bytes()


def replayed(path: Path) -> list[bytes]:
    log = BlockLog(path)
    blocks = list(log.replay())
    log.close()
    return blocks


def test_what_was_synced_comes_back_in_order(tmp_path: Path) -> None:
    written(tmp_path / "log")
    assert replayed(tmp_path / "log") == BLOCKS


@pytest.mark.parametrize("tail", [b"\x05", b"\x05\x00\x00\x00\x00\x00\x00\x00ab", b"\xff" * 9])
def test_a_torn_tail_is_cut_off_and_the_log_goes_on_behind_it(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "log"
    whole = written(path)
    path.write_bytes(whole + tail)
    log = BlockLog(path)
    assert list(log.replay()) == BLOCKS
    assert path.read_bytes() == whole
    log.append(b"next")
    log.sync()
    log.close()
    assert replayed(path) == [*BLOCKS, b"next"]


def test_a_record_with_a_flipped_bit_ends_the_replay(tmp_path: Path) -> None:
    path = tmp_path / "log"
    damaged = bytearray(written(path))
    damaged[8 + 5 + 8] ^= 1
    path.write_bytes(damaged)
    assert replayed(path) == BLOCKS[:1]
