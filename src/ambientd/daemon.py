"""ambientd: the composition root, the only place that picks adapters."""

import argparse
import faulthandler
import os
import random
import resource
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from ambientd import __version__
from ambientd.adapters.anchor_file import AnchorFile
from ambientd.adapters.anchor_service import ChainAnchors
from ambientd.adapters.anchor_wallet import anchor_wallet
from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.blob_places import open_blobs
from ambientd.adapters.chains import OpenChain, anchorer_options, open_chain
from ambientd.adapters.compiled_files import CompiledFiles, compiled_key
from ambientd.adapters.consent_file import ConsentFile
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.adapters.engines import engine_for, installed, require
from ambientd.adapters.host_memory import available_bytes
from ambientd.adapters.keys import draw_secret
from ambientd.adapters.learner_opening import open_learner
from ambientd.adapters.leash import end_with_standard_input
from ambientd.adapters.libp2p import open_transport
from ambientd.adapters.log_lines import LogForm, configure_logging
from ambientd.adapters.owner_file import OwnerFile
from ambientd.adapters.passphrases import find_passphrase
from ambientd.adapters.peg_keys import open_signing, replaced_signing
from ambientd.adapters.peg_service import PegService
from ambientd.adapters.pin_file import PinFile
from ambientd.adapters.private_book_file import PrivateBookFile
from ambientd.adapters.probes.combined import device_sensors
from ambientd.adapters.proof_tools import open_proof_tools
from ambientd.adapters.service_manager import ServiceManager
from ambientd.adapters.slim_structlog import structlog
from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.adapters.surroundings import DeviceSurroundings
from ambientd.adapters.system_clock import SystemClock
from ambientd.adapters.trail_files import TrailFiles
from ambientd.api.desk import Desk, Owner
from ambientd.api.handlers import build_handlers
from ambientd.api.identity import Identity, check_key, check_store, read_identity, sealed_keys
from ambientd.api.invitation import make_join
from ambientd.api.local_socket import SocketLimits, serve_local_socket
from ambientd.api.outlets import run_outlets
from ambientd.api.trail_keeping import TrailKeeper, trailed
from ambientd.codec.statements import sign_record
from ambientd.config.options import ChainKind, EngineChoice, Lie, parse_bootstrap
from ambientd.config.places import Places, default_data_dir, socket_path_for
from ambientd.consensus.options import TrustedEpoch
from ambientd.errors import AmbientError, ConfigError, UsageError
from ambientd.ledger.state import LedgerState
from ambientd.model.execution import PAGE_BYTES, EngineCode, ExecutionLimits
from ambientd.model.record import PegBody
from ambientd.node.build import NodeOptions, beacon_tip, build_node, signer_of
from ambientd.node.compaction import LogOptions
from ambientd.node.core import Node
from ambientd.node.event import BodiesProposed
from ambientd.ports.anchors import AnchorSent
from ambientd.ports.store import Store
from ambientd.ports.transport import HostPort, PeerAddress, Transport, TransportOptions
from ambientd.ports.worker_protocol import REQUIRED_PROTECTIONS, Protection
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.peg_networks import peg_fault
from ambientd.runtime.blobs import Blobs, SealedBlobs, blobs_over
from ambientd.runtime.execution import executor_of
from ambientd.runtime.joining import Joining, ask_to_join
from ambientd.runtime.learning import ExecuteTask, LearningHost
from ambientd.runtime.news import AnchorTold, News
from ambientd.runtime.ownership import Ownership
from ambientd.runtime.performer import TELEMETRY_TOPIC, Performer
from ambientd.runtime.persistence import Recovered, StoredBlocks, first_safety, recover
from ambientd.runtime.pins import Pins
from ambientd.runtime.private_rounds import PrivateRounds
from ambientd.runtime.pump import Pump
from ambientd.runtime.retention import Sweeper
from ambientd.runtime.service import Parts, run_node
from ambientd.runtime.serving import ChunkServer
from ambientd.runtime.store_writer import StoreWriter
from ambientd.runtime.uploads import Uploads
from ambientd.runtime.worker_options import WorkerPoolOptions, memory_need_bytes
from ambientd.runtime.workers import WorkerPool, open_worker_pool
from ambientd.telemetry.core import TelemetryOptions

