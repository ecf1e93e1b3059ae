"""Chains of headers that tests mine, with real proof of work at a target that costs nothing."""

from dataclasses import replace

from ambientd.rules.bitcoin import REGTEST, Network, decode_header, double_sha256, encode_header
from ambientd.rules.bitcoin_codec import target_from_bits
from ambientd.rules.header_chain import HeaderChain

EASY = 0x207FFFFF
SPACING_S = 600
# Regtest's easy target under the main network's rules, so that difficulty moves at little cost.
MOVING = replace(REGTEST, name="moving", retargets=True)
SLOW = replace(MOVING, name="slow", allows_slow_blocks=True, bounds_timewarp=True)


def mine(
    previous: bytes, time_s: int, bits: int = EASY, *, version: int = 4, salt: int = 0
) -> bytes:
    """Find a header that follows another and meets its own bits."""
    root, target, nonce = salt.to_bytes(32, "little"), target_from_bits(bits), 0
    while True:
        raw = encode_header(version, double_sha256(previous), root, time_s, bits, nonce)
        if int.from_bytes(double_sha256(raw), "little") <= target:
            return raw
        nonce += 1


def grow(
    chain: HeaderChain, count: int, *, spacing_s: int = SPACING_S, salt: int = 0, start: int = 0
) -> bytes:
    """Mine headers with the bits their network wants, above the tip or from a height on."""
    start = start or chain.height + 1
    trial = HeaderChain(
        chain.network, chain.base_height, {chain.base_height: chain.header(chain.base_height)}
    )
    if start > chain.base_height + 1:
        trial.extend(chain.base_height + 1, chain.headers(chain.base_height + 1, start))
    out = bytearray()
    for height in range(start, start + count):
        tip = trial.header(height - 1)
        time_s = decode_header(tip).time_s + spacing_s
        header = mine(tip, time_s, trial.required_bits(time_s), salt=salt)
        trial.extend(height, header)
        out += header
    return bytes(out)


def network_of(name: str, **changes: object) -> Network:
    """Give a network of tests with other rules."""
    return replace(MOVING, name=name, **changes)  # type: ignore[arg-type]
