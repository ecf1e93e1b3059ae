"""ambientctl against a node on a real socket: what it prints, and how it ends."""

import hashlib
import io
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from ambientd.adapters.header_file import HeaderFile, decode_headers
from ambientd.api import replies, requests
from ambientd.api.requests import SubmitTask
from ambientd.cli import console, files
from ambientd.codec.canonical import encode
from ambientd.rules.bitcoin import REGTEST
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import ECHO, LIAR, NODE, SLOW, TRAPS, DeskNode
from tests.rules import blames
from tests.rules.headers import grow
from tests.rules.logs import Log
from tests.rules.receipts import agreed, file_of

pytestmark = pytest.mark.net
GOLDEN = Path(__file__).parent / "golden"


class Terminal(io.StringIO):
    """Somebody who answers what is asked."""

    def isatty(self) -> bool:
        return True


def module(folder: Path, data: bytes = ECHO) -> Path:
    path = folder / "m.wasm"
    path.write_bytes(data)
    return path


def decoded(text: str) -> dict[str, object]:
    assert text.count("\n") == 1
    value = msgspec.json.decode(text)
    assert isinstance(value, dict)
    return value


def test_status_names_node_cluster_and_what_the_sandbox_lacks(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("status")
    assert (code, err) == (0, "")
    assert f"node1 {NODE}" in out
    assert "cdcdcd" in out
    assert "(this node)" in out
    assert "health     unknown" in out
    assert "seccomp; missing landlock" in out
    assert "999,999.5 sat" in out
    assert "TROUBLE" in out
    assert "remedy start the others" in " ".join(out.split())


def test_status_ready_ends_with_whether_the_node_takes_part(
    live: Path, ctl: Ctl, node: DeskNode
) -> None:
    assert ctl("status", "--ready") == (0, "ready\n", "")
    assert ctl("status", "--ready", "--json") == (0, '{"ready":true}\n', "")
    node.is_poor = True
    for words in (("status", "--ready"), ("status", "--ready", "--quiet")):
        code, out, err = ctl(*words)
        assert (code, out) == (3, "")
        assert err.startswith("ambientctl: no quorum")
        assert "start the others" in err
    assert ctl("status")[0] == 0


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("status",), "coordinator"),
        (("nodes",), "nodes"),
        (("telemetry",), "lines"),
        (("task", "list"), "tasks"),
        (("anchor", "status"), "anchors"),
        (("anchor", "list"), "anchors"),
        (("anchor", "retry"), "chain"),
        (("anchor", "plan"), "costs"),
        (("cluster", "invite"), "token"),
        (("member", "list"), "seats"),
        (("cluster", "members"), "seats"),
        (("member", "ask"), "epoch"),
        (("member", "admit", "abcd"), "wish"),
        (("member", "remove", "abcd", "--yes"), "wish"),
        (("member", "leave", "--yes"), "wish"),
        (("account", "show"), "balance_msat"),
        (("account", "list"), "accounts"),
        (("account", "history", "b2b2"), "entries"),
        (("account", "transfer", "b2b2", "5", "--yes"), "account"),
        (("account", "bond", "5", "--yes"), "account"),
        (("account", "unbond", "5", "--yes"), "account"),
        (("version",), "version"),
        (("events",), "kind"),
    ],
)
def test_every_command_prints_json_on_request(
    live: Path, ctl: Ctl, words: tuple[str, ...], key: str
) -> None:
    for line in (("--json", *words), (*words, "--json")):
        code, out, _ = ctl(*line)
        assert code == 0
        assert key in decoded(out)


def test_telemetry_is_a_line_of_bars_with_the_last_the_least_and_the_most(
    live: Path, ctl: Ctl, node: DeskNode
) -> None:
    code, out, _ = ctl("telemetry", "node1", "--span", "day")
    heading, _, line = out.splitlines()
    assert (code, heading) == (0, f"node1 {NODE[:12]}, steps of 10 s; 1.2 Wh; safe mode: hot")
    assert line.split() == ["temperature_celsius", "°C", "90.0", "40.0", "90.0", "▁▄█"]
    node.is_poor = True
    assert ctl("telemetry")[1] == (
        f"node1 {NODE[:12]}: nothing is kept of it here; ask at the node itself\n"
    )


def test_more_tasks_than_a_page_holds_are_listed(live: Path, ctl: Ctl, node: DeskNode) -> None:
    (live / "echo.wasm").write_bytes(ECHO)
    assert ctl("run", live / "echo.wasm", "--yes")[0] == 0
    [(task, data)] = node.tasks.values()
    for number in range(1_200):
        name = f"{number:064x}"
        node.tasks[name] = (msgspec.structs.replace(task, task_id=name), data)
    held = len(node.tasks)
    told = msgspec.json.decode(ctl("task", "list", "--limit", "5000", "--json")[1])
    assert (len(told["tasks"]), told["next"]) == (held, None)
    told = msgspec.json.decode(ctl("task", "list", "--limit", "1100", "--json")[1])
    assert len({each["task_id"] for each in told["tasks"]}) == 1_100
    assert told["next"] is not None
    assert f"1050 of {held}; more with --limit" in ctl("task", "list", "--limit", "1050")[1]


def test_nodes_on_every_page_are_listed(live: Path, ctl: Ctl, node: DeskNode) -> None:
    assert "second" not in ctl("nodes")[1]
    node.has_second_page = True
    assert "second" in ctl("nodes")[1]
    assert '"name":"second"' in ctl("nodes", "--json")[1]
    assert "2 of 2 members here" in ctl("top", "--times", "1")[1]


def test_status_and_nodes_say_how_peers_see_this_node_and_each_other(live: Path, ctl: Ctl) -> None:
    assert (
        "3 peers answered, the last 20 seconds ago; 2 of 3 that tried reach port 4400; "
        "3 of 3 have a link to it"
    ) in ctl("status")[1]
    code, out, _ = ctl("nodes", "--links")
    heads, own, told = out.splitlines()
    assert code == 0
    assert heads.split() == ["NODE", "HAS", "A", "LINK", "TO", "ONE", "WAY", "SAID"]
    assert own.split()[-3:] == ["1.2", "ms", "now"]
    assert told.split()[-4:] == ["unknown", "7", "s", "ago"]
    shown = msgspec.json.decode(ctl("nodes", "--links", "--json")[1])
    assert [each["one_way_us"] for each in shown["links"]] == [1_250, None]
    assert ctl("nodes", "node1", "--links")[0] == 2


