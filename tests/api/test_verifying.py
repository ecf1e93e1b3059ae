"""Files that callers bring, checked by a node for those who believe it."""

from pathlib import Path

import pytest

from ambientd.adapters.header_file import encode_headers
from ambientd.api.verify_values import VerifyBlame, VerifyHeaders, VerifyReceipt, VerifySplit
from ambientd.api.verifying import Verifier
from ambientd.api.witnessing import WitnessFolder
from ambientd.codec.statements import fingerprint
from ambientd.errors import UsageError
from ambientd.rules.bitcoin import REGTEST
from tests.adapters.test_header_file import filled
from tests.ledger.cluster import OUTPUT
from tests.rules.logs import GENESIS, Log
from tests.rules.receipts import agreed, data_of


async def test_a_receipt_of_this_cluster_holds_and_a_changed_one_does_not() -> None:
    cluster = agreed()
    data, verifier = data_of(cluster), Verifier(cluster.state.cluster)
    found = await verifier.receipt(VerifyReceipt(receipt=data))
    assert found.valid
    assert found.trust
    changed = await verifier.receipt(VerifyReceipt(receipt=data[:-1] + bytes([data[-1] ^ 1])))
    assert not changed.valid
    assert [check.name for check in changed.checks if not check.ok] == ["issuer"]


async def test_a_receipt_of_another_cluster_holds_only_for_who_names_that_cluster() -> None:
    cluster = agreed()
    data, elsewhere = data_of(cluster), Verifier(b"\1" * 32)
    assert not (await elsewhere.receipt(VerifyReceipt(receipt=data))).valid
    named = cluster.state.cluster.hex()
    assert (await elsewhere.receipt(VerifyReceipt(receipt=data, cluster=named))).valid


async def test_bytes_that_are_no_file_are_invalid_and_no_error() -> None:
    verifier = Verifier(b"\1" * 32)
    for data in (b"", b"\xff" * 100, b"\x91" * 60_000):
        assert not (await verifier.receipt(VerifyReceipt(receipt=data))).valid
        assert not (await verifier.blame(VerifyBlame(blame=data))).valid
        assert not (await verifier.headers(VerifyHeaders(headers=data))).valid
        assert not (await verifier.split(VerifySplit(evidence=data))).valid


async def test_headers_hold_up_to_their_tip_and_changed_ones_do_not(tmp_path: Path) -> None:
    data, verifier = encode_headers(filled(tmp_path / "headers").chain), Verifier(b"\1" * 32)
    found = await verifier.headers(VerifyHeaders(headers=data))
    assert found.valid
    assert found.checks[0].detail.startswith(f"{REGTEST.name}, 0 to 10, tip ")
    inside = len(data) - 200
    changed = data[:inside] + bytes([data[inside] ^ 1]) + data[inside + 1 :]
    assert not (await verifier.headers(VerifyHeaders(headers=changed))).valid


async def test_two_logs_of_one_cluster_are_proven_to_whoever_asks(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path)
    folder.take(Log(20).update(5))
    evidence = folder.take(Log(20, fork=2).update(9, since=5)).evidence
    assert evidence is not None
    found = await Verifier(fingerprint(GENESIS)).split(VerifySplit(evidence=evidence.read_bytes()))
    assert found.valid
    assert fingerprint(GENESIS).hex() in found.checks[0].detail


async def test_a_receipt_is_checked_against_headers_and_output_that_come_with_it(
    tmp_path: Path,
) -> None:
    cluster = agreed()
    data, verifier = data_of(cluster), Verifier(cluster.state.cluster)
    assert (await verifier.receipt(VerifyReceipt(receipt=data, output=OUTPUT))).valid
    assert not (await verifier.receipt(VerifyReceipt(receipt=data, output=b"else"))).valid
    elsewhere = encode_headers(filled(tmp_path / "headers").chain)
    assert not (await verifier.receipt(VerifyReceipt(receipt=data, headers=elsewhere))).valid
    with pytest.raises(UsageError, match="headers: "):
        await verifier.receipt(VerifyReceipt(receipt=data, headers=b"none"))
