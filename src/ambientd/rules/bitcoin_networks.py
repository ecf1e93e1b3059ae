"""The Bitcoin networks: their first headers, and by which rules their headers follow each other."""

from dataclasses import dataclass
from typing import Final

from ambientd.rules.bitcoin_codec import encode_header, target_from_bits

RETARGET_BLOCKS: Final = 2016
_MERKLE_ROOT: Final = bytes.fromhex(
    "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
)
_MERKLE_ROOT_TESTNET4: Final = bytes.fromhex(
    "4e7b2b9128fe0291db0693af2ae418b767e657cd407e80cb1434221eaea7a07a"
)


@dataclass(frozen=True, slots=True)
class Network:
    """What an offline check must know of a network.

    `target_max` is the easiest target an anchor's headers may claim. On the main network it is far
    below `pow_limit`: without it, seven headers at difficulty 1 are minutes of work for anyone.
    `version_heights` says from which height on a header's version must be above its place + 1
    (BIP 34, 66, 65). `allows_slow_blocks`: a block more than 20 minutes after its predecessor may
    take the limit as its target. `bounds_timewarp`: BIP 94.
    """

    name: str
    pow_limit: int
    target_max: int
    genesis: bytes
    version_heights: tuple[int, int, int] = (1, 1, 1)
    retargets: bool = True
    allows_slow_blocks: bool = False
    bounds_timewarp: bool = False
    is_costly: bool = False
    """Whether nobody mines a block only to choose who is audited."""


_DIFFICULTY_ONE: Final = target_from_bits(0x1D00FFFF)
_REGTEST_LIMIT: Final = target_from_bits(0x207FFFFF)
_SIGNET_LIMIT: Final = target_from_bits(0x1E0377AE)
# Difficulty 10^13 was passed in 2019: a forged header costs 4 * 10^22 hashes at least.
MAIN: Final = Network(
    "main",
    _DIFFICULTY_ONE,
    _DIFFICULTY_ONE // 10**13,
    encode_header(1, bytes(32), _MERKLE_ROOT, 1231006505, 0x1D00FFFF, 2083236893),
    version_heights=(227_931, 363_725, 388_381),
    is_costly=True,
)
TESTNET4: Final = Network(
    "testnet4",
    _DIFFICULTY_ONE,
    _DIFFICULTY_ONE,
    encode_header(1, bytes(32), _MERKLE_ROOT_TESTNET4, 1714777860, 0x1D00FFFF, 393743547),
    allows_slow_blocks=True,
    bounds_timewarp=True,
)
SIGNET: Final = Network(
    "signet",
    _SIGNET_LIMIT,
    _SIGNET_LIMIT,
    encode_header(1, bytes(32), _MERKLE_ROOT, 1598918400, 0x1E0377AE, 52613770),
    is_costly=True,
)
REGTEST: Final = Network(
    "regtest",
    _REGTEST_LIMIT,
    _REGTEST_LIMIT,
    encode_header(1, bytes(32), _MERKLE_ROOT, 1296688602, 0x207FFFFF, 2),
    retargets=False,
)
NETWORKS: Final = {network.name: network for network in (MAIN, TESTNET4, SIGNET, REGTEST)}
