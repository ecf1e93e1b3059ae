"""Headers on disk: what was taken is there afterwards, what is not right is not believed."""

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.header_file import (
    HeaderFile,
    checkpoints,
    decode_headers,
    encode_headers,
)
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError
from ambientd.rules.bitcoin import HEADER_SIZE, MAIN, REGTEST, SIGNET, Network
from ambientd.rules.header_chain import Extended, HeaderChain, HeaderFault, NotHeavier
from tests.rules.headers import grow


def filled(path: Path, count: int = 10) -> HeaderFile:
    kept = HeaderFile(path, REGTEST)
    assert isinstance(kept.extend(1, grow(kept.chain, count)), Extended)
    return kept


def test_what_was_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    first = filled(path)
    assert isinstance(first.extend(11, grow(first.chain, 5)), Extended)
    again = HeaderFile(path, REGTEST)
    assert again.chain.headers(0, 16) == first.chain.headers(0, 16)


def test_a_reorganisation_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    kept = filled(path)
    assert kept.extend(8, grow(kept.chain, 3, start=8, salt=1)) == NotHeavier()
    assert kept.extend(8, grow(kept.chain, 4, start=8, salt=1)) == Extended(added=4, replaced=3)
    again = HeaderFile(path, REGTEST)
    assert again.chain.height == 11
    assert again.chain.tip_hash == kept.chain.tip_hash


def test_refused_headers_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    kept = filled(path)
    before = path.read_bytes()
    assert isinstance(kept.extend(11, bytes(HEADER_SIZE)), HeaderFault)
    assert path.read_bytes() == before


def test_headers_that_a_full_disk_does_not_take_are_not_called_unreadable(tmp_path: Path) -> None:
    kept = filled(tmp_path / "grows")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    said = r"cannot write the headers in .*; make room on its disk"
    try:
        with pytest.raises(StoreError, match=said):
            HeaderFile(tmp_path / "new", REGTEST)
        with pytest.raises(StoreError, match=said):
            kept.extend(11, grow(kept.chain, 5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("lost", [1, HEADER_SIZE, 3 * HEADER_SIZE + 7])
def test_a_torn_tail_is_dropped_and_the_rest_kept(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "headers"
    kept = filled(path)
    path.write_bytes(path.read_bytes()[:-lost])
    again = HeaderFile(path, REGTEST)
    assert again.chain.height == 10 - -(-lost // HEADER_SIZE)
    assert isinstance(
        again.extend(again.chain.height + 1, kept.chain.header(again.chain.height + 1)), Extended
    )


def test_a_branch_written_halfway_leaves_a_chain_that_is_right(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    kept = filled(path)
    old = path.read_bytes()
    kept.extend(5, grow(kept.chain, 8, start=5, salt=1))
    new = path.read_bytes()
    for cut in range(len(new) - 9 * HEADER_SIZE, len(new), 37):
        path.write_bytes(new[:cut] + old[cut:])
        again = HeaderFile(path, REGTEST)
        assert again.chain.height >= 4
        decode_headers(encode_headers(again.chain))


def test_rot_in_the_middle_is_found(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    filled(path)
    data = bytearray(path.read_bytes())
    data[-5 * HEADER_SIZE + 40] ^= 1
    with pytest.raises(RemoteProtocolError, match="height 6 is not valid"):
        decode_headers(bytes(data))
    path.write_bytes(data)
    assert HeaderFile(path, REGTEST).chain.height == 5


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    filled(path)
    with pytest.raises(ConfigError, match="headers of regtest, not of main"):
        HeaderFile(path, MAIN)
    path.write_bytes(b"something else that is long enough to be taken for headers" * 9)
    with pytest.raises(ConfigError, match="no file of Bitcoin headers"):
        HeaderFile(path, REGTEST)


@pytest.mark.parametrize("network", [MAIN, SIGNET], ids=lambda network: network.name)
def test_a_file_may_begin_at_a_shipped_checkpoint_and_at_no_other(network: Network) -> None:
    known = checkpoints(network)
    height = max(known)
    data = encode_headers(HeaderChain(network, height, known))
    assert decode_headers(data).height == height
    forged = bytearray(data)
    forged[-1] ^= 1
    with pytest.raises(RemoteProtocolError, match="not the checkpoint"):
        decode_headers(bytes(forged))
    unknown = data[:40] + (height + 2016).to_bytes(4, "big") + data[44:]
    with pytest.raises(RemoteProtocolError, match="no checkpoint is known"):
        decode_headers(unknown)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_chain_or_refused_in_words(data: bytes, with_head: bool) -> None:
    head = encode_headers(HeaderChain(REGTEST)) if with_head else b""
    try:
        chain = decode_headers(head + data)
    except RemoteProtocolError:
        return
    assert chain.network is REGTEST
    assert encode_headers(chain) == head + data
