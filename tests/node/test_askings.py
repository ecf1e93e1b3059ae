"""Large answers of the log are decoded only where they were asked for."""

import time

import pytest

from ambientd.codec.canonical import encode
from ambientd.consensus.messages import (
    Append,
    Blocks,
    EpochEnd,
    Epochs,
    Fetch,
    Forward,
    Header,
    InEpoch,
    Message,
    Pages,
    Position,
    QuorumCertificate,
    Vote,
    WantPages,
)
from ambientd.node.askings import OWED_FIRST, OWED_MAX, UNASKED_BYTES_MAX, WANTED_MAX, Askings
from ambientd.node.effect import PeerMisbehaved
from ambientd.node.event import FrameReceived
from ambientd.node.frames import LOG_FRAME, crowding, log_frame, peek
from tests.node.test_hostile import STRANGER, Alone

PEER = b"p" * 32
HEADER = Header(1, 1, b"h" * 32, 0, b"r" * 32, b"b" * 32, b"", b"k" * 32)
QC = QuorumCertificate(Position(1, 1), 1, b"h" * 32, ())
EMPTY = Blocks((), QC)


def append(*records: bytes) -> Append:
    return Append(HEADER, QC, None, records, b"s" * 64)


def refusals(askings: Askings, frame: bytes, times: int) -> list[str | None]:
    return [askings.refusal(PEER, frame, is_member=True) for _ in range(times)]


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (append(), 1),
        (Vote(Position(1, 1), 1, b"h" * 32, 0, b"s" * 64), 2),
        (EMPTY, 6),
        (Forward(()), 7),
        (Epochs(0, ()), 10),
        (Pages(()), 13),
        *(
            (InEpoch(epoch, EMPTY), 6)
            for epoch in (0, 127, 128, 255, 256, 65_536, 2**32, 2**53 - 1)
        ),
    ],
)
def test_a_message_is_known_by_its_tag_before_it_is_decoded(message: Message, tag: int) -> None:
    frame = log_frame(message)
    found, start = peek(frame)
    assert found == tag
    inner = message.message if isinstance(message, InEpoch) else message
    assert frame[start:] == encode(inner)


@pytest.mark.parametrize(
    "body", [b"", b"\x93", b"\xc0\x01", b"\x93\xcc\x06", b"\x93\x09", b"\x93\x09\xcf"]
)
def test_what_is_no_message_has_no_tag(body: bytes) -> None:
    assert peek(LOG_FRAME + body)[0] is None


def test_a_head_that_is_longer_than_it_must_be_buys_no_decoding() -> None:
    plain = log_frame(append())
    frame = LOG_FRAME + b"\xdc\x00" + bytes([plain[1] & 0x0F]) + plain[2:]
    assert "canonical" in (Askings().refusal(PEER, frame, is_member=True) or "")


def test_blocks_whose_last_one_is_broken_are_not_decoded() -> None:
    broken = log_frame(Blocks((append(), append()), QC))[:-150]
    assert "decode" in (crowding(broken, *peek(broken)) or "")


@pytest.mark.parametrize("deep", [100, 2_000, 60_000])
def test_a_block_of_arrays_in_arrays_is_its_senders_fault_however_deep(deep: int) -> None:
    nested = b"\x91" * deep + b"\x90"
    frame = LOG_FRAME + b"\x96\x01" + nested + b"\xc0\xc0\x90\xc4\x00"
    assert peek(frame)[0] == 1
    alone = Alone()
    effects = alone.poke(FrameReceived(alone.peer, frame))
    faults = [effect for effect in effects if isinstance(effect, PeerMisbehaved)]
    assert [fault.peer for fault in faults] == [alone.peer]


def test_an_answer_is_decoded_once_for_each_question() -> None:
    askings = Askings()
    for question, answer in ((Fetch(1), EMPTY), (WantPages((b"d" * 32,)), Pages(()))):
        askings.asked(PEER, InEpoch(3, question) if isinstance(question, Fetch) else question)
        assert refusals(askings, log_frame(answer), 2) == [None, ""]


def test_late_answers_of_the_last_questions_are_nobodys_fault() -> None:
    askings = Askings()
    for _ in range(200):
        askings.asked(PEER, Fetch(1))
    owed = OWED_FIRST + 2 * 200
    found = refusals(askings, log_frame(EMPTY), owed)
    assert found == [None] * WANTED_MAX + [""] * (owed - WANTED_MAX)
    assert refusals(askings, log_frame(EMPTY), 1)[0]


