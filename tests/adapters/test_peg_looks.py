"""What a member makes of outputs that strangers send to the peg's addresses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import PegService
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import PegBody, PegIn, PegSigned
from ambientd.ports.chain import Inclusion, MerkleBranch, Tip, Utxo
from ambientd.rules.bitcoin import (
    Outpoint,
    compact_size,
    decode_transaction,
    double_sha256,
    strip_witness,
)
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT
from tests.ledger.peg import PegCluster, paying, proof_of

HEIGHT = 101


class StrangeChain:
    """Holds what it was given; one script's outputs it cannot list."""

    network = "regtest"

    def __init__(self) -> None:
        self.proofs: dict[bytes, AnchorProof] = {}
        self.raws: dict[bytes, bytes] = {}
        self.found: dict[bytes, list[Utxo]] = {}
        self.poisoned = b""
        self.asked = 0
        """How often a transaction's bytes were asked for."""

    def pay(self, script: bytes, value_sat: int, mark: int, witness: bytes = b"") -> None:
        """Mine a payment to a script; a witness is put into its bytes as the chain gives them."""
        raw = paying(script, value_sat, mark)
        txid = double_sha256(raw)
        self.proofs[txid] = proof_of(raw)
        self.raws[txid] = raw[:4] + b"\x00\x01" + raw[4:-4] + witness + raw[-4:] if witness else raw
        utxo = Utxo(txid, 0, value_sat, script, HEIGHT)
        self.found.setdefault(script, []).append(utxo)

    def mine(self, raw: bytes, script: bytes, outputs: int) -> None:
        """Mine a transaction of which the first outputs pay a script 50,000 sat each."""
        txid = double_sha256(raw)
        self.proofs[txid], self.raws[txid] = proof_of(raw), raw
        utxos = [Utxo(txid, output, 50_000, script, HEIGHT) for output in range(outputs)]
        self.found.setdefault(script, []).extend(utxos)

    async def tip(self) -> Tip:
        await trio.lowlevel.checkpoint()
        return Tip(HEIGHT + 5, bytes(32))

    async def utxos(self, script: bytes) -> list[Utxo]:
        await trio.lowlevel.checkpoint()
        if script == self.poisoned:
            raise RemoteProtocolError("too many unspent outputs")
        return self.found.get(script, [])

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        return [utxo for script in scripts for utxo in await self.utxos(script)]

    async def is_unspent(self, coin: Outpoint) -> bool:
        await trio.lowlevel.checkpoint()
        listed = (utxo for found in self.found.values() for utxo in found)
        return any(Outpoint(utxo.txid, utxo.index) == coin for utxo in listed)

    async def confirmations(self, txid: bytes) -> int:
        await trio.lowlevel.checkpoint()
        return 6 if txid in self.proofs else 0

    async def inclusion(self, txid: bytes) -> Inclusion:
        await trio.lowlevel.checkpoint()
        return Inclusion(double_sha256(self.proofs[txid].header), HEIGHT)

    async def merkle_branch(self, txid: bytes) -> MerkleBranch:
        await trio.lowlevel.checkpoint()
        proof = self.proofs[txid]
        self.following = proof.following_headers
        return MerkleBranch(proof.header, txid, proof.index, proof.siblings)

    async def raw_tx(self, txid: bytes) -> bytes | None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.raws.get(txid)

    async def header(self, height: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.following[height - HEIGHT - 1]


def looking(cluster: PegCluster, chain: StrangeChain, folder: Path) -> tuple[list[PegIn], ...]:
    """Let a member look twice, a little while apart, at a log that does not answer."""
    said: list[PegIn] = []
    now = [1_000_000]

    async def propose(body: PegBody) -> None:
        await trio.lowlevel.checkpoint()
        assert isinstance(body, PegIn)
        said.append(body)

    async def main() -> tuple[list[PegIn], ...]:
        service = PegService(
            cluster.node(0),
            cluster.state,
            chain,  # type: ignore[arg-type]
            SeedSigner(sha256(b"peg 0")),
            PegFile(folder / "peg.book"),
            lambda: now[0],
            propose,
        )
        looks = []
        for _ in range(2):
            await service.step()
            looks.append(list(said))
            said.clear()
            now[0] += 15_000
        return tuple(looks)

    return trio.run(main)


def opened() -> tuple[PegCluster, StrangeChain]:
    cluster = PegCluster()
    cluster.open()
    return cluster, StrangeChain()


def test_dust_is_not_spoken_of(tmp_path: Path) -> None:
    cluster, chain = opened()
    for mark in range(3):
        chain.pay(cluster.script(1), PEG_IN_MIN_SAT - 1, mark)
    assert looking(cluster, chain, tmp_path) == ([], [])


def test_a_peg_in_is_not_said_at_every_look(tmp_path: Path) -> None:
    cluster, chain = opened()
    chain.pay(cluster.script(1), PEG_IN_MIN_SAT, 1)
    first, second = looking(cluster, chain, tmp_path)
    assert (len(first), second) == (1, [])


def test_an_address_that_the_chain_cannot_list_hides_no_other(tmp_path: Path) -> None:
    cluster, chain = opened()
    chain.poisoned = cluster.script(0)
    for number in (1, 2, 3):
        chain.pay(cluster.script(number), 50_000, number)
    first, _ = looking(cluster, chain, tmp_path)
    assert {body.node for body in first} == {cluster.node(number) for number in (1, 2, 3)}


def test_a_proof_carries_no_witness(tmp_path: Path) -> None:
    cluster, chain = opened()
    item = b"\x01\xfe" + (150_000).to_bytes(4, "little") + bytes(150_000)
    chain.pay(cluster.script(1), 50_000, 1, witness=item)
    [body], _ = looking(cluster, chain, tmp_path)
    [utxo] = chain.found[cluster.script(1)]
    assert body.proof.raw_tx == strip_witness(chain.raws[utxo.txid])
    assert decode_transaction(body.proof.raw_tx).txid == utxo.txid
    assert cluster.all_say(body), "it is no larger than what the log takes"


def long_payment(script: bytes, outputs: int, size_bytes: int) -> bytes:
    """Give what only a miner brings in: some outputs of 50,000 sat, and one that is long."""
    paid = (50_000).to_bytes(8, "little") + compact_size(len(script)) + script
    rest = bytes(8) + compact_size(size_bytes) + b"\x6a" * size_bytes
    spent = sha256(b"a miner's") + bytes(4) + b"\x00" + b"\xff" * 4
    return b"\x02\x00\x00\x00\x01" + spent + bytes([outputs + 1]) + paid * outputs + rest + bytes(4)


@pytest.mark.parametrize("size_bytes", [100_001, 450_000])
def test_what_the_log_never_takes_is_not_said_and_asked_for_once(
    tmp_path: Path, size_bytes: int
) -> None:
    cluster, chain = opened()
    script = cluster.script(1)
    chain.mine(long_payment(script, 40, size_bytes), script, 40)
    chain.pay(script, 50_000, 1)
    first, second = looking(cluster, chain, tmp_path)
    assert [len(each.proof.raw_tx) < 200 for each in first] == [True], "the other one counts"
    assert second == []
    assert chain.asked == (1 + 1) + 2, "a length each; the proof of the other at both looks"


def test_a_transaction_that_pays_often_is_proved_once(tmp_path: Path) -> None:
    cluster, chain = opened()
    script = cluster.script(1)
    chain.mine(long_payment(script, 40, 1_000), script, 40)
    first, _ = looking(cluster, chain, tmp_path)
    assert [body.output for body in first] == list(range(40))
    assert chain.asked == 1 + 2


def test_an_output_that_is_not_what_the_chain_says_is_passed_over(tmp_path: Path) -> None:
    cluster, chain = opened()
    script, other = cluster.script(1), cluster.script(2)
    for mark in (1, 2, 3):
        chain.pay(script, 50_000, mark)
    listed = chain.found[script]
    listed[0] = replace(listed[0], index=7)
    chain.found[other] = [replace(listed[1], script=other)]
    del listed[1]
    [body], _ = looking(cluster, chain, tmp_path)
    assert (body.node, body.output) == (cluster.node(1), 0)


async def test_how_long_a_transaction_is_is_told_to_its_owner(tmp_path: Path) -> None:
    cluster, chain = opened()
    script = cluster.script(1)
    raw = long_payment(script, 1, 100_001)
    chain.mine(raw, script, 1)
    chain.pay(script, 50_000, 1)
    service = PegService(
        cluster.node(0),
        cluster.state,
        chain,  # type: ignore[arg-type]
        SeedSigner(sha256(b"peg 0")),
        PegFile(tmp_path / "peg.book"),
        lambda: 0,
        never,
    )
    for _ in range(2):
        found = await service.arrivals([script])
        assert found[0].transaction_bytes == len(raw)
        assert found[1].transaction_bytes < 200
    assert chain.asked == 2


async def never(body: PegBody) -> None:
    raise AssertionError(body)


def test_no_peg_out_is_signed_while_the_chain_lacks_a_coin(tmp_path: Path) -> None:
    cluster, chain = opened()
    chain.pay(cluster.script(1), 200_000, 1)
    [body], _ = looking(cluster, chain, tmp_path)
    cluster.all_say(body)
    [utxo] = chain.found.pop(cluster.script(1))
    cluster.fund(2, 400_000)
    cluster.block((2, cluster.out(300_000)))
    said, faults = signing(cluster, chain, tmp_path)
    assert said == []
    assert "lacks 2 of the coins" in faults[0], "the second was never there"
    chain.found[cluster.script(1)] = [utxo]
    [spent] = cluster.payment(1).coins
    chain.raws[spent.txid] = b"mined, and spent by the payment"
    said, faults = signing(cluster, chain, tmp_path)
    assert [each.payment for each in said] == [1]
    assert faults == ()


def test_what_strangers_pay_to_the_address_of_a_coin_does_not_hide_it(tmp_path: Path) -> None:
    cluster, chain = opened()
    chain.pay(cluster.script(1), 200_000, 1)
    chain.pay(cluster.script(1), 20_000, 2)
    said, _ = looking(cluster, chain, tmp_path)
    for body in said:
        cluster.all_say(body)
    cluster.block((1, cluster.out(100_000)))
    chain.poisoned = cluster.script(1)
    signed, faults = signing(cluster, chain, tmp_path)
    assert ([each.payment for each in signed], faults) == ([1], ())


def signing(
    cluster: PegCluster, chain: StrangeChain, folder: Path
) -> tuple[list[PegSigned], tuple[str, ...]]:
    """Let a member look for coins, and then sign what it would."""
    said: list[PegSigned] = []
    now = [1_000_000]

    async def propose(body: PegBody) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(body, PegSigned):
            said.append(body)

    async def main() -> tuple[str, ...]:
        signer = SeedSigner(sha256(b"peg 0"))
        file = PegFile(folder / "peg.book")
        service = PegService(
            cluster.node(0),
            cluster.state,
            chain,
            signer,
            file,
            lambda: now[0],
            propose,  # type: ignore[arg-type]
        )
        await service.step()
        said.clear()
        now[0] += 40_000
        await service.step()
        return service.faults()

    faults = trio.run(main)
    return said, faults
