"""A data directory whose files do not belong to each other says which one to mend."""

import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.adapters.stores import STORE_NAMES
from ambientd.api.cluster import ClusterPlan, JoinPlan, create_cluster, join_cluster
from ambientd.api.genesis_files import load_genesis
from ambientd.api.identity import check_key, check_store, read_identity
from ambientd.api.invitation import make_token, read_token
from ambientd.api.restoration import restore_node
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.config.places import Places
from ambientd.daemon import EXIT_USAGE
from ambientd.errors import ConfigError, StoreError
from ambientd.model.genesis import Genesis
from ambientd.runtime.persistence import recover
from tests.fakes.memory_store import MemoryStore
from tests.runtime.support import found_cluster


def token_of(genesis: Genesis, seed: bytes) -> str:
    signer = Signer(seed, fingerprint(genesis))
    address = f"{signer.public_key.hex()}@127.0.0.1:4400"
    return make_token(genesis, signer, (address,), bytes(32), expires_ms=10)


def joined(root: Path) -> Path:
    """The folder of a node that has joined, and whose store is gone."""
    text = token_of(*found_cluster(root / "c"))
    folder = root / "joined"
    join_cluster(folder, read_token(text), text, JoinPlan(now_ms=1, listen="127.0.0.1:4400"))
    Places(folder).invitation.unlink()
    return folder


def test_a_node_that_joined_and_lost_its_store_is_told_so_and_nothing_is_created(
    tmp_path: Path,
) -> None:
    folder = joined(tmp_path)
    before = {path.name for path in folder.iterdir()}
    command = [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(folder)]
    ended = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert ended.returncode == EXIT_USAGE, ended.stderr
    words = ended.stderr
    assert f"{folder / 'node.db'} is missing or empty: the store of a node that joined" in words
    assert "restore a backup of this node with `ambientctl backup restore FILE`" in words
    assert {path.name for path in folder.iterdir()} - before == {"lock"}
    with pytest.raises(StoreError, match="no such file"):  # nothing is in its way
        restore_node(folder, tmp_path / "no such file")


@pytest.mark.parametrize("name", STORE_NAMES.values())
def test_an_empty_store_is_as_good_as_none(tmp_path: Path, name: str) -> None:
    folder = joined(tmp_path)
    store = folder / name
    store.write_bytes(b"") if name == "node.db" else store.mkdir()
    identity = read_identity(folder)
    with pytest.raises(ConfigError, match="is missing or empty"):
        check_store(identity)
    with pytest.raises(ConfigError, match="is missing or empty"):
        check_key(identity, recover(MemoryStore(), identity.genesis))


def test_a_founder_and_a_newcomer_may_begin_without_a_store(tmp_path: Path) -> None:
    folder = joined(tmp_path)
    founder = read_identity(tmp_path / "c" / "node1")
    check_store(founder)
    check_key(founder, recover(MemoryStore(), founder.genesis))
    Places(folder).invitation.write_text(token_of(founder.genesis, founder.seed), "ascii")
    newcomer = read_identity(folder)
    check_store(newcomer)
    check_key(newcomer, recover(MemoryStore(), newcomer.genesis))


def test_what_is_no_backup_leaves_a_key_its_vote(tmp_path: Path) -> None:
    found_cluster(tmp_path / "c")
    places = Places(tmp_path / "c" / "node1")
    with pytest.raises(StoreError, match=r"config.toml is no backup"):
        restore_node(places.data_dir, places.config)
    assert not places.voted_mark.exists()


def test_any_flipped_bit_of_the_genesis_is_found_before_anything_else(tmp_path: Path) -> None:
    found = create_cluster(tmp_path / "c", 4, ClusterPlan(created_ms=1, bitcoin="off"))
    places = Places(found.nodes[0].data_dir)
    whole = places.genesis.read_bytes()
    for place in range(0, 8 * len(whole), 7):
        hurt = bytearray(whole)
        hurt[place // 8] ^= 1 << place % 8
        places.genesis.write_bytes(hurt)
        with pytest.raises(ConfigError, match=r"genesis.bin: is damaged.* copy .*from an"):
            load_genesis(places.genesis)
    places.genesis.write_bytes(whole)
    load_genesis(places.genesis)


@pytest.mark.parametrize("beside", [None, b"{", b"\xff\xfe", b"[]", b'{"fingerprint": "\xff"}'])
def test_a_genesis_without_words_for_people_beside_it_is_read(
    tmp_path: Path, beside: bytes | None
) -> None:
    found_cluster(tmp_path / "c")
    places = Places(tmp_path / "c" / "node1")
    places.genesis_json.unlink()
    if beside is not None:
        places.genesis_json.write_bytes(beside)
    load_genesis(places.genesis)
