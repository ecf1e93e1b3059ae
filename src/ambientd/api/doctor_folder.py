"""What is wrong with a node's folder and this machine: looked at without the daemon."""

import errno
import os
import shlex
import shutil
import socket
import stat
import statistics
import sys
import time
from pathlib import Path

from ambientd.adapters.data_dir import holder_of
from ambientd.adapters.durable_files import sync_directory
from ambientd.adapters.engines import installed, require
from ambientd.adapters.owner_file import OwnerFile
from ambientd.adapters.pin_file import PinFile
from ambientd.adapters.regtest.files import lack_of_chain
from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.api.doctor_values import Finding, failed, fails, fine, warns
from ambientd.api.genesis_files import load_genesis
from ambientd.api.identity import check_keys, key_files, sealed_keys
from ambientd.api.lending import notes_on
from ambientd.api.module_process import ModuleProcess
from ambientd.api.rest.pages import is_built
from ambientd.codec.statements import fingerprint
from ambientd.config.load import load_config
from ambientd.config.options import ChainKind, Config, EngineChoice, StoreEngine
from ambientd.config.places import Places
from ambientd.errors import AmbientError
from ambientd.ports.worker_protocol import REQUIRED_PROTECTIONS, Protection

GIB = 1 << 30
FREE_LEAST_BYTES = GIB // 4
FREE_FEW_BYTES = 2 * GIB
SYNCS = 5
SYNC_SLOW_MS = 50
SYNC_BAD_MS = 500
STORE_LOOKED_AT_BYTES = GIB


def look_at_folder(data_dir: Path, *, is_running: bool) -> list[Finding]:
    """Look at everything that needs no daemon; with none running, also at why it may not start."""
    places = Places(data_dir)
    if not data_dir.is_dir():
        advice = "create a node with `ambientctl cluster create DIR` or `ambientctl join TOKEN`"
        return [fails("folder", f"{data_dir} is no folder", f"{advice}, or name it by --data-dir")]
    try:
        config = load_config(data_dir)
    except AmbientError as error:
        config = None
        found = [failed("config", error)]
    else:
        found = [fine("config", f"{places.config} is sound")]
    found += [
        _keys(places),
        _cluster(places),
        _owner(places, config),
        *_pins(places),
        *_dashboard(config),
        _disk(data_dir),
        _sync(data_dir),
    ]
    found += [_engines(config), _sandbox(config)]
    if not is_running:
        holder = holder_of(data_dir)
        found.append(_daemon(data_dir, holder))
        if config is not None and holder is None:
            found += [_port(config), _store(data_dir, config), *_chain(places, config)]
    return found


def _keys(places: Places) -> Finding:
    """Look whether the keys are there, and are their owner's alone."""
    if not places.key.exists():
        return fails(
            "keys",
            f"{places.key} is not there",
            "restore it from a backup; without it this is another node",
        )
    secret = [path for path, _ in key_files(places)]
    secret += [path for path in (places.owner, places.invitation) if path.exists()]
    for path in secret:
        status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077:
            text = f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})"
            return fails("keys", text, f"chmod 600 {path}")
        if status.st_uid != os.geteuid() and os.geteuid() != 0:
            return fails("keys", f"{path} belongs to another user", "run as that user, or chown it")
    try:
        sealed = sealed_keys(places)
        check_keys(places)
    except AmbientError as error:
        return failed("keys", error)
    told = f", {len(sealed)} sealed" if sealed else ""
    return fine("keys", f"{len(key_files(places))} here, for their owner alone{told}")


def _cluster(places: Places) -> Finding:
    try:
        genesis = load_genesis(places.genesis)
    except AmbientError as error:
        return failed("cluster", error)
    return fine("cluster", f"{genesis.name} {fingerprint(genesis).hex()[:12]}")


def _owner(places: Places, config: Config | None) -> Finding:
    try:
        terms = OwnerFile(places.owner).load()
    except AmbientError as error:
        return failed("owner", error)
    for note in notes_on(terms, config) if config is not None else ():
        text, _, advice = note.rpartition("; ")
        return warns("owner", text, advice)
    return fine("owner", "your rules can be read")


def _pins(places: Places) -> list[Finding]:
    """Look whether what is pinned lies here; nothing to say where nothing is."""
    try:
        pins = PinFile(places.module_pins).load()
    except AmbientError as error:
        return [failed("pins", error)]
    lost = [
        f"{pin.written}/{pin.name}@{pin.version}"
        for pin in pins
        if not all(places.blob(text).is_file() for text in (pin.module, pin.manifest))
    ]
    if lost:
        text = f"pinned, and not on this device: {', '.join(lost[:5])}"
        return [warns("pins", text, f"fetch it again: `ambientctl module pin {lost[0]}`")]
    if not pins:
        return []
    return [fine("pins", f"{len(pins)} of modules, all on this device")]


def _dashboard(config: Config | None) -> list[Finding]:
    """Look whether the pages are there, which only a node with HTTP has a use for."""
    if config is None or not config.http.enabled:
        return []
    if is_built():
        return [fine("dashboard", "in this install")]
    advice = (
        "say `make dashboard` in the sources, or install them again, where Node.js 20 or newer is; "
        "then start the node again"
    )
    return [warns("dashboard", "HTTP is on, and this install has no pages", advice)]


