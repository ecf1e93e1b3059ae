"""Fetching Bitcoin headers without a daemon, and taking them out of a daemon's folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.config.places import Places
from ambientd.errors import RemoteProtocolError, UsageError

if TYPE_CHECKING:
    from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
    from ambientd.adapters.esplora import EsploraChain
    from ambientd.rules.header_chain import HeaderChain


@dataclass(frozen=True, slots=True)
class HeaderSource:
    """Where headers come from: a Bitcoin node with its login, or an Esplora server.

    Without a network, it is that of the file which is brought to the tip.
    """

    network: str = ""
    rpc_url: str = ""
    rpc_login: str = ""
    esplora_url: str = ""


def sync_headers(
    path: Path, source: HeaderSource, progress: Callable[[int, int], None], *, whole: bool = False
) -> "HeaderChain":
    """Bring a file of headers to its network's tip, checking each; a new file is made.

    A new file begins at the newest shipped checkpoint, or with `whole` at height 0. What was taken
    stays when this is interrupted, and the next call goes on from there.

    Raises:
        UsageError: when the network or the source makes no sense.
        UnreachableError, RemoteProtocolError: what is wrong with the server.
    """
    import trio

    from ambientd.adapters.header_file import HeaderFile, newest_checkpoint
    from ambientd.adapters.header_keeper import HeaderKeeper
    from ambientd.adapters.system_clock import SystemClock
    from ambientd.rules.bitcoin import NETWORKS

    if not source.network:
        source = replace(source, network=_network_of(path))
    network = NETWORKS.get(source.network)
    if network is None:
        msg = f"unknown Bitcoin network {source.network!r}: choose one of {', '.join(NETWORKS)}"
        raise UsageError(msg)
    chain, clock = _open(source), SystemClock()

    async def follow() -> "HeaderChain":
        try:
            await chain.check_network()
            file = HeaderFile(path, network, 0 if whole else newest_checkpoint(network))
            keeper = HeaderKeeper(chain, file, lambda: clock.unix_ms() / 1000)
            await keeper.follow(progress)
        finally:
            await chain.aclose()
        return file.chain

    return trio.run(follow)


def _network_of(path: Path) -> str:
    """Give the network that a file names; of a new one nobody knows it."""
    from ambientd.adapters.header_file import network_of

    try:
        return network_of(path).name
    except FileNotFoundError as error:
        msg = f"{path}: is new: say which Bitcoin network it is of, such as --network main"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; check the path"
        raise UsageError(msg) from error
    except RemoteProtocolError as error:
        msg = f"{path}: {error}; name a new file with --network, and the headers are fetched"
        raise UsageError(msg) from error


def _open(source: HeaderSource) -> "BitcoinRpcChain | EsploraChain":
    if bool(source.rpc_url) == bool(source.esplora_url):
        raise UsageError("say where headers come from: --rpc URL or --esplora URL")
    if source.esplora_url:
        from ambientd.adapters.esplora import EsploraChain

        return EsploraChain(source.esplora_url, source.network)
    if not source.rpc_login:
        raise UsageError("--rpc needs --login FILE, which holds the node's user:password")
    from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
    from ambientd.adapters.rpc_client import RpcEndpoint
    from ambientd.config.options import BitcoinOptions

    url = BitcoinOptions(rpc_url=source.rpc_url).rpc_address()
    endpoint = RpcEndpoint(url.port, Path(source.rpc_login).expanduser(), host=url.host)
    return BitcoinRpcChain(endpoint, source.network)


def export_headers(data_dir: Path) -> tuple["HeaderChain", bytes]:
    """Give the headers that a daemon keeps, checked once more, and the bytes of a file of them.

    Raises:
        UsageError: when it keeps none.
    """
    from ambientd.adapters.header_file import encode_headers, salvage_headers

    path = Places(data_dir).headers
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; this node keeps no Bitcoin headers yet"
        raise UsageError(msg) from error
    chain = salvage_headers(data)
    return chain, encode_headers(chain)
