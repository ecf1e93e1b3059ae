"""What `receipt verify` says of the wrong files, and of a receipt that is not valid."""

from pathlib import Path

import msgspec
import pytest

from ambientd.codec.canonical import encode
from tests.cli.conftest import Ctl
from tests.rules.receipts import agreed, file_of

TRUST = "What you still have to trust"


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    path = tmp_path / "a.receipt"
    path.write_bytes(encode(file_of(agreed(), b"n")))
    return path


def test_two_files_are_told_to_come_one_after_the_other(ctl: Ctl, receipt: Path) -> None:
    code, _, err = ctl("receipt", "verify", receipt, receipt)
    assert code == 2
    assert "is one word too many: one receipt is checked at a time" in err


def test_what_is_too_large_for_a_receipt_is_none_and_nobody_is_told_to_make_it_smaller(
    ctl: Ctl,
) -> None:
    code, _, err = ctl("receipt", "verify", "/dev/zero")
    assert code == 2
    assert "too many for one: check the path" in err
    assert "smaller" not in err


def test_headers_that_are_not_there_are_named_with_how_to_get_them(
    ctl: Ctl, receipt: Path, tmp_path: Path
) -> None:
    code, _, err = ctl("receipt", "verify", receipt, "--headers", tmp_path / "none")
    assert code == 2
    assert f"--headers {tmp_path / 'none'}: there is no such file" in err
    assert "`ambientctl headers export FILE`" in err
    assert "`ambientctl headers sync FILE --network NETWORK --esplora URL`" in err


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b'{"valid": true}', b"\xff" * 99, b"\x94\x01"])
def test_a_foreign_file_is_called_no_receipt_file_and_no_more(
    ctl: Ctl, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "b").write_bytes(data)
    code, out, _ = ctl("receipt", "verify", tmp_path / "b")
    assert code == 4
    [line, *_] = out.splitlines()
    assert line.startswith("FAIL  format  this is no receipt file")
    assert line.endswith("`ambientctl receipt get TASK`")


def test_what_is_left_to_trust_is_said_of_a_valid_receipt_alone(ctl: Ctl, receipt: Path) -> None:
    code, out, _ = ctl("receipt", "verify", receipt)
    assert (code, TRUST in out) == (0, True)
    code, out, _ = ctl("receipt", "verify", receipt, "--cluster", "ab" * 32)
    assert (code, TRUST in out) == (4, False)
    assert out.endswith("a.receipt: NOT VALID\n")
    code, out, _ = ctl("receipt", "verify", receipt, "--cluster", "ab" * 32, "--json")
    assert msgspec.json.decode(out)["trust"] == []
