"""Every option of config.toml: its type, its bounds, its default and what it is for.

This module is the one source of truth: the loader checks against these annotations, and the
template that `ambientctl cluster create` writes is rendered from them.
"""

import ipaddress
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from ambientd.config.backup_options import BackupOptions
from ambientd.config.discovery_options import DiscoveryOptions, LocalSearch
from ambientd.config.http_options import HttpOptions
from ambientd.config.log_options import LogOptions
from ambientd.config.memory_options import MemoryOptions, MemoryProfile
from ambientd.config.node_options import NodeOptions, Options
from ambientd.config.outlet_options import TraceOptions, WebhookOptions
from ambientd.config.proving_options import ProvingOptions
from ambientd.config.relay_options import RelayOptions
from ambientd.config.retention_options import RetentionOptions
from ambientd.config.telemetry_options import TelemetryOptions
from ambientd.config.urls import Url, parse_url
from ambientd.errors import ConfigError
from ambientd.model.base import NodeId
from ambientd.model.execution import GAS_CEILING

MIB = 1024 * 1024
GIB = 1024 * MIB


class SandboxPolicy(StrEnum):
    """Whether a worker may run when this machine cannot lock it down fully."""

    REQUIRED = "required"
    BEST_EFFORT = "best-effort"


class EngineChoice(StrEnum):
    """Which WebAssembly engine executes prepared modules."""

    AUTO = "auto"
    WASMTIME = "wasmtime"
    WASMER = "wasmer"
    WASMI = "wasmi"


class StoreEngine(StrEnum):
    """What keeps a node's rows."""

    SQLITE = "sqlite"
    ROCKSDB = "rocksdb"


class ChainKind(StrEnum):
    """Where receipt batches are anchored."""

    EMBEDDED = "embedded"
    RPC = "rpc"
    ESPLORA = "esplora"
    OFF = "off"


class HeadersBase(StrEnum):
    """Where the Bitcoin headers begin that this node keeps and checks."""

    CHECKPOINT = "checkpoint"
    GENESIS = "genesis"


class Lie(StrEnum):
    """How this node lies on purpose; for tests and demonstrations only."""

    NONE = "none"
    CORRUPT_OUTPUT = "corrupt_output"
    WRONG_STEP = "wrong_step"


class TransportOptions(Options, frozen=True):
    """How this node reaches its peers, and they reach it."""

    listen: Annotated[
        str,
        Meta(
            max_length=262,
            description=(
                'Address to listen on for peers, "host:port"; 0.0.0.0 means every address of this '
                "machine, port 0 lets the system choose one."
            ),
        ),
    ] = "127.0.0.1:4400"
    advertise: Annotated[
        str,
        Meta(
            max_length=262,
            description=(
                'Address that peers dial, "host:port", which invitations name; '
                "empty: the one that is listened on."
            ),
        ),
    ] = ""
    bootstrap: Annotated[
        tuple[Annotated[str, Meta(max_length=330)], ...],
        Meta(
            max_length=256,
            description='Peers to dial at the start, each "NODE_ID@host:port" (64 hex digits).',
        ),
    ] = ()


class ApiOptions(Options, frozen=True):
    """The local socket that ambientctl talks to; only this user and root may connect."""

    socket: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Path of the socket; empty: ambientd.sock in the data directory.",
        ),
    ] = ""
    connections_max: Annotated[
        int, Meta(ge=1, le=1024, description="Local connections served at the same time.")
    ] = 64


class ExecutionOptions(Options, frozen=True):
    """What a task may use on this device; the owner's limits go before the submitter's."""

    workers: Annotated[
        int,
        Meta(ge=1, le=64, description="Worker processes, which is executions at the same time."),
    ] = 2
    memory_bytes_max: Annotated[
        int,
        Meta(ge=MIB, le=512 * MIB, description="Memory of one execution, in bytes."),
    ] = 512 * MIB
    memory_budget_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description=(
                "Memory of all executions together, in bytes; those that do not fit wait, and "
                "tasks that never would are given to others. "
                "0: three quarters of what is free when the daemon starts."
            ),
        ),
    ] = 0
    wall_ms_max: Annotated[
        int, Meta(ge=100, le=3_600_000, description="Wall-clock time of one execution, in ms.")
    ] = 30_000
    gas_max: Annotated[int, Meta(ge=1, le=10**15, description="Gas of one execution.")] = (
        10_000_000_000
    )
    state_every_gas: Annotated[
        int,
        Meta(
            ge=0,
            le=10**15,
            description=(
                "A task that may take more gas is executed in stretches of so much, and where it "
                "stands is kept on this disk: after a stop this node goes on from there. Takes "
                "1.1 to 1.5 times the time; one task at once. 0: none."
            ),
        ),
    ] = 0
    sandbox: Annotated[
        SandboxPolicy,
        Meta(
            description=(
                '"required" refuses to execute where seccomp or Landlock is missing; '
                '"best-effort" takes what the machine has and says what is missing.'
            )
        ),
    ] = SandboxPolicy.REQUIRED
    engine: Annotated[
        EngineChoice,
        Meta(
            description=(
                '"auto": wasmtime, or on every second node wasmer where it is installed, so that '
                'replicas run on different engines; "wasmtime", "wasmer", "wasmi" name one.'
            )
        ),
    ] = EngineChoice.AUTO


