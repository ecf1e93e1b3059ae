"""Members of a peg around one ledger and one real chain."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
from embit.descriptor import Descriptor

from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import PegService
from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.model.record import Body, PegAddress, PegBody
from ambientd.ports.chain import Chain
from ambientd.rules.bitcoin import Outpoint
from ambientd.rules.peg_script import address, descriptor
from tests.ledger.peg import PegCluster

STEP_MS = 60_000


class Federation:
    """Four members; `mine` makes Bitcoin blocks of what waits, `pay` sends coins from outside."""

    def __init__(
        self,
        chain: Chain,
        folder: Path,
        mine: Callable[[int], Awaitable[object]],
        pay: Callable[[str, int], Awaitable[object]],
        rules: Rules | None = None,
    ) -> None:
        self.chain = chain
        self.mine = mine
        self.pay = pay
        self.cluster = PegCluster() if rules is None else PegCluster(rules=rules)
        self.folder = folder
        self.proposed: list[tuple[int, Body]] = []
        self.now = 1_000_000
        self.services = {number: self.service(number) for number in range(4)}

    def service(self, number: int, seed: bytes = b"", *replaced: bytes) -> PegService:
        """Give a member with the key of its number, or another; a book goes with each key."""

        async def propose(body: PegBody) -> None:
            await trio.lowlevel.checkpoint()
            self.proposed.append((number, body))

        return PegService(
            NodeId(self.cluster.node(number)),
            self.cluster.state,
            self.chain,
            *self._hand(seed or sha256(b"peg %d" % number)),
            lambda: self.now,
            propose,
            [self._hand(each) for each in replaced],
        )

    def _hand(self, seed: bytes) -> tuple[SeedSigner, PegFile]:
        return SeedSigner(seed), PegFile(self.folder / f"{seed.hex()[:8]}.book")

    async def open(self) -> None:
        """Let a wallet form, and give everybody an address."""
        await self.settle(2)
        self.cluster.block(*((number, PegAddress()) for number in range(4)))

    async def settle(self, rounds: int = 4, *, without: tuple[int, ...] = ()) -> None:
        """Let everybody look, and the log take what they say, some times."""
        for _ in range(rounds):
            self.now += STEP_MS
            for number, service in self.services.items():
                if number not in without:
                    await service.step()
            records, self.proposed = self.proposed, []
            self.cluster.block(*records)

    def address(self, number: int, wallet: int = 1) -> str:
        index = self.cluster.state.peg_node(self.cluster.node(number)).index
        return address(self.cluster.state.peg_index.wallets[wallet], index, "regtest")

    async def on_chain_sat(self) -> int:
        """Add up what the wallets' addresses hold, as anybody can."""
        found: dict[Outpoint, int] = {}
        for wallet in self.cluster.state.peg_index.wallets.values():
            theirs = Descriptor.from_string(descriptor(wallet, "regtest"))
            for index in range(self.cluster.state.peg.addresses + 1):
                script = bytes(theirs.derive(index).script_pubkey().data)
                for utxo in await self.chain.utxos(script):
                    found[Outpoint(utxo.txid, utxo.index)] = utxo.value_sat
        return sum(found.values())
