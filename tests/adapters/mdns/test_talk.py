"""What a node says and hears by multicast DNS: as little as is needed, and nothing from forgers."""

from ambientd.adapters.libp2p.statements import seal_of
from ambientd.adapters.mdns.messages import Asked, Told, decode, encode_answer, encode_question
from ambientd.adapters.mdns.talk import (
    ASK_MS_MAX,
    MARK,
    VERIFY_ALL_BURST,
    VERIFY_ALL_PER_S,
    VERIFY_BURST,
    Talk,
    service_of,
)
from ambientd.ports.discovery import Seal, Whereabouts
from ambientd.ports.transport import HostPort, NodeId
from tests.ports.transport_contract import NODES, SEEDS

SERVICE = service_of(b"c" * 32)
NOBODY: frozenset[NodeId] = frozenset()
HERE, THERE = (HostPort("10.0.0.1", 4400),), (HostPort("10.0.0.2", 4400),)
PEER = frozenset({NODES[1]})


def talk(number: int = 0) -> Talk:
    return Talk(SERVICE, f"{number:032x}", seal_of(SEEDS[number]))


def statement(seal: Seal, at: tuple[HostPort, ...] = HERE) -> bytes:
    return encode_answer(SERVICE, "ab" * 16, MARK + seal.sign(at))


def said(message: bytes) -> type | None:
    found = decode(message, SERVICE)
    return None if found is None else type(found)


def test_a_node_tells_its_address_at_once_and_again_as_datagrams_are_lost() -> None:
    node = talk()
    told = [now for now in range(0, 130_000, 500) if node.tick(HERE, NOBODY, now)]
    assert told == [0, 1_000, 3_000, 7_000, 67_000, 127_000]


def test_a_node_that_moves_tells_so_at_once() -> None:
    node, peer = talk(1), talk(0)
    node.tick(HERE, NOBODY, 0)
    (moved,) = node.tick(THERE, NOBODY, 500)
    peer.tick(HERE, PEER, 500)
    ((found,), answers) = peer.heard(moved, 500)
    assert (found.node_id, found.addresses, answers) == (NODES[1], THERE, [])


def test_a_node_asks_ever_less_often_while_somebody_is_missing_and_anew_for_the_next() -> None:
    node = talk()
    asked = [
        now
        for now in range(0, 200_000, 500)
        if Asked in [said(each) for each in node.tick((), PEER, now)]
    ]
    assert asked[:5] == [0, 1_000, 3_000, 7_000, 15_000]
    assert asked[-1] - asked[-2] == ASK_MS_MAX
    both = PEER | {NODES[2]}
    assert [said(each) for each in node.tick((), both, 200_000)] == [Asked]
    assert node.tick((), NOBODY, 900_000) == []


def test_a_question_is_answered_once_a_second_however_often_it_comes() -> None:
    node, question = talk(), encode_question(SERVICE)
    node.tick(HERE, NOBODY, 0)
    answered = [now for now in range(0, 3_000, 10) if node.heard(question, now)[1]]
    assert answered == [0, 1_000, 2_000]
    assert said(node.heard(question, 3_000)[1][0]) is Told


def test_a_node_without_an_address_says_nothing_of_itself() -> None:
    node = talk()
    assert node.tick((), NOBODY, 0) == []
    assert node.heard(encode_question(SERVICE), 0) == ([], [])


def test_who_is_not_wanted_is_not_told() -> None:
    node = talk()
    node.tick(HERE, PEER, 0)
    assert node.heard(statement(seal_of(SEEDS[2])), 0) == ([], [])


def test_a_statement_that_somebody_else_has_changed_is_not_heard() -> None:
    node = talk()
    node.tick(HERE, PEER, 0)
    message = bytearray(statement(seal_of(SEEDS[1])))
    message[message.index(bytes([10, 0, 0, 1])) + 3] = 66
    assert node.heard(bytes(message), 0) == ([], [])


def test_an_older_statement_does_not_take_the_place_of_a_newer() -> None:
    seal, node = seal_of(SEEDS[1]), talk()
    old, new = statement(seal, HERE), statement(seal, THERE)
    node.tick(HERE, PEER, 0)
    assert [each.addresses for each in node.heard(new, 0)[0]] == [THERE]
    assert node.heard(old, 0) == ([], [])


def test_who_was_given_up_is_given_again_by_the_same_words_at_no_further_cost() -> None:
    node, verified = counting_talk()
    node.tick(HERE, PEER, 0)
    message = statement(seal_of(SEEDS[1]))
    found = [node.heard(message, now)[0] for now in range(0, 10_000, 10)]
    assert {tuple(each.addresses for each in said) for said in found} == {(HERE,)}
    assert len(verified) == 1


def counting_talk() -> tuple[Talk, list[bytes]]:
    """Give a node, and what it has verified."""
    verified: list[bytes] = []
    real = seal_of(SEEDS[0])

    def verify(data: bytes) -> Whereabouts | None:
        verified.append(data)
        return real.verify(data)

    return Talk(SERVICE, "0" * 32, Seal(real.sign, real.whose, verify)), verified


def test_forgers_that_name_every_member_cost_no_more_than_a_node_has_for_all() -> None:
    node, verified = counting_talk()
    node.tick(HERE, frozenset(NodeId(each.to_bytes(32)) for each in range(1_000)), 0)
    own = seal_of(SEEDS[1]).sign(HERE)
    for now in range(0, 10_000, 5):
        member = NodeId((now // 5 % 1_000).to_bytes(32))
        node.heard(encode_answer(SERVICE, "ab" * 16, MARK + own.replace(NODES[1], member)), now)
    assert VERIFY_ALL_BURST < len(verified) <= VERIFY_ALL_BURST + 10 * VERIFY_ALL_PER_S


def test_forgers_cost_at_most_a_signature_a_second_for_each_member() -> None:
    node, verified = counting_talk()
    node.tick(HERE, PEER, 0)
    forged = bytearray(seal_of(SEEDS[1]).sign(HERE))
    for now in range(10_000):
        forged[-1 - now % 60] ^= 1 + now % 255
        node.heard(encode_answer(SERVICE, "ab" * 16, MARK + bytes(forged)), now)
    assert len(verified) <= VERIFY_BURST + 10


def test_who_started_with_a_clock_behind_is_heard_once_it_is_put_right() -> None:
    numbers = iter([1_000, 5, 2_000])
    seal = seal_of(SEEDS[1], lambda: next(numbers))
    peer = talk()
    peer.tick(THERE, PEER, 0)
    assert peer.heard(statement(seal, THERE), 0)[0]
    back = Talk(SERVICE, "1" * 32, seal)
    told = [each for now in range(0, 8_000, 500) for each in back.tick(HERE, NOBODY, now)]
    found = [each for message in told for each in peer.heard(message, 60_000)[0]]
    assert [each.number for each in found] == [2_000]
