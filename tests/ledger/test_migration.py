"""States of every version there was, as their bytes were: tests/ledger/states."""

import json
from pathlib import Path
from typing import Any

import pytest

from ambientd.codec.canonical import decode
from ambientd.codec.state_pages import STATE_VERSION
from ambientd.ledger.entries import Table, decode_entry, decode_key
from ambientd.ledger.migration import Rows, migrated
from ambientd.ledger.peg import imbalance, reserves_sat
from ambientd.ledger.state import LedgerState
from ambientd.model.genesis import Genesis

FOLDER = Path(__file__).parent / "states"
PEG_TABLES = {table for table in Table if table.name.startswith("PEG")}


def kept(version: int, prefix: str = "") -> tuple[dict[str, Any], Rows]:
    document = json.loads((FOLDER / f"{prefix}version-{version}.json").read_text())
    entries = document["entries"]
    return document, {bytes.fromhex(key): bytes.fromhex(value) for key, value in entries}


def migrated_state(version: int, prefix: str = "") -> tuple[LedgerState, Genesis]:
    document, rows = kept(version, prefix)
    genesis: Genesis = decode(bytes.fromhex(document["genesis"]), Genesis)
    items = {
        decode_key(key): decode_entry(decode_key(key), value)
        for key, value in migrated(rows, version).items()
    }
    state = LedgerState(genesis, items, document["index"])
    if version == STATE_VERSION:
        assert state.root.hex() == document["root"]
    return state, genesis


@pytest.mark.parametrize("version", range(1, STATE_VERSION + 1))
def test_a_peg_of_any_version_becomes_one_of_this(version: int) -> None:
    state, _ = migrated_state(version, "peg-")
    assert {table for table, _ in state.items()} >= PEG_TABLES
    assert imbalance(state) is None
    assert reserves_sat(state) > 0


@pytest.mark.parametrize("version", range(1, STATE_VERSION + 1))
def test_a_state_of_any_version_becomes_one_of_this(version: int) -> None:
    state, genesis = migrated_state(version)
    assert state.total_msat() == LedgerState.from_genesis(genesis).total_msat()


def test_steps_are_taken_one_after_another() -> None:
    steps = {
        4: lambda rows: {key: value + b"5" for key, value in rows.items()},
        5: lambda rows: {key + b"x": value + b"6" for key, value in rows.items()},
    }
    assert migrated({b"k": b"4"}, 4, 6, steps) == {b"kx": b"456"}
    assert migrated({b"k": b"4"}, 6, 6, steps) == {b"k": b"4"}


def test_a_state_that_no_step_leads_from_is_refused() -> None:
    with pytest.raises(ValueError, match="version 3 is too old"):
        migrated({}, 3, 6, {})
    with pytest.raises(ValueError, match="version 7, this program knows 6: update"):
        migrated({}, 7, 6, {})
