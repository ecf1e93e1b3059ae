"""Writes protocols/vectors/log.json: python -m tests.consensus.make_vectors."""

import json
from pathlib import Path
from typing import Any

from ambientd.consensus import beacon
from ambientd.consensus.messages import (
    Blocks,
    Fetch,
    Forward,
    Message,
    QcNotice,
    append_payload,
    block_hash,
    encode_message,
    genesis_hash,
    timeout_payload,
    vote_payload,
)
from tests.consensus.bench import CLUSTER, Bench, record, secret

PATH = Path(__file__).parents[2] / "protocols" / "vectors" / "log.json"


def vectors() -> dict[str, Any]:
    """Give everything another implementation needs to check itself against."""
    bench = Bench(4)
    first = bench.block(0, 1, bench.genesis, record(1), record(2))
    qc = bench.qc(first, 0, 1, 2)
    timeouts = [bench.timeout(0, 1, qc), *(bench.timeout(w, 1, bench.genesis) for w in (1, 2))]
    tc = bench.tc(1, *timeouts)
    second = bench.block(1, 2, qc, tc=tc)
    vote = bench.vote(3, first)
    messages: dict[str, Message] = {
        "append": first,
        "append of a new term": second,
        "vote": vote,
        "timeout": timeouts[0],
        "qc": QcNotice(qc, tc),
        "fetch": Fetch(7),
        "blocks": Blocks((first,), qc),
        "forward": Forward((record(1),)),
    }
    hash_ = block_hash(first.header)
    return {
        "cluster": CLUSTER.hex(),
        "epoch": 0,
        "epoch seed": b"seed".hex(),
        "members": [key.hex() for key in bench.options.members],
        "coordinators of terms 1 to 4": [bench.key(n).hex() for n in range(4)],
        "genesis hash": genesis_hash(CLUSTER, 0).hex(),
        "block hash": hash_.hex(),
        "payloads": {
            "append": append_payload(0, hash_).hex(),
            "vote": vote_payload(0, vote.position, vote.parent_term, vote.hash).hex(),
            "timeout": timeout_payload(0, 1, qc.position).hex(),
        },
        "messages": {name: encode_message(message).hex() for name, message in messages.items()},
        "beacon": {
            "secret": secret(bench.key(0)).hex(),
            "tip": beacon.tip(secret(bench.key(0))).hex(),
            "reveals": {
                str(count): beacon.reveal(secret(bench.key(0)), count).hex()
                for count in (0, 1, beacon.LINKS - 1, beacon.LINKS)
            },
        },
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n")
