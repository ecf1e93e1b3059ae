"""What changes while one looks: `top`, `task watch`, and how a terminal shows it."""

import io
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ambientd.api import replies
from ambientd.api.backup_values import CopyUnderWay
from ambientd.api.client import Client
from ambientd.api.operations import TASK_SUBMIT
from ambientd.api.requests import SubmitTask
from ambientd.cli import console
from ambientd.cli.main import main
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import ECHO, NODE, NOW_MS, SLOW, DeskNode

pytestmark = pytest.mark.net
SETTLED = replies.ReceiptState(state="settled")
ANCHORED = replies.ReceiptState(state="anchored", height=101, confirmations=6)


class Screen(io.StringIO):
    """A terminal of 100 columns that remembers what was written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Screen()


@pytest.fixture
def here(live: Path, ctl: Ctl) -> Path:
    """Have the commands mean the folder of a node that is up."""
    return live


@pytest.fixture
def slow(live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path) -> str:
    """Give a task that is assigned, and becomes final when somebody has waited twice."""
    (tmp_path / "m.wasm").write_bytes(SLOW)
    task = ctl("run", tmp_path / "m.wasm", "--no-wait")[1].strip()
    lines = [
        replies.HistoryLine(time_ms=NOW_MS + number, text=text)
        for number, text in enumerate(("admitted", "sealed", "evil\x1b[2J\nline", "paid"))
    ]
    node.later = [
        {"state": "committed", "history": tuple(lines[:2])},
        {
            "state": "final",
            "outcome": "completed",
            "receipt": SETTLED,
            "history": tuple(lines[:3]),
        },
        {"history": tuple(lines)},
        {"receipt": ANCHORED},
    ]
    return task


def test_a_watched_task_tells_each_line_once_and_what_it_waits_for(ctl: Ctl, slow: str) -> None:
    code, out, err = ctl("task", "watch", slow[:8])
    assert (code, err) == (0, "")
    assert [line.split("  ", 1)[1].strip() for line in out.splitlines()] == [
        "admitted",
        "its workers to answer",
        "assigned, outcome none, receipt none",
        "sealed",
        "committed, outcome none, receipt none",
        "evil\ufffd[2J\ufffdline",
        "final, outcome completed, receipt settled",
        "paid",
    ]


def test_a_task_is_watched_until_its_receipt_is_anchored(ctl: Ctl, slow: str) -> None:
    code, out, _ = ctl("task", "watch", slow, "--wait-anchor")
    assert code == 0
    assert out.splitlines()[-1].endswith("anchored at height 101, 6 confirmations")


def test_a_program_is_told_each_state_of_a_watched_task(ctl: Ctl, slow: str) -> None:
    code, out, _ = ctl("task", "watch", slow, "--json")
    told = [msgspec.json.decode(line, type=replies.Task) for line in out.splitlines()]
    assert code == 0
    assert [task.state for task in told] == ["assigned", "committed", "final", "final"]


def test_a_watch_that_ends_before_its_task_says_so(ctl: Ctl, slow: str, node: DeskNode) -> None:
    node.later = []
    code, _, err = ctl("task", "watch", slow, "--timeout", "0.2")
    assert code == 1
    assert err.startswith("ambientctl: the task is assigned, its receipt none, after 0.2 s; ")
    assert f"`ambientctl task why {slow[:12]}`" in err


def test_a_task_that_failed_ends_its_watch_with_one(ctl: Ctl, slow: str, node: DeskNode) -> None:
    node.later = [{"state": "final", "outcome": "trapped"}]
    assert ctl("task", "watch", slow)[0] == 1


def test_a_terminal_shows_a_task_in_place(
    slow: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["task", "watch", slow]) == 0
    shown = screen.getvalue()
    assert "WHAT HAPPENED" in shown
    assert "waits for" in shown
    assert "\x1b[32mfinal" in shown
    assert "evil\x1b" not in shown


def test_top_shows_nodes_tasks_and_how_late_the_log_is(live: Path, ctl: Ctl, slow: str) -> None:
    code, out, err = ctl("top", "--times", "2", "--every", "0.01")
    assert (code, err) == (0, "")
    first, second = out.split("\n\ncluster  ")
    assert "ended a second" not in first
    assert "0.0 ended a second" in second
    assert "1 of 1 member here" in out
    assert f"{slow[:12]}" in out
    assert "evil\ufffd[31m" in out
    assert "TROUBLE" in out


def test_top_for_programs_is_one_line_a_look(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("top", "--times", "2", "--every", "0.01", "--json")
    assert code == 0
    for line in out.splitlines():
        assert set(msgspec.json.decode(line)) == {"status", "nodes", "tasks"}
    assert len(out.splitlines()) == 2


def test_a_terminal_shows_top_on_a_screen_of_its_own_and_gives_it_back(
    live: Path, ctl: Ctl, screen: Screen, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["top"]) == 130
    shown = screen.getvalue()
    assert shown.startswith("\x1b[?1049h")
    assert "\x1b[?1049l" in shown
    assert NODE[:12] in shown


def test_long_values_keep_to_their_column_and_troubles_stand_out(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    console.print_fields([("node", "ab" * 32), ("TROUBLE", "nothing moves, though it should move")])
    assert screen.getvalue().splitlines() == [
        "node     " + "ab" * 32,
        "\x1b[1;31mTROUBLE\x1b[0m  nothing moves, though it should",
        "         move",
    ]


NODES = (
    ("ID", "NAME", "REGION", "STATE", "ENGINE", "BALANCE", "BOND"),
    ("16f3ff8ecc12", "node1", "local", "this node", "wasmtime 50.0.1", "998,998.271 sat", "0 sat"),
    ("3470c6b8bbd8", "attic", "eu-west", "connected", "wasmer", "1,000,001.005 sat", "1 sat"),
)


@pytest.mark.parametrize("columns", [40, 60, 80, 90, 160])
def test_a_narrow_terminal_shows_every_cell_of_a_table_whole(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    console.print_table(NODES[0], NODES[1:])
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert all(cell in text for row in NODES[1:] for cell in row)
    assert all(len(line) <= columns for line in text.splitlines())
    is_wide = text.startswith("ID")
    assert is_wide is (columns >= 90)
    assert is_wide or "  balance 998,998.271 sat" in text


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_where_nobody_wants_them(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv(name, value)
    console.print_fields([("TROUBLE", "x")])
    console.print_table(("STATE", "NAME"), [("convicted", "x")])
    assert "\x1b[1;31m" not in screen.getvalue()
    assert "\x1b[31m" not in screen.getvalue()


def test_whoever_waits_at_a_terminal_sees_that_something_goes_on(
    live: Path, ctl: Ctl, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.wasm").write_bytes(SLOW)
    monkeypatch.setattr(sys, "stderr", screen)
    words = ["run", str(tmp_path / "m.wasm"), "--timeout", "0.8", "--yes"]
    assert main(words) == 1
    assert "waiting until the task is final" in screen.getvalue()
    screen.truncate(0)
    assert main([*words, "--quiet"]) == 1
    assert "waiting" not in screen.getvalue()


SLOTS = tuple(
    replies.SlotInfo(slot=number, attempt=1, worker=NODE, state=state)
    for number, state in enumerate(("revealed", "committed", "assigned"))
)
GOES_ON: dict[str, Any] = {"state": "committed", "replicas": 3, "slots": SLOTS}


def test_the_steps_of_a_task_are_a_bar_for_whoever_runs_it_or_watches_it(
    slow: str, screen: Screen, node: DeskNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.later = [GOES_ON, {"state": "final", "outcome": "completed"}, {}]
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["task", "watch", slow]) == 0
    assert "6 of 10 steps" in shown_on(screen)
    assert "10 of 10" not in shown_on(screen), "of a task that has ended nothing is awaited"
    screen.truncate(0)
    monkeypatch.setattr("ambientd.cli.run_command._UNSEEN_MS", 10)
    node.later = [GOES_ON, {}, {}, {"state": "final", "outcome": "completed"}]
    told = io.StringIO()
    monkeypatch.setattr(sys, "stdout", told)
    monkeypatch.setattr(sys, "stderr", screen)
    words = ["run", str(tmp_path / "m.wasm"), "--nonce", "0c", "--yes", "-o", "/dev/null"]
    assert main(words) == 0
    assert "waiting until the task is final" in shown_on(screen)
    assert re.search(r"(?:6|10) of 10 steps", shown_on(screen)), "as often as a terminal is drawn"
    assert "steps" not in told.getvalue()
    screen.truncate(0)
    assert main([*words, "--quiet"]) == 0
    assert screen.getvalue() == ""


def test_a_pipe_gets_no_bar_of_a_task(ctl: Ctl, slow: str, node: DeskNode) -> None:
    node.later = [GOES_ON, {"state": "final", "outcome": "completed"}, {}]
    _, out, err = ctl("task", "watch", slow)
    assert "\x1b" not in out + err
    assert "steps" not in out


@pytest.mark.parametrize("columns", [10, 20, 30, 40, 60, 80, 160])
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_bar_keeps_to_its_line_however_narrow_it_is(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, columns: int, no_color: str
) -> None:
    from ambientd.cli.bars import bar, counter, spinner

    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    with counter("checking /srv/backups/\x1b[31mlong/äöü.backup", "rows") as gauge:
        gauge.told(1_234_567, 2_000_000)
    with bar("handing it to the node") as sent:
        sent(3 << 20, 6 << 20)
    with spinner("waiting until the task is anchored"):
        pass
    lines = shown_on(screen).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= columns
    whole = " ".join(lines)
    assert ("1,234,567 of 2,000,000 rows" in whole) is (columns >= 30)
    assert ("3.0/6.0 MiB" in whole) is (columns >= 20)
    assert "rows\n" not in whole
    assert ("\x1b[3" in screen.getvalue()) is (not no_color)
    assert sum("of 2,0" in line for line in lines) <= 2, "a line of its own for nothing"


def test_a_large_upload_at_a_terminal_is_a_bar_that_comes_to_its_end(
    live: Path, ctl: Ctl, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.wasm").write_bytes(ECHO)
    (tmp_path / "input").write_bytes(bytes(6 << 20))
    monkeypatch.setattr(sys, "stderr", screen)
    words = ["run", str(tmp_path / "m.wasm"), "--input", str(tmp_path / "input"), "--yes"]
    assert main([*words, "--no-wait"]) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "handing it to the node" in shown
    assert "6.0/6.0 MiB" in shown
    screen.truncate(0)
    assert main([*words, "--no-wait", "--quiet"]) == 0
    assert "handing" not in screen.getvalue()


def shown_on(screen: Screen) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())


def test_a_batch_at_a_terminal_is_a_bar_of_inputs_that_leaves_the_answer_as_it_is(
    live: Path, ctl: Ctl, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.wasm").write_bytes(ECHO)
    (tmp_path / "in").write_bytes(b"".join(b"line %d\n" % number for number in range(20)))
    words = ["run", str(tmp_path / "m.wasm"), "--inputs", str(tmp_path / "in"), "--bundle", "8"]
    told = io.StringIO()
    monkeypatch.setattr(sys, "stdout", told)
    monkeypatch.setattr(sys, "stderr", screen)
    assert main([*words, "--yes"]) == 0
    assert "20 of 20 inputs" in shown_on(screen)
    lines = [msgspec.json.decode(line) for line in told.getvalue().splitlines()]
    assert [line["output"] for line in lines] == [f"line {number}" for number in range(20)]
    assert "line 3" not in screen.getvalue()


def test_a_batch_is_no_bar_where_nobody_looks_or_wants_one(
    live: Path, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctl: Ctl
) -> None:
    (tmp_path / "m.wasm").write_bytes(ECHO)
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    words = ["run", str(tmp_path / "m.wasm"), "--inputs", str(tmp_path / "in"), "--yes"]
    assert "\x1b" not in ctl(*words)[2]
    monkeypatch.setattr(sys, "stderr", screen)
    assert main([*words, "--quiet"]) == 0
    assert screen.getvalue() == ""


def test_a_bar_counts_tasks_that_ended_before_the_first_and_lets_lines_pass(
    here: Path, screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.wasm").write_bytes(ECHO)
    (tmp_path / "in").write_bytes(b"one\nslow\nthree\n")
    monkeypatch.setattr("ambientd.cli.run_inputs.LOOK_S", 0.01)
    words = ["run", str(tmp_path / "m.wasm"), "--inputs", str(tmp_path / "in"), "--bundle", "2"]
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    assert main([*words, "--timeout", "2", "--yes"]) == 1
    shown = shown_on(screen)
    assert "1 of 3 inputs" in shown, "the second task's input, while the first task goes on"
    assert "3 of 3 inputs" in shown
    lines = [msgspec.json.decode(line) for line in re.findall(r"\{.*\}", shown)]
    assert [line["outcome"] for line in lines] == ["assigned", "assigned", "completed"]


def test_a_backup_at_a_terminal_is_a_bar_of_rows(
    here: Path, screen: Screen, tmp_path: Path, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.copies = (
        CopyUnderWay(name="other", rows=1, rows_total=2),
        CopyUnderWay(name="one.backup", rows=1_234, rows_total=2_000),
    )
    monkeypatch.setattr("ambientd.cli.backup_commands.LOOK_S", 0.01)
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["backup", "create", str(tmp_path / "one.backup")]) == 0
    assert "1,234 of 2,000 rows" in shown_on(screen)
    assert "of 2 rows" not in shown_on(screen)
    looks, node.copies = node.looks, ()
    assert main(["backup", "create", str(tmp_path / "one.backup"), "--quiet"]) == 0
    assert node.looks == looks


def test_parts_of_a_request_are_told_as_they_are_taken(live: Path) -> None:
    told: list[tuple[int, int]] = []
    with Client(live / "ambientd.sock") as client:
        client.on_sent = lambda sent, size: told.append((sent, size))
        client.call(TASK_SUBMIT, SubmitTask(module=ECHO, input=bytes(1 << 20)))
    sizes = {size for _, size in told}
    assert len(told) == 5
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)
    assert {told[-1][0]} == sizes
