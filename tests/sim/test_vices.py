"""Dishonest workers: what each does is seen, and costs it its name where it lies."""

from typing import Any

import pytest

from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.message import CommitSent, JobMessage, RevealSent
from ambientd.node.frames import JOB_BYTES_MAX, JOB_FRAME
from sim.cluster import ClusterOptions, FastKit, run
from sim.faults import Fault
from sim.node_machine import FRAME
from sim.trio_world.world import TrioKit
from sim.vices import Vice, output_by

ANSWERED_FOR = (Vice.LIE, Vice.COLLUDE, Vice.LAZY, Vice.COPY)
MODULE, DATA = Digest(sha256(b"module")), Digest(sha256(b"data"))


def said(vice: Vice | None, key: bytes = b"one") -> tuple[bytes, int]:
    vices = frozenset() if vice is None else frozenset({vice})
    return output_by(key, vices, MODULE, DATA, 1_000_000)


def test_liars_lie_each_for_itself_and_colluders_as_one() -> None:
    assert said(Vice.LIE) != said(Vice.LIE, b"two")
    assert said(Vice.COLLUDE) == said(Vice.COLLUDE, b"two")
    assert said(None) == said(None, b"two")
    answers = {said(vice) for vice in (Vice.LIE, Vice.COLLUDE, Vice.LAZY, None)}
    assert len(answers) == 4


class Wire:
    """Hears what dishonest workers seal and open."""

    effects = None

    def __init__(self) -> None:
        self.opened: list[RevealSent] = []
        self.sealed = 0

    def saw_delivery(self, node: Any, delivery: Any, now: int) -> None:
        if node.is_honest or delivery.data[:2] != FRAME + JOB_FRAME:
            return
        message: JobMessage = decode(delivery.data[2:], JobMessage, JOB_BYTES_MAX)
        if isinstance(message, RevealSent):
            self.opened.append(message)
        self.sealed += isinstance(message, CommitSent)

    def saw_effect(self, node: Any, effect: Any, now: int) -> None:
        """Look away."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vice", "kit"),
    [
        *((vice, FastKit) for vice in ANSWERED_FOR),
        (Vice.LIE, TrioKit),
        *(pytest.param(vice, TrioKit, marks=pytest.mark.hunt) for vice in ANSWERED_FOR[1:]),
    ],
)
def test_who_answers_without_executing_loses_its_name(vice: Vice, kit: Any) -> None:
    faults = frozenset({Fault.LIAR, Fault.BAD_WORKER})
    for seed in (2, 5, 6, 7):  # the first world in which a liar has work
        wire = Wire()
        options = ClusterOptions(seed, faults=faults, time_ms=30_000, vices=frozenset({vice}))
        outcome = run(options, (wire,), kit(seed))
        if wire.sealed:
            break
    assert wire.opened
    assert outcome.convicted > 0


@pytest.mark.slow
def test_a_copier_opens_the_right_answer_and_it_counts_for_nothing() -> None:
    wire = Wire()
    faults = frozenset({Fault.LIAR, Fault.BAD_WORKER})
    options = ClusterOptions(2, faults=faults, time_ms=30_000, vices=frozenset({Vice.COPY}))
    outcome = run(options, (wire,))
    results = {message.receipt.receipt.result.output_size_bytes for message in wire.opened}
    assert results == {32}  # as long as what honest engines give; the guess has two bytes
    assert outcome.endings["divergent"] > 0
