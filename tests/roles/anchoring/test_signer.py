"""What a signer answers is held against what it was asked for before anything is booked or sent."""

from collections.abc import Callable, Sequence

import pytest

from ambientd.errors import UnreachableError
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import THEIRS_BYTES_MAX, AnchorBook, Coin
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import Answered, RootWanted, SendTransaction
from ambientd.roles.anchoring.purse import REASON_CHARS_MAX
from sim.wallets import UnsignedPurse
from tests.roles.anchoring.test_core import LATER, OPTIONS, ROOT, Desk, coin

Answer = Callable[[Sequence[Coin], Digest, int], bytes | str]
HONEST, OTHER = UnsignedPurse(1), UnsignedPurse(2)


class Device:
    """A signer with faults of its own, or in somebody else's hands."""

    def __init__(self, answer: Answer) -> None:
        self.script, self.answer = HONEST.script, answer

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes | str:
        return self.answer(coins, root, fee_sat)


def _away(_coins: Sequence[Coin], _root: Digest, _fee_sat: int) -> bytes:
    raise UnreachableError("the device does not answer")


def _too_long(coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes:
    raw = HONEST.sign(coins, root, fee_sat)
    witness = b"\x01\xfd" + THEIRS_BYTES_MAX.to_bytes(2, "little") + bytes(THEIRS_BYTES_MAX)
    return raw[:4] + b"\x00\x01" + raw[4:-4] + witness + raw[-4:]


ANSWERS: dict[str, tuple[Answer, str]] = {
    "no transaction": (lambda *_: b"junk", "no anchor: a transaction ends after 4 bytes"),
    "no bytes": (lambda *_: b"", "no anchor"),
    "another root": (lambda coins, _, fee: HONEST.sign(coins, LATER, fee), "commits to another"),
    "a higher fee": (lambda coins, root, fee: HONEST.sign(coins, root, 40_000), "40000 sat"),
    "a lower fee": (lambda coins, root, fee: HONEST.sign(coins, root, fee - 1), "pays 313 sat"),
    "other coins": (
        lambda _, root, fee: HONEST.sign([coin(number=9)], root, fee),
        "other coins than those",
    ),
    "one coin more": (
        lambda coins, root, fee: HONEST.sign([*coins, coin(0, number=9)], root, fee),
        "other coins than those",
    ),
    "change to a stranger": (OTHER.sign, "pays another script"),
    "too long for others": (_too_long, "bytes, more than"),
    "away": (_away, "the device does not answer"),
    "no reason": (lambda *_: "", "gives no reason"),
}


def wanting(answer: Answer) -> tuple[Desk, Device]:
    desk, device = Desk(), Device(answer)
    desk.core = Anchoring(OPTIONS, device, AnchorBook(), "address")
    desk.tell(RootWanted(1, ROOT))
    return desk, device


@pytest.mark.parametrize("name", ANSWERS)
def test_what_was_not_asked_for_is_neither_booked_nor_sent_and_is_told(name: str) -> None:
    answer, said = ANSWERS[name]
    desk, device = wanting(answer)
    assert desk.sent() is None
    assert said in str(desk.core.alarm)
    assert desk.entry().versions == ()
    assert desk.book.day_fee_sat == 0
    device.answer = HONEST.sign
    assert desk.sent() is not None
    assert desk.core.alarm is None


def test_patience_begins_when_the_network_has_it_not_when_its_signer_was_asked() -> None:
    desk, _ = wanting(HONEST.sign)
    asked_ms = desk.now
    [sent] = [each for each in desk.see() if isinstance(each, SendTransaction)]
    desk.now += 3 * OPTIONS.bump_ms  # somebody came back and let the device sign
    desk.height += 3 * OPTIONS.bump_blocks
    desk.tell(Answered(sent.txid))
    signed_ms = desk.now
    desk.sent()
    assert len(desk.entry().versions) == 1, "it was sent just now: nobody is asked for a dearer one"
    assert desk.entry().since_ms == signed_ms > asked_ms
    desk.now += OPTIONS.bump_ms
    desk.height += OPTIONS.bump_blocks
    desk.sent()
    assert len(desk.entry().versions) == 2, "it has waited, now that it can be mined"


def test_an_anchor_that_is_sent_again_is_not_waited_for_anew() -> None:
    desk, _ = wanting(HONEST.sign)
    assert desk.sent() is not None
    since_ms = desk.entry().since_ms
    while desk.now < since_ms + OPTIONS.bump_ms:
        assert len(desk.entry().versions) == 1
        desk.sent()
    desk.sent()
    assert len(desk.entry().versions) == 2


def test_a_signer_s_reason_is_cut_to_a_line_that_people_read() -> None:
    desk, _ = wanting(lambda *_: "x" * 10_000 + "\x1b[2J")
    assert desk.sent() is None
    assert desk.core.alarm == "x" * REASON_CHARS_MAX
    desk, _ = wanting(lambda *_: "plug\x1b[2J\nit in")
    desk.sent()
    assert desk.core.alarm == "plug?[2J?it in"
