"""News reach who listens in order; who does not listen loses news and blocks nobody."""

import trio

from ambientd.ledger.events import NodeJoined, SlotReleased
from ambientd.model.base import NodeId, TaskId
from ambientd.node.effect import Told
from ambientd.ports.anchors import AnchorSent
from ambientd.runtime.news import BACKLOG_MAX, News, OwnTold, is_about_a_task, of_no_other


def told(number: int) -> Told:
    return Told(NodeJoined(NodeId(b"n" * 32), str(number)), number, number)


async def test_every_listener_hears_everything_in_order() -> None:
    news = News()
    async with news.listen() as first, news.listen() as second:
        for number in range(3):
            news.tell(told(number))
        for channel in (first, second):
            assert [(await channel.receive()).index for _ in range(3)] == [0, 1, 2]


async def test_a_slow_listener_is_dropped_and_the_others_hear_on() -> None:
    news = News()
    async with news.listen() as slow, news.listen() as quick:
        for number in range(BACKLOG_MAX + 5):
            news.tell(told(number))
            assert (await quick.receive()).index == number
        # It gets what had queued up for it, and then the end.
        assert [each.index async for each in slow] == list(range(BACKLOG_MAX))
        news.tell(told(-1))
        assert (await quick.receive()).index == -1


async def test_an_anchor_is_news_as_well() -> None:
    news, sent = News(), OwnTold(AnchorSent(bytes(32), "t"), 5)
    async with news.listen() as listener:
        news.tell(sent)
        assert await listener.receive() == sent


async def test_who_stopped_listening_is_forgotten() -> None:
    news = News()
    async with news.listen():
        assert len(news._listeners) == 1
    assert not news._listeners
    news.tell(told(1))
    await trio.lowlevel.checkpoint()


async def test_a_listener_hears_only_what_it_wants() -> None:
    news, about = News(), Told(SlotReleased(TaskId(bytes(32)), 0, 0, NodeId(b"n" * 32)), 1, 1)
    async with news.listen(is_about_a_task) as listener:
        for number in range(BACKLOG_MAX + 1):
            news.tell(told(number))
        news.tell(about)
        assert await listener.receive() == about


async def test_who_waits_for_a_task_hears_of_it_and_of_what_is_about_none_but_of_no_other() -> None:
    news, own = News(), TaskId(bytes(32))
    tasks = (own, TaskId(b"o" * 32))
    about = {task: Told(SlotReleased(task, 0, NodeId(b"n" * 32), ""), 1, 1) for task in tasks}
    async with news.listen(of_no_other(own)) as listener:
        for _ in range(BACKLOG_MAX + 1):
            news.tell(about[TaskId(b"o" * 32)])
        news.tell(told(7))
        news.tell(about[own])
        assert await listener.receive() == told(7)
        assert await listener.receive() == about[own]