log = structlog.get_logger("ambientd")

COMPILED_FOLDER = "compiled"
# One page, no output, and the log that every execution may write.
_LEAST_BUDGET_BYTES = memory_need_bytes(
    ExecutionLimits(memory_bytes_max=PAGE_BYTES, output_bytes_max=0), 0
)

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


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
        connections_max=max(2, identity.config.limits.peers_max * 2),
        bandwidth_bytes_per_day=identity.config.telemetry.bandwidth_bytes_per_day,
    )


async def _chain(identity: Identity) -> OpenChain | None:
    """Open the chain that the config names; the embedded one is started if needed."""
    bitcoin, network = identity.config.bitcoin, identity.genesis.bitcoin_network
    if bitcoin.chain is ChainKind.OFF:
        return None
    clock = SystemClock()
    return await open_chain(bitcoin, network, identity.places, lambda: clock.unix_ms() / 1000)


def _anchors(
    identity: Identity,
    opened: OpenChain | None,
    now: Callable[[], int],
    tell: Callable[[AnchorSent], None],
) -> ChainAnchors | None:
    """Give the way into Bitcoin."""
    if opened is None:
        return None
    wallet = anchor_wallet(identity.seed, identity.genesis.bitcoin_network)
    bitcoin = identity.config.bitcoin
    caps = AnchoringOptions(
        fee_sat_max=bitcoin.fee_sat_max, fee_sat_a_day_max=bitcoin.fee_sat_a_day_max
    )
    if opened.chain.network == "regtest":  # Bitcoin blocks come in seconds, asking costs nothing
        caps = replace(caps, rebroadcast_ms=5_000, look_ms=200, retry_ms=2_000, watch_ms=5_000)
    file = AnchorFile(identity.places.anchors)
    return ChainAnchors(opened.chain, wallet, file, caps, now, opened.fund, tell)


def _peg(
    identity: Identity,
    passphrase: str,
    opened: OpenChain | None,
    ledger: LedgerState,
    pump: Pump,
    now: Callable[[], int],
) -> PegService | None:
    """Give this node's part in the peg, in a cluster that has one."""
    if opened is None or peg_fault(identity.genesis) is not None:
        return None
    places = identity.places
    if not places.peg_key.exists():
        log.warning("KEEP A COPY OF THE PEG'S KEY: coins depend on it", path=str(places.peg_key))
    is_said = bool(ledger.peg_node(identity.node).key)
    signer, file = open_signing(places.peg_key, places.peg_book, passphrase, is_said=is_said)
    replaced = replaced_signing(places.peg_key, places.peg_book, passphrase)

    async def propose(body: PegBody) -> None:
        await pump.post(BodiesProposed((body,)))

    return PegService(identity.node, ledger, opened.chain, signer, file, now, propose, replaced)


def _addresses(identity: Identity, listen: HostPort) -> tuple[str, ...]:
    """Give where a newcomer can dial: this node first, then the peers it knows."""
    own = f"{identity.node.hex()}@{identity.config.transport.advertise or listen}"
    return (own, *(str(peer) for peer in identity.config.bootstrap_peers()))


async def _come_in(
    identity: Identity, node: Node, transport: Transport, performer: Performer
) -> None:
    """Use the token, if there is one, until the log has taken this node in; then delete it."""
    token = identity.invitation
    if token is None:
        return
    body = make_join(token, identity.node, identity.config.node.profile)
    record = sign_record(signer_of(identity.seed, identity.genesis), body)
    peers = (parse_bootstrap(address) for address in token.addresses)
    members = tuple(PeerAddress(peer.node, peer.host, peer.port) for peer in peers)
    log.info("asking to join", cluster=identity.genesis.name)
    await ask_to_join(
        transport,
        record,
        members,
        lambda: node.ledger.node(identity.node) is not None,
        performer.let_in,
    )
    identity.places.invitation.unlink(missing_ok=True)
    log.info("joined", cluster=identity.genesis.name)


