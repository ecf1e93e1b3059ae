"""Checking a chain of Bitcoin headers: 900,000 of them, about what the main network has.

They are mined here at a target that costs nothing, under the main network's rules.
"""

import argparse
import resource
import statistics
import struct
import time
from dataclasses import replace

from ambientd.rules.bitcoin import REGTEST, decode_header, double_sha256
from ambientd.rules.header_chain import Extended, HeaderChain
from benchmarks.mesh import machine

NETWORK = replace(REGTEST, name="synthetic", retargets=True)
AIM_S = 3.0
_NONCE_AT = 76
_EASY = 0x207FFFFF


def mine(count: int) -> bytes:
    """Mine that many headers, ten minutes and a little apart, so that the target stays."""
    genesis = decode_header(NETWORK.genesis)
    out, previous = bytearray(), genesis.hash
    for number in range(count):
        time_s = genesis.time_s + 601 * (number + 1)
        head = struct.pack("<i32s32sII", 4, previous, bytes(32), time_s, _EASY)
        nonce = 0
        while (digest := double_sha256(head + nonce.to_bytes(4, "little")))[31] >= 0x7F:
            nonce += 1
        out += head + nonce.to_bytes(4, "little")
        previous = digest
    return bytes(out)


def main() -> None:
    """Mine once, check several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--headers", type=int, default=900_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(machine())
    raw, times = mine(chosen.headers), []
    for _ in range(chosen.rounds):
        begin = time.thread_time()
        chain = HeaderChain(NETWORK)
        outcome = chain.extend(1, raw)
        times.append(time.thread_time() - begin)
        if not isinstance(outcome, Extended):
            raise SystemExit(outcome)
    middle = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    runs = f"runs: {min(times):.2f} .. {max(times):.2f}"
    print(f"{chosen.headers:,} headers: {middle:.2f} s CPU ({runs})")
    print(f"{chosen.headers / middle:,.0f} headers a second; peak memory {peak} MiB")
    if middle >= AIM_S:
        print(f"missed: aim < {AIM_S} s for 900,000")
    print(machine())


if __name__ == "__main__":
    main()
