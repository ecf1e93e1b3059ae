"""`ambientctl receipt verify` as a stranger runs it: a process for one file, nothing warm."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ambientd.adapters.header_file import encode_headers
from ambientd.codec.canonical import encode
from ambientd.model.record import Anchor
from ambientd.rules.bitcoin import HEADER_SIZE, REGTEST, decode_header, double_sha256
from ambientd.rules.header_chain import HeaderChain
from benchmarks.bitcoin_headers import mine
from benchmarks.mesh import machine, report
from tests.ledger.bitcoin import anchor_proof
from tests.rules.receipts import agreed, file_of

START = "import sys; from ambientd.cli.main import main; sys.exit(main())"


def receipt_and_headers(count: int) -> tuple[bytes, bytes]:
    """Give a receipt whose anchor is in a chain of so many regtest headers, and the chain."""
    cluster, raw = agreed(anchored=False), mine(count)
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    last = raw[-HEADER_SIZE:]
    time_s = decode_header(last).time_s + 1
    proof = anchor_proof(root, previous=double_sha256(last), height=count + 1, time_s=time_s)
    cluster.block((0, Anchor(size=size, root=root, proof=proof)))
    chain = HeaderChain(REGTEST)
    chain.extend(1, raw + proof.header + b"".join(proof.following_headers))
    return encode(file_of(cluster, b"n")), encode_headers(chain)


def children_s() -> float:
    """Give the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(name: str, runs: int, *arguments: str) -> None:
    """Print how long the command takes from its start to its end, and its processor time."""
    walls, used = [], []
    for _ in range(runs):
        before, begin = children_s(), time.monotonic()
        command = [sys.executable, "-c", START, *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        walls.append(1e3 * (time.monotonic() - begin))
        used.append(1e3 * (children_s() - before))
        if done.returncode:
            raise SystemExit(f"{name}: status {done.returncode}")
    report(f"{name}, by the clock", walls, "ms")
    report(f"{name}, CPU", used, "ms")


def main() -> None:
    """Check one receipt without headers, and among some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--headers", type=int, default=10_000)
    chosen = parser.parse_args()
    print(machine())
    receipt, headers = receipt_and_headers(chosen.headers)
    with tempfile.TemporaryDirectory(prefix="ambient-bench-") as folder:
        file, chain = Path(folder) / "a.receipt", Path(folder) / "a.headers"
        file.write_bytes(receipt)
        chain.write_bytes(headers)
        verify = ("receipt", "verify", str(file))
        print(f"the receipt has {len(receipt):,} bytes, the headers {len(headers):,}")
        measure("program that does nothing", chosen.runs, "--help")
        measure("receipt", chosen.runs, *verify)
        measure("with headers", chosen.runs, *verify, "--headers", str(chain))
    print(machine())


if __name__ == "__main__":
    main()
