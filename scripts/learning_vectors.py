"""The test vectors of protocols/16-learning.md: studies by blocks, and how groups are drawn."""

from typing import Any

import numpy as np
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import plan_hash
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Plan, StudyId
from ambientd.rules.learning.nearness import distance_micro
from ambientd.rules.learning.privacy import Terms, spent
from ambientd.rules.lessons import joined, lesson_of, whole_input
from ambientd.rules.studies import drawn, groups_of, threshold_of
from ambientd.rules.tolerances import repeated_work, samples_repeated
from scripts.dispute_vectors import Written
from tests.ledger.studies import GUESTS, OPEN, PRIVATE, WITHIN, Studied, terms

SILENT: dict[str, tuple[Plan, tuple[tuple[int, ...], ...]]] = {
    "open": (OPEN, (tuple(GUESTS), tuple(GUESTS)[:4])),
    "private": (PRIVATE, (tuple(GUESTS), tuple(GUESTS))),
    "rounds that fail": (OPEN, ((), (), ())),
    "within a tolerance": (WITHIN, (tuple(GUESTS), tuple(GUESTS)[:4])),
}
APART = (
    ([5, -1_000, 7], [5, -1_000, 7]),
    ([6, -1_001, 6], [5, -1_000, 7]),
    ([5, -998, 7], [5, -1_000, 7]),
    ([0, 0, 0], [5, -1_000, 7]),
    ([1, 0, 0], [0, 0, 0]),
    ([2, 0, 0], [0, 0, 0]),
    ([-(2**23 - 1)], [2**23 - 1]),
)
"""Updates, and what training again gives."""

REPEATED = (
    ("mlp:4,3,2", 1, 32, 3_000, 2),
    ("mlp:64,32,10", 20, 1, 600_000, 4),
    ("mlp:784,32,10", 3, 16, 120_000, 1),
    ("cnn:28,8,10", 5, 100, 7_200_000, 3),
    ("mlp:4000,4000,10", 1_000, 1, 1_000, 4),
)
"""Model, passes, batch, training's time and audits of a study within a tolerance."""

SPENT = ((4_000, 1_000_000, 1), (4_000, 1_000_000, 60), (16_000, 500_000, 60), (0, 500_000, 3))
"""Noise, clip and number of a private round."""


def learning() -> dict[str, Any]:
    """Vectors of protocols/16-learning.md."""
    return {
        "document": "protocols/16-learning.md",
        "draws": [_draw(count, size) for count, size in ((1, 2), (5, 2), (7, 3), (20, 8))],
        "lesson": _lesson(),
        "spent": [_spent(*case) for case in SPENT],
        "studies": [_study(name, *what) for name, what in SILENT.items()],
        "tolerance": _tolerance(),
    }


def _lesson() -> dict[str, Any]:
    """A participant's training in round 3, its input put together of its parts."""
    model, data = b"model" * 20, bytes(range(50))
    plan = replace(OPEN, trainer="wasm", module=Digest(sha256(b"trainer")), passes=2, batch=8)
    study, node = StudyId(sha256(b"study")), NodeId(sha256(b"participant"))
    limits = terms(module_size_bytes=1_000, audits=2)
    hashes = (Digest(sha256(model)), Digest(sha256(data)))
    lesson = lesson_of(study, 3, node, plan, limits, *hashes, 10, 1)
    parts = replace(lesson.parts, model_size_bytes=len(model), data_size_bytes=len(data))
    return {
        "study": study.hex(),
        "round": 3,
        "node": node.hex(),
        "plan": encode(plan).hex(),
        "terms": encode(limits).hex(),
        "nonce": lesson.nonce.hex(),
        "spec": encode(lesson.spec).hex(),
        "task": lesson.task.hex(),
        "manifest": encode(lesson.parts).hex(),
        "whole": whole_input(parts, model, data).hex(),
        "input": sha256(encode(parts)).hex(),
        "joined": joined(parts, model, data).hex(),
    }


def _tolerance() -> dict[str, Any]:
    """How a plan with a tolerance is written, and how far updates are off."""
    return {
        "plan": encode(WITHIN).hex(),
        "plan_hash": plan_hash(WITHIN).hex(),
        "without": encode(replace(WITHIN, tolerance_micro=0)).hex(),
        "distances": [
            {
                "update": update,
                "again": again,
                "distance_micro": distance_micro(
                    np.array(update, dtype=np.int32), np.array(again, dtype=np.int32)
                ),
            }
            for update, again in APART
        ],
        "repeated": [_repeated(*case) for case in REPEATED],
    }


def _repeated(model: str, passes: int, batch: int, train_ms: int, audits: int) -> dict[str, Any]:
    """How many samples a participant may have, and what training on them and on 1,000 takes."""
    plan = replace(WITHIN, model=model, passes=passes, batch=batch)
    limits = terms(train_ms=train_ms, audits=audits, samples_max=1_000_000)
    most = samples_repeated(plan, limits)
    return {
        "plan": encode(plan).hex(),
        "terms": encode(limits).hex(),
        "samples": most,
        "work": repeated_work(plan, most),
        "work_of_1000": repeated_work(plan, 1_000),
    }


def _spent(noise_milli: int, clip_micro: int, number: int) -> dict[str, Any]:
    """What one update costs in a private round, and what it comes to if each round had one."""
    plan = replace(PRIVATE, noise_milli=noise_milli, clip_micro=clip_micro)
    terms = Terms(clip_micro, noise_milli, 1)
    return {
        "plan": encode(plan).hex(),
        "round": number,
        "epsilon_once_micro": spent(terms, 1).epsilon_micro,
        "epsilon_most_micro": spent(terms, number).epsilon_micro,
    }


def _draw(count: int, size: int) -> dict[str, Any]:
    nodes = [NodeId(sha256(b"participant %d" % number)) for number in range(count)]
    seed = sha256(b"round")
    groups = groups_of(nodes, seed, size)
    return {
        "roster": [node.hex() for node in nodes],
        "seed": seed.hex(),
        "order": [node.hex() for node in drawn(nodes, seed)],
        "group_size": size,
        "groups": [[node.hex() for node in group] for group in groups],
        "thresholds": [threshold_of(PRIVATE, len(group)) for group in groups],
    }


def _study(name: str, plan: Plan, rounds: tuple[tuple[int, ...], ...]) -> dict[str, Any]:
    changes = {"audits": 2} if plan.tolerance_micro else {}
    study = Studied(plan=plan, changes=changes, cluster_type=Written)
    for number, guests in enumerate(rounds):
        study.play(guests, b"model %d" % number)
    cluster = study.cluster
    assert isinstance(cluster, Written)
    return {
        "name": name,
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "study": study.study.hex(),
        "state_root_of_genesis": cluster.genesis_root,
        "blocks": cluster.blocks,
    }
