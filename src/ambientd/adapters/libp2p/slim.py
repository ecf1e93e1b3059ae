"""Import py-libp2p without the half of it that Ambient never runs.

`import libp2p` loads QUIC, WebSocket, TLS, WebRTC, DNS, mDNS, UPnP, relays and four key
stores: 35 MB of resident memory in every daemon for transports we do not speak. Here those
modules are empty stand-ins. Third-party stand-ins live only *while libp2p is being imported*;
afterwards other code gets the real packages. Another thread that imports one of them in that
moment does not: the daemon does this before it has a second one. An attribute taken from a
stand-in is a class that refuses to be instantiated: nothing degrades silently.

Importing this module does the work; the package's `__init__` imports it before anything else.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import MutableSequence

from ambientd.adapters.libp2p import sodium
from ambientd.adapters.packages import installed_version

LIBP2P = "libp2p"
REPLACED = "cryptography"
PRIVATE = (REPLACED, "noise")
"""What libp2p gets of its own: nobody else shall meet a noise on `sodium`, nor it theirs."""

OWN_STAND_INS = frozenset(
    {
        # Transports and security we do not speak: TCP + noise + yamux only.
        "libp2p.transport.quic",
        "libp2p.transport.websocket",
        "libp2p.transport.webtransport",
        "libp2p.transport.webrtc",
        "libp2p.security.tls",
        # Discovery and NAT traversal: addresses come from the configuration and the ledger.
        "libp2p.discovery",
        "libp2p.relay",
        # Its version, for which it would read all that is installed about itself.
        "libp2p.utils.version",
    }
)

FOREIGN_STAND_INS = frozenset(
    {
        # Key types we do not accept: identities are Ed25519.
        "Crypto",
        "coincurve",
        "fastecdsa",
        # Its part that noise needs is in `sodium`.
        REPLACED,
        # Hashes of multihashes that we do not make: ours are of SHA-256, or the key itself.
        "blake3",
        "mmh3",
        # What only the above, or features left off, need.
        "aioquic",
        "dns",
        "httpx",
        "miniupnpc",
        "prometheus_client",
        "psutil",
        "requests",
        "trio_websocket",
        "zeroconf",
    }
)

UNUSED_PROTOBUF = "google.protobuf.internal.python_message"
"""Protobuf in Python: imported always, called where its implementation in C is missing."""

SUBSTITUTES: dict[str, dict[str, object]] = {
    **sodium.SUBSTITUTES,
    # Not callable, which multihash takes for "not available".
    "blake3": {"blake3": None},
    "libp2p.utils.version": {
        "get_agent_version": lambda: f"py-libp2p/{installed_version('libp2p')}"
    },
}

IN_USE = (
    "libp2p.transport",  # first: libp2p.abc and it import each other
    "libp2p.abc",
    "libp2p.host.basic_host",
    "libp2p.network.connection.swarm_connection",
    "libp2p.network.swarm",
    "libp2p.pubsub.gossipsub",
    "libp2p.pubsub.pubsub",
    "libp2p.security.noise.transport",
    "libp2p.stream_muxer.yamux.yamux",
    "libp2p.transport.tcp.tcp",
    "libp2p.transport.upgrader",
)


class _StandInModule(types.ModuleType):
    """A module whose every public attribute is a class that cannot be instantiated."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 - as the base class has it

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        below = f"{self.__name__}.{name}"
        if below in SUBSTITUTES:  # a module, which `from` asks its parent for
            return importlib.import_module(below)
        made = _stand_in(self.__name__, name)
        setattr(self, name, made)
        return made


def _stand_in(module: str, name: str) -> type[Exception]:
    """Make the class; an exception, because libp2p also names these in `except` clauses."""

    def refuse(self: object, *_: object, **__: object) -> None:
        raise NotImplementedError(
            f"{module}.{name} is left out of this build: ambientd speaks TCP, noise and yamux only"
        )

    return type(name, (Exception,), {"__init__": refuse, "__module__": module})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports of the named packages, and of anything below them."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Give a stand-in's spec for a left-out name, None for any other."""
        del path, target
        parts = fullname.split(".")
        if any(".".join(parts[:n]) in self._names for n in range(1, len(parts) + 1)):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Make the module, empty but for what takes something's place."""
        module = _StandInModule(spec.name)
        vars(module).update(SUBSTITUTES.get(spec.name, {}))
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Run nothing."""


def _import_slim() -> None:
    """Import the parts of libp2p in use, with the stand-ins in the way."""
    if LIBP2P in sys.modules:
        return
    theirs = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_private(name)}
    # Stays, because libp2p also imports from inside functions.
    sys.meta_path.insert(0, _Finder(OWN_STAND_INS))
    foreign = _Finder(FOREIGN_STAND_INS | ({UNUSED_PROTOBUF} if _has_protobuf_in_c() else set()))
    sys.meta_path.insert(0, foreign)
    try:
        # The package's own __init__ imports everything; an unexecuted module with its
        # __path__ lets the submodules in without it.
        spec = importlib.util.find_spec(LIBP2P)
        assert spec is not None
        sys.modules[LIBP2P] = importlib.util.module_from_spec(spec)
        for name in IN_USE:
            importlib.import_module(name)
    finally:
        sys.meta_path.remove(foreign)
        for name, module in list(sys.modules.items()):
            is_stand_in = isinstance(module, _StandInModule) and not name.startswith(LIBP2P)
            if is_stand_in or _is_private(name):
                del sys.modules[name]
        sys.modules.update(theirs)


def load_messages(name: str) -> types.ModuleType:
    """Give a module of protobuf messages of libp2p's without the packages that it lies in."""
    if not isinstance(sys.modules.get(name, None), types.ModuleType):
        folder, *below = name.split(".")
        (where,) = sys.modules[folder].__path__
        spec = importlib.util.spec_from_file_location(name, "/".join([where, *below]) + ".py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def _has_protobuf_in_c() -> bool:
    """Ask protobuf itself: what is installed may not load, or not be what is wished for."""
    try:
        implementation = importlib.import_module("google.protobuf.internal.api_implementation")
    except ImportError:
        return False  # elsewhere in this version, which then keeps all that it has
    return bool(implementation.Type() == "upb")


def _is_private(name: str) -> bool:
    return name.split(".", 1)[0] in PRIVATE


_import_slim()
