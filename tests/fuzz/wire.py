"""Coverage-guided fuzzing of what reads bytes from outside: `python -m tests.fuzz.wire`.

An input's first byte chooses the reader, the rest is what somebody sends or hands over. Whatever
the bytes: a reader ends, refuses with an error that is the giver's fault, and where a form is
canonical, what it accepts is written back to the same bytes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

INSTRUMENTED = [
    "ambientd.adapters.esplora",
    "ambientd.adapters.header_file",
    "ambientd.adapters.learning",
    "ambientd.adapters.libp2p",
    "ambientd.adapters.mdns",
    "ambientd.api.frames",
    "ambientd.api.invitation",
    "ambientd.api.module_pausing",
    "ambientd.api.witnessing",
    "ambientd.codec",
    "ambientd.config",
    "ambientd.consensus.messages",
    "ambientd.ledger.admission",
    "ambientd.ledger.entries",
    "ambientd.node.frames",
    "ambientd.rules",
    "ambientd.runtime.backup",
    "ambientd.telemetry",
    "ambientd.wasm.state",
]

with atheris.instrument_imports(include=INSTRUMENTED):
    from tests.fuzz.targets import SIZE_BYTES_MAX, TARGETS, examine, seeds

MEMORY_MIB_MAX = 2048
CALL_S_MAX = 20


def main() -> None:
    """Fuzz until the time is over; a broken promise ends it with the input in a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.wire")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    begun = [data for data in seeds() if len(data) <= SIZE_BYTES_MAX]
    print(f"{len(TARGETS)} readers, {len(begun)} inputs to begin with")
    with tempfile.TemporaryDirectory(prefix="ambient-wire-") as folder:
        for number, data in enumerate(begun):
            (Path(folder) / f"{number}").write_bytes(data)
        options = [
            sys.argv[0], folder, f"-max_total_time={int(arguments.minutes * 60)}",
            f"-seed={arguments.seed}", f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-timeout={CALL_S_MAX}",
            f"-max_len={SIZE_BYTES_MAX}", "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup(options, examine)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
