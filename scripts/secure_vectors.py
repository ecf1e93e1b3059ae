"""Write protocols/vectors/secure-sums.json: `python -m scripts.secure_vectors`.

A group of five of which one drops out, from secrets to the sum (protocols/17).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.model.base import NodeId
from ambientd.rules.learning import masking, secure

OUT = Path(__file__).parent.parent / "protocols" / "vectors" / "secure-sums.json"
ROUND = b"round 7 of a study"
THRESHOLD = 4


def vectors() -> dict[str, Any]:
    """Play the group's round."""
    nodes = sorted(NodeId(hashlib.sha256(b"member %d" % number).digest()) for number in range(5))
    secrets = {node: hashlib.sha256(b"secret" + node).digest() for node in nodes}
    values = {node: [place, -place * 1000, 2**20 + place] for place, node in enumerate(nodes)}
    group = {node: secure.keys(secrets[node], ROUND) for node in nodes}
    dealt = {n: secure.shares(secrets[n], n, group, THRESHOLD, ROUND) for n in nodes}
    survivors = nodes[1:]
    uploads, opened = {}, {}
    for node in survivors:
        given = np.array(values[node], dtype="<i4").tobytes()
        uploads[node] = masking.masked(secrets[node], node, group, given, ROUND)
        sealed = {dealer: blobs[node] for dealer, blobs in dealt.items()}
        book = secure.share_book(secrets[node], node, group, sealed, THRESHOLD, group, ROUND)
        opened[node] = book.release(survivors)[1]
    total = masking.unmasked(group, survivors, THRESHOLD, uploads, opened, dealt, ROUND, 3)
    members = [
        {
            "node": node.hex(),
            "secret": secrets[node].hex(),
            "mask_key": group[node].mask_public.hex(),
            "seal_key": group[node].share_public.hex(),
            "self_commitment": group[node].self_commitment.hex(),
            "dealt": {holder.hex(): blob.hex() for holder, blob in sorted(dealt[node].items())},
            "values": values[node],
            "upload": uploads[node].hex() if node in uploads else None,
            "opened": opened[node].hex() if node in opened else None,
        }
        for node in nodes
    ]
    return {
        "round_id": ROUND.hex(),
        "threshold": THRESHOLD,
        "members": members,
        "sum": [int(number) for number in np.frombuffer(total, "<i4")],
    }


def main() -> None:
    """Write the file."""
    OUT.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