def _disk(data_dir: Path) -> Finding:
    free = shutil.disk_usage(data_dir).free
    text = f"{free / GIB:.1f} GiB free at {data_dir}"
    advice = "free some space, or lower [limits] blob_store_bytes_max in config.toml"
    if free < FREE_LEAST_BYTES:
        return fails("disk", f"{text}: the store will soon take nothing more", advice)
    return warns("disk", text, advice) if free < FREE_FEW_BYTES else fine("disk", text)


def _sync(data_dir: Path) -> Finding:
    """Measure how long it takes until written bytes are safe: every vote waits for that."""
    path = data_dir / ".doctor"
    times_ms = []
    try:
        for _ in range(SYNCS):
            began_s = time.perf_counter()
            with path.open("wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - began_s) * 1000)
        path.unlink()
        sync_directory(data_dir)
    except OSError as error:
        path.unlink(missing_ok=True)
        text = f"{data_dir} cannot be written: {error.strerror}"
        return fails("writing", text, "give the folder to the user that runs ambientd, free space")
    median_ms = statistics.median(times_ms)
    text = f"a write is safe on disk after {median_ms:.0f} ms"
    advice = "put the folder on a faster disk (no network share), or let the device do less"
    if median_ms >= SYNC_BAD_MS:
        return fails("writing", text, advice)
    return warns("writing", text, advice) if median_ms >= SYNC_SLOW_MS else fine("writing", text)


def _engines(config: Config | None) -> Finding:
    """Look whether what executes modules is there."""
    python = ".".join(map(str, sys.version_info[:3]))
    if config is not None and config.execution.engine is not EngineChoice.AUTO:
        try:
            require(config.execution.engine.value)
        except AmbientError as error:
            return failed("engine", error)
    return fine("engine", f"{', '.join(installed())} under Python {python}")


def _sandbox(config: Config | None) -> Finding:
    """Start a worker process, and take its own word on what holds it."""
    chosen = None if config is None else config.execution.engine
    engine = "wasmtime" if chosen in {None, EngineChoice.AUTO} else str(chosen)
    try:
        with ModuleProcess(engine, sandbox_required=False) as process:
            held = frozenset(process.hello.protections)
    except AmbientError as error:
        return failed("sandbox", error)
    missing = sorted(REQUIRED_PROTECTIONS - held)
    if missing:
        return fails(
            "sandbox",
            f"workers are not locked down: missing {', '.join(missing)}",
            'use a newer Linux kernel; or [execution] sandbox = "best-effort" for your own modules',
        )
    lacking = sorted(set(Protection) - held - {Protection.CONTROL_GROUP})
    told = f"; not here: {', '.join(lacking)}" if lacking else ""
    return fine("sandbox", f"workers are locked down by {len(held)} protections{told}")


def _daemon(data_dir: Path, holder: str | None) -> Finding:
    if holder is None:
        advice = f"start it: ambientd --data-dir {shlex.quote(str(data_dir))}"
        return fails("daemon", "none runs for this folder", advice)
    return fails(
        "daemon",
        f"{holder} holds this folder and answers nothing",
        "wait until it has started; or look into its log, and end it if it hangs",
    )


def _port(config: Config) -> Finding:
    """Try to listen where the daemon would."""
    host, port = config.listen_address()
    at = config.transport.listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"{at} is in use by another program"
            return fails("port", text, "stop that, or set another [transport] listen")
        if error.errno == errno.EADDRNOTAVAIL:
            text = f"{host} is no address of this device"
            return fails("port", text, "set [transport] listen to one that it has, or to 0.0.0.0")
        return fails("port", f"{at}: {error.strerror}", "set another [transport] listen")
    return fine("port", f"{at} is free to listen on")


def _store(data_dir: Path, config: Config) -> Finding:
    """Open the store as the daemon does, which looks at every page of it."""
    path = data_dir / STORE_NAMES[config.store.engine]
    if not path.exists():
        return fine("store", "there is none yet: the first start makes it")
    if config.store.engine is StoreEngine.SQLITE and path.stat().st_size > STORE_LOOKED_AT_BYTES:
        return fine("store", f"{path} is larger than a quick look reads; its rows check themselves")
    try:
        open_store(data_dir, config.store.engine).close()
    except AmbientError as error:
        return failed("store", error)
    return fine("store", f"{path.name} is whole")


def _chain(places: Places, config: Config) -> list[Finding]:
    """Look whether the embedded chain of a node that has a store is where its config says."""
    if config.bitcoin.chain is not ChainKind.EMBEDDED:
        return []
    if not (places.data_dir / STORE_NAMES[config.store.engine]).exists():
        return []  # the first start begins it
    folder = places.embedded_chain(config.bitcoin.embedded_dir)
    text, _, advice = lack_of_chain(folder).partition(": ")
    return [warns("chain", text, advice) if text else fine("chain", f"the embedded one, {folder}")]
