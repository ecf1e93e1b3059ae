"""A regtest Bitcoin block around a commitment, mined here: real bytes, real proof of work."""

from ambientd.model.receipt import AnchorProof
from ambientd.rules.bitcoin import commitment_script, compact_size, double_sha256, encode_header

REGTEST_BITS = 0x207FFFFF
TARGET = 0x7FFFFF << 8 * (0x20 - 3)
TIME_S = 1_700_003_600


def commitment_transaction(root: bytes) -> bytes:
    """Give a transaction of one input and an OP_RETURN output."""
    script = commitment_script(root)
    spent = bytes(range(32)) + (0).to_bytes(4, "little") + b"\x00" + b"\xff\xff\xff\xff"
    output = (0).to_bytes(8, "little") + compact_size(len(script)) + script
    version = (2).to_bytes(4, "little")
    return version + b"\x01" + spent + b"\x01" + output + bytes(4)


def mined(previous: bytes, merkle_root: bytes, time_s: int) -> bytes:
    """Find a nonce; on regtest every other header will do."""
    for nonce in range(1 << 20):
        header = encode_header(4, previous, merkle_root, time_s, REGTEST_BITS, nonce)
        if int.from_bytes(double_sha256(header), "little") <= TARGET:
            return header
    raise AssertionError


def anchor_proof(
    root: bytes,
    confirmations: int = 7,
    *,
    previous: bytes = bytes(32),
    height: int = 101,
    time_s: int = TIME_S,
) -> AnchorProof:
    """Give the proof that a root is in a Bitcoin block with so many confirmations."""
    raw_tx = commitment_transaction(root)
    sibling = double_sha256(b"coinbase")
    merkle_root = double_sha256(sibling + double_sha256(raw_tx))
    headers = [mined(previous, merkle_root, time_s)]
    for place in range(1, confirmations):
        headers.append(mined(double_sha256(headers[-1]), bytes([place]) * 32, time_s + place))
    return AnchorProof(
        raw_tx=raw_tx,
        index=1,
        siblings=(sibling,),
        height=height,
        header=headers[0],
        following_headers=tuple(headers[1:]),
    )
