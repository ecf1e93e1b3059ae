"""Writes protocols/vectors/log.json: python -m tests.consensus.make_vectors."""

import json
from pathlib import Path
from typing import Any

from ambientd.codec.canonical import encode
from ambientd.consensus import beacon
from ambientd.consensus.certificates import Committee
from ambientd.consensus.epochs import Epoch, verify_epoch_chain
from ambientd.consensus.messages import (
    Blocks,
    EpochEnd,
    Epochs,
    Fetch,
    Forward,
    InEpoch,
    Message,
    Pages,
    Position,
    QcNotice,
    WantPages,
    append_payload,
    block_hash,
    encode_message,
    genesis_hash,
    timeout_payload,
    vote_payload,
)
from sim.replica import STOP_PREFIX, read_stop
from tests.consensus.bench import CLUSTER, Bench, record, secret
from tests.consensus.snapshots import taken

PATH = Path(__file__).parents[2] / "protocols" / "vectors" / "log.json"


def epoch_change() -> dict[str, Any]:
    """Give how an epoch ends and the next one begins: member 3 leaves, an observer joins."""
    bench = Bench(4, observers=1)
    first = bench.block(0, 1, bench.genesis)
    second = bench.block(0, 1, bench.qc(first, 0, 1, 2), revealed=1)
    tips = dict(zip(bench.options.members, bench.options.beacon_tips, strict=True))
    del tips[bench.key(3)]
    tips[bench.key(4)] = beacon.tip(secret(bench.key(4)))
    seats = sorted(tips.items())
    begins = Epoch(1, tuple(key for key, _ in seats), b"next", tuple(tip for _, tip in seats))
    record = STOP_PREFIX + encode(begins)
    top = bench.qc(second, 0, 1, 2)
    stop = bench.block(0, 1, top, record, revealed=2, state_root=b"r" * 32)
    child = bench.block(0, 1, bench.qc(stop, 0, 1, 2), revealed=3)
    links = ((stop.header, child.qc), (child.header, bench.qc(child, 0, 1, 3)))
    end = EpochEnd(record, links)
    options = verify_epoch_chain(bench.options, [end], read_stop)
    assert not isinstance(options, str), options
    vote = vote_payload(1, Position(1, 4), 0, b"h" * 32)
    return {
        "record": record.hex(),
        "next members": [key.hex() for key in begins.members],
        "next coordinators of terms 1 to 4": [
            Committee(options.members, options.seed).coordinator(term).hex() for term in range(1, 5)
        ],
        "proof": encode(end).hex(),
        "root": encode(options.root).hex(),
        "vote payload": vote.hex(),
        "messages": {
            "epochs": encode_message(Epochs(0, (end,))).hex(),
            "fetch of the next epoch": encode_message(InEpoch(1, Fetch(3))).hex(),
        },
    }


def snapshot() -> dict[str, Any]:
    """Give a snapshot that holds, and its pages."""
    found = taken(Bench(4))
    digests = tuple(digest for _, digest in found.snapshot.pages)
    want = WantPages(digests)
    return {
        "after block": found.snapshot.index,
        "state root": found.snapshot.root.hex(),
        "pages": {digest.hex(): page.hex() for digest, page in found.pages.items()},
        "messages": {
            "offer": encode_message(found.offer).hex(),
            "want pages": encode_message(want).hex(),
            "pages": encode_message(Pages(tuple(found.pages.values()))).hex(),
        },
    }


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
        "epoch change": epoch_change(),
        "snapshot": snapshot(),
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
