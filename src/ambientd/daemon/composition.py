"""Puts one node together and runs it: the only place that picks adapters."""

import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ambientd.adapters.anchoring_times import anchorer_options
from ambientd.adapters.batch_journal import BatchJournal
from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.blob_places import open_blobs
from ambientd.adapters.compiled_files import CompiledFiles, compiled_key
from ambientd.adapters.consent_file import ConsentFile
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.adapters.engines import engine_for, require
from ambientd.adapters.host_memory import available_bytes
from ambientd.adapters.keys import draw_secret
from ambientd.adapters.learner_opening import open_learner
from ambientd.adapters.libp2p import open_transport
from ambientd.adapters.owner_file import OwnerFile
from ambientd.adapters.pin_file import PinFile
from ambientd.adapters.private_book_file import PrivateBookFile
from ambientd.adapters.probes.combined import device_sensors
from ambientd.adapters.proof_tools import open_proof_tools, step_terms
from ambientd.adapters.service_manager import ServiceManager
from ambientd.adapters.slim_structlog import structlog
from ambientd.adapters.state_files import StateFiles
from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.adapters.surroundings import DeviceSurroundings
from ambientd.adapters.system_clock import SystemClock
from ambientd.api.identity import Identity, check_key, check_store, read_identity
from ambientd.api.invitation import make_join
from ambientd.codec.statements import sign_record
from ambientd.config.options import ChainKind, EngineChoice, Lie
from ambientd.config.telemetry_options import INTERVAL_MS_MIN
from ambientd.consensus.options import TrustedEpoch
from ambientd.daemon.files_needed import CONNECTIONS_A_PEER, warn_of_files
from ambientd.daemon.finding import Finding, introductions_of
from ambientd.daemon.front_door import Front, answer_owner
from ambientd.errors import ConfigError
from ambientd.ledger.state import LedgerState
from ambientd.model.execution import PAGE_BYTES, EngineCode, ExecutionLimits
from ambientd.node.build import NodeOptions, build_node, signer_of
from ambientd.node.compaction import LogOptions
from ambientd.node.core import Node
from ambientd.ports.probe import EnergyMeter
from ambientd.ports.store import Store
from ambientd.ports.transport import HostPort, PeerAddress, Transport, TransportOptions
from ambientd.ports.worker_protocol import REQUIRED_PROTECTIONS, Protection
from ambientd.rules.executions import memory_need_bytes
from ambientd.runtime.blobs import Blobs, SealedBlobs, blobs_over
from ambientd.runtime.execution import Executor, executor_of
from ambientd.runtime.finding import Introductions
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.joining import Joining, ask_to_join
from ambientd.runtime.learning import ExecuteTask, LearningHost
from ambientd.runtime.news import News
from ambientd.runtime.ownership import Ownership
from ambientd.runtime.performer import TELEMETRY_TOPIC, Performer
from ambientd.runtime.persistence import Recovered, StoredBlocks, first_safety, recover
from ambientd.runtime.pins import Pins
from ambientd.runtime.private_rounds import PrivateRounds
from ambientd.runtime.pump import Pump
from ambientd.runtime.retention import Sweeper
from ambientd.runtime.service import Parts, run_node
from ambientd.runtime.serving import ChunkServer
from ambientd.runtime.shelves import Shelves
from ambientd.runtime.store_writer import StoreWriter
from ambientd.runtime.telemetry_journal import TelemetryJournal
from ambientd.runtime.uploads import Uploads
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import WorkerPool, open_worker_pool
from ambientd.telemetry.batch import BATCH_BYTES_MAX
from ambientd.telemetry.core import TelemetryOptions

if TYPE_CHECKING:
    from ambientd.daemon.bitcoin_parts import BitcoinParts

log = structlog.get_logger("ambientd")

StandBy = Callable[[], Awaitable[signal.Signals]]
"""Says that a node is ready, and comes back with what told it to stop."""

