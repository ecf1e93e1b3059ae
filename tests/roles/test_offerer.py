"""An owner's word goes into the log once, again while it does not show, and never for nothing."""

import pytest

from ambientd.ledger.events import SlotAssigned
from ambientd.model.base import TaskId
from ambientd.model.effect import Abandon, Propose
from ambientd.model.execution import AbortCause
from ambientd.model.offer import NOTHING_SAID, Closed, SlotName, Wish
from ambientd.model.record import Offer
from ambientd.roles.offerer import AGAIN_MS, AGAIN_MS_MAX, Offerer
from ambientd.roles.worker import Worker
from ambientd.rules.pace import PROMPT_NODES_MAX, beat_ms, next_beat_ms
from tests.ledger.cluster import START_MS, TestCluster
from tests.roles.stage import kinds, number_of, place

NOW = START_MS + 1_000
PAUSED = Wish(closed=Closed.PAUSED)
STOPPED = Wish(closed=Closed.PAUSED, stops=True)


def said(offerer: Offerer, cluster: TestCluster, *names: SlotName, now: int = NOW) -> list[Offer]:
    bodies = []
    for effect in offerer.on_tick(cluster.state, names, now):
        assert isinstance(effect, Propose)
        assert isinstance(effect.body, Offer)
        bodies.append(effect.body)
    return bodies


def test_an_owner_that_wants_nothing_else_is_silent() -> None:
    cluster = TestCluster()
    offerer = Offerer(cluster.node(1))
    assert offerer.next_deadline(cluster.state, ()) is None
    offerer.on_wish(NOTHING_SAID)
    assert said(offerer, cluster) == []


def test_a_wish_is_said_at_once_and_again_until_the_ledger_has_it() -> None:
    cluster = TestCluster()
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(PAUSED)
    [body] = said(offerer, cluster)
    assert (body.closed, body.refuses, body.hands_back) == (Closed.PAUSED, (), ())
    assert offerer.next_deadline(cluster.state, ()) == NOW + AGAIN_MS
    assert said(offerer, cluster, now=NOW + 1) == []
    [again] = said(offerer, cluster, now=NOW + AGAIN_MS)
    assert again.said_ms > body.said_ms
    cluster.block((1, again))
    assert offerer.next_deadline(cluster.state, ()) is None


def among_many() -> TestCluster:
    cluster = TestCluster()
    for number in range(4, PROMPT_NODES_MAX + 1):
        cluster.block(cluster.join(number, invite=900 + number))
    return cluster


def test_among_many_a_first_word_waits_for_the_beat_and_is_repeated_ever_less_often() -> None:
    cluster = among_many()
    nodes = len(cluster.state.nodes())
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(PAUSED)
    now = NOW - NOW % beat_ms(nodes) + 1
    assert said(offerer, cluster, now=now) == []
    beat = offerer.next_deadline(cluster.state, ())
    assert beat == next_beat_ms(now, nodes) > now
    pauses = []
    for _ in range(6):
        assert said(offerer, cluster, now=beat)
        again = offerer.next_deadline(cluster.state, ())
        assert again is not None
        pauses.append(again - beat)
        beat = again
    assert pauses == [AGAIN_MS, *(AGAIN_MS * 2**n for n in range(1, 5)), AGAIN_MS_MAX]


def test_among_many_a_later_word_is_said_at_once_and_repeated_as_among_few() -> None:
    cluster = among_many()
    offerer = Offerer(cluster.node(1))
    cluster.block((1, Offer(closed=Closed.OPEN, refuses=(), hands_back=(), said_ms=NOW - 1)))
    offerer.on_wish(PAUSED)
    for now in (NOW, NOW + AGAIN_MS, NOW + 2 * AGAIN_MS):
        assert said(offerer, cluster, now=now)
        assert offerer.next_deadline(cluster.state, ()) == now + AGAIN_MS


def test_among_few_a_first_word_too_is_repeated_as_often_as_a_later_one() -> None:
    cluster = TestCluster()
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(PAUSED)
    for now in range(NOW, NOW + 6 * AGAIN_MS, AGAIN_MS):
        assert said(offerer, cluster, now=now)
        assert offerer.next_deadline(cluster.state, ()) == now + AGAIN_MS


def with_words_unheard(cluster: TestCluster) -> tuple[Offerer, int]:
    """Give a newcomer that has just said for the sixth time what does not show, and that time."""
    offerer, now = Offerer(cluster.node(1)), NOW
    offerer.on_wish(PAUSED)
    said(offerer, cluster, now=now)
    for _ in range(6):
        due = offerer.next_deadline(cluster.state, ())
        assert due is not None
        now = due
        assert said(offerer, cluster, now=now)
    assert offerer.next_deadline(cluster.state, ()) == now + AGAIN_MS_MAX
    return offerer, now


def test_a_newcomer_whose_owner_changes_its_mind_says_so_at_the_next_beat() -> None:
    cluster = among_many()
    offerer, now = with_words_unheard(cluster)
    offerer.on_wish(PAUSED)
    assert said(offerer, cluster, now=now + 1) == [], "the same wish is no news"
    offerer.on_wish(Wish(closed=Closed.HOT))
    said(offerer, cluster, now=now + 1)
    beat = next_beat_ms(now + 1, len(cluster.state.nodes()))
    assert offerer.next_deadline(cluster.state, ()) == beat
    [body] = said(offerer, cluster, now=beat)
    assert body.closed == Closed.HOT
    assert offerer.next_deadline(cluster.state, ()) == beat + AGAIN_MS


