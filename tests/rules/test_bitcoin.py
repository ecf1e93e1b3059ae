"""Bitcoin arithmetic against known vectors, and an offline check that nothing can fool."""

import hashlib
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.errors import RemoteProtocolError
from ambientd.rules import bitcoin, bitcoin_codec
from ambientd.rules.bitcoin import (
    MAIN,
    REGTEST,
    AnchorCheck,
    Branch,
    check_anchor,
    commitment_script,
    compact_size,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    encode_header,
    from_display,
    linkage_fault,
    merkle_branch,
    merkle_root,
    proof_of_work_fault,
    root_from_branch,
    strip_witness,
    target_from_bits,
)

GENESIS_HEADER = bytes.fromhex(
    "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
    "29ab5f49ffff001d1dac2b7c"
)
GENESIS_HASH = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
BLOCK_1_HEADER = bytes.fromhex(
    "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000"
    "982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299"
)
BLOCK_1_HASH = "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d"
    "04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e20"
    "6272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a0100"
    "0000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38"
    "c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
ROOT = hashlib.sha256(b"receipts").digest()
REGTEST_BITS = 0x207FFFFF


def transaction(*scripts: bytes, witness: bytes = b"") -> bytes:
    """Write a transaction with one input that pays 1,000 sat to each script."""
    outputs = b"".join(
        (1_000).to_bytes(8, "little") + compact_size(len(script)) + script for script in scripts
    )
    body = b"\x01" + b"\x11" * 32 + b"\x00" * 4 + b"\x00" + b"\xfd\xff\xff\xff"
    body += compact_size(len(scripts)) + outputs
    marker, items = (
        (b"\x00\x01", b"\x01" + compact_size(len(witness)) + witness)
        if witness
        else (
            b"",
            b"",
        )
    )
    return b"\x02\x00\x00\x00" + marker + body + items + b"\x00" * 4


def mined(previous: bytes, root: bytes, bits: int = REGTEST_BITS) -> bytes:
    """Work on regtest until a header has its proof."""
    nonce = 0
    while True:
        raw = encode_header(0x20000000, previous, root, 1_700_000_000, bits, nonce)
        if int.from_bytes(double_sha256(raw), "little") <= target_from_bits(bits):
            return raw
        nonce += 1


@dataclass(frozen=True)
class Proof:
    """All that the offline check takes."""

    root: bytes
    raw_tx: bytes
    branch: Branch
    header: bytes
    following: tuple[bytes, ...]

    def check(self, network: bitcoin.Network = REGTEST) -> AnchorCheck:
        return check_anchor(
            self.root, self.raw_tx, self.branch, self.header, self.following, network
        )


def proof(raw_tx: bytes | None = None, count: int = 5, place: int = 2, following: int = 5) -> Proof:
    """Mine an anchor among others, and the headers that follow it."""
    raw_tx = raw_tx or transaction(commitment_script(ROOT), b"\x00\x14" + b"\x22" * 20)
    txids = [double_sha256(bytes([number])) for number in range(count)]
    txids[place] = decode_transaction(raw_tx).txid
    header = mined(bytes(32), merkle_root(txids))
    headers = [header]
    while len(headers) <= following:
        headers.append(mined(double_sha256(headers[-1]), bytes(32)))
    return Proof(ROOT, raw_tx, merkle_branch(txids, place), header, tuple(headers[1:]))


def faults(check: AnchorCheck) -> set[str]:
    return {step.name for step in check.faults}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(
    ("raw", "hash_"), [(GENESIS_HEADER, GENESIS_HASH), (BLOCK_1_HEADER, BLOCK_1_HASH)]
)
def test_the_first_main_network_headers_hash_to_their_names_and_prove_their_work(
    raw: bytes, hash_: str
) -> None:
    header = decode_header(raw)
    assert display(header.hash) == hash_
    assert from_display(hash_) == header.hash
    assert proof_of_work_fault(header, MAIN.pow_limit) is None
    assert proof_of_work_fault(replace(header, hash=flipped(header.hash, 255)), MAIN.pow_limit)


def test_the_first_two_main_network_headers_link_in_one_order_only() -> None:
    genesis, first = decode_header(GENESIS_HEADER), decode_header(BLOCK_1_HEADER)
    assert linkage_fault([genesis, first]) is None
    assert linkage_fault([first, genesis]) == 1