AUTHOR_BATCHES_PER_S = 1.2 * 1000 / INTERVAL_MS_MIN
"""A node may say a batch each interval, and a few between: what changes work is told at once."""

COMPILED_FOLDER = "compiled"
# One page, no output, and the log that every execution may write.
_LEAST_BUDGET_BYTES = memory_need_bytes(
    ExecutionLimits(memory_bytes_max=PAGE_BYTES, output_bytes_max=0), 0
)


def _steady_now() -> Callable[[], int]:
    """Give Unix milliseconds that never run backwards while this process lives."""
    clock = SystemClock()
    offset = clock.unix_ms() - clock.monotonic_ms()
    return lambda: clock.monotonic_ms() + offset


def _transport_options(identity: Identity) -> TransportOptions:
    host, port = identity.config.listen_address()
    peers = identity.config.bootstrap_peers()
    bootstrap = tuple(PeerAddress(peer.node, peer.host, peer.port) for peer in peers)
    return TransportOptions(
        listen=HostPort(host, port),
        bootstrap=bootstrap if identity.invitation is None else (),
        topics=frozenset({TELEMETRY_TOPIC}),
        gossip_author_messages_per_s=AUTHOR_BATCHES_PER_S,
        gossip_bytes_max=BATCH_BYTES_MAX,  # nothing else is gossiped
        connections_max=CONNECTIONS_A_PEER * identity.config.limits.peers_max,
        bandwidth_bytes_per_day=identity.config.telemetry.bandwidth_bytes_per_day,
    )


async def _bitcoin(
    identity: Identity,
    passphrase: str,
    ledger: LedgerState,
    pump: Pump,
    news: News,
    now: Callable[[], int],
) -> "BitcoinParts | None":
    """Give the way into Bitcoin that the config names."""
    if identity.config.bitcoin.chain is ChainKind.OFF:
        return None
    from ambientd.daemon.bitcoin_parts import open_bitcoin  # its price is for those who use it

    return await open_bitcoin(identity, passphrase, ledger, pump, news, now)


def _addresses(identity: Identity, listen: HostPort) -> tuple[str, ...]:
    """Give where a newcomer can dial: this node first, then the peers it knows."""
    own = f"{identity.node.hex()}@{identity.config.transport.advertise or listen}"
    return (own, *(str(peer) for peer in identity.config.bootstrap_peers()))


async def _come_in(
    identity: Identity,
    node: Node,
    transport: Transport,
    performer: Performer,
    introductions: Introductions,
) -> None:
    """Use the token, if there is one, until the log has taken this node in; then delete it."""
    token = identity.invitation
    if token is None:
        return
    body = make_join(token, identity.node, identity.config.node.profile)
    record = sign_record(signer_of(identity.seed, identity.genesis), body)
    log.info("asking to join", cluster=identity.genesis.name)
    await ask_to_join(
        transport,
        record,
        introductions.members,
        lambda: node.ledger.node(identity.node) is not None,
        performer.let_in,
        random.Random(draw_secret(32)),  # noqa: S311 - whom to ask first, and when again
    )
    introductions.is_needed = False
    identity.places.invitation.unlink(missing_ok=True)
    log.info("joined", cluster=identity.genesis.name)


def _open_log(identity: Identity) -> tuple[Store, Recovered]:
    """Open the store and read what is in it, which must be this key's."""
    check_store(identity)
    store = open_store(identity.places.data_dir, identity.config.store.engine)
    recovered = recover(store, identity.genesis)
    check_key(identity, recovered)
    return store, recovered


class _Vote(Enum):
    """What is known here of a key: it may vote, it never may again, or only others can tell."""

    MAY = auto()
    NEVER = auto()
    ASK = auto()


