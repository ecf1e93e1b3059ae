"""Anchors that were mined with more bytes than the log takes."""

from pathlib import Path

import pytest

from ambientd.ledger.admission import shape_fault
from ambientd.model.record import Anchor
from ambientd.rules.bitcoin import compact_size, strip_witness
from tests.adapters.test_anchor_service import ROOT, anchored, chain, holds

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.mark.parametrize("size", [150_000, 450_000, 3_900_000])
async def test_what_was_mined_with_a_witness_longer_than_a_record_is_proved_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    async with chain(tmp_path) as embedded:
        mined = embedded.raw_tx

        async def padded(txid: bytes) -> bytes | None:
            raw = await mined(txid)
            if raw is None:
                return None
            base = strip_witness(raw)
            witness = b"\x01" + compact_size(size) + bytes(size)
            return base[:4] + b"\x00\x01" + base[4:-4] + witness + base[-4:]

        monkeypatch.setattr(embedded, "raw_tx", padded)
        proof = await anchored(embedded, tmp_path / "book", ROOT)
    assert holds(proof, ROOT)
    assert shape_fault(Anchor(size=1, root=ROOT, proof=proof)) is None, "the log takes it"