class StoreOptions(Options, frozen=True):
    """What this node keeps its rows in: blocks, ledger, and what it voted for."""

    engine: Annotated[
        StoreEngine,
        Meta(
            description=(
                '"sqlite"; or "rocksdb", which needs the package ambientd[rocksdb]. '
                "It cannot be changed once the node has started."
            )
        ),
    ] = StoreEngine.SQLITE
    blobs: Annotated[
        str,
        Meta(
            max_length=300,
            pattern=r"^(s3://[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._/-]*)?)?$",
            description=(
                'Where modules, inputs and outputs lie: "s3://BUCKET/FOLDER" of an S3-compatible '
                "store, below this node's id; needs ambientd[s3], and the keys of the "
                "environment. Empty: the data directory."
            ),
        ),
    ] = ""


class BitcoinOptions(Options, frozen=True):
    """Where the receipt log's roots are anchored."""

    chain: Annotated[
        ChainKind,
        Meta(
            description=(
                '"embedded": a regtest chain on this machine; "rpc": a Bitcoin node; "esplora": an '
                'Esplora server; "off": no anchors.'
            )
        ),
    ] = ChainKind.EMBEDDED
    rpc_url: Annotated[
        str,
        Meta(
            max_length=300,
            description=(
                "Bitcoin Core with txindex=1, or btcd with --notls --txindex --addrindex, on this "
                "machine or in a network you trust, as the login crosses it in clear."
            ),
        ),
    ] = "http://127.0.0.1:8332"
    rpc_login: Annotated[
        str,
        Meta(
            max_length=4096,
            description='File that holds "user:password", such as the .cookie of Bitcoin Core.',
        ),
    ] = "bitcoin.login"
    esplora_url: Annotated[
        str,
        Meta(
            max_length=300,
            description='Where the paths of an Esplora server begin, often with "/api" at the end.',
        ),
    ] = ""
    explorer_url: Annotated[
        str,
        Meta(
            max_length=300,
            description="Where the dashboard's links to blocks lead: URL/tx/TXID, URL/block/HASH. "
            "Empty: no links, as an explorer learns from them who looks at what.",
        ),
    ] = ""
    headers_from: Annotated[
        HeadersBase,
        Meta(
            description=(
                'Where the headers begin that are kept: the newest "checkpoint" that came with '
                'this program, or "genesis". It cannot be changed once there are headers.'
            )
        ),
    ] = HeadersBase.CHECKPOINT
    embedded_dir: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Folder of the embedded chain, shared by the nodes of one machine.",
        ),
    ] = "chain"
    block_interval_ms: Annotated[
        int,
        Meta(ge=50, le=3_600_000, description="Time between two blocks that are mined, in ms."),
    ] = 1_000
    anchor_period_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=604_800_000,
            description="Time from one anchor to the next, in ms; at most half the time for which "
            "the cluster keeps receipts. 0: one anchor after the other.",
        ),
    ] = 86_400_000
    anchor_receipts_max: Annotated[
        int,
        Meta(
            ge=1, le=2**40, description="Receipts that wait at most; so many are anchored at once."
        ),
    ] = 100_000
    fee_sat_max: Annotated[
        int, Meta(ge=200, le=10_000_000, description="Most that one anchor may cost, in satoshi.")
    ] = 10_000
    fee_sat_a_day_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Most that the anchors of a day may cost, in satoshi. 0: no such cap.",
        ),
    ] = 100_000

    def rpc_address(self) -> Url:
        """Give where the Bitcoin node listens."""
        url = parse_url(self.rpc_url)
        if url.scheme != "http" or url.path:
            msg = f'address "{self.rpc_url}" is not of the form "http://host:port"'
            raise ConfigError(msg)
        return url


class LimitOptions(Options, frozen=True):
    """Caps on what others can make this node keep or carry."""

    module_bytes_max: Annotated[
        int, Meta(ge=1024, le=8 * MIB, description="Largest module, in bytes.")
    ] = 8 * MIB
    input_bytes_max: Annotated[
        int, Meta(ge=0, le=60 * MIB, description="Largest input, in bytes.")
    ] = 32 * MIB
    output_bytes_max: Annotated[
        int, Meta(ge=0, le=60 * MIB, description="Largest output, in bytes.")
    ] = 32 * MIB
    blob_store_bytes_max: Annotated[
        int,
        Meta(ge=64 * MIB, le=2**50, description="Disk for modules, inputs and outputs, in bytes."),
    ] = 4 * GIB
    handed_states_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**50,
            description=(
                "Disk for states of long tasks that others may go on from, in bytes; "
                "with 0 none are marked, kept or gone on from here."
            ),
        ),
    ] = GIB
    tasks_pending_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Unfinished tasks of this node; 4,096 at most.")
    ] = 4_096
    spend_unasked_msat_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**53 - 1,
            description=(
                "What one task may hold of this node's credits where `ambientctl run` has no "
                "terminal to ask at, in msat; more needs --yes."
            ),
        ),
    ] = 1_000_000
    peers_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Half of the connections to other nodes that are kept open.",
        ),
    ] = 128