def _vote_of(identity: Identity, store: Store, recovered: Recovered) -> _Vote:
    """Tell whether this key may vote: a key whose safety state is lost never votes again.

    The mark beside the key outlives the store; the first safety state is there before the mark is.
    A founder's folder without either may be new, or a copy from before its first vote.
    """
    if recovered.has_safety:
        _mark(identity)
        return _Vote.MAY
    if identity.places.voted_mark.exists():
        _say_lost(identity)
        return _Vote.NEVER
    if any(member.node == identity.node for member in identity.genesis.members):
        return _Vote.ASK
    if recovered.log is not None:
        _say_lost(identity)
        return _Vote.NEVER
    store.write(first_safety(identity.genesis))
    _mark(identity)
    return _Vote.MAY


def _on_vote_decided(identity: Identity, may_vote: bool) -> None:
    """Keep beside the key what the first start has found out."""
    _mark(identity)
    if not may_vote:
        _say_lost(identity)


def _mark(identity: Identity) -> None:
    mark = identity.places.voted_mark
    if not mark.exists():
        write_synced(mark, b"this key has voted; without its store it must not vote again\n")
        sync_directory(mark.parent)


def _say_lost(identity: Identity) -> None:
    log.error(
        "THIS NODE HAS LOST WHAT IT VOTED FOR and only follows: its key never votes again",
        store=str(identity.places.data_dir / STORE_NAMES[identity.config.store.engine]),
        advice="only the store itself brings the vote back, no backup; or replace the node",
    )


def _build_node(
    identity: Identity,
    recovered: Recovered,
    writer: StoreWriter,
    rng: random.Random,
    *,
    vote: _Vote,
    now_ms: int,
) -> Node:
    config = identity.config
    if config.faults.lie is not Lie.NONE:
        log.warning("THIS NODE LIES ON PURPOSE", lie=config.faults.lie.value)
    options = NodeOptions(
        genesis=identity.genesis,
        seed=identity.seed,
        anchors=anchorer_options(config.bitcoin, identity.genesis.bitcoin_network),
        may_vote=vote is not _Vote.NEVER,
        is_first_start=vote is _Vote.ASK,
        trusted=_trusted_epoch(config.log.trusted_epoch),
        proves_cycles_max=config.proving.cycles_max if config.proving.prover else 0,
        proves_steps=step_terms(config.proving),
        says_next_version=config.log.says_next_version,
        log=LogOptions(
            config.log.snapshot_blocks, config.log.kept_blocks, is_whole=config.log.whole
        ),
        telemetry=TelemetryOptions(
            interval_ms=config.telemetry.interval_ms,
            stale_ms=config.telemetry.interval_ms * 7 // 2,
            capacity=config.execution.workers,
            engine=EngineCode.of(_engine_name(identity)),
        ),
    )
    blocks = StoredBlocks(writer)
    epoch = recovered.last_telemetry_epoch(now_ms)
    return build_node(
        options,
        recovered.ledger,
        recovered.log,
        epoch,
        blocks,
        rng,
        recovered.kept,
        recovered.marks,
        recovered.asked,
    )


def _trusted_epoch(text: str) -> TrustedEpoch | None:
    """Read NUMBER:HASH, whose form the configuration has checked."""
    if not text:
        return None
    number, digest = text.split(":")
    return TrustedEpoch(int(number), bytes.fromhex(digest))


def _engine_name(identity: Identity) -> str:
    choice = identity.config.execution.engine
    if choice is EngineChoice.AUTO:
        return engine_for(identity.node)
    try:
        return require(choice.value)
    except ConfigError as error:
        msg = f"{identity.places.config}: [execution] engine = {choice.value!r}: {error}"
        raise ConfigError(msg) from error


def _ownership(
    identity: Identity, device: DeviceSurroundings, pool: WorkerPool, now: Callable[[], int]
) -> Ownership:
    chosen = identity.config.execution
    is_small = pool.memory_bytes < chosen.memory_bytes_max
    states_memory = chosen.memory_budget_bytes > 0 or is_small
    file = OwnerFile(identity.places.owner)
    return Ownership(file, device, pool, now, states_memory=states_memory)


