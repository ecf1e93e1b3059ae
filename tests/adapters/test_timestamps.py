"""Receipts as OpenTimestamps files: the stock client says when they were in a Bitcoin block."""

import sys
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ambientd.adapters.regtest.launcher import EmbeddedChain
from ambientd.adapters.timestamps import Stamped, batch_timestamp, receipt_timestamp
from ambientd.errors import UsageError
from ambientd.model.record import Anchor
from tests.adapters.test_anchor_service import anchored, chain
from tests.rules.receipts import agreed, file_of

CLUSTER = agreed()
FILE = file_of(CLUSTER, b"n")
OTS = Path(sys.executable).with_name("ots")


def test_a_receipt_without_an_anchor_has_no_timestamp() -> None:
    for change in ({"anchor": None}, {"note": None}, {"path": FILE.path[1:]}):
        with pytest.raises(UsageError):
            receipt_timestamp(replace(FILE, **change))


def test_a_batch_of_one_is_its_receipt() -> None:
    note = FILE.note
    assert note is not None
    alone = replace(FILE, leaf_index=0, path=(), note=replace(note, size=1))
    with pytest.raises(UsageError, match="without --batch"):
        batch_timestamp(alone)


def test_a_timestamp_takes_less_than_a_kilobyte() -> None:
    assert len(receipt_timestamp(FILE).timestamp) < 1_000
    assert len(batch_timestamp(FILE).timestamp) < len(receipt_timestamp(FILE).timestamp)


async def ots_verify(url: str, folder: Path, stamped: Stamped) -> tuple[int, str]:
    (folder / "stamped").write_bytes(stamped.document)
    (folder / "stamped.ots").write_bytes(stamped.timestamp)
    command = [str(OTS), "--no-cache", "--btc-regtest", "--bitcoin-node", url]
    done = await trio.run_process(
        [*command, "verify", str(folder / "stamped.ots")],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.slow
@pytest.mark.net
async def test_the_stock_client_verifies_receipts_and_batches_against_a_chain(
    tmp_path: Path,
) -> None:
    cluster = agreed(anchored=False)
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    async with chain(tmp_path) as embedded:
        proof = await anchored(embedded, tmp_path / "book", root)
        cluster.block((0, Anchor(size=size, root=root, proof=proof)))
        file = file_of(cluster, b"n")
        endpoint = await trio.to_thread.run_sync(EmbeddedChain(tmp_path, 50).ensure_running)
        assert endpoint.cookie_path is not None
        login = endpoint.cookie_path.read_text("utf-8").strip()
        url = f"http://{login}@{endpoint.host}:{endpoint.port}"
        for stamped in (receipt_timestamp(file), batch_timestamp(file)):
            code, said = await ots_verify(url, tmp_path, stamped)
            assert (code, "Success! Bitcoin block" in said) == (0, True), said
            assert f"block {proof.height} attests" in said
            forged = Stamped(stamped.document + b"\0", stamped.timestamp)
            code, said = await ots_verify(url, tmp_path, forged)
            assert (code, "Success" in said) == (1, False), said
