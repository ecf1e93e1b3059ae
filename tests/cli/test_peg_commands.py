"""The commands about bitcoin in and out, against a node that is not there."""

import json
from pathlib import Path

import pytest

from ambientd.api.peg_values import RaiseFee, Withdraw
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import DeskNode


def test_an_address_is_shown_with_what_to_know_of_it(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("peg", "address")
    assert code == 0
    assert "bcrt1qexample" in out
    assert "10,000 sat; less is lost" in out
    assert "ask again before each peg-in" in err
    assert json.loads(ctl("peg", "address", "--json")[1])["index"] == 1


def test_peg_ins_and_payments_are_listed(live: Path, ctl: Ctl, node: DeskNode) -> None:
    code, out, _ = ctl("peg", "deposits")
    assert code == 0
    for part in ("seen by 2", "counted", "60,000 sat", "signing (1 of 3)", "cc" * 32):
        assert part in out
    assert len(json.loads(ctl("peg", "deposits", "--json")[1])["peg_ins"]) == 2
    node.is_poor = True
    assert "nothing has come in" in ctl("peg", "deposits")[1]


def test_a_peg_out_asks_first_and_goes_out_as_said(live: Path, ctl: Ctl, node: DeskNode) -> None:
    words = ("peg", "withdraw", "bcrt1qexample", "20000", "--rate", "1.5")
    assert ctl(*words)[0] == 2, "no terminal to ask at"
    assert node.requests == []
    code, out, _ = ctl(*words, "--yes")
    assert (code, "20,000 sat" in out) == (0, True)
    assert json.loads(ctl(*words, "--yes", "--json")[1])["payment"] == 7
    wanted = Withdraw(address="bcrt1qexample", amount_sat=20_000, rate_msat_vb=1_500)
    assert node.requests == [wanted, wanted]


def test_a_fee_is_raised(live: Path, ctl: Ctl, node: DeskNode) -> None:
    assert "900 sat" in ctl("peg", "raise", "7", "900", "--yes")[1]
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