async def _open_pool(identity: Identity, stack: AsyncExitStack) -> WorkerPool:
    chosen = identity.config.execution
    budget_bytes = chosen.memory_budget_bytes or available_bytes() * 3 // 4
    if budget_bytes < _LEAST_BUDGET_BYTES:
        msg = (
            f"{identity.places.config}: [execution] memory_budget_bytes = {budget_bytes}: no task "
            f"fits; the least is {_LEAST_BUDGET_BYTES}, and 0 lets the daemon choose"
        )
        raise ConfigError(msg)
    if budget_bytes < chosen.memory_bytes_max:
        log.warning(
            "a task that asks for as much memory as this node allows will not be executed here",
            allowed_bytes=chosen.memory_bytes_max,
            budget_bytes=budget_bytes,
        )
    options = WorkerPoolOptions(
        engine=_engine_name(identity),
        size=chosen.workers,
        sandbox=chosen.sandbox.value,
        memory_budget_bytes=budget_bytes,
        rests=identity.config.is_slim,
    )
    cache = CompiledFiles(identity.places.data_dir / COMPILED_FOLDER, compiled_key(identity.seed))
    pool = await stack.enter_async_context(open_worker_pool(options, cache))
    missing = set(Protection) - pool.protections
    if missing & REQUIRED_PROTECTIONS:
        log.error(
            "WORKERS ARE NOT FULLY LOCKED DOWN on this machine",
            missing=[str(each) for each in sorted(missing)],
        )
    elif missing:
        log.info(
            "workers run without what this machine does not offer",
            missing=[str(each) for each in sorted(missing)],
        )
    return pool


def _learning(identity: Identity, blobs: Blobs, files: BlobFiles, run: ExecuteTask) -> LearningHost:
    learner = partial(open_learner, identity.places.data_dir)
    consents = ConsentFile(identity.places.consents)
    book = PrivateBookFile(identity.places.private_book)
    private = PrivateRounds(identity.node, book, draw_secret, blobs, files)
    return LearningHost(learner, consents, blobs, files, run, private)


def _open_files(identity: Identity) -> BlobFiles:
    config, folder = identity.config, identity.places.data_dir / "blobs"
    return open_blobs(folder, config.store.blobs, identity.node, config.limits.blob_store_bytes_max)


def _open_handed(identity: Identity) -> BlobFiles | None:
    """Open where states for others lie; None where the owner has no room for any."""
    quota_bytes = identity.config.limits.handed_states_bytes_max
    if not quota_bytes:
        return None
    folder = identity.places.handed_states
    return BlobFiles(folder, quota_bytes=quota_bytes, memory_bytes=0, makes_way=False)


def _handed_states(
    files: BlobFiles | None, transport: Transport, sealed: SealedBlobs
) -> HandedStates | None:
    return None if files is None else HandedStates(files, blobs_over(transport, files, sealed))


def _executor(
    identity: Identity,
    recovered: Recovered,
    pool: WorkerPool,
    blobs: Blobs,
    meter: EnergyMeter,
    handed: HandedStates | None,
) -> Executor:
    tools = open_proof_tools(identity.config.proving, identity.places.data_dir)
    states = StateFiles(identity.places.states).open(recovered.ledger.open_tasks())
    return executor_of(identity.config, pool, blobs, meter, tools, states, handed)


def _journal(identity: Identity) -> TelemetryJournal | None:
    bytes_max = identity.config.telemetry.journal_bytes_max
    if not bytes_max:
        return None
    return TelemetryJournal(BatchJournal(identity.places.telemetry, bytes_max=bytes_max))


