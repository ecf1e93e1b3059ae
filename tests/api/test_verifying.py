"""Files that callers bring, checked by a node for those who believe it."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from ambientd.adapters.header_file import encode_headers
from ambientd.api.answering import failure_of
from ambientd.api.operation import OperationError
from ambientd.api.rest.problems import problem_of
from ambientd.api.verify_values import (
    VerifyBlame,
    VerifyHeaders,
    VerifyProof,
    VerifyReceipt,
    VerifySplit,
)
from ambientd.api.verifying import WAITING_MAX, Verifier
from ambientd.api.witnessing import WitnessFolder
from ambientd.codec.statements import fingerprint
from ambientd.errors import UsageError
from ambientd.rules.bitcoin import REGTEST
from tests.adapters.test_header_file import filled
from tests.ledger.cluster import OUTPUT
from tests.proofs.images import program
from tests.rules.logs import GENESIS, Log
from tests.rules.receipts import agreed, data_of

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocols" / "vectors"
PROOF, INPUT, OUTPUT_OF_PROOF = (
    (VECTORS / f"execution.{kind}").read_bytes() for kind in ("proof", "input", "output")
)
PROVEN = ROOT / "examples" / "image-classify" / "classify.wasm"
Install = Callable[[Path], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Let a program stand beside this Python, where the node looks for the one that verifies."""

    def installed(found: Path) -> None:
        monkeypatch.setattr(sys, "executable", str(found.with_name("python")))
        monkeypatch.setenv("PATH", "/nowhere")

    return installed


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


async def test_a_validity_proof_holds_with_what_it_is_about_and_nothing_like_it(
    install: Install,
) -> None:
    install(program("ambient-verify"))
    verifier = Verifier(b"\1" * 32)
    whole = VerifyProof(
        proof=PROOF, module=PROVEN.read_bytes(), input=INPUT, output=OUTPUT_OF_PROOF
    )
    found = await verifier.proof(whole)
    assert (found.valid, {each.ok for each in found.checks}) == (True, {True})
    told = {each.name: each.detail for each in found.checks}
    assert (told["outcome"], told["gas"]) == ("completed", "7487 of 10000000000")
    assert found.trust == ("that the image is the one that the module becomes",)
    named = msgspec.structs.replace(whole, image=told["image"])
    assert (await verifier.proof(named)).trust == ()
    for wrong, said in (
        ({"output": b"else"}, "another output"),
        ({"input": b""}, "another input"),
        ({"image": "0f" * 32}, "you asked about 0f0f"),
        ({"salt": "0f" * 32}, "without a salt"),
        ({"proof": PROOF[:-1]}, "not verified: proof: "),
        ({"proof": b""}, "not verified: proof: "),
        ({"proof": PROOF[:2000] + bytes([PROOF[2000] ^ 1]) + PROOF[2001:]}, "not verified"),
    ):
        refused = await verifier.proof(msgspec.structs.replace(whole, **wrong))
        assert not refused.valid
        assert said in refused.checks[0].detail


async def test_a_node_without_the_program_says_so_and_one_that_hangs_is_ended(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, asked = Verifier(b"\1" * 32), VerifyProof(proof=PROOF)
    install(tmp_path / "ambient-verify")
    with pytest.raises(OperationError, match="no program that verifies proofs") as missing:
        await verifier.proof(asked)
    assert problem_of(failure_of(missing.value)).status == 503
    assert "make verifier" in missing.value.hint
    hanging = tmp_path / "ambient-verify"
    hanging.write_text("#!/bin/sh\nexec /bin/sleep 100\n")
    hanging.chmod(0o700)
    monkeypatch.setattr("ambientd.api.verifying.PROOF_S", 0.05)
    with pytest.raises(OperationError, match="does not work") as hung:
        await verifier.proof(asked)
    assert hung.value.code == "unavailable"


async def test_few_wait_for_their_turn_and_the_next_is_turned_away(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "ambient-verify"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 100\n")
    slow.chmod(0o700)
    install(slow)
    monkeypatch.setattr("ambientd.api.verifying.PROOF_S", 0.5)
    verifier = Verifier(b"\1" * 32)
    refused: list[str] = []

    async def ask() -> None:
        try:
            await verifier.receipt(VerifyReceipt(receipt=b""))
        except OperationError as error:
            refused.append(error.code)

    async with trio.open_nursery() as nursery:

        async def prove() -> None:
            with pytest.raises(OperationError):
                await verifier.proof(VerifyProof(proof=PROOF))

        nursery.start_soon(prove)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(WAITING_MAX + 3):
            nursery.start_soon(ask)
    assert refused == ["busy"] * 3
    assert not (await verifier.receipt(VerifyReceipt(receipt=b""))).valid


async def test_the_program_hears_nothing_of_this_ones_environment(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = tmp_path / "ambient-verify"
    telling.write_text("#!/bin/sh\necho not verified: $AWS_SECRET_ACCESS_KEY. >&2\nexit 4\n")
    telling.chmod(0o700)
    install(telling)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "whispered")
    [check] = (await Verifier(b"\1" * 32).proof(VerifyProof(proof=PROOF))).checks
    assert check.detail == "not verified: ."
