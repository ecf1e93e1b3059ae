"""A member's part in the peg on a real chain: carries out what the keeper decides."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import trio

from ambientd.adapters.anchor_wallet import address_of_script, script_of_address
from ambientd.adapters.mined import mined_transaction
from ambientd.adapters.peg_file import PegFile
from ambientd.errors import RemoteProtocolError, UnreachableError, UsageError
from ambientd.ledger.admission import RAW_TX_BYTES_MAX
from ambientd.ledger.peg_ins import Sighted, is_to_say
from ambientd.ledger.peg_wallets import possession_digest
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import PegBody
from ambientd.ports.chain import Chain, Rejected, Tip, Utxo
from ambientd.ports.peg import Arrival
from ambientd.ports.peg_signer import PegSigner
from ambientd.roles.pegging.core import PegKeeper
from ambientd.roles.pegging.events import (
    CoinsSeen,
    Effect,
    Event,
    KeySigned,
    Look,
    LookForCoins,
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
from ambientd.rules.bitcoin import (
    CONFIRMATIONS_MIN,
    NETWORKS,
    Outpoint,
    check_inclusion,
)
from ambientd.rules.bitcoin_codec import display

log = structlog.get_logger("ambientd.peg")

POLL_S = 30.0
POLL_REGTEST_S = 1.0
SIGNER_MS = 15_000
"""How long a signer may take before that is told."""
AWAY_TOLD_MS = 600_000
"""How long it is told why a signer gave none; one that is still wanted is asked again by then."""
LENGTHS_KEPT_MAX = 4_096
LENGTHS_ASKED_MAX = 64
"""Transactions whose length one look at what is on its way asks for; others are asked for later."""

_WAITS = (UnreachableError, RemoteProtocolError, UsageError)
Propose = Callable[[PegBody], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Hand:
    """A key with its book, and what decides what it signs."""

    signer: PegSigner
    file: PegFile
    keeper: PegKeeper


class PegService:
    """One member's keepers with their signers and books, and its chain."""

    def __init__(
        self,
        self_id: NodeId,
        ledger: LedgerState,
        chain: Chain,
        signer: PegSigner,
        file: PegFile,
        now: Callable[[], int],
        propose: Propose,
        replaced: Sequence[tuple[PegSigner, PegFile]] = (),
        *,
        stands_aside: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take up what the books hold; replaced keys go on signing for the wallets they are in."""
        self._stands_aside = stands_aside
        self._id = self_id
        self._ledger = ledger
        self._chain = chain
        self._now = now
        self._propose = propose
        self._hand = _Hand(signer, file, PegKeeper(self_id, file.load(), signer.key))
        self._replaced = tuple(
            _Hand(each, book, PegKeeper(self_id, book.load(), each.key, is_replaced=True))
            for each, book in replaced
        )
        self._told: set[str] = set()
        self._sent: set[bytes] = set()
        self._lengths: dict[bytes, int] = {}
        self._asked_ms: int | None = None
        self._away: tuple[int, str] | None = None

    async def unspent(self, coins: Sequence[Outpoint]) -> frozenset[Outpoint]:
        """Give those that nothing has spent, asked for one by one.

        What an address holds is no answer: anybody may pay there what fills every list.
        """
        return frozenset([coin for coin in coins if await self._chain.is_unspent(coin)])

    async def arrivals(self, scripts: Sequence[bytes]) -> tuple[Arrival, ...]:
        """Give what the chain holds for these scripts now, the youngest block's with it."""
        tip = await self._chain.tip()
        found = await self._chain.utxos_of(scripts)
        await self._measure(found)
        return tuple(
            Arrival(
                script=utxo.script,
                txid=utxo.txid,
                output=utxo.index,
                value_sat=utxo.value_sat,
                confirmations=max(1, tip.height - utxo.height + 1),
                transaction_bytes=self._lengths.get(utxo.txid, 0),
            )
            for utxo in found
        )

    async def _measure(self, found: Sequence[Utxo]) -> None:
        """Learn how long the transactions are that no member has said a word on."""
        silent = dict.fromkeys(
            utxo.txid
            for utxo in found
            if utxo.txid not in self._lengths
            and self._ledger.peg_coin(utxo.txid, utxo.index) is None
        )
        for txid in list(silent)[:LENGTHS_ASKED_MAX]:
            await self._length(txid)

    async def _length(self, txid: bytes) -> int:
        """Give how long a transaction is without its witness; 0 when it is there no more."""
        if txid not in self._lengths:
            raw_tx = await self._chain.raw_tx(txid)
            if raw_tx is None:
                return 0
            if len(self._lengths) >= LENGTHS_KEPT_MAX:
                del self._lengths[next(iter(self._lengths))]
            self._lengths[txid] = len((await mined_transaction(raw_tx)).base)
        return self._lengths[txid]

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
        """Look at the ledger and the chain once, and do what is due; nothing by old rules."""
        if self._stands_aside():
            await trio.lowlevel.checkpoint()
            return
        for hand in (self._hand, *self._replaced):
            waiting: list[Event] = [Ticked()]
            while waiting:
                for effect in hand.keeper.handle(waiting.pop(0), self._ledger, now=self._now()):
                    try:
                        waiting += await self._perform(effect, hand)
                    except _WAITS as error:
                        log.warning("the peg waits, nothing is lost", reason=str(error))
        for fault in self.faults():
            if fault not in self._told:
                self._told.add(fault)
                log.error("PAYMENTS OF THE PEG ARE NOT SIGNED HERE", reason=fault)

    def faults(self) -> tuple[str, ...]:
        """Say what this member does not sign though it should, and why."""
        also = [hand.signer.key for hand in self._replaced if hand.keeper.signs]
        return (*self._signer_faults(), *self._hand.keeper.faults(self._ledger, also))

    def _signer_faults(self) -> list[str]:
        waited_ms = 0 if self._asked_ms is None else self._now() - self._asked_ms
        if waited_ms >= SIGNER_MS:
            return [f"the peg's signer has not answered for {waited_ms // 1000} s"]
        if self._away is None or self._now() >= self._away[0] + AWAY_TOLD_MS:
            return []
        return [f"the peg's signer: {self._away[1]}"]

    async def _perform(self, effect: Effect, hand: _Hand) -> list[Event]:
        match effect:
            case PersistBook(book=book):
                # A disk that refuses ends the daemon: nothing is signed that is not written.
                await trio.to_thread.run_sync(hand.file.save, book)
            case ProveKey():
                signer = hand.signer
                digest = possession_digest(
                    self._ledger.cluster, self._id, signer.key, signer.chain_code
                )
                return [KeySigned(signer.key, signer.chain_code, await signer.prove(digest))]
            case SignVersion(number=number, version=version, payment=payment):
                wallets = self._ledger.peg_index.wallets
                with self._asking():
                    signatures = await hand.signer.sign(payment, version, wallets)
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
            case LookForCoins(looks=looks):
                return [await self._coins(looks)]
            case ProposePeg(body=body):
                await self._propose(body)
        return []

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Know since when a signer owes its answer, and why it gives none."""
        self._asked_ms = self._now()
        try:
            yield
            self._away = None
        except UnreachableError as error:
            self._away = self._now(), str(error)
            raise
        finally:
            self._asked_ms = None

    async def _send(self, number: int, raw: bytes) -> None:
        answer = await self._chain.broadcast(raw)
        if isinstance(answer, Rejected):
            log.info("the chain does not take a payment", payment=number, reason=answer.reason)
        elif answer not in self._sent:
            self._sent.add(answer)
            entry = self._ledger.peg_payment(number)
            if entry is not None and entry.final is not None:
                return  # sent again at every look, in case of a deep reorganisation: no news
            log.info("payment of the peg broadcast", payment=number, txid=display(answer))

    async def _peg_ins(self, places: Sequence[Place]) -> list[Event]:
        """Look at all places; a script that stands in two is of the first, the latest wallet."""
        tip = await self._chain.tip()
        of_script = {place.script: place for place in reversed(places)}
        due: dict[bytes, list[tuple[Place, int]]] = {}
        for utxo in await self._listed(places):
            place = of_script[utxo.script]
            if self._is_due(place, utxo, tip):
                due.setdefault(utxo.txid, []).append((place, utxo.index))
        found: list[Event] = []
        for txid, outputs in due.items():  # one transaction may pay thousands of times
            proof = await self._peg_in_proof(txid)
            if proof is not None:
                found += [PegInSeen(place, output, proof) for place, output in outputs]
        return found

    async def _listed(self, places: Sequence[Place]) -> list[Utxo]:
        """List what all hold; anybody may pay what the chain cannot list, and hides no other so."""
        try:
            return await self._chain.utxos_of([place.script for place in places])
        except (RemoteProtocolError, UsageError) as error:
            log.info("the peg's addresses are looked at one by one", reason=str(error))
        found = []
        for place in places:
            try:
                found += await self._chain.utxos(place.script)
            except _WAITS as error:
                log.warning("an address of the peg waits", node=place.node.hex(), reason=str(error))
        return found

    def _is_due(self, place: Place, utxo: Utxo, tip: Tip) -> bool:
        outpoint = Outpoint(utxo.txid, utxo.index)
        sighted = Sighted(outpoint, utxo.value_sat, place.node, place.wallet)
        is_deep = tip.height - utxo.height + 1 >= CONFIRMATIONS_MIN
        return is_deep and is_to_say(self._ledger, sighted, self._id)

    async def _coins(self, looks: Sequence[Look]) -> Event:
        """Look for coins; what a payment may have spent is there when its transaction is known."""
        found = set(await self.unspent([look.coin for look in looks if not look.is_reserved]))
        for look in looks:
            if look.is_reserved and await self._chain.raw_tx(look.coin.txid) is not None:
                found.add(look.coin)
        return CoinsSeen(tuple(look.coin for look in looks), frozenset(found))

    async def _peg_in_proof(self, txid: bytes) -> AnchorProof | None:
        """Collect the proof that the log takes of a peg-in; of one that is too long, none."""
        try:
            is_measured = txid in self._lengths
            size_bytes = await self._length(txid)
            if size_bytes <= RAW_TX_BYTES_MAX:
                return await self._proof(txid)
            if not is_measured:
                log.warning(
                    "a peg-in never counts: its transaction is longer than the log takes",
                    txid=display(txid),
                    size_bytes=size_bytes,
                    size_bytes_max=RAW_TX_BYTES_MAX,
                )
        except RemoteProtocolError as error:
            log.warning("a peg-in waits", txid=display(txid), reason=str(error))
        return None

    async def _proof(self, txid: bytes) -> AnchorProof | None:
        """Collect the proof of a deep transaction, checked as the ledger does; else None."""
        if await self._chain.confirmations(txid) < CONFIRMATIONS_MIN:
            return None
        place = await self._chain.inclusion(txid)
        branch = await self._chain.merkle_branch(txid)
        raw_tx = await self._chain.raw_tx(txid)
        if place is None or branch is None or raw_tx is None:
            return None
        # The log takes 100 kB, and no proof is of the witness.
        raw_tx = (await mined_transaction(raw_tx)).base
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