def _may_vote(identity: Identity, store: Store, recovered: Recovered) -> bool:
    """Tell whether this key may vote: a key whose safety state is lost never votes again.

    The mark beside the key outlives the store; the first safety state is there before the mark is.
    """
    mark = identity.places.voted_mark
    if recovered.has_safety:
        pass
    elif mark.exists() or recovered.log is not None:
        log.error(
            "THIS NODE HAS LOST WHAT IT VOTED FOR and only follows: its key never votes again",
            store=str(identity.places.data_dir / STORE_NAMES[identity.config.store.engine]),
            advice="only the store itself brings the vote back, no backup; or replace the node",
        )
        return False
    else:
        store.write(first_safety(identity.genesis))
    if not mark.exists():
        write_synced(mark, b"this key has voted; without its store it must not vote again\n")
        sync_directory(mark.parent)
    return True


def _build_node(
    identity: Identity,
    recovered: Recovered,
    writer: StoreWriter,
    rng: random.Random,
    *,
    may_vote: bool,
    now_ms: int,
) -> Node:
    config = identity.config
    if config.faults.lie is not Lie.NONE:
        log.warning("THIS NODE LIES ON PURPOSE", lie=config.faults.lie.value)
    options = NodeOptions(
        genesis=identity.genesis,
        seed=identity.seed,
        anchors=anchorer_options(config.bitcoin, identity.genesis.bitcoin_network),
        may_vote=may_vote,
        trusted=_trusted_epoch(config.log.trusted_epoch),
        proves_cycles_max=config.proving.cycles_max if config.proving.prover else 0,
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
    return build_node(options, recovered.ledger, recovered.log, epoch, blocks, rng, recovered.kept)


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


async def _serve(
    identity: Identity, parts: Parts, pool: WorkerPool, uploads: Uploads, performer: Performer
) -> None:
    """Answer the owner until told to stop."""
    config, transport = identity.config, parts.transport
    owner = Owner(
        signer=signer_of(identity.seed, identity.genesis),
        config=config,
        name=config.node.name,
        engine=f"{pool.engine} {pool.engine_version}",
        engines_installed=installed(),
        protections=tuple(sorted(pool.protections)),
        protections_missing=tuple(sorted(set(Protection) - pool.protections)),
        addresses=_addresses(identity, transport.address),
        draw_secret=draw_secret,
        beacon_tip=partial(beacon_tip, identity.seed),
        started_ms=parts.now(),
        data_dir=identity.places.data_dir,
        certificates=identity.places.certificates,
    )
    desk = Desk(owner, parts)
    async with trio.open_nursery() as nursery:
        path = socket_path_for(identity.places.data_dir, config.api.socket)
        nursery.start_soon(run_outlets, desk, owner, parts)
        nursery.start_soon(_come_in, identity, parts.node, transport, performer)
        limits = SocketLimits(connections_max=config.api.connections_max)
        keeper = TrailKeeper(TrailFiles(identity.places.trail), parts.now)
        nursery.start_soon(keeper.run)
        handlers = trailed(build_handlers(desk), keeper)
        await nursery.start(partial(serve_local_socket, path, handlers, limits=limits))
        if config.http.enabled:
            from ambientd.api.rest.serving import serve_rest  # its price is for those who use it

            serve = partial(serve_rest, config.http, identity.places)
            await nursery.start(serve, handlers, uploads, keeper, parts.now)
        listen = str(transport.address)
        log.info("ready", node=identity.node.hex()[:12], listen=listen, socket=str(path))
        told = await ServiceManager.of(os.environ).stand_by()
        log.info("stopping", signal=told.name)
        nursery.cancel_scope.cancel()


async def run_daemon(data_dir: Path, passphrase: str = "") -> None:
    """Run the node of a data directory until SIGTERM or SIGINT, then stop cleanly."""
    identity = read_identity(data_dir, passphrase)
    config, genesis = identity.config, identity.genesis
    is_newcomer = identity.invitation is not None
    now = _steady_now()
    async with AsyncExitStack() as stack:
        stack.enter_context(DataDir(data_dir))
        check_store(identity)
        store = open_store(data_dir, config.store.engine)
        recovered = recover(store, genesis)
        check_key(identity, recovered)
        may_vote = _may_vote(identity, store, recovered)
        writer = await stack.enter_async_context(StoreWriter(store))
        quota_bytes = config.limits.blob_store_bytes_max
        files = open_blobs(data_dir / "blobs", config.store.blobs, identity.node, quota_bytes)
        rng = random.Random(draw_secret(32))  # noqa: S311 - jitter and back-off, no secrets
        node = _build_node(identity, recovered, writer, rng, may_vote=may_vote, now_ms=now())
        pump = Pump(node, now, writer)
        sealed = SealedBlobs(files)
        transport = await stack.enter_async_context(
            open_transport(
                _transport_options(identity),
                seed=identity.seed,
                allowed=frozenset() if is_newcomer else recovered.ledger.allowed_nodes(),
                serve_blob=sealed.serve,
                serve_join=Joining(pump, recovered.ledger, now).serve,
                rng=rng,
                serve_piece=ChunkServer(files, sealed, now).serve,
            )
        )
        pool = await _open_pool(identity, stack)
        news, opened = News(), await _chain(identity)
        anchors = _anchors(identity, opened, now, lambda sent: news.tell(AnchorTold(sent, now())))
        peg = _peg(identity, passphrase, opened, recovered.ledger, pump, now)
        sensors = device_sensors(data_dir, config, SystemClock())
        device = DeviceSurroundings(SystemClock())
        blobs = blobs_over(transport, files, sealed)
        tools = open_proof_tools(config.proving, data_dir)
        executor = executor_of(config, pool, blobs, sensors.meter, tools)
        parts = Parts(
            node=node,
            pump=pump,
            transport=transport,
            executor=executor,
            blobs=blobs,
            news=news,
            probe=sensors.probe,
            anchors=anchors,
            headers=None if opened is None else opened.headers,
            peg=peg,
            now=now,
            sample_s=config.telemetry.interval_ms / 1000,
            owner=Ownership(OwnerFile(identity.places.owner), device, pool, now),
            learning=_learning(identity, blobs, files, partial(executor.execute, clock=now)),
            is_newcomer=is_newcomer,
            pins=Pins(PinFile(identity.places.module_pins)),
        )
        kept = partial(parts.pins.kept, recovered.ledger, identity.node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Sweeper(files, recovered.ledger, config.retention, now, kept).run)
            if opened is not None and opened.poll_s is not None:
                nursery.start_soon(opened.headers.keep, opened.poll_s)
            if peg is not None:
                nursery.start_soon(peg.run)
            await run_node(parts, partial(_serve, identity, parts, pool, Uploads(files, sealed)))
            nursery.cancel_scope.cancel()


def main(arguments: list[str] | None = None) -> int:
    """Run one node until it is told to stop."""
    parser = argparse.ArgumentParser("ambientd", description="Run one node of an Ambient mesh.")
    parser.add_argument("--data-dir", type=Path, help="the node's folder (key, config, genesis)")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="what opens sealed key files"
    )
    parser.add_argument(
        "--with-stdin", action="store_true", help="end when standard input does, as on SIGTERM"
    )
    parser.add_argument("--verbose", action="store_true", help="log what only developers want")
    parser.add_argument(
        "--log-format",
        type=LogForm,
        choices=list(LogForm),
        default=os.environ.get("AMBIENT_LOG_FORMAT", LogForm.CONSOLE),
        help="lines for people, or one JSON object a line (default: $AMBIENT_LOG_FORMAT, else "
        "console)",
    )
    parser.add_argument("--version", action="version", version=f"ambientd {__version__}")
    chosen = parser.parse_args(arguments)
    faulthandler.enable()  # a crash in foreign code leaves its place in the log
    configure_logging(chosen.log_format, verbose=chosen.verbose)
    # Its memory holds keys that may lie sealed on disk: no crash writes them there.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        data_dir = chosen.data_dir or default_data_dir()
        passphrase = find_passphrase(chosen.passphrase_file, sealed_keys(Places(data_dir)))
        if chosen.with_stdin:
            end_with_standard_input()
        trio.run(run_daemon, data_dir, passphrase)
    except AmbientError as error:
        return _complain(error)
    except BaseExceptionGroup as group:
        expected, unexpected = group.split(AmbientError)
        if unexpected is not None:
            raise
        return _complain(_first(expected))
    return EXIT_DONE


def _first(error: BaseException | None) -> BaseException | None:
    """Give the first leaf of nested groups: one cause is what a person can act on."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _complain(error: BaseException | None) -> int:
    print(f"ambientd: {error}", file=sys.stderr)  # noqa: T201 - the last word to a person
    return EXIT_USAGE if isinstance(error, ConfigError | UsageError) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
