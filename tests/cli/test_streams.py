"""What ambientctl writes to files, to pipes and to a terminal, and what it refuses to take."""

import io
import re
import sys
import time
from pathlib import Path

import msgspec
import pytest

from ambientd.cli import files
from ambientd.errors import UsageError
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import ECHO, DeskNode

pytestmark = pytest.mark.net


class Screen(io.TextIOWrapper):
    """A terminal that remembers what was written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())

    def isatty(self) -> bool:
        return True

    def shown(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


@pytest.fixture
def wasm(tmp_path: Path) -> Path:
    path = tmp_path / "m.wasm"
    path.write_bytes(ECHO)
    return path


@pytest.mark.parametrize("data", [b"\0", b"\x1b[2J", b"\xff\xfe", "\u202e".encode()])
def test_bytes_that_disturb_a_terminal_are_not_written_to_one_unasked(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(UsageError, match="-o FILE, pipe it on, or insist with -o -"):
        files.print_bytes(data)
    assert screen.shown() == b""
    files.write_file("-", data)
    assert screen.shown() == data


def test_text_is_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    files.print_bytes("größer\n\tals 3\n".encode())
    assert screen.shown().startswith("größer".encode())


def test_an_output_that_is_no_text_is_kept_back_from_a_terminal_but_not_lost(
    live: Path, ctl: Ctl, wasm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").write_bytes(b"\0\1")
    with monkeypatch.context() as patch:
        screen = Screen()
        patch.setattr(sys, "stdout", screen)
        code, _, err = ctl("run", wasm, "--input", tmp_path / "input", "--nonce", "ab")
        assert (code, screen.shown()) == (2, b"")
    told = re.search(r"`ambientctl (task output \w+ -o) FILE` has it", err)
    assert told is not None
    assert ctl(*told[1].split(), tmp_path / "output")[0] == 0
    assert (tmp_path / "output").read_bytes() == b"\0\1"


def test_standard_output_is_a_file_that_is_named_by_a_dash(
    live: Path, ctl: Ctl, wasm: Path, tmp_path: Path
) -> None:
    data = tmp_path / "input"
    data.write_text("hallo")
    code, out, _ = ctl("run", wasm, "--input", data, "-o", "-")
    assert (code, out) == (0, "hallo")
    code, out, err = ctl("run", wasm, "--input", data, "--output", "-", "--json", "--nonce", "ab")
    assert (code, out) == (0, "hallo")
    assert '"outcome":"completed"' in err
    task = ctl("task", "list", "--json")[1].split('"task_id":"')[1][:64]
    assert ctl("task", "output", task, "-o", "-")[1] == "hallo"
    code, out, err = ctl("receipt", "get", task, "-o", "-")
    assert (code, out) == (0, "rcpt")
    assert "receipt: " in err
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--price", "0"), "--price: 0 is too few"),
        (("--attempts", "0"), "--attempts: 0 is too few"),
        (("--deadline", "0"), "--deadline: 0 seconds are over at once"),
        (("--class", ""), "--class: it is empty"),
        (("--strategy", " "), "--strategy: it is empty"),
        (("--memory-max", "0"), "--memory-max: '0' is too little: 1 byte or more"),
        (("--output-max", "0KiB"), "--output-max: '0KiB' is too little: 1 byte or more"),
    ],
)
def test_what_says_nothing_is_not_taken_for_the_default(
    ctl: Ctl, wasm: Path, words: tuple[str, ...], said: str
) -> None:
    code, out, err = ctl("run", wasm, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_span_that_is_over_at_once_is_refused(ctl: Ctl) -> None:
    code, out, err = ctl("witness", "run", "witness", "--period", "0")
    assert (code, out) == (2, "")
    assert "0 seconds are over at once" in err


@pytest.mark.parametrize("text", ["0", "", "0h", "2y", "400d", "31536001", "soon", "-5"])
def test_a_token_lives_between_a_second_and_a_year(ctl: Ctl, text: str) -> None:
    code, out, err = ctl("token", "create", "laptop", f"--expires-in={text}")
    assert (code, out) == (2, "")
    assert "no time from a second to a year, such as 3600, 12h or 90d" in err


@pytest.mark.parametrize(("text", "hours"), [("3600", 1), ("12h", 12), ("90d", 90 * 24)])
def test_how_long_a_token_lives_is_said_with_a_unit_or_in_seconds(
    ctl: Ctl, data_dir: Path, text: str, hours: int
) -> None:
    (data_dir / "config.toml").touch()
    before_ms = time.time_ns() // 1_000_000
    told = msgspec.json.decode(ctl("token", "create", "laptop", "--json", "--expires-in", text)[1])
    assert 0 <= told["expires_ms"] - before_ms - hours * 3_600_000 < 60_000


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_a_certificate_without_a_name_makes_no_token(ctl: Ctl, data_dir: Path, name: str) -> None:
    (data_dir / "config.toml").touch()
    code, out, err = ctl("token", "create", "laptop", "--certificate", name)
    assert (code, out) == (2, "")
    assert "a certificate's name has 1 to 64 printable characters" in err
    assert ctl("token", "list", "--json")[1] == '{"tokens":[]}\n'


def test_an_empty_receipt_file_is_called_empty(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "a.receipt").touch()
    code, out, _ = ctl("receipt", "verify", tmp_path / "a.receipt")
    assert code == 4
    assert "this is no receipt file, it is empty: get it again" in out


@pytest.mark.parametrize("count", ["0", "1000001"])
def test_a_list_is_not_shortened_in_silence(ctl: Ctl, count: str) -> None:
    assert ctl("task", "list", "--limit", count)[0] == 2
    assert ctl("anchor", "list", "--limit", count)[0] == 2


@pytest.mark.parametrize(
    ("words", "possible"),
    [
        (("--assurance", "quorum:20"), "`--assurance quorum:8` is possible now"),
        (("--replicas", "9"), "`--assurance replicated --replicas 8` is possible now"),
    ],
)
def test_what_is_possible_is_named_where_nodes_are_too_few(
    live: Path, ctl: Ctl, wasm: Path, words: tuple[str, ...], possible: str
) -> None:
    assert possible in ctl("run", wasm, *words)[2]


def test_a_task_is_shown_with_what_its_submitter_asked_for(
    live: Path, ctl: Ctl, node: DeskNode, wasm: Path
) -> None:
    asked = ("--class", "media", "--label", "disk=ssd", "--deadline", "60", "--attempts", "2")
    task = ctl("run", wasm, "--no-wait", *asked, "--strategy", "round-robin")[1].strip()
    shown = " ".join(ctl("task", "show", task)[1].split())
    for words in (
        "compared with each other",
        "class media, priority 4 of 0 to 9",
        "or the fee comes back",
        "round-robin, 2 attempts a replica",
        "only on disk=ssd",
    ):
        assert words in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "-", "--input", "-"), "cannot both come from standard input"),
        (("run", "-", "--receipt", "-"), "cannot both go to standard output"),
        (("backup", "create", "-"), "name one instead of -"),
    ],
)
def test_a_stream_is_one_thing_at_a_time(ctl: Ctl, words: tuple[str, ...], said: str) -> None:
    code, out, err = ctl(*words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_module_comes_from_standard_input_and_its_receipt_goes_to_standard_output(
    live: Path, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ECHO)))
    code, out, err = ctl("run", "-", "--output", tmp_path / "o", "--receipt", "-", "--json")
    assert (code, out) == (0, "rcpt")
    assert '"outcome":"completed"' in err


def test_a_folder_that_is_none_is_told_apart_from_a_daemon_that_is_away(
    ctl: Ctl, data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "config.toml").touch()
    code, _, err = ctl("status", "--data-dir", tmp_path / "nowhere")
    assert code == 3
    assert f"{tmp_path / 'nowhere'} is no node's folder: name one with --data-dir" in err
    assert "is ambientd running?" in ctl("status")[2]
