"""The peg's addresses and descriptors, against embit and against the BIPs' own vectors."""

import pytest
from embit import bip32, script
from embit.descriptor import Descriptor
from embit.descriptor.checksum import add_checksum
from embit.networks import NETWORKS
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.codec import secp256k1
from ambientd.rules.peg_script import (
    SIGNERS_MAX,
    address,
    child_key,
    descriptor,
    descriptor_checksum,
    extended_key,
    locking_script,
    witness_script,
)
from tests.rules.peg import signer, wallet

EMBIT_NAMES = {"main": "main", "testnet4": "test", "signet": "signet", "regtest": "regtest"}


def test_a_child_is_that_of_the_vector_of_bip_32() -> None:
    # BIP 32, vector 2: m and m/0, both public.
    root = bip32.HDKey.from_string(
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8B"
        "DzTJY47LJhkJ8UB7WEGuduB"
    )
    first = bip32.HDKey.from_string(
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpb"
        "Zb7ap6r1D3tgFxHmwMkQTPH"
    )
    key = root.get_public_key().serialize()
    assert child_key(key, root.chain_code, 0) == first.get_public_key().serialize()
    assert extended_key(key, root.chain_code, "main") == root.to_base58()


def test_a_checksum_is_that_of_the_vector_of_bip_380() -> None:
    assert descriptor_checksum("raw(deadbeef)") == "89f8spxm"


def test_the_keys_of_a_script_are_in_their_own_order_whatever_the_wallets() -> None:
    ours = wallet(2, 3)
    turned = type(ours)(threshold=2, signers=ours.signers[::-1])
    assert witness_script(ours, 7) == witness_script(turned, 7)
    assert descriptor(ours, "regtest") != descriptor(turned, "regtest")


@pytest.mark.parametrize("network", EMBIT_NAMES)
@pytest.mark.parametrize(
    ("threshold", "count"), [(1, 1), (2, 3), (3, 4), (5, 7), (14, SIGNERS_MAX)]
)
def test_a_program_that_knows_descriptors_derives_the_same_addresses(
    threshold: int, count: int, network: str
) -> None:
    ours = wallet(threshold, count)
    text = descriptor(ours, network)
    assert add_checksum(text.split("#")[0]) == text
    theirs = Descriptor.from_string(text)
    for index in (0, 1, 40_000):
        derived = theirs.derive(index)
        assert bytes(derived.script_pubkey().data) == locking_script(ours, index)
        assert bytes(derived.witness_script().data) == witness_script(ours, index)
        found = script.Script(locking_script(ours, index)).address(NETWORKS[EMBIT_NAMES[network]])
        assert address(ours, index, network) == found
        one = Descriptor.from_string(descriptor(ours, network, index))
        assert bytes(one.derive(0).script_pubkey().data) == locking_script(ours, index)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, secp256k1.ORDER - 1), st.integers(1, secp256k1.ORDER - 1))
def test_adding_to_a_key_adds_to_its_secret(secret: int, number: int) -> None:
    total = (secret + number) % secp256k1.ORDER
    found = secp256k1.add_to_key(secp256k1.key_of(secret), number)
    assert found == (secp256k1.key_of(total) if total else None)


def test_a_key_can_be_doubled_and_brought_to_nothing() -> None:
    secret = 77
    assert secp256k1.add_to_key(secp256k1.key_of(secret), secret) == secp256k1.key_of(154)
    rest = secp256k1.ORDER - secret
    assert secp256k1.add_to_key(secp256k1.key_of(secret), rest) is None


@pytest.mark.parametrize(
    "key", [b"", bytes(33), b"\x02" + b"\xff" * 32, b"\x04" + signer(0).key[1:], b"\x02" * 65]
)
def test_what_is_no_point_is_no_key(key: bytes) -> None:
    assert not secp256k1.is_key(key)
    assert secp256k1.add_to_key(key, 1) is None
    assert not secp256k1.verify(key, bytes(32), bytes(64))
    with pytest.raises(ValueError, match="no point"):
        child_key(key, bytes(32), 0)


def test_an_index_that_needs_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="index"):
        child_key(signer(0).key, bytes(32), 2**31)
