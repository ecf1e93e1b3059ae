"""Certificates against convicted nodes lie in a folder, each wholly or not at all."""

from pathlib import Path

import pytest

from ambientd.adapters.certificate_files import FOLDER_BYTES_MAX, CertificateFiles
from ambientd.errors import StoreError

NODE = b"n" * 32


def test_a_certificate_comes_back_and_a_later_one_takes_its_place(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path / "blame")
    assert not files.has(NODE)
    assert files.get(NODE) is None
    for data in (b"first", b"second"):
        files.keep(NODE, data)
        assert files.has(NODE)
        assert files.get(NODE) == data
    (path,) = (tmp_path / "blame").iterdir()
    assert (path.name, path.stat().st_mode & 0o077) == (f"{NODE.hex()}.blame", 0)


def test_a_draft_that_a_crash_left_is_written_anew(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    (tmp_path / f"{NODE.hex()}.draft").write_bytes(b"half a")
    assert not files.has(NODE)
    files.keep(NODE, b"whole")
    assert files.get(NODE) == b"whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "blame").write_bytes(b"")
    with pytest.raises(StoreError, match="make room or check the folder"):
        CertificateFiles(tmp_path / "blame").keep(NODE, b"data")


def test_a_folder_that_is_full_takes_no_more_and_says_what_to_do(tmp_path: Path) -> None:
    with (tmp_path / "other.blame").open("wb") as other:
        other.truncate(FOLDER_BYTES_MAX)
    with pytest.raises(StoreError, match="move certificates that you have seen elsewhere"):
        CertificateFiles(tmp_path).keep(NODE, b"data")
    assert not CertificateFiles(tmp_path).has(NODE)
