"""No address takes all that is open to strangers, and none is left unused for its sake."""

from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.libp2p.exchanges import JOIN_LENGTH, JOIN_PROTOCOL, read_exactly
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.strangers import ANSWERED_S, HERE, JoinRate, Places, origin_of
from tests.adapters.libp2p.support import friend_of, node, raw_host, victim
from tests.ports.transport_contract import at

NEWCOMER, FRIEND = 1, 4
arrivals = st.lists(st.sampled_from("abcde"), min_size=1, max_size=60)


def test_one_address_may_have_all_places_until_another_comes() -> None:
    strangers = Places[int](4)
    assert [strangers.enter(each, "crowd") for each in range(4)] == [None] * 4
    assert strangers.enter(4, "alone") == 0
    assert strangers.enter(5, "crowd") == 1, "the crowd makes room for its own"
    assert strangers.enter(6, "another") == 2


def test_who_left_and_who_gave_way_hold_no_place() -> None:
    strangers = Places[int](2)
    strangers.enter(0, "a")
    strangers.enter(1, "a")
    strangers.leave(0)
    assert strangers.enter(2, "b") is None
    assert strangers.enter(3, "c") == 1
    strangers.leave(1)
    assert strangers.enter(4, "d") == 2


@given(st.integers(1, 16), arrivals)
def test_a_newcomer_always_gets_in_and_only_the_largest_crowd_gives_way(
    places: int, origins: list[str]
) -> None:
    strangers, inside = Places[int](places), dict[int, str]()
    for number, origin in enumerate(origins):
        inside[number] = origin
        leaves = strangers.enter(number, origin)
        assert (leaves is not None) == (len(inside) > places)
        if leaves is None:
            continue
        held = list(inside.values())
        assert held.count(inside[leaves]) == max(map(held.count, held))
        assert leaves == min(each for each, of in inside.items() if of == inside[leaves])
        assert leaves != number
        del inside[leaves]


def test_an_address_that_asks_without_end_leaves_joins_to_others() -> None:
    rate = JoinRate(2.0, 10)
    answered = sum(rate.take("greedy", 0.0) for _ in range(100))
    assert answered == 5
    answered = sum(rate.take("greedy", step / 100) for step in range(6000))
    assert 100 <= answered <= 121, "nobody else asks: it has what is refilled"
    assert all(rate.take(f"newcomer {number}", 60.0) for number in range(4))


@pytest.mark.parametrize("crowd", [1, 4, 5, 8])
def test_those_that_ask_on_and_on_keep_nobody_waiting_who_comes_from_elsewhere(crowd: int) -> None:
    rate, answered = JoinRate(2.0, 10), set[int]()
    for step in range(6_000):
        for each in range(crowd):
            rate.take(f"greedy {each}", step / 100)
        newcomer = step // 200  # who asks for two seconds, always behind the crowd
        if newcomer not in answered and rate.take(f"newcomer {newcomer}", step / 100):
            answered.add(newcomer)
    assert answered == set(range(30))


def test_this_machine_has_the_whole_burst() -> None:
    rate = JoinRate(0.001, 3)
    assert [rate.take(HERE, 0.0) for _ in range(4)] == [True, True, True, False]


@given(arrivals, st.floats(0.1, 5.0), st.integers(1, 10))
def test_all_addresses_together_get_no_more_than_the_rate(
    origins: list[str], per_s: float, burst: int
) -> None:
    rate = JoinRate(per_s, burst)
    answered = sum(rate.take(each, step / 10) for step, each in enumerate(origins))
    assert answered <= burst + per_s * len(origins) / 10


def test_few_addresses_are_remembered_however_many_ask() -> None:
    rate = JoinRate(2.0, 10)
    for number in range(10_000):
        rate.take(f"address {number}", number / 100)
        assert len(rate._shares) <= 20
        assert len(rate._answered) <= 10 + 2 * ANSWERED_S


@pytest.mark.parametrize(
    ("remote", "origin"),
    [
        (("192.0.2.7", 4001), "192.0.2.7"),
        (("::ffff:192.0.2.7", 4001), "192.0.2.7"),
        (("2001:db8::7", 4001), "2001:db8::/64"),
        (("127.0.0.9", 4001), HERE),
        (("::1", 4001), HERE),
        (None, ""),
    ],
)
def test_shares_count_an_address_or_the_64_that_it_is_in(
    remote: tuple[str, int] | None, origin: str
) -> None:
    assert origin_of(SimpleNamespace(get_remote_address=lambda: remote)) == origin


@pytest.mark.net
@pytest.mark.slow
async def test_a_newcomer_is_answered_past_strangers_that_hold_every_place() -> None:
    async with (
        victim(allowed=(FRIEND,), strangers_max=2, join_deadline_s=600.0) as target,
        friend_of(target) as friend,
        AsyncExitStack() as idle,
    ):
        connections = []
        for number in (2, 3):
            host = await idle.enter_async_context(raw_host(number))
            connections.append(await dial(host, peer_id_of(target.node), target.address))
        async with node(NEWCOMER, ()) as newcomer:
            address = at(target.address, target.node)
            assert await newcomer.request_join(address, b"1") == b"joined 1"
        await friend.until_counted("strangers_full")
        with trio.fail_after(60):
            await connections[0].event_closed.wait()
        assert not connections[1].is_closed
        await friend.check_served()


@pytest.mark.net
@pytest.mark.slow
async def test_who_waits_for_the_answer_to_its_request_gives_way_to_nobody() -> None:
    asked, beat = trio.Event(), trio.Event()
    answers: list[bytes] = []

    async def join_with_the_beat(_node_id: bytes, payload: bytes) -> bytes:
        asked.set()
        await beat.wait()
        return b"joined " + payload

    async with (
        node(5, (5,), joins=join_with_the_beat, strangers_max=2, join_deadline_s=600.0) as member,
        node(NEWCOMER, (), join_deadline_s=600.0) as newcomer,
        AsyncExitStack() as idle,
    ):
        address = at(member.address, member.node_id)
        hosts = [await idle.enter_async_context(raw_host(number)) for number in (2, 3, 4)]

        async def ask() -> None:
            answers.append(await newcomer.request_join(address, b"1"))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await asked.wait()
                connections = [
                    await dial(host, peer_id_of(member.node_id), member.address) for host in hosts
                ]
                await connections[0].event_closed.wait()
                beat.set()
    assert answers == [b"joined 1"]


@pytest.mark.net
@pytest.mark.slow
async def test_who_has_its_answer_holds_a_place_again() -> None:
    async with (
        victim(allowed=(FRIEND,), strangers_max=1, join_deadline_s=600.0) as target,
        raw_host(2) as first,
        raw_host(3) as second,
    ):
        peer = peer_id_of(target.node)
        connection = await dial(first, peer, target.address)
        stream = await first.new_stream(peer, [JOIN_PROTOCOL])
        await stream.write(JOIN_LENGTH.pack(1) + b"1")
        with trio.fail_after(60):
            answer = await read_exactly(stream, JOIN_LENGTH.size + 8)
            assert answer == JOIN_LENGTH.pack(8) + b"joined 1"
            await dial(second, peer, target.address)
            await connection.event_closed.wait()
