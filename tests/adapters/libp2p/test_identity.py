"""Node ids and peer ids name the same key."""

import pytest
from libp2p.crypto.secp256k1 import create_new_key_pair as create_secp256k1
from libp2p.peer.id import ID

from ambientd.adapters.libp2p.identity import key_pair, node_id_of, peer_id_of
from tests.ports.transport_contract import NODES, SEEDS


def test_the_peer_id_is_that_of_the_same_seeds_key() -> None:
    for seed, node in zip(SEEDS, NODES, strict=True):
        assert ID.from_pubkey(key_pair(seed).public_key) == peer_id_of(node)
        assert node_id_of(peer_id_of(node)) == node


@pytest.mark.parametrize("raw", [b"", b"\x00\x24\x08\x01\x12\x20", b"\x12\x20" + b"q" * 32])
def test_other_peer_ids_name_no_node(raw: bytes) -> None:
    assert node_id_of(ID(raw)) is None


def test_key_types_other_than_ed25519_are_left_out() -> None:
    with pytest.raises(NotImplementedError, match="left out of this build"):
        create_secp256k1()


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        key_pair(b"x" * 31)
