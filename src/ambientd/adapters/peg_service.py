"""A member's part in the peg on a real chain: carries out what the keeper decides."""

from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from ambientd.adapters.anchor_wallet import address_of_script, script_of_address
from ambientd.adapters.peg_file import PegFile
from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.ledger.peg_ins import PEG_IN_MIN_SAT
from ambientd.ledger.peg_wallets import possession_digest
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import PegBody
from ambientd.ports.chain import Chain, Rejected, Tip, Utxo
from ambientd.ports.peg_signer import PegSigner
from ambientd.roles.pegging.core import PegKeeper
from ambientd.roles.pegging.events import (
    Effect,
    Event,
    KeySigned,
    LookForPayment,
    LookForPegIns,
    PaymentSeen,
    PegInSeen,
    PersistBook,
    Place,
    ProposePeg,
    ProveKey,
    SendPayment,
    SignVersion,
    Ticked,
    VersionSigned,
)
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, NETWORKS, check_inclusion, strip_witness
from ambientd.rules.bitcoin_codec import display

log = structlog.get_logger("ambientd.peg")

POLL_S = 30.0
POLL_REGTEST_S = 1.0

_WAITS = (UnreachableError, RemoteProtocolError, UsageError)
Propose = Callable[[PegBody], Awaitable[None]]


class PegService:
    """One member's keeper with its signer, its book and its chain."""

    def __init__(
        self,
        self_id: NodeId,
        ledger: LedgerState,
        chain: Chain,
        signer: PegSigner,
        file: PegFile,
        now: Callable[[], int],
        propose: Propose,
    ) -> None:
        """Take up what the book holds."""
        self._id = self_id
        self._ledger = ledger
        self._chain = chain
        self._signer = signer
        self._file = file
        self._now = now
        self._propose = propose
        self._keeper = PegKeeper(self_id, file.load(), signer.key)
        self._told: set[str] = set()
        self._sent: set[bytes] = set()

    async def unspent(self, scripts: Sequence[bytes]) -> frozenset[tuple[bytes, int]]:
        """Give what the chain holds for these scripts."""
        found = [utxo for script in scripts for utxo in await self._chain.utxos(script)]
        return frozenset((utxo.txid, utxo.index) for utxo in found)

    async def known(self, txids: Sequence[bytes]) -> frozenset[bytes]:
        """Give those transactions that the chain has or waits for."""
        found = [txid for txid in txids if await self._chain.raw_tx(txid) is not None]
        return frozenset(found)

    def script_of(self, address: str) -> bytes:
        """Give the script of an address, if it is of this chain's network."""
        script = script_of_address(address)
        network = self._chain.network
        if address_of_script(script, network) not in (address, address.lower()):
            raise UsageError(f"{address} is no address of {network}: withdraw to one that is")
        return script

    async def run(self) -> None:
        """Keep the peg going, for ever."""
        is_regtest = self._chain.network == "regtest"  # Bitcoin blocks come in seconds
        while True:
            await self.step()
            await trio.sleep(POLL_REGTEST_S if is_regtest else POLL_S)

    async def step(self) -> None:
        """Look at the ledger and the chain once, and do what is due."""
        waiting: list[Event] = [Ticked()]
        while waiting:
            for effect in self._keeper.handle(waiting.pop(0), self._ledger, now=self._now()):
                try:
                    waiting += await self._perform(effect)
                except _WAITS as error:
                    log.warning("the peg waits, nothing is lost", reason=str(error))
        for fault in self.faults():
            if fault not in self._told:
                self._told.add(fault)
                log.error("PAYMENTS OF THE PEG ARE NOT SIGNED HERE", reason=fault)

    def faults(self) -> tuple[str, ...]:
        """Say what this member does not sign though it should, and why."""
        return self._keeper.faults(self._ledger)

    async def _perform(self, effect: Effect) -> list[Event]:
        match effect:
            case PersistBook(book=book):
                # A disk that refuses ends the daemon: nothing is signed that is not written.
                await trio.to_thread.run_sync(self._file.save, book)
            case ProveKey():
                signer = self._signer
                digest = possession_digest(
                    self._ledger.cluster, self._id, signer.key, signer.chain_code
                )
                return [KeySigned(signer.key, signer.chain_code, await signer.prove(digest))]
            case SignVersion(number=number, version=version, payment=payment):
                wallets = self._ledger.peg_index.wallets
                signatures = await self._signer.sign(payment, version, wallets)
                return [VersionSigned(number, version, signatures)]
            case SendPayment(number=number, raw=raw):
                await self._send(number, raw)
            case LookForPegIns(places=places):
                return await self._peg_ins(places)
            case LookForPayment(number=number, txids=txids):
                for version, txid in enumerate(txids):
                    proof = await self._proof(txid)
                    if proof is not None:
                        return [PaymentSeen(number, version, proof)]
            case ProposePeg(body=body):
                await self._propose(body)
        return []

    async def _send(self, number: int, raw: bytes) -> None:
        answer = await self._chain.broadcast(raw)
        if isinstance(answer, Rejected):
            log.info("the chain does not take a payment", payment=number, reason=answer.reason)
        elif answer not in self._sent:
            self._sent.add(answer)
            log.info("payment of the peg broadcast", payment=number, txid=display(answer))

    async def _peg_ins(self, places: Sequence[Place]) -> list[Event]:
        """Look at each place; anybody may pay what the chain cannot list, and hides no other so."""
        tip = await self._chain.tip()
        found: list[Event] = []
        for place in places:
            try:
                for utxo in await self._chain.utxos(place.script):
                    if self._is_due(utxo, tip):
                        found += await self._peg_in(place, utxo)
            except _WAITS as error:
                log.warning("an address of the peg waits", node=place.node.hex(), reason=str(error))
        return found

    def _is_due(self, utxo: Utxo, tip: Tip) -> bool:
        known = self._ledger.peg_coin(utxo.txid, utxo.index)
        is_said = known is not None and (not known.words or self._id in known.words)
        is_deep = tip.height - utxo.height + 1 >= CONFIRMATIONS_MIN
        return is_deep and not is_said and utxo.value_sat >= PEG_IN_MIN_SAT

    async def _peg_in(self, place: Place, utxo: Utxo) -> list[Event]:
        try:
            proof = await self._proof(utxo.txid)
        except RemoteProtocolError as error:
            log.warning("a peg-in waits", txid=display(utxo.txid), reason=str(error))
            return []
        return [] if proof is None else [PegInSeen(place, utxo.index, proof)]

    async def _proof(self, txid: bytes) -> AnchorProof | None:
        """Collect the proof of a deep transaction, checked as the ledger does; else None."""
        if await self._chain.confirmations(txid) < CONFIRMATIONS_MIN:
            return None
        place = await self._chain.inclusion(txid)
        branch = await self._chain.merkle_branch(txid)
        raw_tx = await self._chain.raw_tx(txid)
        if place is None or branch is None or raw_tx is None:
            return None
        raw_tx = strip_witness(raw_tx)  # the log takes 100 kB, and no proof is of the witness
        following = tuple(
            [await self._chain.header(place.height + step) for step in range(1, CONFIRMATIONS_MIN)]
        )
        network = NETWORKS[self._chain.network]
        check = check_inclusion(raw_tx, branch.branch, branch.header, following, network)
        if not check.passed:
            return None  # the chain was reorganised just now
        return AnchorProof(
            raw_tx=raw_tx,
            index=branch.index,
            siblings=branch.siblings,
            height=place.height,
            header=branch.header,
            following_headers=following,
        )