def test_a_newcomer_whose_first_word_has_landed_waits_no_longer_than_others() -> None:
    cluster = among_many()
    offerer, now = with_words_unheard(cluster)
    cluster.block((1, Offer(closed=Closed.OPEN, refuses=(), hands_back=(), said_ms=now)))
    assert offerer.next_deadline(cluster.state, ()) == now + AGAIN_MS
    assert said(offerer, cluster, now=now + AGAIN_MS - 1) == []
    assert said(offerer, cluster, now=now + AGAIN_MS)


def test_a_clock_that_was_set_back_does_not_silence_the_owner() -> None:
    cluster = TestCluster()
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(PAUSED)
    cluster.block((1, said(offerer, cluster)[0]))
    offerer.on_wish(NOTHING_SAID)
    [body] = said(restarted(offerer, cluster), cluster, now=NOW - 100_000)
    assert body.said_ms == NOW + 1


def restarted(offerer: Offerer, cluster: TestCluster) -> Offerer:
    """Give one that starts anew with the same wish and the same ledger."""
    again = Offerer(cluster.node(1))
    again.on_wish(offerer.wish)
    return again


def test_a_stranger_and_a_node_that_refuses_what_it_should_say_nothing() -> None:
    cluster = TestCluster()
    stranger = Offerer(cluster.node(70))
    stranger.on_wish(PAUSED)
    assert said(stranger, cluster) == []
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(Wish(refuses=()))
    assert said(offerer, cluster) == []
    offerer.on_wish(Wish(refuses=("media",)))
    [body] = said(offerer, cluster)
    assert (body.closed, body.refuses) == (Closed.OPEN, ("media",))


def test_a_cap_on_memory_is_said_at_once_and_taken_back_when_it_is_lifted() -> None:
    cluster = TestCluster()
    offerer = Offerer(cluster.node(1))
    offerer.on_wish(Wish(memory_bytes_max=1 << 30))
    [body] = said(offerer, cluster)
    assert (body.closed, body.memory_bytes_max) == (Closed.OPEN, 1 << 30)
    cluster.block((1, body))
    assert offerer.next_deadline(cluster.state, ()) is None
    again = restarted(offerer, cluster)
    assert said(again, cluster) == []
    again.on_wish(NOTHING_SAID)
    [lifted] = said(again, cluster)
    assert lifted.memory_bytes_max == 0


def worker_of(cluster: TestCluster, task: TaskId) -> Worker:
    number = number_of(cluster, cluster.task(task).slots[0].worker)
    return Worker(cluster.signer(number), b"secret")


def assigned(cluster: TestCluster, task: TaskId) -> SlotAssigned:
    return next(each for each in cluster.events if isinstance(each, SlotAssigned) and not each.slot)


def test_a_worker_that_stops_abandons_and_hands_back_and_one_that_drains_does_not() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = worker_of(cluster, task)
    assert kinds(worker.on_ledger(assigned(cluster, task), cluster.state, NOW)) == ["Execute"]
    assert worker.on_wish(PAUSED) == []
    assert list(worker.unwanted) == []
    assert worker.on_wish(STOPPED) == [Abandon(place(cluster, task, 0))]
    assert list(worker.unwanted) == [SlotName(task=task, slot=0, attempt=0)]
    assert worker.next_deadline is None
    assert worker.on_tick(NOW + 100_000) == []
    assert kinds(worker.on_wish(NOTHING_SAID)) == ["Execute"]
    assert list(worker.unwanted) == []


def test_what_comes_to_a_closed_worker_is_not_executed() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    worker = worker_of(cluster, task)
    worker.on_wish(PAUSED)
    assert worker.on_ledger(assigned(cluster, task), cluster.state, NOW) == []
    assert len(worker.unwanted) == 1


def test_what_failed_here_is_not_tried_again_once_the_worker_is_closed() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    for before in (True, False):
        worker = worker_of(cluster, task)
        worker.on_ledger(assigned(cluster, task), cluster.state, NOW)
        if before:
            worker.on_wish(PAUSED)
        worker.on_aborted(place(cluster, task, 0), AbortCause.OTHER, NOW)
        worker.on_wish(PAUSED)
        assert len(worker.unwanted) == 1


@pytest.mark.parametrize("wish", [NOTHING_SAID, PAUSED, STOPPED])
def test_what_was_sealed_before_a_start_is_opened_whatever_the_owner_wants(wish: Wish) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    worker = worker_of(cluster, task)
    worker.on_wish(wish)
    assert kinds(worker.resume(cluster.state, NOW)) == ["Execute"]
    assert worker.on_wish(STOPPED) == []
    worker.on_aborted(place(cluster, task, 0), AbortCause.OTHER, NOW)
    assert worker.unwanted == ()
    assert kinds(worker.on_tick(NOW + 100_000)) == ["Execute"]