class FaultOptions(Options, frozen=True):
    """Misbehaviour on purpose. Never set this on a node that anyone relies on."""

    lie: Annotated[
        Lie,
        Meta(
            description='"none"; "corrupt_output": change each output before sealing it; or '
            '"wrong_step": flip one bit of memory on the way of each execution.'
        ),
    ] = Lie.NONE
    wrong_step_gas: Annotated[
        int, Meta(ge=0, le=GAS_CEILING, description="Where that is, as a gas index.")
    ] = 1_000_000


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """A peer to dial: its identity and where it listens."""

    node: NodeId
    host: str
    port: int

    def __str__(self) -> str:
        """Write it the way config.toml has it."""
        return f"{self.node.hex()}@{join_address(self.host, self.port)}"


class Config(Options, frozen=True):
    """The whole of config.toml."""

    node: NodeOptions = NodeOptions()
    transport: TransportOptions = TransportOptions()
    discovery: DiscoveryOptions = DiscoveryOptions()
    relay: RelayOptions = RelayOptions()
    api: ApiOptions = ApiOptions()
    http: HttpOptions = HttpOptions()
    execution: ExecutionOptions = ExecutionOptions()
    proving: ProvingOptions = ProvingOptions()
    store: StoreOptions = StoreOptions()
    log: LogOptions = LogOptions()
    telemetry: TelemetryOptions = TelemetryOptions()
    bitcoin: BitcoinOptions = BitcoinOptions()
    limits: LimitOptions = LimitOptions()
    retention: RetentionOptions = RetentionOptions()
    backup: BackupOptions = BackupOptions()
    webhook: WebhookOptions = WebhookOptions()
    traces: TraceOptions = TraceOptions()
    memory: MemoryOptions = MemoryOptions()
    faults: FaultOptions = FaultOptions()

    def listen_address(self) -> tuple[str, int]:
        """Give host and port that this node listens on."""
        return split_address(self.transport.listen)

    @property
    def is_slim(self) -> bool:
        """Tell whether nothing is kept in memory that nobody has asked for."""
        return self.memory.profile is MemoryProfile.SLIM

    @property
    def looks_nearby(self) -> bool:
        """Tell whether this node finds, and is found, by multicast DNS."""
        chosen = self.discovery.mdns
        return chosen is LocalSearch.ON or (chosen is LocalSearch.AUTO and not self.is_slim)

    @property
    def tells_unasked(self) -> bool:
        """Tell whether this node answers or tells somebody beside who asks the local socket."""
        return bool(self.http.enabled or self.webhook.url or self.traces.url or self.backup.folder)

    def bootstrap_peers(self) -> tuple[Bootstrap, ...]:
        """Give the peers to dial at the start."""
        return tuple(parse_bootstrap(text) for text in self.transport.bootstrap)


def join_address(host: str, port: int) -> str:
    """Write host and port as one text; an IPv6 host goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(text: str) -> tuple[str, int]:
    """Read "host:port" or "[v6]:port"; raise ConfigError saying what is wrong."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        msg = f'address "{text}": an IPv6 host goes into brackets, as in "[::1]:4400"'
        raise ConfigError(msg)
    if not colon or not host or any(c.isspace() or c in "/@" for c in host):
        msg = f'address "{text}" is not of the form "host:port"'
        raise ConfigError(msg)
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        msg = f'address "{text}": the port must be a number from 0 to 65535'
        raise ConfigError(msg)
    return host, int(port)


def is_wildcard(host: str) -> bool:
    """Tell whether a host means every address of a machine, which nobody can dial."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether a host can be reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_dialable(host: str, port: int) -> None:
    """Raise ConfigError for an address that can be listened on but not dialled."""
    if is_wildcard(host):
        msg = f"{host} means every address of a machine; name one that peers can dial"
        raise ConfigError(msg)
    if port == 0:
        msg = f"port 0 of {host} cannot be dialled; name the one that is listened on"
        raise ConfigError(msg)


def parse_bootstrap(text: str) -> Bootstrap:
    """Read "NODE_ID@host:port"; raise ConfigError saying what is wrong."""
    identity, at, address = text.partition("@")
    if not at or len(identity) != 64 or any(c not in "0123456789abcdef" for c in identity):
        msg = f'peer "{text}" is not of the form "NODE_ID@host:port" (64 lower-case hex digits)'
        raise ConfigError(msg)
    host, port = split_address(address)
    if port == 0:
        msg = f'peer "{text}": port 0 cannot be dialled'
        raise ConfigError(msg)
    return Bootstrap(node=NodeId(bytes.fromhex(identity)), host=host, port=port)
