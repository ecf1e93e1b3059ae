"""Which node a data directory is: its files, and whether key and store belong to each other."""

from dataclasses import dataclass
from pathlib import Path

from ambientd.adapters.keys import NODE_KEY, KeyKind, is_sealed, load_key
from ambientd.adapters.peg_keys import PEG_KEY
from ambientd.adapters.stores import STORE_NAMES
from ambientd.api.genesis_files import load_genesis
from ambientd.api.invitation import TOKEN_BYTES_MAX, JoinToken, read_token
from ambientd.codec.statements import fingerprint
from ambientd.config.load import load_config
from ambientd.config.options import Config
from ambientd.config.places import Places
from ambientd.errors import AmbientError, ConfigError
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis
from ambientd.node.build import signer_of
from ambientd.runtime.persistence import Recovered


@dataclass(frozen=True, slots=True)
class Identity:
    """What a data directory says this node is."""

    places: Places
    config: Config
    seed: bytes
    genesis: Genesis
    invitation: JoinToken | None

    @property
    def node(self) -> NodeId:
        """Give the node's id."""
        return NodeId(signer_of(self.seed, self.genesis).public_key)


def key_files(places: Places) -> list[tuple[Path, KeyKind]]:
    """Give the key files that are there."""
    replaced = sorted(places.data_dir.glob(f"{places.peg_key.name}.replaced-*"))
    kinds = ((places.key, NODE_KEY), *((path, PEG_KEY) for path in (places.peg_key, *replaced)))
    return [(path, kind) for path, kind in kinds if path.exists()]


def sealed_keys(places: Places) -> list[Path]:
    """Give those that need a passphrase."""
    return [path for path, kind in key_files(places) if is_sealed(path, kind)]


def check_keys(places: Places) -> None:
    """Raise ConfigError naming a key file that is neither sealed nor a key."""
    for path, kind in key_files(places):
        if not is_sealed(path, kind):
            load_key(path, kind=kind)


def read_identity(data_dir: Path, passphrase: str = "") -> Identity:
    """Read config, key and genesis; raise ConfigError naming what is wrong."""
    places = Places(data_dir)
    config = load_config(data_dir)
    seed, genesis = load_key(places.key, passphrase), load_genesis(places.genesis)
    return Identity(places, config, seed, genesis, _read_invitation(places, genesis))


def _read_invitation(places: Places, genesis: Genesis) -> JoinToken | None:
    """Read the token of a node that has not joined yet; None when it has, or never had to."""
    path = places.invitation
    try:
        with path.open("rb") as file:
            text = file.read(TOKEN_BYTES_MAX + 1).decode("ascii", "replace")
        token = read_token(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; the daemon's user must own it"
        raise ConfigError(msg) from error
    except AmbientError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error
    if fingerprint(token.genesis) != fingerprint(genesis):
        msg = f"{path}: the token is of another cluster than {places.genesis}; join in a new folder"
        raise ConfigError(msg)
    return token


def check_store(identity: Identity) -> None:
    """Refuse to begin an empty store for a node that only a store can know; create nothing."""
    founders = {member.node for member in identity.genesis.members}
    if identity.invitation is not None or identity.node in founders:
        return
    data_dir = identity.places.data_dir
    if all(_is_gone(data_dir / name) for name in STORE_NAMES.values()):
        raise _store_is_lost(identity)


def check_key(identity: Identity, recovered: Recovered) -> None:
    """Refuse a key that the store does not know, unless it is a newcomer's."""
    if identity.invitation is not None or recovered.ledger.node(identity.node) is not None:
        return
    if recovered.ledger.applied_index == 0:
        raise _store_is_lost(identity)
    msg = (
        f"the key in {identity.places.key} is of no node of this cluster: put the right "
        "key there, or join with `ambientctl join TOKEN`"
    )
    raise ConfigError(msg)


def _is_gone(store: Path) -> bool:
    if store.is_dir():
        return next(store.iterdir(), None) is None
    return not store.exists() or store.stat().st_size == 0


def _store_is_lost(identity: Identity) -> ConfigError:
    store = identity.places.data_dir / STORE_NAMES[identity.config.store.engine]
    msg = (
        f"{store} is missing or empty: the store of a node that joined is lost; move away what is "
        "left of it and restore a backup of this node with `ambientctl backup restore FILE`, or "
        "join as a new node with `ambientctl join TOKEN` in a new folder. If the node is a "
        f"founder, the key in {identity.places.key} is of no node of this cluster: put the right "
        "key there"
    )
    return ConfigError(msg)
