"""Opens the chain that the config names, believed only as far as headers of our own go."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
from ambientd.adapters.esplora import EsploraChain
from ambientd.adapters.header_file import HeaderFile, newest_checkpoint
from ambientd.adapters.header_keeper import HeaderKeeper
from ambientd.adapters.kept_chain import KeptChain
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.adapters.rpc_client import RpcEndpoint
from ambientd.config.options import BitcoinOptions, ChainKind, HeadersBase
from ambientd.config.places import Places
from ambientd.errors import ConfigError, UnreachableError
from ambientd.ports.chain import Chain
from ambientd.rules.bitcoin import NETWORKS

log = structlog.get_logger("ambientd.chains")

# How often a chain is asked for its tip, by us and on behalf of those who wait for anchors.
_RPC_POLL_S: Final = 10.0
_ESPLORA_POLL_S: Final = 60.0
_RPC_AGE_S: Final = 1.0
_ESPLORA_AGE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class OpenChain:
    """A chain, its headers, how often to look after them, and who pays where coins are free.

    Nobody polls the embedded chain, which rests while no anchor is under way.
    """

    chain: Chain
    headers: HeaderKeeper
    poll_s: float | None
    aclose: Callable[[], Awaitable[None]]
    fund: Callable[[str], Awaitable[object]] | None = None


async def open_chain(
    bitcoin: BitcoinOptions, network: str, places: Places, unix_s: Callable[[], float]
) -> OpenChain:
    """Open the chain of a config that has one; the embedded chain is started if needed.

    Raises:
        ConfigError: when the server is of another network.
        UnreachableError: when the embedded chain does not start; others may come later.
    """
    if network not in NETWORKS:
        msg = f'this cluster has no Bitcoin network ({network}): set chain = "off" under [bitcoin]'
        raise ConfigError(msg)
    base = 0
    if bitcoin.headers_from is HeadersBase.CHECKPOINT:
        base = newest_checkpoint(NETWORKS[network])
    file = HeaderFile(places.headers, NETWORKS[network], base)
    if bitcoin.chain is ChainKind.EMBEDDED:
        folder = places.embedded_chain(bitcoin.embedded_dir)
        embedded = await EmbeddedRegtest.start(EmbeddedChain(folder, bitcoin.block_interval_ms))
        keeper = HeaderKeeper(embedded, file, unix_s)
        kept = KeptChain(embedded, keeper)
        return OpenChain(kept, keeper, None, embedded.aclose, embedded.fund)
    server, poll_s, age_s = _server(bitcoin, network, places)
    try:
        await server.check_network()
    except ConfigError:
        await server.aclose()
        raise
    except UnreachableError as error:
        log.warning("the Bitcoin chain cannot be reached yet", reason=str(error))
    keeper = HeaderKeeper(server, file, unix_s)
    return OpenChain(KeptChain(server, keeper, age_s), keeper, poll_s, server.aclose)


def _server(
    bitcoin: BitcoinOptions, network: str, places: Places
) -> tuple[BitcoinRpcChain | EsploraChain, float, float]:
    if bitcoin.chain is ChainKind.ESPLORA:
        return EsploraChain(bitcoin.esplora_url, network), _ESPLORA_POLL_S, _ESPLORA_AGE_S
    url = bitcoin.rpc_address()
    endpoint = RpcEndpoint(url.port, places.rpc_login(bitcoin.rpc_login), host=url.host)
    return BitcoinRpcChain(endpoint, network), _RPC_POLL_S, _RPC_AGE_S
