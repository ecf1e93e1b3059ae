"""A node's ways into Bitcoin: its chain and headers, its anchors, its part in the peg.

A node without a chain never imports this.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
import trio

from ambientd.adapters.anchor_file import AnchorFile
from ambientd.adapters.anchor_service import ChainAnchors
from ambientd.adapters.anchor_wallet import anchor_wallet
from ambientd.adapters.chains import OpenChain, open_chain
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.adapters.peg_keys import open_signing, replaced_signing
from ambientd.adapters.peg_service import PegService
from ambientd.adapters.regtest.files import lack_of_chain
from ambientd.adapters.system_clock import SystemClock
from ambientd.api.identity import Identity
from ambientd.config.options import ChainKind
from ambientd.errors import AmbientError
from ambientd.ledger.state import LedgerState
from ambientd.model.record import PegBody
from ambientd.node.event import BodiesProposed
from ambientd.ports.anchors import AnchorSent
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.peg_networks import peg_fault
from ambientd.runtime.news import News, OwnTold
from ambientd.runtime.pump import Pump

log = structlog.get_logger("ambientd")


@dataclass(frozen=True, slots=True)
class BitcoinParts:
    """What a node with a chain has besides others."""

    opened: OpenChain
    anchors: ChainAnchors
    peg: PegService | None

    async def keep_up(self) -> None:
        """Follow the chain, and do this node's part in the peg, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.opened.poll_s is not None:
                nursery.start_soon(self.opened.headers.keep, self.opened.poll_s)
            if self.peg is not None:
                nursery.start_soon(self.peg.run)


async def open_bitcoin(
    identity: Identity,
    passphrase: str,
    ledger: LedgerState,
    pump: Pump,
    news: News,
    now: Callable[[], int],
) -> BitcoinParts:
    """Open the chain that the config names; the embedded one is started if needed."""
    bitcoin, network = identity.config.bitcoin, identity.genesis.bitcoin_network
    clock = SystemClock()
    is_embedded = bitcoin.chain is ChainKind.EMBEDDED
    if is_embedded and ledger.applied_index:
        lack = lack_of_chain(identity.places.embedded_chain(bitcoin.embedded_dir))
        if lack:
            log.warning("ANOTHER EMBEDDED CHAIN BEGINS", reason=lack)
    opened = await open_chain(bitcoin, network, identity.places, lambda: clock.unix_ms() / 1000)
    note = ""
    if is_embedded and await is_another(opened.headers, ledger):
        note = "NOT THE CHAIN OF EARLIER ANCHORS: see [bitcoin] embedded_dir in config.toml"
        log.warning(note)
    anchors = _anchors(identity, opened, now, lambda sent: news.tell(OwnTold(sent, now())), note)
    return BitcoinParts(opened, anchors, _peg(identity, passphrase, opened, ledger, pump, now))


async def is_another(headers: HeaderKeeper, ledger: LedgerState) -> bool:
    """Tell whether a chain that answers lacks the log's newest anchor: then it is not that one."""
    sizes = ledger.anchored_sizes(1)
    closed = ledger.checkpoint(sizes[0]) if sizes else None
    if closed is None or closed.anchor is None:
        return False
    try:
        await headers.follow()
    except AmbientError:
        return False  # anchoring says that, as of any chain
    return not headers.chain.confirmations(closed.anchor.header, closed.anchor.height)


def _anchors(
    identity: Identity,
    opened: OpenChain,
    now: Callable[[], int],
    tell: Callable[[AnchorSent], None],
    note: str,
) -> ChainAnchors:
    """Give the way into Bitcoin."""
    wallet = anchor_wallet(identity.seed, identity.genesis.bitcoin_network)
    bitcoin = identity.config.bitcoin
    caps = AnchoringOptions(
        fee_sat_max=bitcoin.fee_sat_max, fee_sat_a_day_max=bitcoin.fee_sat_a_day_max
    )
    if opened.chain.network == "regtest":  # Bitcoin blocks come in seconds, asking costs nothing
        caps = replace(caps, rebroadcast_ms=5_000, look_ms=200, retry_ms=2_000, watch_ms=5_000)
    file = AnchorFile(identity.places.anchors)
    return ChainAnchors(opened.chain, wallet, file, caps, now, opened.fund, tell, note)


def _peg(
    identity: Identity,
    passphrase: str,
    opened: OpenChain,
    ledger: LedgerState,
    pump: Pump,
    now: Callable[[], int],
) -> PegService | None:
    """Give this node's part in the peg, in a cluster that has one."""
    if peg_fault(identity.genesis) is not None:
        return None
    places = identity.places
    if not places.peg_key.exists():
        log.warning("KEEP A COPY OF THE PEG'S KEY: coins depend on it", path=str(places.peg_key))
    is_said = bool(ledger.peg_node(identity.node).key)
    signer, file = open_signing(places.peg_key, places.peg_book, passphrase, is_said=is_said)
    replaced = replaced_signing(places.peg_key, places.peg_book, passphrase)

    async def propose(body: PegBody) -> None:
        await pump.post(BodiesProposed((body,)))

    return PegService(
        identity.node,
        ledger,
        opened.chain,
        signer,
        file,
        now,
        propose,
        replaced,
        stands_aside=lambda: pump.stands_aside,
    )