def test_the_genesis_coinbase_is_its_block_s_merkle_root() -> None:
    coinbase = decode_transaction(GENESIS_COINBASE)
    assert display(coinbase.txid) == (
        "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    )
    assert coinbase.outputs[0].value_sat == 50 * 100_000_000
    assert merkle_root([coinbase.txid]) == decode_header(GENESIS_HEADER).merkle_root
    assert decode_block(GENESIS_HEADER + b"\x01" + GENESIS_COINBASE)[1] == [coinbase]


def test_a_header_of_difficulty_one_is_too_weak_for_a_main_network_anchor() -> None:
    header = decode_header(GENESIS_HEADER)
    assert proof_of_work_fault(header, MAIN.target_max) is not None


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x01123456, 0x12),
        (0x02123456, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x20123456, 0x123456 << 232),
        (0x01003456, 0),
        (0x04923456, 0),
        (0xFF123456, 0),
        (0, 0),
    ],
)
def test_compact_bits_expand_as_in_bitcoin_core(bits: int, target: int) -> None:
    assert target_from_bits(bits) == target


def test_a_witness_is_no_part_of_the_id_and_counts_a_quarter() -> None:
    bare, full = transaction(b"\x51"), transaction(b"\x51", witness=b"w" * 70)
    decoded = decode_transaction(full)
    assert strip_witness(full) == bare
    assert decoded.txid == double_sha256(bare)
    assert decoded.wtxid == double_sha256(full)
    assert decoded.vsize == len(bare) + 19  # 2 + 1 + 1 + 70 bytes of witness, in quarters


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        transaction(b"\x51")[:-1],
        transaction(b"\x51") + b"\x00",
        transaction(b"\x51")[:4] + b"\xfd\x01\x00" + transaction(b"\x51")[5:],
        transaction(b"\x51")[:4] + b"\xff" + b"\xff" * 8,
        transaction(b"\x51")[:4] + b"\x00" + transaction(b"\x51")[46:],
        transaction(b"\x51", witness=b"w")[:-7] + b"\x00" + b"\x00" * 4,
        transaction(b"\x51").replace((1_000).to_bytes(8, "little"), b"\xff" * 8),
        bytes(bitcoin.TRANSACTION_SIZE_MAX + 1),
    ],
    ids=[
        "empty",
        "truncated",
        "trailing",
        "long_compact_size",
        "huge_count",
        "no_input",
        "empty_witness",
        "negative_amount",
        "oversized",
    ],
)
def test_a_malformed_transaction_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_transaction(raw)


def test_a_transaction_may_be_as_long_as_whoever_asks_says() -> None:
    whole = transaction(b"\x51", witness=bytes(bitcoin.TRANSACTION_SIZE_MAX))
    with pytest.raises(RemoteProtocolError, match="over the limit of 400000"):
        decode_transaction(whole)
    assert decode_transaction(whole, bitcoin.MINED_SIZE_MAX).raw == whole
    with pytest.raises(RemoteProtocolError, match="over the limit of 4000000"):
        decode_transaction(bytes(bitcoin.MINED_SIZE_MAX + 1), bitcoin.MINED_SIZE_MAX)


def test_a_block_with_bytes_to_spare_or_too_few_is_refused() -> None:
    whole = GENESIS_HEADER + b"\x01" + GENESIS_COINBASE
    for raw in (
        whole + b"\x00",
        whole[:-1],
        whole[:80],
        whole[:79],
        GENESIS_HEADER + b"\xfc",
        GENESIS_HEADER + b"\x00",
    ):
        with pytest.raises(RemoteProtocolError):
            decode_block(raw)


@pytest.mark.parametrize("text", ["", "00" * 31, "zz" * 32, "0" * 63, " " + "00" * 32])
def test_a_hash_that_is_not_64_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        from_display(text)


@pytest.mark.parametrize("size", [0, 0xFC, 0xFD, 0xFFFF, 0x10000])
def test_a_compact_size_reads_back(size: int) -> None:
    reader = bitcoin_codec._Reader(compact_size(size))
    assert reader.size() == size


def test_a_number_of_eight_bytes_reads_as_compact_size() -> None:
    assert bitcoin_codec._Reader(b"\xff" + (1 << 40).to_bytes(8, "little")).size() == 1 << 40
    with pytest.raises(RemoteProtocolError):
        bitcoin_codec._Reader(b"\xff" + (1 << 31).to_bytes(8, "little")).size()


@given(count=st.integers(1, 40), data=st.data())
def test_every_branch_leads_to_the_root_from_its_own_place_only(
    count: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, count - 1))
    txids = [double_sha256(bytes([number])) for number in range(count)]
    branch = merkle_branch(txids, place)
    root = merkle_root(txids)
    assert root_from_branch(txids[place], branch) == root
    others = range(1 << len(branch.siblings))
    assert [
        at for at in others if root_from_branch(txids[place], replace(branch, index=at)) == root
    ] == [place]