def test_one_node_is_told_with_what_its_owner_says_of_it(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("nodes", "node1")
    assert code == 0
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["labels"] == "disk=ssd"
    assert told["is"] == "compute, region local, owner ada"
    assert told["refuses"] == "media"
    assert decoded(ctl("nodes", NODE[:6], "--json")[1])["id"] == NODE
    assert ctl("nodes", "nobody")[0] == 2


def test_the_committee_and_what_is_said_about_seats_are_shown(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("member", "list")
    assert code == 0
    first, pin, version, _, own, guest = out.splitlines()
    assert pin.endswith(f" 2:{'ab' * 32}")
    assert version.startswith("state version ")
    assert first == "epoch 2 since block 7: 1 member, 1 are a quorum"
    assert "node1 (this node)" in own
    assert "asks" in guest
    assert "ambientctl member admit" in ctl("member", "ask", "--bond", "5")[1]
    assert "epoch 3 is due" in ctl("member", "admit", "abcd", "--instead")[1]
    assert "epoch 2 goes on" in ctl("member", "leave", "--yes")[1]


def test_accounts_on_every_page_are_listed_and_what_tasks_moved(live: Path, ctl: Ctl) -> None:
    listed = ctl("account", "list")[1].splitlines()
    assert [line.split()[1] for line in listed[1:]] == ["evil\ufffd[31m", "second"]
    told = ctl("account", "history", "--limit", "2")[1].splitlines()
    assert [line.split()[3:] for line in told[1:3]] == [["fee", "-1.5", "sat", "ab" * 6]] * 2
    assert told[3:] == ["2 of 70 that the ledger still holds"]


def test_an_account_is_shown_in_satoshi_and_millisatoshi(
    live: Path, ctl: Ctl, node: DeskNode
) -> None:
    code, out, _ = ctl("account", "show")
    assert code == 0
    assert "balance    4 sat (4000 msat)" in out
    assert "bond       6.5 sat (6500 msat)" in out
    assert "coming back" not in out
    node.waiting_msat = 1_500
    assert (
        "1.5 sat (1500 msat) of the bond, still at risk; on 2023-11-14 22:13:21 UTC"
        in (ctl("account", "show")[1])
    )
    node.held_by = "task"
    assert "UTC, and once the tasks that it works on have ended" in ctl("account", "show")[1]
    _, out, _ = ctl("account", "show", "b2b2")
    assert "convicted" in out
    assert "\x1b" not in out


def test_money_moves_only_when_that_is_confirmed(
    live: Path, ctl: Ctl, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = (("transfer", "B2B2", "1.5sat"), ("bond", "1500msat"), ("unbond", "1500"))
    for words in moves:
        code, _, err = ctl("account", *words)
        assert code == 2
        assert "is no terminal to ask at; if you are sure, add --yes" in err
    node.waiting_msat = 7
    for answer, count in (("\n", 0), ("n\n", 0), ("y\n", 3), ("YES\n", 6)):
        for words in moves:
            monkeypatch.setattr("sys.stdin", Terminal(answer))
            code, out, err = ctl("account", *words)
            assert code == (0 if count else 1)
            assert "1.5 sat (1500 msat)" in err
            assert ("nothing was moved" in err) == (count == 0)
            assert ("the log has it" in out) == (count > 0)
        assert len(node.requests) == count
    assert f"to evil\ufffd[31m {LIAR}?" in ctl_asked(ctl, monkeypatch, "transfer", "b2b2", "1")
    assert "7 msat) that wait already wait anew" in ctl_asked(ctl, monkeypatch, "unbond", "1")
    assert {request.amount_msat for request in node.requests} == {1_500}  # type: ignore[attr-defined]


def ctl_asked(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Give the question that a move asks, and say no."""
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    return ctl("account", *words)[2]


def test_a_move_that_the_ledger_refuses_is_one_line_with_what_to_do(live: Path, ctl: Ctl) -> None:
    code, _, err = ctl("account", "bond", "5sat", "--yes")
    assert code == 2
    assert err == "ambientctl: nothing was moved: too little; earn\n"


@pytest.mark.parametrize(
    "amount", ["0", "0sat", "-1", "1.5", "1.2345sat", "sat", "1e3", "9007199254740992", "1 sat"]
)
def test_what_is_no_amount_is_wrong_usage(ctl: Ctl, amount: str) -> None:
    code, _, err = ctl("account", "bond", "--yes", amount)
    assert code == 2
    assert "amount" in err or "required" in err


def test_names_of_peers_cannot_drive_the_terminal(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("nodes")
    assert code == 0
    assert "\x1b" not in out
    assert "evil" in out
    assert "this node, takes no work" in out


def test_anchors_show_block_and_confirmations(live: Path, ctl: Ctl) -> None:
    _, out, _ = ctl("anchor", "status")
    assert "embedded: ready, height 116" in out
    assert "TROUBLE no anchor remedy set a chain" in " ".join(out.split())
    assert out.splitlines()[-1].split() == ["e" * 12, "4", "anchored", "110", "6", "f" * 64]


def test_anchors_are_listed_with_what_they_cost(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("anchor", "list")
    assert code == 0
    assert out.splitlines()[-1].split()[-4:] == ["f" * 64, "1,570", "sat", "2"]


def test_what_waits_is_tried_again_and_the_alarm_so_far_shown(live: Path, ctl: Ctl) -> None:
    code, out, _ = ctl("anchor", "retry")
    assert (code, "1 anchor under way" in out, "out of funds: 0 sat" in out) == (0, True, True)


def test_a_plan_shows_what_batches_days_and_receipts_cost_at_the_rates_asked_for(
    live: Path, ctl: Ctl
) -> None:
    words = ("anchor", "plan", "--rate", "1.5", "--rate", "50", "--every", "86400")
    code, out, _ = ctl(*words, "--receipts-a-day", "1000")
    assert code == 0
    assert "157 vB, one every 24 h" in out
    assert "10,000 sat an anchor, no cap a day" in out
    low, high = (line.split() for line in out.splitlines()[-2:])
    assert low == ["1.5", "235", "sat", "235.5", "sat", "0.235", "sat", "yes"]
    assert high == ["50", "7,850", "sat", "7,850", "sat", "7.85", "sat", "no"]


@pytest.mark.parametrize("rate", ["0", "", "x", "1.2345", "-1", "100001", "1e3", "1" * 30])
def test_what_is_no_fee_rate_is_wrong_usage(ctl: Ctl, rate: str) -> None:
    code, _, err = ctl("anchor", "plan", f"--rate={rate}")
    assert (code, "is not a fee rate in sat/vB" in err) == (2, True)


def test_run_prints_the_output_and_nothing_else(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"hello")
    code, out, err = ctl("run", module(tmp_path), "--input", tmp_path / "in")
    assert (code, out) == (0, "hello")
    assert "outcome completed, verdict agreed, gas 1,234" in err
    assert f"liars named: {LIAR[:12]}" in err


def test_run_says_what_a_task_costs_and_who_sees_it(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    words = ("--gas-max", "1000000", "--price", "100", "--replicas", "3")
    code, _, err = ctl("run", module(tmp_path), "--yes", *words)
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith("cost: 300,000 sat expected at most, 3 replicas: 100,000 sat for")
    assert lines[1].startswith("held until it ends: 400,000 sat of 1,000,000 sat, 100,000 sat of")
    assert lines[2] == "workers see the module and the input in the clear"


def test_run_says_that_no_node_can_take_what_is_asked_for(
    live: Path, ctl: Ctl, tmp_path: Path
) -> None:
    _, _, err = ctl("run", module(tmp_path), "--yes", "--label", "region=nowhere")
    said = "0 nodes of the cluster can take it now, 2 are needed: it waits until more can"
    assert said in err.splitlines()


def test_a_script_spends_no_more_than_it_may_unless_it_is_sure(
    live: Path, node: DeskNode, ctl: Ctl, tmp_path: Path
) -> None:
    words = ("run", module(tmp_path), "--gas-max", "333334")
    code, out, err = ctl(*words)
    assert (code, out) == (2, "")
    assert "holds 1,000.002 sat, and nobody can be asked about more than 1,000 sat" in err
    assert not any(isinstance(request, SubmitTask) for request in node.requests)
    assert ctl(*words, "--yes")[0] == 0


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_run_asks_before_it_submits(
    live: Path,
    node: DeskNode,
    ctl: Ctl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    found, _, err = ctl("run", module(tmp_path))
    assert found == code
    told, _, after = err.partition("submit it? [y/N]")
    assert [line.partition(":")[0] for line in told.splitlines()[:2]] == [
        "cost",
        "held until it ends",
    ]
    assert "workers see the module and the input in the clear" in told.splitlines()
    assert "in the clear" not in after
    assert any(isinstance(request, SubmitTask) for request in node.requests) == (code == 0)


def test_what_run_is_told_of_workers_reaches_the_node(
    live: Path, node: DeskNode, ctl: Ctl, tmp_path: Path
) -> None:
    words = ("--assurance", "quorum:5", "--class", "media", "--label", "region=eu")
    words += ("--label", "engine!=wasmi", "--distinct", "owner", "--priority", "9")
    words += ("--deadline", "60", "--attempts", "2", "--strategy", "carbon-aware")
    assert ctl("run", module(tmp_path), *words)[0] == 0
    (request,) = (each for each in node.requests if isinstance(each, SubmitTask))
    assert (request.assurance, request.replicas) == ("quorum", 5)
    assert (request.task_class, request.distinct) == ("media", ("owner",))
    assert request.constraints == ("region=eu", "engine!=wasmi")
    assert (request.priority, request.attempts_max) == (9, 2)
    assert request.strategy == "carbon-aware"
    assert request.deadline_ms > 1_700_000_000_000


def test_run_reads_standard_input(
    live: Path, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xc3\xa9")))
    assert ctl("run", module(tmp_path), "--input", "-")[1] == "aé"


def test_run_json_keeps_its_contract(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)))
    code, out, _ = ctl(
        *("run", module(tmp_path), "--input", tmp_path / "in", "--json"),
        *("--output", tmp_path / "out", "--receipt", tmp_path / "r", "--replicas", "3"),
    )
    answer = decoded(out)
    assert code == 0
    assert answer["outcome"] == "completed"
    assert answer["gas"] == 1234
    assert answer["replicas"] == 3
    assert answer["receipt"] == str(tmp_path / "r")
    assert answer["output_sha256"] == hashlib.sha256(bytes(range(256))).hexdigest()
    assert len(str(answer["task_id"])) == 64
    assert (tmp_path / "out").read_bytes() == bytes(range(256))
    assert (tmp_path / "r").read_bytes() == b"rcpt"


def test_run_waits_for_a_receipt_that_a_quorum_has_signed_and_says_for_how_long(
    live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path
) -> None:
    settled = {"receipt": replies.ReceiptState(state="settled")}
    node.later = [settled, settled, {"receipt": replies.ReceiptState(state="batched")}]
    call = ("run", module(tmp_path), "--receipt", tmp_path / "r")
    code, _, err = ctl(*call)
    assert code == 0
    assert "waiting up to 30 s until a quorum has signed for the receipt" in err
    assert "receipt batched" in err
    node.later = [settled, settled]
    code, _, err = ctl(*call, "--timeout", "0")
    assert code == 0
    assert "after 0 s no quorum has signed for the receipt" in err
    assert (tmp_path / "r").read_bytes() == b"rcpt"


def test_a_failed_task_ends_with_one(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    code, out, err = ctl("run", module(tmp_path, TRAPS), "--receipt", tmp_path / "r")
    assert (code, out) == (1, "")
    assert "ended trapped: unreachable" in err
    assert (tmp_path / "r").exists()
    code, out, _ = ctl("run", module(tmp_path, TRAPS), "--json")
    assert (code, decoded(out)["outcome"]) == (1, "trapped")


def test_a_task_not_done_in_time_goes_on(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    code, out, err = ctl("run", module(tmp_path, SLOW), "--timeout", "0.05", "--json")
    assert code == 1
    assert decoded(out)["outcome"] == "assigned"
    assert "goes on; `ambientctl task why" in err


def test_why_says_how_each_slot_was_given_or_that_it_is_not_known(
    live: Path, ctl: Ctl, tmp_path: Path
) -> None:
    task = decoded(ctl("run", module(tmp_path, TRAPS), "--json")[1])["task_id"]
    code, out, _ = ctl("task", "why", task)
    assert code == 0
    assert "slot 0 went to lab in attempt 2, at " in out
    assert "by the strategy weighted, in which it had 40 of 100 chances\n" in out
    assert "1 node" in out
    row = next(line for line in out.splitlines() if line.endswith("got the slot") and "lab" in line)
    assert "1 of 2" in row
    assert "WHEN THE SLOT WAS GIVEN, IT" in out
    assert "slot 1 went to attic; among whom is not known any more here" in out
    slots = decoded(ctl("task", "why", task, "--json")[1])["slots"]
    assert [each["given_ms"] for each in slots] == [1_700_000_000_000, None]


def test_labels_that_no_request_can_hold_are_named(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    many = [word for number in range(9) for word in ("--label", f"k{number}=v")]
    code, _, err = ctl("run", module(tmp_path), *many)
    assert (code, err.count("\n")) == (2, 1)
    assert "--label is given 9 times; at most 8" in err
    code, _, err = ctl("run", module(tmp_path), "--label", "k=" + "x" * 200)
    assert (code, err.count("\n")) == (2, 1)
    assert "has 202 characters; at most 128" in err


def test_an_anchor_not_there_in_time_ends_with_one(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    code, _, err = ctl("run", module(tmp_path), "--wait-anchor", "--timeout", "0")
    assert code == 1
    assert "is not anchored after 0 s; get it later with `ambientctl receipt get" in err


def test_no_wait_prints_the_task(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    code, out, _ = ctl("run", module(tmp_path), "--no-wait")
    assert code == 0
    assert len(out.strip()) == 64
    answer = decoded(ctl("run", module(tmp_path), "--no-wait", "--json")[1])
    assert set(answer) == {"task_id", "outcome", "gas", "output_sha256", "receipt", "replicas"}


def test_the_same_nonce_is_the_same_task(
    live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path
) -> None:
    words = ("run", module(tmp_path), "--nonce", "00ff", "--no-wait")
    assert ctl(*words)[1] == ctl(*words)[1]
    assert "is known already" in ctl(*words)[2]
    assert ctl("run", module(tmp_path), "--no-wait")[1] != ctl(*words)[1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run", "nowhere.wasm"), "nowhere.wasm: cannot read the module"),
        (("run", "m.wasm", "--input", "nowhere"), "nowhere: cannot read the input"),
        (("run", "text"), "is no WebAssembly binary"),
        (("run", "m.wasm", "--output", "no/where"), "no/where: cannot be written"),
        (("run", "m.wasm", "--output", "."), "cannot be written"),
        (("run", "m.wasm", "--nonce", "xyz"), "is not hex"),
        (("run", "m.wasm", "--no-wait", "--output", "o"), "leave the other options away"),
        (("run", "m.wasm", "--assurance", "none", "--replicas", "2"), "one replica"),
        (("run", "m.wasm", "--replicas", "65"), "at most 64"),
        (("run", "m.wasm", "--colluders", "20%"), "for `--assurance quorum` without a size"),
        (("run", "m.wasm", "--colluders", "51%"), "no share from 1% to 50%"),
        (("run", "m.wasm", "--colluders", "many"), "'many' is no share from 1% to 50%"),
        (("run", "m.wasm", "--wall-max", "0"), "over at once"),
        (("run", "m.wasm", "--replicas", "-1"), "is not a number"),
        (("run", "m.wasm", "--timeout", "soon"), "is not a number of seconds"),
        (("run", "m.wasm", "--wall-max", "1e9"), "of seconds up to 31536000, a year"),
        (("run", "m.wasm", "--assurance", "total"), "is none of none, audited"),
        (("run",), "required: MODULE.wasm"),
        ((), "required: COMMAND"),
        (("explode",), "'explode' is no command; did you mean export?"),
        (("--stat",), "required: COMMAND"),
        (("task", "show", "xyzt"), "'xyzt' is not the id of a task"),
        (("task", "show", "ab"), "at least the first 4"),
        (("task", "show", "abcdef"), "no task abcdef is known here; `ambientctl task list`"),
        (("task", "output", "abcd", "--output", "no/where"), "cannot be written"),
        (("receipt", "get", "abcd"), "no task abcd"),
        (("receipt", "verify", "nowhere"), "nowhere: cannot read the receipt"),
        (("receipt", "verify", "text", "--cluster", "ab"), "is not a fingerprint"),
        (("receipt", "verify", "text", "--epoch", "2:ab"), "is no epoch's hash"),
        (("module", "check", "nowhere"), "nowhere: cannot read the module"),
        (("cluster", "create", "."), "is not empty"),
        (("cluster", "create", "c", "--name", ""), "a cluster's name has"),
        (("cluster", "create", "c", "--name", "a\nb"), "a cluster's name has"),
        (("cluster", "invite", "--expires", "0"), "1 second or more"),
        (("anchor", "plan", "--receipts-a-day", "0"), "0 is too few"),
        (("account", "bond", "9007199254740.992sat"), "a larger amount than any account holds"),
        (("cluster", "create", "c", "--members", "99"), "1 to 64 members"),
        (("cluster", "create", "c", "--host", "0.0.0.0"), "means every address of a machine"),
        (("cluster", "create", "c", "--host", "a b"), "neither an IP address nor a name"),
        (("cluster", "create", "c", "--host", "192.0.2.1"), "is no address of this machine"),
        (("join", "rubbish"), "this is no join token"),
        (("demo", "--nodes", "4", "--liars", "2"), "--liars 2: a committee of 4 stays honest"),
        (("demo", "--nodes", "99"), "1 to 16 nodes"),
    ],
)
def test_wrong_usage_is_one_line_and_two(
    live: Path,
    ctl: Ctl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    module(tmp_path)
    (tmp_path / "text").write_text("text")
    code, out, err = ctl(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.startswith("ambientctl: ")
    assert err.count("\n") == 1


def test_a_daemon_that_is_not_there_is_three(ctl: Ctl, data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "config.toml").touch()
    for words in (
        ("status",),
        ("status", "--ready"),
        ("nodes",),
        ("run", module(tmp_path)),
        ("task", "show", "abcd"),
    ):
        code, out, err = ctl(*words)
        assert (code, out) == (3, "")
        assert f"is ambientd running? start it with: ambientd --data-dir {data_dir}" in err
        assert err.count("\n") == 1


def test_a_socket_elsewhere_is_found_through_the_config(
    node: DeskNode, ctl: Ctl, data_dir: Path, tmp_path: Path
) -> None:
    from tests.fakes.desk_node import served

    (data_dir / "config.toml").write_text(f'[api]\nsocket = "{tmp_path}/elsewhere"\n')
    with served(tmp_path / "elsewhere", node.handlers()):
        assert ctl("status")[0] == 0
    (data_dir / "config.toml").write_text('[api]\nsockets = "x"\n')
    code, _, err = ctl("status")
    assert code == 2
    assert "config.toml, line 2: [api] sockets: unknown key" in err


def test_a_task_is_shown_from_the_start_of_its_id(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    assert "no tasks yet" in ctl("task", "list")[1]
    assert "no task is open" in ctl("task", "list", "--state", "open")[1]
    task = ctl("run", module(tmp_path), "--no-wait")[1].strip()
    code, out, _ = ctl("task", "show", task[:8].upper())
    assert code == 0
    assert task in out
    assert "wrong_result: 3 of 4 referees disagree; reputation 0.250 -> 0.000" in out
    assert "unknown (no RAPL)" in out
    assert "22:13:20.123  admitted" in out
    assert task[:12] in ctl("task", "list")[1]
    assert decoded(ctl("task", "show", task[:8], "--json")[1])["task_id"] == task


def test_an_output_that_was_revoked_is_not_given_in_silence(
    live: Path, ctl: Ctl, tmp_path: Path, node: DeskNode
) -> None:
    task = ctl("run", module(tmp_path), "--no-wait")[1].strip()
    shown, data = node.tasks[task]
    node.tasks[task] = (msgspec.structs.replace(shown, standing="revoked"), data)
    code, _, err = ctl("task", "output", task)
    assert (code, err) == (0, "answer: revoked\n")
    assert decoded(ctl("task", "output", task, "--json")[1])["standing"] == "revoked"


def test_outputs_and_receipts_are_fetched(
    live: Path, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_bytes(b"data")
    task = ctl("run", module(tmp_path), "--input", "in", "--no-wait")[1].strip()
    assert ctl("task", "output", task)[1] == "data"
    assert ctl("task", "output", task, "--output", "o", "--json")[0] == 0
    assert (tmp_path / "o").read_bytes() == b"data"
    code, out, _ = ctl("receipt", "get", task)
    assert (code, out.strip()) == (0, f"{task[:12]}.receipt")
    assert (tmp_path / f"{task[:12]}.receipt").read_bytes() == b"rcpt"
    assert decoded(ctl("receipt", "get", task, "--output", "r", "--json")[1])["state"] == "batched"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_events_are_told_with_their_time(live: Path, ctl: Ctl) -> None:
    assert ctl("events")[1] == "22:13:20.123  task_assigned        slot 1\n"


def test_a_cluster_is_founded_and_a_second_device_joins(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ambientd.adapters.keys import load_key
    from ambientd.api.genesis_files import load_genesis
    from ambientd.api.invitation import make_token
    from ambientd.codec.signing import Signer

    code, out, _ = ctl("cluster", "create", tmp_path / "c", "--members", "2", "--json")
    answer = decoded(out)
    assert code == 0
    node1 = tmp_path / "c" / "node1"
    signer = Signer(load_key(node1 / "node.key"), bytes.fromhex(str(answer["fingerprint"])))
    address = f"{signer.public_key.hex()}@127.0.0.1:4400"
    genesis = load_genesis(node1 / "genesis.bin")
    token = make_token(genesis, signer, (address,), bytes(32), 2**60)
    code, out, _ = ctl("join", token, "--data-dir", tmp_path / "second", "--kind", "edge")
    assert code == 0
    assert f"start it: ambientd --data-dir {tmp_path}/second" in out
    assert re.search(r"it will listen on 127\.0\.0\.1:\d+: only this machine can dial it", out)
    elsewhere = (address.replace("127.0.0.1", "192.0.2.7"), address)
    far = make_token(genesis, signer, elsewhere, bytes(32), 2**60)
    out = ctl("join", far, "--data-dir", tmp_path / "far")[1]
    assert re.search(r"listen on 0\.0\.0\.0:\d+: every network .* is told of it by mDNS", out)
    out = ctl("join", far, "--data-dir", tmp_path / "one", "--listen", "192.0.2.8:4400")[1]
    assert "it will listen on 192.0.2.8:4400: that network can dial it" in out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
    code, out, _ = ctl("join", "-", "--data-dir", tmp_path / "third", "--json")
    assert (code, decoded(out)["fingerprint"]) == (0, answer["fingerprint"])
    code, out, _ = ctl("cluster", "create", tmp_path / "d", "--members", "1")
    assert f"ambientd --data-dir {tmp_path}/d/node1" in out


def test_who_joins_a_peg_with_real_bitcoin_is_told_what_was_not_audited(
    ctl: Ctl, tmp_path: Path
) -> None:
    from ambientd.adapters.keys import load_key
    from ambientd.api.genesis_files import load_genesis
    from ambientd.api.invitation import make_token
    from ambientd.codec.signing import Signer

    on_main = ("--members", "1", "--bitcoin", "rpc", "--bitcoin-network", "main")
    code, out, err = ctl("cluster", "create", tmp_path / "a", *on_main)
    assert (code, "anchors are paid with REAL BITCOIN" in err, "AUDITED" in err) == (0, True, False)
    assert "bitcoin.login" in out
    code, _, err = ctl("cluster", "create", tmp_path / "b", *on_main, "--peg")
    assert (code, "give --accept-unaudited-mainnet-peg" in err) == (2, True)
    accepted = ("--peg", "--accept-unaudited-mainnet-peg", "--json")
    code, out, err = ctl("cluster", "create", tmp_path / "c", *on_main, *accepted)
    assert (code, err.count("NOT AUDITED: ")) == (0, 5)
    node1 = tmp_path / "c" / "node1"
    signer = Signer(load_key(node1 / "node.key"), bytes.fromhex(str(decoded(out)["fingerprint"])))
    address = f"{signer.public_key.hex()}@127.0.0.1:4400"
    token = make_token(load_genesis(node1 / "genesis.bin"), signer, (address,), bytes(32), 2**60)
    code, _, err = ctl("join", token, "--data-dir", tmp_path / "second")
    assert (code, "BITCOIN OF THE MAIN NETWORK and WAS NOT AUDITED" in err) == (0, True)


def test_a_file_that_is_no_receipt_does_not_verify(ctl: Ctl, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"rcpt")
    code, out, _ = ctl("receipt", "verify", tmp_path / "r", "--json", "--cluster", "ab" * 32)
    answer = decoded(out)
    assert (code, answer["valid"]) == (4, False)
    assert set(answer) == {"valid", "checks", "trust"}
    code, out, _ = ctl("receipt", "verify", tmp_path / "r", "--output", tmp_path / "r")
    assert code == 4
    assert out.endswith("r: NOT VALID\n")
    assert "FAIL  format" in out


def test_who_was_convicted_is_listed_and_exported(
    live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path
) -> None:
    code, out, _ = ctl("blame", "list")
    assert code == 0
    assert "a step that the execution does not take" in out
    assert decoded(ctl("blame", "list", "--json")[1])["blames"]
    code, out, err = ctl("blame", "export", LIAR[:12], "-o", tmp_path / "b", "--with-module")
    assert (code, out) == (0, f"{tmp_path}/b\n")
    assert "signed a step" in err
    assert (tmp_path / "b").read_bytes() == b"blm"
    assert node.requests == [requests.ExportBlame(about=LIAR[:12], with_module=True)]
    answer = decoded(ctl("blame", "export", LIAR, "-o", tmp_path / "b", "--json")[1])
    assert set(answer) == {"node", "kind", "task", "blame", "size_bytes"}
    node.someone_lied = False
    assert ctl("blame", "list")[1] == "nobody was convicted\n"


def test_a_certificate_is_verified_and_replayed_without_a_daemon(ctl: Ctl, tmp_path: Path) -> None:
    path, module, data = tmp_path / "n.blame", tmp_path / "m.wasm", tmp_path / "in"
    path.write_bytes(encode(blames.wrong_step()))
    module.write_bytes(blames.SUM)
    data.write_bytes(blames.DATA)
    verify = ("blame", "verify", path, "--cluster", blames.CLUSTER.id.hex())
    code, out, _ = ctl(*verify)
    culprit = blames.wrong_step().culprit.hex()
    assert (code, out.endswith(f"n.blame: valid\nnode {culprit} lied\n")) == (0, True)
    assert "nothing was executed here" in out
    code, _, err = ctl(*verify, "--epoch", "ab" * 32)
    assert (code, "--images lead through: name their file as well" in err) == (2, True)
    code, out, _ = ctl(*verify, "--module", module, "--input", data)
    assert code == 0
    assert "ok    replay" in out
    assert "did it again, and needed nobody's word" in out
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    code, out, _ = ctl(*verify, "--json")
    answer = decoded(out)
    assert (code, answer["valid"]) == (4, False)
    assert set(answer) == {"valid", "node", "checks", "trust"}
    path.write_bytes(b"blm")
    code, out, _ = ctl("blame", "verify", path)
    assert (code, "FAIL  format" in out) == (4, True)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("run",),
        ("task",),
        ("receipt", "verify"),
        ("blame",),
        ("blame", "export"),
        ("blame", "verify"),
        ("blame", "slim"),
        ("headers",),
        ("headers", "check"),
        ("headers", "sync"),
        ("headers", "export"),
        ("witness",),
        ("witness", "run"),
        ("witness", "take"),
        ("witness", "offer"),
        ("witness", "check"),
        ("anchor",),
        ("anchor", "plan"),
        ("cluster", "create"),
        ("cluster", "invite"),
        ("member",),
        ("account",),
        ("peg",),
        ("peg", "withdraw"),
        ("account", "transfer"),
        ("backup", "restore"),
        ("restore",),
        ("audit",),
        ("cluster",),
        ("join",),
        ("demo",),
    ],
)
def test_help_is_as_agreed(ctl: Ctl, words: tuple[str, ...]) -> None:
    code, out, _ = ctl(*words, "--help")
    assert code == 0
    golden = GOLDEN / f"{'-'.join(('help', *words))}.txt"
    assert out == golden.read_text(), f"if this is meant, write it to {golden.name}"


def test_what_cannot_be_slimmed_says_why_and_writes_nothing(ctl: Ctl, tmp_path: Path) -> None:
    step, bent, out = tmp_path / "step.blame", tmp_path / "bent.blame", tmp_path / "slim.blame"
    step.write_bytes(encode(blames.with_blobs(blames.wrong_step())))
    code, _, err = ctl("blame", "slim", step, "-o", out)
    assert (code, "step.blame: its stretch touches all pages" in err) == (2, True)
    wrong = msgspec.structs.replace(blames.wrong_step(), culprit=blames.CLUSTER.node(0))
    bent.write_bytes(encode(wrong))
    code, shown, _ = ctl("blame", "slim", bent, "-o", out)
    assert (code, "FAIL  receipt" in shown) == (4, True)
    assert not out.exists()


def test_text_of_a_peer_cannot_forge_lines(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "wasmtime\nok    checkpoint  cosigned\r\x1b[2K\u2028\u202e"
    console.print_line(forged)
    console.print_fields([("engine", forged)])
    console.print_table(("NAME", "STATE"), [(forged, "away")])
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert not any(line.startswith("ok ") for line in out.splitlines())
    console.tell(forged)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_receipt_with_line_breaks_in_its_words_prints_one_line_a_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ambientd.cli.receipt_commands import report_lines

    def printed(*, valid: bool) -> list[str]:
        check = SimpleNamespace(name="engine", ok=valid, detail="x\nok    checkpoint  holds")
        report = SimpleNamespace(valid=valid, checks=(check,), trust=("a\nb: valid",))
        for line in report_lines("r", report):
            console.print_line(line)
        return [line[:4] for line in capsys.readouterr().out.splitlines()]

    assert printed(valid=True) == ["ok  ", "", "What", "- a\ufffd", "", "r: v"]
    assert printed(valid=False) == ["FAIL", "", "r: N"]


def test_a_task_is_taken_back_by_its_id(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    task = ctl("run", module(tmp_path, SLOW), "--no-wait")[1].strip()
    code, out, err = ctl("task", "cancel", task[:8])
    assert (code, out, err) == (0, f"task {task} is cancelled, 2 sat refunded\n", "")
    assert decoded(ctl("task", "cancel", task, "--json")[1])["state"] == "cancelled"
    done = ctl("run", module(tmp_path), "--no-wait")[1].strip()
    code, _, err = ctl("task", "cancel", done)
    assert (code, err) == (2, "ambientctl: a task that is final cannot be cancelled\n")


def test_run_asks_again_only_when_something_has_changed(
    live: Path, ctl: Ctl, node: DeskNode, tmp_path: Path
) -> None:
    assert ctl("run", module(tmp_path, SLOW), "--timeout", "2.5")[0] == 1
    waits = [each for each in node.requests if isinstance(each, requests.WaitForTask)]
    assert [(each.seen, each.timeout_ms > 2_000) for each in waits[:2]] == [
        ("", False),
        ("assigned", True),
    ]
    assert len(waits) <= 3


def test_an_invitation_for_this_machine_alone_says_so(live: Path, ctl: Ctl, node: DeskNode) -> None:
    code, out, err = ctl("cluster", "invite")
    assert (code, out) == (0, "TOKEN\n")
    assert "only this machine can use the token: it names 127.0.0.1:4400" in err
    node.dialled_at = "192.0.2.7:4400"
    assert "only this machine" not in ctl("cluster", "invite")[2]


def test_amounts_are_exact() -> None:
    assert [console.in_sat(n) for n in (0, 1, 1000, -1500, 10**9)] == [
        "0 sat",
        "0.001 sat",
        "1 sat",
        "-1.5 sat",
        "1,000,000 sat",
    ]


def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    files.write_file("/dev/null", b"x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(console.UsageError, match="cannot be written"):
        files.write_file(str(tmp_path), b"x")


def test_a_file_of_headers_is_checked_and_its_tip_shown(ctl: Ctl, tmp_path: Path) -> None:
    kept = HeaderFile(tmp_path / "headers", REGTEST)
    kept.extend(1, grow(kept.chain, 3))
    code, out, _ = ctl("headers", "check", str(tmp_path / "headers"))
    assert code == 0
    assert out.startswith("regtest: every header from 0 to 3 is right\ntip ")
    code, out, _ = ctl("headers", "check", str(tmp_path / "headers"), "--json")
    assert decoded(out)["height"] == 3


def test_the_headers_a_daemon_keeps_are_exported_up_to_where_they_are_right(
    ctl: Ctl, tmp_path: Path
) -> None:
    kept = HeaderFile(tmp_path / "bitcoin.headers", REGTEST)
    kept.extend(1, grow(kept.chain, 3))
    with kept.path.open("ab") as file:
        file.write(b"torn")
    out_path = tmp_path / "copy"
    code, out, _ = ctl("--data-dir", str(tmp_path), "headers", "export", str(out_path))
    assert (code, out.splitlines()[0]) == (0, "regtest: every header from 0 to 3 is right")
    assert decode_headers(out_path.read_bytes()).tip_hash == kept.chain.tip_hash
    code, _, err = ctl("--data-dir", "/nowhere", "headers", "export", str(out_path))
    assert (code, "keeps no Bitcoin headers yet" in err) == (2, True)


def test_commands_to_copy_name_a_folder_as_a_shell_reads_it(ctl: Ctl, tmp_path: Path) -> None:
    root = tmp_path / "a b" / "ü x"
    code, out, _ = ctl("cluster", "create", root, "--members", "1", "--bitcoin", "off")
    lines = [line for line in out.splitlines() if "--data-dir" in line]
    assert (code, len(lines)) == (0, 2)
    assert all(str(root / "node1") in shlex.split(line) for line in lines), lines
    code, _, err = ctl("--data-dir", root / "node1", "status")
    assert (code, str(root / "node1") in shlex.split(err.replace("`", ""))) == (3, True)


def test_headers_come_from_a_server_one_names(ctl: Ctl, tmp_path: Path) -> None:
    code, _, err = ctl("headers", "sync", str(tmp_path / "h"), "--network", "regtest")
    assert (code, "--rpc URL or --esplora URL" in err) == (2, True)
    assert not (tmp_path / "h").exists()


def test_a_new_file_of_headers_needs_a_network_and_one_that_is_there_names_its_own(
    ctl: Ctl, tmp_path: Path
) -> None:
    path, server = tmp_path / "h", ("--esplora", "http://127.0.0.1:1")
    code, _, err = ctl("headers", "sync", path, *server)
    assert (code, f"{path}: is new" in err, "--network main" in err) == (2, True, True)
    assert not path.exists()
    HeaderFile(path, REGTEST)
    code, _, err = ctl("headers", "sync", path, *server)
    assert (code, "does not answer" in err) == (3, True)
    path.write_bytes(b"no headers")
    code, _, err = ctl("headers", "sync", path, *server)
    assert (code, "no file of Bitcoin headers; name a new file" in err) == (2, True)


def test_a_witness_takes_heads_from_files_and_proves_a_split(ctl: Ctl, tmp_path: Path) -> None:
    folder, log, other = tmp_path / "w", Log(9), Log(9, fork=2)
    for name, update in (("first", log.update(5)), ("other", other.update(9, since=5))):
        (tmp_path / name).write_bytes(encode(update))
    code, out, err = ctl("witness", "take", folder, tmp_path / "first", "--offline")
    assert (code, out.startswith("followed to 5 receipts, root ")) == (0, True)
    assert "which anyone can have invented: --cluster pins it" in err
    code, out, _ = ctl("witness", "take", folder, tmp_path / "first", "--offline")
    assert (code, out) == (0, "nothing new: 5 receipts seen\n")
    code, out, _ = ctl("witness", "take", folder, tmp_path / "other", "--offline", "--json")
    answer = decoded(out)
    assert (code, answer["outcome"], answer["size"]) == (4, "split", 5)
    code, out, _ = ctl("witness", "check", answer["evidence"])
    assert (code, out.count("signed both")) == (0, 3)
    assert f"the one: 5 receipts, root {log.tree.root(5).hex()}" in out
    assert f"the other: 9 receipts, root {other.tree.root(9).hex()}" in out
    assert f"the root of the first 5 receipts of the larger is {other.tree.root(5).hex()}" in out
    code, out, _ = ctl("witness", "check", answer["evidence"], "--json")
    answer = decoded(out)
    assert answer["split"] is True
    assert [head["size"] for head in answer["heads"]] == [5, 9]
    assert set(answer["signed_both"]) == set(answer["heads"][1]["signed_by"])
    code, out, _ = ctl("witness", "check", tmp_path / "first")
    assert (code, out.startswith("nothing is proven: ")) == (4, True)


def test_a_file_that_has_no_headers_is_refused_in_one_line(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_bytes(b"no headers")
    code, _, err = ctl("headers", "check", str(path))
    assert code == 2
    said = f"ambientctl: {path}: this is no file of Bitcoin headers; "
    words = "ambientctl headers sync FILE --network NETWORK --esplora URL"
    assert err == f"{said}`{words}` fetches another\n"


def test_a_timestamp_wants_the_name_that_its_client_reads(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "r.receipt"
    path.write_bytes(encode(file_of(agreed(), b"n")))
    code, _, err = ctl("receipt", "export", str(path), "--ots", str(tmp_path / "r.txt"))
    assert (code, "must end in .ots" in err) == (2, True)
    code, out, _ = ctl("receipt", "export", str(path), "--ots", str(tmp_path / "r.ots"))
    assert (code, out) == (0, f"{tmp_path / 'r.ots'}\n")
    assert (tmp_path / "r").read_bytes()[:1] == b"\0"
    assert ctl("receipt", "export", str(path), "--ots", str(tmp_path / "r.ots"))[0] == 0
    path.write_bytes(b"no receipt")
    code, _, err = ctl("receipt", "export", str(path), "--ots", str(tmp_path / "r.ots"))
    assert (code, "does not hold" in err) == (2, True)


def test_a_timestamp_never_takes_the_place_of_its_receipt(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "r.receipt"
    receipt = encode(file_of(agreed(), b"n"))
    path.write_bytes(receipt)
    code, _, err = ctl("receipt", "export", str(path), "--ots", f"{path}.ots")
    assert (code, f"{path}: is there already" in err) == (2, True)
    assert path.read_bytes() == receipt
    assert not Path(f"{path}.ots").exists()


def test_a_timestamp_that_cannot_be_written_leaves_nothing_behind(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "r.receipt"
    path.write_bytes(encode(file_of(agreed(), b"n")))
    (tmp_path / "s.ots").mkdir()
    code, _, err = ctl("receipt", "export", str(path), "--ots", str(tmp_path / "s.ots"))
    assert (code, "s.ots: cannot be written: Is a directory" in err) == (2, True)
    assert not (tmp_path / "s").exists()


def test_what_names_no_study_and_no_data_is_refused_before_a_daemon_is_asked(ctl: Ctl) -> None:
    for name in ("12", "digits", "0" * 65):
        code, _, err = ctl("fl", "show", name)
        assert (code, f"{name!r} is no study's id" in err) == (2, True)
    code, _, err = ctl("fl", "join", "1234", "--data", "")
    assert (code, "it names no data" in err) == (2, True)


@pytest.mark.parametrize("option", ["--replicas", "--gas-max"])
def test_a_run_with_none_of_something_is_refused(ctl: Ctl, tmp_path: Path, option: str) -> None:
    code, _, err = ctl("run", str(module(tmp_path)), option, "0")
    assert (code, "0 is too few" in err) == (2, True)


def test_who_lets_a_node_in_is_told_what_a_quorum_will_be(live: Path, ctl: Ctl) -> None:
    code, _, err = ctl("member", "admit", LIAR)
    assert code == 0
    assert "with it 2 members keep the log: 2 are a quorum, 0 may fail" in err


def test_who_lets_a_node_in_instead_is_told_what_it_still_waits_for(
    live: Path, ctl: Ctl, node: DeskNode
) -> None:
    assert ctl("member", "admit", LIAR, "--instead")[2] == ""
    node.epoch_due = None
    code, out, err = ctl("member", "admit", LIAR, "--instead")
    assert (code, "epoch 2 goes on" in out) == (0, True)
    assert "0 of 1 members needed have let guest " in err
    assert ctl("member", "admit", LIAR, "--instead", "--json")[2] == ""


def test_who_lets_a_member_go_is_told_what_is_lost_and_asked(
    live: Path, ctl: Ctl, node: DeskNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.members_here = (NODE, LIAR)
    loss = "of 2 members 1 stay: 1 are a quorum, 0 may fail"
    for words, who in ((("leave",), "this node"), (("remove", "B2B2"), f"evil\ufffd[31m {LIAR}")):
        code, _, err = ctl("member", *words)
        assert (code, "if you are sure, add --yes" in err) == (2, True)
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        code, out, err = ctl("member", *words)
        assert (code, out) == (1, "")
        assert err == f"{loss}; let {who} go? [y/N] nothing was said\n"
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        assert ctl("member", *words)[0] == 0
        monkeypatch.setattr("sys.stdin", io.StringIO())
        code, out, err = ctl("member", *words, "--yes")
        assert (code, err) == (0, f"{loss}\n")
        assert "epoch 2 goes on" in out
    node.members_here = (NODE,)
    assert ctl("member", "remove", "b2b2")[2] == ""  # it has no seat to lose
