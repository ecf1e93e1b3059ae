"""Write protocols/vectors/secure-sums.json: `python -m scripts.secure_vectors`.

A group of five of which one drops out, from secrets to the sum (protocols/17).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Circle, Plan, Shown, StudyId
from ambientd.rules.learning import circles, masking, secure
from ambientd.rules.learning.circles import Words
from ambientd.rules.learning.private_rounds import concealed, summed

OUT = Path(__file__).parent.parent / "protocols" / "vectors" / "secure-sums.json"
ROUND = b"round 7 of a study"
THRESHOLD = 4
PLAN = Plan(
    model="mlp:1,1,1",
    trainer="numpy",
    aggregation="fedavg",
    seed=bytes(32),
    clip_micro=1_000_000,
    noise_milli=1_000,
    group_size=3,
    is_private=True,
)


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
        "private_round": private_round(),
    }


def private_round() -> dict[str, Any]:
    """Play a round of three from updates to a model: clipped, noised, masked, summed."""
    study, number, plan = StudyId(hashlib.sha256(b"study").digest()), 2, PLAN
    rid = circles.round_id(study, number)
    nodes = sorted(NodeId(hashlib.sha256(b"member %d" % each).digest()) for each in range(3))
    secrets = {node: hashlib.sha256(b"secret" + node).digest() for node in nodes}
    keys = tuple(circles.announced(secrets[node], node, rid) for node in nodes)
    circle = Circle(members=keys, threshold=3, dealt=())
    blobs = {node: circles.dealing(secrets[node], node, circle, rid) for node in nodes}
    dealt = tuple(
        Shown(node=n, digest=Digest(hashlib.sha256(blobs[n]).digest()), size_bytes=len(blobs[n]))
        for n in nodes
    )
    circle = Circle(members=keys, threshold=3, dealt=dealt)
    updates = {n: np.array([2**14, -(2**13), place], "<i4") for place, n in enumerate(nodes)}
    uploads = {n: concealed(plan, updates[n].tobytes(), secrets[n], n, circle, rid) for n in nodes}
    opened = {n: circles.opened_shares(secrets[n], n, circle, blobs, nodes, rid) for n in nodes}
    words = Words(circle, tuple(nodes), uploads, blobs, opened)
    found = summed(plan, bytes(12), [words], rid)
    members = [
        {
            "node": node.hex(),
            "secret": secrets[node].hex(),
            "noise_seed": circles.noise_seed(secrets[node], rid).hex(),
            "dealing": hashlib.sha256(blobs[node]).hexdigest(),
            "update": [int(each) for each in updates[node]],
            "upload": uploads[node].hex(),
            "opened": opened[node].hex(),
        }
        for node in nodes
    ]
    return {
        "study": study.hex(),
        "round": number,
        "round_id": rid.hex(),
        "clip_micro": plan.clip_micro,
        "noise_milli": plan.noise_milli,
        "threshold": 3,
        "members": members,
        "model_after_zeros": found.model.hex(),
    }


def main() -> None:
    """Write the file."""
    OUT.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