def test_a_branch_outside_its_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        merkle_branch([bytes(32)], 1)
    assert root_from_branch(bytes(32), Branch(1, ())) is None
    assert root_from_branch(bytes(32), Branch(-1, ())) is None
    assert root_from_branch(bytes(32), Branch(0, (bytes(31),))) is None
    assert root_from_branch(bytes(32), Branch(0, (bytes(32),) * 21)) is None


def test_an_honest_anchor_passes_every_step() -> None:
    check = proof().check()
    assert check.passed
    assert [step.name for step in check.steps] == [
        "transaction",
        "not_64_bytes",
        "commitment",
        "headers",
        "inclusion",
        "proof_of_work",
        "linkage",
        "confirmations",
    ]
    assert (check.confirmations, check.time_s) == (6, 1_700_000_000)


def test_a_witness_changes_nothing_about_what_is_proved() -> None:
    honest = proof()
    witnessed = transaction(
        commitment_script(ROOT), b"\x00\x14" + b"\x22" * 20, witness=b"signature"
    )
    assert replace(honest, raw_tx=witnessed).check().passed


def test_an_anchor_of_another_root_fails_at_the_commitment() -> None:
    assert faults(replace(proof(), root=bytes(32)).check()) == {"commitment"}
    assert faults(replace(proof(), root=ROOT[:31]).check()) == {"commitment"}


def test_a_transaction_of_64_bytes_is_never_an_anchor() -> None:
    raw = transaction(b"\x51\x51\x51\x51")
    assert len(raw) == 64
    assert "not_64_bytes" in faults(proof(raw_tx=raw).check())


def test_five_confirmations_are_not_enough() -> None:
    assert faults(proof(following=4).check()) == {"confirmations"}


def test_regtest_work_is_no_work_on_the_main_network() -> None:
    assert faults(proof().check(MAIN)) == {"proof_of_work"}


def test_headers_that_do_not_follow_each_other_fail_at_the_linkage() -> None:
    honest = proof()
    swapped = (honest.following[1], honest.following[0], *honest.following[2:])
    assert faults(replace(honest, following=swapped).check()) == {"linkage"}


def test_more_headers_than_a_retarget_period_are_refused() -> None:
    honest = proof()
    assert faults(replace(honest, following=(honest.header,) * 2017).check()) == {"headers"}


def test_a_branch_of_the_wrong_shape_fails_at_the_inclusion() -> None:
    honest = proof()
    assert faults(replace(honest, branch=Branch(99, honest.branch.siblings)).check()) == {
        "inclusion"
    }


HONEST = proof()


@given(part=st.sampled_from(["root", "raw_tx", "header"]), bit=st.integers(0, 10_000))
def test_flipping_any_bit_of_root_transaction_or_header_fails_the_check(
    part: str, bit: int
) -> None:
    changed = replace(HONEST, **{part: flipped(getattr(HONEST, part), bit)})
    assert not changed.check().passed


@given(which=st.integers(0, 2), bit=st.integers(0, 255))
def test_flipping_any_bit_of_the_branch_fails_the_check(which: int, bit: int) -> None:
    siblings = list(HONEST.branch.siblings)
    siblings[which] = flipped(siblings[which], bit)
    assert not replace(HONEST, branch=Branch(2, tuple(siblings))).check().passed


@given(which=st.integers(0, 4), bit=st.integers(0, 639))
def test_flipping_any_bit_of_a_following_header_fails_the_check(which: int, bit: int) -> None:
    # Nothing links back to the newest header: there, only its link and its work can be checked.
    if which == 4 and not 4 * 8 <= bit < 36 * 8:
        which = 3
    following = list(HONEST.following)
    following[which] = flipped(following[which], bit)
    assert not replace(HONEST, following=tuple(following)).check().passed


@settings(max_examples=300)
@given(
    root=st.binary(max_size=40),
    raw_tx=st.binary(max_size=200)
    | st.tuples(st.integers(0, len(HONEST.raw_tx)), st.binary(max_size=20)).map(
        lambda cut: HONEST.raw_tx[: cut[0]] + cut[1]
    ),
    branch=st.builds(
        Branch, st.integers(), st.lists(st.binary(max_size=33), max_size=25).map(tuple)
    ),
    header=st.binary(max_size=81) | st.binary(min_size=80, max_size=80),
    following=st.lists(st.binary(min_size=80, max_size=80) | st.binary(max_size=81), max_size=8),
    network=st.sampled_from(list(bitcoin.NETWORKS.values())),
)
def test_garbage_never_passes_and_never_raises(
    root: bytes,
    raw_tx: bytes,
    branch: Branch,
    header: bytes,
    following: list[bytes],
    network: bitcoin.Network,
) -> None:
    check = check_anchor(root, raw_tx, branch, header, following, network)
    assert not check.passed
    assert check.faults