def test_what_a_peer_may_owe_is_bounded_however_many_questions_there_were() -> None:
    askings = Askings()
    for _ in range(OWED_MAX):
        askings.asked(PEER, Fetch(1))
    assert not any(refusals(askings, log_frame(EMPTY), OWED_MAX))
    assert refusals(askings, log_frame(EMPTY), 1)[0]


def test_an_answer_to_another_peer_or_question_is_not_decoded() -> None:
    askings = Askings()
    askings.asked(b"q" * 32, Fetch(1))
    askings.asked(PEER, WantPages((b"d" * 32,)))
    assert refusals(askings, log_frame(EMPTY), 1) == [""]


def test_an_honest_peer_that_always_answers_late_and_twice_is_never_at_fault() -> None:
    askings, owed = Askings(), 0
    for step in range(500):
        askings.asked(PEER, Fetch(1))
        owed += 2
        if step % 16 == 15:
            assert not any(refusals(askings, log_frame(EMPTY), owed))
            owed = 0


def test_unasked_blocks_cost_no_decoding_and_are_held_against_their_sender() -> None:
    records = tuple(number.to_bytes(2, "big") for number in range(65_536))
    frame = log_frame(Blocks((append(*records),) * 63, QC))
    alone = Alone()
    begin = time.process_time()
    effects = alone.poke(*[FrameReceived(alone.peer, frame)] * (OWED_FIRST + 60))
    assert time.process_time() - begin < 1.0  # decoding one took about as long
    faults = [effect for effect in effects if isinstance(effect, PeerMisbehaved)]
    assert len(faults) >= 10
    assert {fault.peer for fault in faults} == {alone.peer}


def test_a_frame_that_claims_more_records_than_fit_is_not_decoded_though_it_was_asked_for() -> None:
    few = tuple(number.to_bytes(96, "big") for number in range(100))
    tiny = tuple(number.to_bytes(2, "big") for number in range(10_000))
    for message in (append(*few), Forward(few), Blocks((append(*few), append(*few)), QC)):
        frame = log_frame(message)
        assert crowding(frame, *peek(frame)) is None
    for message in (append(*tiny), Forward(tiny), Blocks((append(*tiny), append(*few)), QC)):
        frame = log_frame(message)
        assert "claims 10" in (crowding(frame, *peek(frame)) or "")
    askings = Askings()
    askings.asked(PEER, Fetch(1))
    assert "claims" in (refusals(askings, log_frame(Blocks((append(*tiny),), QC)), 1)[0] or "")


def test_outsiders_that_were_asked_nothing_send_no_large_frames() -> None:
    frame = log_frame(append(bytes(UNASKED_BYTES_MAX)))
    askings = Askings()
    assert askings.refusal(STRANGER, frame, is_member=False)
    assert askings.refusal(STRANGER, frame, is_member=True) is None
    assert askings.refusal(STRANGER, log_frame(Forward((bytes(1 << 20),))), is_member=False) is None


@pytest.mark.parametrize("question", [InEpoch(3, Fetch(1)), Fetch(1)], ids=["later", "founders"])
def test_how_epochs_ended_may_be_a_large_answer_of_who_is_no_member(question: Message) -> None:
    askings = Askings()
    frame = log_frame(Epochs(0, (EpochEnd(bytes(UNASKED_BYTES_MAX), ((HEADER, QC),) * 2),)))
    askings.asked(STRANGER, question)
    answers = [log_frame(EMPTY), frame]
    assert [askings.refusal(STRANGER, each, is_member=False) for each in answers] == [None, None]
    found = [askings.refusal(STRANGER, frame, is_member=False) for _ in range(OWED_FIRST + 2)]
    assert found[:-1] == [""] * (OWED_FIRST + 1)
    assert found[-1] == "an answer that nobody asked for"


def test_an_answer_from_before_a_restart_is_nobodys_fault() -> None:
    assert refusals(Askings(), log_frame(EMPTY), OWED_FIRST) == [""] * OWED_FIRST
    large = log_frame(Epochs(0, (EpochEnd(bytes(UNASKED_BYTES_MAX), ((HEADER, QC),) * 2),)))
    after = Askings()
    assert after.refusal(STRANGER, large, is_member=False) == ""
