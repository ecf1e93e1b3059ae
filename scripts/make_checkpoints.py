"""Write the shipped checkpoints from a list as bitcoinj ships it: `make_checkpoints LIST NETWORK`.

A list's entry is base64 of the work so far, a height, and the header there; we keep the headers at
the multiples of 2016, one behind the other, and none that does not prove its own work.
"""

import base64
import sys
from pathlib import Path

from ambientd.rules.bitcoin import NETWORKS, decode_header, proof_of_work_fault
from ambientd.rules.bitcoin_networks import RETARGET_BLOCKS

TARGET = Path(__file__).parents[1] / "src" / "ambientd" / "adapters" / "checkpoints"
HEIGHT_AT, HEADER_AT = 12, 16


def main() -> None:
    """Read, check, write."""
    source, name = sys.argv[1:]
    network = NETWORKS[name]
    out = bytearray()
    lines = Path(source).read_text("ascii").split()
    for line in lines[lines.index("1") + 3 :]:
        entry = base64.b64decode(line + "=" * (-len(line) % 4))
        height, raw = int.from_bytes(entry[HEIGHT_AT:HEADER_AT], "big"), entry[HEADER_AT:]
        header = decode_header(raw)
        fault = proof_of_work_fault(header, network.pow_limit)
        if fault or height != RETARGET_BLOCKS * (len(out) // len(raw) + 1):
            sys.exit(f"height {height}: {fault or 'not the next multiple of 2016'}")
        out += raw
    (TARGET / f"{name}.headers").write_bytes(out)
    print(f"{name}: {len(out) // 80} headers")


if __name__ == "__main__":
    main()
