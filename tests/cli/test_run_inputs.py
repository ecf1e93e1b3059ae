"""`run --inputs`: many inputs as bundles, a line for what each came to."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ambientd.api.client import Client
from ambientd.api.operation import OperationError
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.errors import UnreachableError
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import DeskNode

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("live")]


def module(folder: Path) -> Path:
    path = folder / "m.wasm"
    path.write_bytes(b"\0asm a module")
    return path


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def bundles(node: DeskNode) -> list[tuple[bytes, ...]]:
    return [each.items for each in node.requests if isinstance(each, SubmitTask)]


def test_each_line_is_an_input_and_has_a_line_of_json_in_order(
    ctl: Ctl, tmp_path: Path, node: DeskNode
) -> None:
    (tmp_path / "in").write_bytes(b"".join(b"line %d\n" % number for number in range(20)))
    code, out, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in", "--bundle", "8")
    assert code == 0
    assert [(each["input"], each["output"]) for each in lines(out)] == [
        (str(number), f"line {number}") for number in range(20)
    ]
    assert [each["item"] for each in lines(out)] == [*range(8), *range(8), *range(4)]
    assert [len(each) for each in bundles(node)] == [8, 8, 4]
    assert "20 inputs, 3 tasks of up to 8 each" in err


def test_a_folder_s_files_become_files_of_a_folder(
    ctl: Ctl, tmp_path: Path, node: DeskNode
) -> None:
    given, came = tmp_path / "given", tmp_path / "came"
    given.mkdir()
    came.mkdir()
    for name in "ab":
        (given / name).write_bytes(name.encode() * 3)
    code, out, _ = ctl("run", module(tmp_path), "--inputs", given, "-o", came)
    assert code == 0
    assert {path.name: path.read_bytes() for path in came.iterdir()} == {"a": b"aaa", "b": b"bbb"}
    assert [each["output_file"] for each in lines(out)] == [str(came / "a"), str(came / "b")]
    assert bundles(node) == [(b"aaa",), (b"bbb",)]


def test_an_input_that_fails_is_said_in_its_line_and_by_the_exit_code(
    ctl: Ctl, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"one\nbad\n\xff\xfe")
    code, out, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in", "--bundle", "3")
    assert code == 1
    assert [each["outcome"] for each in lines(out)] == ["completed", "trapped", "completed"]
    assert lines(out)[1]["reason"] == "unreachable"
    assert lines(out)[2]["output_base64"] == "//4="
    assert "1 of 3 inputs have no output" in err


def test_a_lone_worker_s_bytes_that_hold_no_outcomes_are_said_and_the_other_tasks_go_on(
    ctl: Ctl, tmp_path: Path
) -> None:
    path = tmp_path / "m.wasm"
    path.write_bytes(b"\0asm a liar")
    (tmp_path / "in").write_bytes(b"one\ntwo\nthree")
    code, out, err = ctl("run", path, "--inputs", tmp_path / "in", "--bundle", "2")
    assert code == 1
    assert [each["outcome"] for each in lines(out)] == ["none"] * 3
    assert "answered by one worker alone" in err
    assert "3 of 3 inputs have no output" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--input", "x"), "--input is for one input"),
        (("--nonce", "00"), "--nonce is for one input"),
        (("--no-wait",), "--no-wait is for one input"),
        (("--wait-anchor",), "--wait-anchor is for one input"),
        (("--receipt", "r"), "`ambientctl receipt get ID --item K`"),
        (("--bundle", "257"), "a task has at most 256 inputs"),
        (("-o", "no-folder"), "is no folder"),
    ],
)
def test_what_is_for_one_input_is_refused_with_many(
    ctl: Ctl, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "in").write_bytes(b"one\n")
    code, _, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in", *words)
    assert code == 2
    assert said in err


def test_outputs_that_cannot_be_written_or_replace_inputs_are_refused_before_anything_is_paid(
    ctl: Ctl, tmp_path: Path, node: DeskNode
) -> None:
    given, came = tmp_path / "given", tmp_path / "came"
    given.mkdir()
    (given / "a").write_bytes(b"mine")
    code, _, err = ctl("run", module(tmp_path), "--inputs", given, "-o", tmp_path / "came/../given")
    assert (code, "is no folder" in err) == (2, True)
    (came / "a").mkdir(parents=True)
    code, _, err = ctl("run", module(tmp_path), "--inputs", given, "-o", tmp_path / "came/../given")
    assert (code, "is the folder of the inputs" in err) == (2, True)
    code, _, err = ctl("run", module(tmp_path), "--inputs", given, "-o", came)
    assert (code, "cannot be written" in err) == (2, True)
    assert bundles(node) == []
    assert (given / "a").read_bytes() == b"mine"


def test_tasks_that_go_on_when_it_ends_early_are_named(
    ctl: Ctl, tmp_path: Path, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\nthree\n")

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ambientd.cli.run_inputs.print_line", full)
    code, _, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in")
    assert code == 2
    tasks = ", ".join(task[:12] for task in node.tasks)
    assert f"3 tasks may go on: {tasks}; `ambientctl task cancel ID` takes one back" in err
    assert "3 inputs, 3 tasks of one each" in err


def test_a_bundle_that_was_not_taken_in_time_is_not_asked_for_again_by_a_nonce(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_bytes(b"one\n")
    asked = Client.call

    def call(self: Client, operation: Any, request: Any, timeout_s: float | None = None) -> Any:
        if isinstance(request, SubmitTask):
            raise OperationError("unavailable", "not taken", "ask again with --nonce 00")
        return asked(self, operation, request, timeout_s)

    monkeypatch.setattr(Client, "call", call)
    code, _, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in")
    assert code == 3
    lists = "`ambientctl task list` and `ambientctl task list --state waiting`"
    assert f"look at {lists} before you ask again" in err
    assert "--nonce" not in err


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (
            SubmitTask,
            "it may have taken the task; once it runs, `ambientctl task list` and "
            "`ambientctl task list --state waiting` show it if so",
        ),
        (WaitForTask, "was accepted and goes on: `ambientctl task list` shows it once"),
    ],
    ids=["submitting", "waiting"],
)
def test_who_loses_the_daemon_during_a_run_hears_what_becomes_of_the_task(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: type, said: str
) -> None:
    asked = Client.call

    def call(self: Client, operation: Any, request: Any, timeout_s: float | None = None) -> Any:
        if isinstance(request, lost):
            raise UnreachableError("the daemon went away")
        return asked(self, operation, request, timeout_s)

    monkeypatch.setattr(Client, "call", call)
    code, _, err = ctl("run", module(tmp_path))
    assert code == 3
    assert "the daemon went away; " in err
    assert said in err


def test_a_task_that_was_on_its_way_to_a_daemon_that_died_is_spoken_of(
    ctl: Ctl, tmp_path: Path, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    asked = Client.call

    def call(self: Client, operation: Any, request: Any, timeout_s: float | None = None) -> Any:
        if isinstance(request, SubmitTask) and node.tasks:
            raise UnreachableError("the daemon went away")
        return asked(self, operation, request, timeout_s)

    monkeypatch.setattr(Client, "call", call)
    code, _, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in")
    assert code == 3
    assert "1 task may go on: " in err
    assert (
        "the daemon went away; it may have taken one task more; see `ambientctl task list`" in err
    )


def test_a_folder_gives_its_own_files_and_what_else_is_there_is_named(
    ctl: Ctl, tmp_path: Path, node: DeskNode
) -> None:
    given = tmp_path / "given"
    (given / "deeper").mkdir(parents=True)
    (given / "deeper" / "c").write_bytes(b"c")
    for name in ("b", "a", ".DS_Store"):
        (given / name).write_bytes(name.encode())
    code, out, err = ctl("run", module(tmp_path), "--inputs", given)
    assert code == 0
    assert [each["input"] for each in lines(out)] == ["a", "b"]
    assert "2 entries left out, hidden or no file: .DS_Store, deeper" in err
    assert bundles(node) == [(b"a",), (b"b",)]
    code, _, err = ctl("run", module(tmp_path), "--inputs", given / "deeper", "--quiet")
    assert (code, err) == (0, "")


def test_a_bundle_whose_items_failed_is_shown_as_that(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"bad 1\nbad 2\none\nbad 3\ntwo\nthree")
    _, out, _ = ctl("run", module(tmp_path), "--inputs", tmp_path / "in", "--bundle", "2")
    tasks = [each["task_id"] for each in lines(out)][::2]
    _, listed, _ = ctl("task", "list")
    words = [
        "failed, none of 2 items completed",
        "in part, 1 of 2 items completed",
        "completed, 2 items",
    ]
    for task, said in zip(tasks, words, strict=True):
        assert said in listed
        assert said in ctl("task", "show", task)[1]
        code, watched, _ = ctl("task", "watch", task)
        assert said in watched
        assert code == int(not said.startswith("completed"))


def test_no_inputs_and_a_bundle_of_nothing_are_said(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"")
    code, _, err = ctl("run", module(tmp_path), "--inputs", tmp_path / "in")
    assert (code, "has 0 inputs" in err) == (2, True)
    code, _, err = ctl("run", module(tmp_path), "--bundle", "3")
    assert (code, "give --inputs, too" in err) == (2, True)
