"""States of every version that is known, as their bytes were (tests/ledger/states); their steps."""

import json
from pathlib import Path
from typing import Any

import pytest

from ambientd.codec.canonical import decode
from ambientd.ledger.entries import Table, decode_key
from ambientd.ledger.peg import imbalance, reserves_sat
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import KNOWN_VERSION, VERSIONS, StateVersion, Versions
from ambientd.model.genesis import Genesis

FOLDER = Path(__file__).parent / "states"
PEG_TABLES = {table for table in Table if table.name.startswith("PEG")}


def kept(version: int, prefix: str = "") -> tuple[LedgerState, Genesis]:
    document: dict[str, Any] = json.loads((FOLDER / f"{prefix}version-{version}.json").read_text())
    genesis: Genesis = decode(bytes.fromhex(document["genesis"]), Genesis)
    form = VERSIONS.of(version)
    rows = [(decode_key(bytes.fromhex(key)), bytes.fromhex(v)) for key, v in document["entries"]]
    items = {key: form.decode(key, value) for key, value in rows}
    state = LedgerState(genesis, items, document["index"], version)
    assert state.root.hex() == document["root"]
    return state, genesis


@pytest.mark.parametrize("version", range(max(1, KNOWN_VERSION - 1), KNOWN_VERSION + 1))
def test_a_peg_of_every_known_version_is_read(version: int) -> None:
    state, _ = kept(version, "peg-")
    assert {table for table, _ in state.items()} >= PEG_TABLES
    assert imbalance(state) is None
    assert reserves_sat(state) > 0


@pytest.mark.parametrize("version", range(max(1, KNOWN_VERSION - 1), KNOWN_VERSION + 1))
def test_a_state_of_every_known_version_is_read(version: int) -> None:
    state, genesis = kept(version)
    assert state.total_msat() == LedgerState.from_genesis(genesis).total_msat()


def test_a_version_that_is_not_known_is_refused_with_what_to_do() -> None:
    known = Versions(StateVersion(3), StateVersion(4))
    assert known.newest == 4
    with pytest.raises(ValueError, match="version 2 is too old for this program: use one in betw"):
        known.of(2)
    with pytest.raises(ValueError, match="is of version 5, this program knows 4: update it"):
        known.of(5)
