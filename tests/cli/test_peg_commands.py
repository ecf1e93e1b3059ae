"""The commands about bitcoin in and out, against a node that is not there."""

import json
from pathlib import Path

import pytest

from ambientd.api.peg_values import RaiseFee, ReturnPegIn, Withdraw
from ambientd.rules.peg_networks import UNAUDITED
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import DeskNode


def test_an_address_is_shown_with_what_to_know_of_it(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("peg", "address")
    assert code == 0
    assert "bcrt1qexample" in out
    assert "10,000 sat; less is not credited" in out
    assert "ask again before each peg-in" in err
    assert json.loads(ctl("peg", "address", "--json")[1])["index"] == 1


@pytest.mark.parametrize("words", [("peg", "address"), ("peg", "audit")])
def test_on_the_main_network_all_is_said_that_was_not_audited(
    live: Path, ctl: Ctl, node: DeskNode, words: tuple[str, ...]
) -> None:
    assert "AUDITED" not in ctl(*words)[2]
    node.network = "main"
    _, out, err = ctl(*words)
    assert err.count("REAL BITCOIN, NOT AUDITED: ") == len(UNAUDITED)
    assert "1,000,000 sat" in out
    assert json.loads(ctl(*words, "--json")[1])["unaudited"] == list(UNAUDITED)


def test_peg_ins_and_payments_are_listed(live: Path, ctl: Ctl, node: DeskNode) -> None:
    code, out, _ = ctl("peg", "deposits")
    assert code == 0
    for part in (
        "10,000 sat  2 of 6 confirmations, credited in about 40 minutes\n",
        "credited after 4 Bitcoin blocks more, then brought over from the earlier wallet",
        "9,999 sat   too small to count: `ambientctl peg return",
        "ADDRESS` sends it back for 200 sat or more",
        "700 sat     too small to count: nor would enough be left",
        "above the most that the peg may ever take at once: `ambientctl peg return",
        "never counts, nor can it go back: without its witness",
        "goes back once it is deep enough and seen by 1 of the 3 members needed",
        "goes back with payment 8",
        "went back",
        "6 of 6 confirmations, waits for the members",
        "seen by 2 of the 3 members needed",
        "credited when payment 9 has brought it over",
        "waits: the peg holds as much as it may",
        "60,000 sat  counted",
        "signing (1 of 3)",
        "cc" * 32,
    ):
        assert part in out
    first = json.loads(ctl("peg", "deposits", "--json")[1])["peg_ins"][0]
    assert (first["state"], first["confirmations"], first["due_s"]) == ("confirming", 2, 2_400)
    node.is_poor = True
    _, out, err = ctl("peg", "deposits")
    assert "nothing has come in" in out
    assert "may be missing here: the chain is away" in err


def test_a_peg_out_asks_first_and_goes_out_as_said(live: Path, ctl: Ctl, node: DeskNode) -> None:
    words = ("peg", "withdraw", "bcrt1qexample", "20000sat", "--rate", "1.5")
    assert ctl(*words)[0] == 2, "no terminal to ask at"
    assert node.requests == []
    code, out, err = ctl(*words, "--yes")
    assert (code, "20,000 sat  400 sat  19,600 sat" in out) == (0, True)
    assert "20,000 sat go off the balance, 300 sat of it in fees; 19,700 sat arrive at" in err
    assert json.loads(ctl(*words, "--yes", "--json")[1])["payment"] == 7
    wanted = Withdraw(address="bcrt1qexample", amount_sat=20_000, fee_sat=300)
    assert node.requests == [wanted, wanted]


@pytest.mark.parametrize("amount", ["20000sat", "0.0002btc", "20000000msat", "0.0002BTC"])
def test_amounts_are_read_as_elsewhere(live: Path, ctl: Ctl, node: DeskNode, amount: str) -> None:
    assert ctl("peg", "withdraw", "bcrt1qexample", amount, "--yes")[0] == 0
    assert node.requests == [Withdraw(address="bcrt1qexample", amount_sat=20_000, fee_sat=400)]


@pytest.mark.parametrize(
    ("amount", "reason"),
    [("20000", "write 20000sat"), ("1500msat", "no whole number of satoshi"), ("0sat", "above 0")],
)
def test_an_amount_that_may_be_meant_otherwise_is_refused(
    ctl: Ctl, amount: str, reason: str
) -> None:
    code, _, err = ctl("peg", "withdraw", "bcrt1qexample", amount, "--yes")
    assert (code, reason in err) == (2, True)


def test_what_is_never_credited_is_sent_back(live: Path, ctl: Ctl, node: DeskNode) -> None:
    outpoint = "ab" * 32 + ":1"
    words = ("peg", "return", outpoint, "bcrt1qexample", "--rate", "1.5")
    assert ctl(*words)[0] == 2, "no terminal to ask at"
    assert node.requests == []
    code, out, err = ctl(*words, "--yes")
    assert (code, "payment 8 brings it back" in out) == (0, True)
    assert "4,000 sat go back, 300 sat of it in fees; 3,700 sat arrive at bcrt1qexample" in err
    assert json.loads(ctl(*words, "--yes", "--json")[1])["payment"] == 8
    wanted = ReturnPegIn(outpoint=outpoint, address="bcrt1qexample", fee_sat=300)
    assert node.requests == [wanted, wanted]
    node.is_poor = True
    assert "once enough members have seen it" in ctl(*words, "--yes")[1]


@pytest.mark.parametrize(
    "text", ["foo:0", "ab:1", "ab" * 32, "ab" * 32 + ":", "ab" * 32 + ":x", "zz" * 32 + ":1"]
)
def test_what_names_no_output_is_said_before_the_node_is_asked(
    live: Path, ctl: Ctl, node: DeskNode, text: str
) -> None:
    code, _, err = ctl("peg", "return", text, "bcrt1qexample", "--yes")
    assert (code, node.requests) == (2, [])
    assert f"{text!r} is no output of a transaction: write the 64 hex digits" in err


def test_an_output_may_be_named_in_capitals(live: Path, ctl: Ctl, node: DeskNode) -> None:
    assert ctl("peg", "return", "AB" * 32 + ":01", "bcrt1qexample", "--yes")[0] == 0
    [request] = node.requests
    assert isinstance(request, ReturnPegIn)
    assert request.outpoint == "ab" * 32 + ":1"


def test_a_fee_is_raised(live: Path, ctl: Ctl, node: DeskNode) -> None:
    assert "900 sat" in ctl("peg", "raise", "7", "900sat", "--yes")[1]
    assert node.requests == [RaiseFee(payment=7, fee_sat=900)]


@pytest.mark.parametrize(
    ("has_coins", "code", "text"),
    [
        (True, 0, "every coin that the ledger holds is there"),
        (False, 4, "60,000 sat that the ledger holds are NOT THERE"),
        (None, 4, "this node has none: compare"),
    ],
)
def test_an_audit_compares_books_and_chain(
    live: Path, ctl: Ctl, node: DeskNode, has_coins: bool | None, code: int, text: str
) -> None:
    node.has_coins = has_coins
    found, out, _ = ctl("peg", "audit")
    assert (found, text in out) == (code, True)
    assert "reserves equal liabilities" in out
    found, out, _ = ctl("peg", "audit", "--json")
    assert (found, json.loads(out)["held_sat"]) == (code, 60_000)
    node.is_poor = True
    found, out, _ = ctl("peg", "audit")
    assert (found, "NOT ALL IS KNOWN: the chain did not say it" in out) == (4, True)