async def _serve(
    identity: Identity,
    parts: Parts,
    pool: WorkerPool,
    uploads: Uploads,
    introductions: Introductions,
    stand_by: StandBy,
    nodes: int,
    performer: Performer,
) -> None:
    """Answer the owner until told to stop."""
    addresses = _addresses(identity, parts.transport.address)
    front = Front(identity, parts, pool, uploads, addresses, parts.now(), nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            _come_in, identity, parts.node, parts.transport, performer, introductions
        )
        await nursery.start(partial(answer_owner, front))
        listen = str(parts.transport.address)
        path = str(front.socket)
        log.info("ready", node=identity.node.hex()[:12], listen=listen, socket=path)
        told = await stand_by()
        log.info("stopping", signal=told.name)
        nursery.cancel_scope.cancel()


async def by_signal() -> signal.Signals:
    """Stand by until the process is told to stop."""
    return await ServiceManager.of(os.environ).stand_by()


async def run_daemon(
    data_dir: Path, passphrase: str = "", stand_by: StandBy = by_signal, nodes: int = 1
) -> None:
    """Run a folder's node, of so many in this process, until told to stop (else by a signal)."""
    identity = read_identity(data_dir, passphrase)
    config = identity.config
    warn_of_files(config, nodes)
    introductions, is_newcomer = introductions_of(identity), identity.invitation is not None
    now = _steady_now()
    async with AsyncExitStack() as stack:
        stack.enter_context(DataDir(data_dir))
        store, recovered = _open_log(identity)
        vote = _vote_of(identity, store, recovered)
        writer = await stack.enter_async_context(StoreWriter(store))
        rng = random.Random(draw_secret(32))  # noqa: S311 - jitter and back-off, no secrets
        node = _build_node(identity, recovered, writer, rng, vote=vote, now_ms=now())
        pump = Pump(node, now, writer)
        files, handed_files = _open_files(identity), _open_handed(identity)
        given, finding = Shelves(files, handed_files), Finding(identity, rng)
        sealed = SealedBlobs(given)
        transport = await stack.enter_async_context(
            open_transport(
                _transport_options(identity),
                seed=identity.seed,
                allowed=frozenset() if is_newcomer else recovered.ledger.allowed_nodes(),
                serve_blob=sealed.serve,
                serve_join=Joining(pump, recovered.ledger, now).serve,
                rng=rng,
                serve_piece=ChunkServer(given, sealed, now).serve,
                further=finding.register,
            )
        )
        pool = await _open_pool(identity, stack)
        news, device = News(), DeviceSurroundings(SystemClock())
        bitcoin = await _bitcoin(identity, passphrase, recovered.ledger, pump, news, now)
        sensors = device_sensors(data_dir, config, SystemClock())
        blobs = blobs_over(transport, files, sealed)
        handed = _handed_states(handed_files, transport, sealed)
        executor = _executor(identity, recovered, pool, blobs, sensors.meter, handed)
        parts = Parts(
            node=node,
            pump=pump,
            transport=transport,
            executor=executor,
            blobs=blobs,
            news=news,
            probe=sensors.probe,
            anchors=None if bitcoin is None else bitcoin.anchors,
            headers=None if bitcoin is None else bitcoin.opened.headers,
            peg=None if bitcoin is None else bitcoin.peg,
            now=now,
            sample_s=config.telemetry.interval_ms / 1000,
            owner=_ownership(identity, device, pool, now),
            learning=_learning(identity, blobs, files, partial(executor.execute, clock=now)),
            is_newcomer=is_newcomer,
            pins=Pins(PinFile(identity.places.module_pins)),
            journal=_journal(identity),
            relays=finding.reserved,
            on_vote_decided=partial(_on_vote_decided, identity),
        )
        kept = partial(parts.wanted_blobs, identity.node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Sweeper(files, recovered.ledger, config.retention, now, kept).run)
            if bitcoin is not None:
                nursery.start_soon(bitcoin.keep_up)
            nursery.start_soon(finding.look_for_members, transport, introductions)
            uploads = Uploads(files, sealed)
            serve = partial(_serve, identity, parts, pool, uploads, introductions, stand_by, nodes)
            await run_node(parts, serve)
            nursery.cancel_scope.cancel()
