"""A peg looks no further than headers that its member has checked by all rules of the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ambientd.adapters.header_file import HeaderFile, newest_checkpoint
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.adapters.kept_chain import KeptChain
from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import PegService
from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.model.record import PegBody, PegIn
from ambientd.ports.chain import Chain, Inclusion, MerkleBranch, Tip, Utxo
from ambientd.rules.bitcoin import (
    MAIN,
    REGTEST,
    Network,
    Outpoint,
    decode_header,
    decode_transaction,
    double_sha256,
    encode_header,
)
from ambientd.rules.peg_networks import MAIN_SAT_DEFAULT, NOT_AUDITED
from tests.ledger.bitcoin import TIME_S, mined
from tests.ledger.peg import PegCluster, paying

ON_MAIN = Rules(peg_acknowledged=NOT_AUDITED, peg_sat_max=MAIN_SAT_DEFAULT)
Forge = Callable[[bytes, bytes, int, int], bytes]


def cheap(previous: bytes, merkle_root: bytes, time_s: int, bits: int) -> bytes:
    """Give a header with the work that regtest asks for."""
    return mined(previous, merkle_root, time_s)


def claimed(previous: bytes, merkle_root: bytes, time_s: int, bits: int) -> bytes:
    """Give a header that claims the difficulty of those before it, and took no work."""
    return encode_header(4, previous, merkle_root, time_s, bits, 0)


@dataclass
class FalseServer:
    """Says that a peg-in lies under six headers of its own on top of a header that all know."""

    network: str
    script: bytes
    forge: Forge
    base: int
    known: bytes
    headers_at: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.raw = paying(self.script, 50_000)
        self.txid = decode_transaction(self.raw).txid
        self.sibling = double_sha256(b"coinbase")
        root = double_sha256(self.sibling + self.txid)
        last = decode_header(self.known)
        time_s = max(TIME_S, last.time_s)
        self.headers_at[self.base] = self.known
        for step in range(1, 7):
            previous = double_sha256(self.headers_at[self.base + step - 1])
            merkle_root = root if step == 1 else bytes([step]) * 32
            self.headers_at[self.base + step] = self.forge(
                previous, merkle_root, time_s + step, last.bits
            )

    async def tip(self) -> Tip:
        return Tip(self.base + 6, double_sha256(self.headers_at[self.base + 6]))

    async def block_hash(self, height: int) -> bytes:
        return double_sha256(self.headers_at[height])

    async def header(self, height: int) -> bytes:
        return self.headers_at[height]

    async def headers(self, start: int, end: int) -> bytes:
        return b"".join(self.headers_at[height] for height in range(start, end))

    async def utxos_of(self, scripts: Sequence[bytes]) -> list[Utxo]:
        found = Utxo(self.txid, 0, 50_000, self.script, self.base + 1)
        return [found] if self.script in scripts else []

    async def inclusion(self, txid: bytes) -> Inclusion:
        return Inclusion(double_sha256(self.headers_at[self.base + 1]), self.base + 1)

    async def confirmations(self, txid: bytes) -> int:
        return 6

    async def merkle_branch(self, txid: bytes) -> MerkleBranch:
        return MerkleBranch(self.headers_at[self.base + 1], self.txid, 1, (self.sibling,))

    async def raw_tx(self, txid: bytes) -> bytes:
        return self.raw

    async def is_unspent(self, coin: Outpoint) -> bool:
        return True


async def said_by_member(
    folder: Path, network: Network, forge: Forge, *, keeps: bool
) -> tuple[list[PegIn], str]:
    """Give what a member says of a server's peg-in, and what its own headers say."""
    cluster = PegCluster(network=network.name, rules=ON_MAIN)
    cluster.open()
    base = newest_checkpoint(network) if network is MAIN else 0
    file = HeaderFile(folder / "headers", network, base)
    known = file.chain.header(base)
    server = FalseServer(network.name, cluster.script(1), forge, base, known)
    keeper = HeaderKeeper(server, file, lambda: 4e9)  # type: ignore[arg-type]
    chain: Chain = KeptChain(server, keeper) if keeps else server  # type: ignore[arg-type,assignment]
    said: list[PegBody] = []

    async def propose(body: PegBody) -> None:
        said.append(body)

    seed = SeedSigner(sha256(b"peg 0"))
    book = PegFile(folder / "book")
    self_id = NodeId(cluster.node(0))
    service = PegService(self_id, cluster.state, chain, seed, book, lambda: 10**6, propose)
    await service.step()
    return [body for body in said if isinstance(body, PegIn)], keeper.status().state


async def test_where_work_is_cheap_such_a_peg_in_is_told_of(tmp_path: Path) -> None:
    [body], state = await said_by_member(tmp_path, REGTEST, cheap, keeps=True)
    assert (body.output, state) == (0, "following")


@pytest.mark.parametrize(
    ("forge", "reason"), [(cheap, "it has bits 0x207fffff"), (claimed, "does not meet bits")]
)
async def test_on_the_main_network_its_headers_are_refused_and_nothing_is_said(
    tmp_path: Path, forge: Forge, reason: str
) -> None:
    said, state = await said_by_member(tmp_path, MAIN, forge, keeps=True)
    assert said == []
    assert reason in state


@pytest.mark.parametrize("forge", [cheap, claimed])
async def test_nor_does_a_proof_hold_without_headers_of_ones_own(
    tmp_path: Path, forge: Forge
) -> None:
    assert (await said_by_member(tmp_path, MAIN, forge, keeps=False))[0] == []
