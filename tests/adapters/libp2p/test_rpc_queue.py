"""What waits for a peer leaves together: nothing lost, repeated, out of order or without bound."""

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb import rpc_pb2

from ambientd.adapters.libp2p.foreign import Message
from ambientd.adapters.libp2p.gossip import (
    RPC_QUEUE_MAX,
    TOGETHER_BYTES,
    TOGETHER_MAX,
    _RpcQueue,
)

KINDS = st.sampled_from(["publish", "subscribe", "control", "both"])
SIZES = st.sampled_from([0, 10, 1_000, 20_000, 70_000])


def rpc_of(kind: str, number: int, size: int) -> Message:
    rpc = rpc_pb2.RPC()
    if kind in {"publish", "both"}:
        data = number.to_bytes(4, "big") + bytes(size)
        rpc.publish.add(data=data, seqno=number.to_bytes(8, "big"), topicIDs=["blocks"])
        rpc.senderRecord = b"addresses"
    if kind in {"subscribe", "both"}:
        rpc.subscriptions.add(subscribe=True, topicid=str(number))
    if kind == "control":
        rpc.control.graft.add(topicID=str(number))
    return rpc


def said_in(rpc: Message) -> list[str]:
    """Give what a receiver takes from it, in the order in which it does."""
    subscribed = [each.topicid for each in rpc.subscriptions]
    published = [str(int.from_bytes(each.data[:4], "big")) for each in rpc.publish]
    return subscribed + published + [each.topicID for each in rpc.control.graft]


@given(st.lists(st.tuples(KINDS, SIZES), max_size=100))
def test_all_that_waits_leaves_once_in_order_and_in_bounds(kinds: list[tuple[str, int]]) -> None:
    queue, other = _RpcQueue(), _RpcQueue()
    sent = [rpc_of(kind, number, size) for number, (kind, size) in enumerate(kinds)]
    copies = [each.SerializeToString() for each in sent]
    for each in sent:
        assert queue.push(each)
        assert other.push(each)
    left = trio.run(drained, queue)
    assert [word for rpc in left for word in said_in(rpc)] == [
        word for rpc in sent for word in said_in(rpc)
    ]
    for rpc in left:
        assert len(rpc.publish) <= TOGETHER_MAX
        assert len(rpc.publish) <= 1 or rpc.ByteSize() <= TOGETHER_BYTES
    # The same objects wait for other peers, who get what they were.
    assert [each.SerializeToString() for each in sent] == copies
    assert len(trio.run(drained, other)) == len(left)


async def drained(queue: _RpcQueue) -> list[Message]:
    queue.close()
    left = []
    while (rpc := await queue.pop()) is not None:
        left.append(rpc)
    return left


def test_control_goes_before_what_waits_and_a_full_queue_says_so() -> None:
    queue = _RpcQueue()
    for number in range(RPC_QUEUE_MAX - 1):
        assert queue.push(rpc_of("publish", number, 10))
    assert queue.push(rpc_of("control", 1_000, 0), priority=True)
    assert not queue.push(rpc_of("publish", 2_000, 10))
    left = trio.run(drained, queue)
    assert said_in(left[0]) == ["1000"]
    assert [len(each.publish) for each in left[1:]] == [64, 64, 64, 63]


async def test_one_who_waits_is_woken_and_one_who_gives_up_takes_nothing_along(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue = _RpcQueue()
    with trio.move_on_after(1) as patience:
        await queue.pop()
    assert patience.cancelled_caught
    async with trio.open_nursery() as nursery:

        async def pop() -> None:
            rpc = await queue.pop()
            assert rpc is not None
            assert said_in(rpc) == ["1", "2"]

        nursery.start_soon(pop)
        await trio.testing.wait_all_tasks_blocked()
        queue.push(rpc_of("publish", 1, 10))
        queue.push(rpc_of("publish", 2, 10))
