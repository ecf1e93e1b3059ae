"""What was said in one epoch comes again in the next, with the numbers that signers have there."""

import random

from ambientd.consensus.messages import InEpoch, Position, QcNotice, QuorumCertificate, Vote
from sim.replays import Replays

A, B, C, D, E = (bytes([number]) * 32 for number in range(1, 6))
HASH = bytes(32)
QC = QuorumCertificate(Position(2, 7), 2, HASH, ((0, b"a"), (1, b"b"), (3, b"d")))


def said_again(message: Vote | QcNotice, members: tuple[bytes, ...]) -> list[object]:
    replays = Replays(random.Random(1))
    assert all(not replays.again(message, 1, (A, B, C, D)) for _ in range(20))
    answers = (replays.again(InEpoch(2, message), 2, members) for _ in range(50))
    return next(said for said in answers if said)


def test_a_certificate_comes_as_it_was_and_with_new_numbers() -> None:
    notice = QcNotice(QC, None)
    renumbered = QuorumCertificate(QC.position, 2, HASH, ((0, b"b"), (2, b"d")))
    assert said_again(notice, (B, C, D, E)) == [notice, InEpoch(2, QcNotice(renumbered, None))]


def test_what_somebody_signed_that_has_left_comes_as_it_was_alone() -> None:
    vote = Vote(Position(2, 7), 2, HASH, 0, b"a")
    assert said_again(vote, (B, C, D, E)) == [vote]
    moved = Vote(Position(2, 7), 2, HASH, 0, b"a")
    assert said_again(vote, (A, C, D, E)) == [vote, InEpoch(2, moved)]
