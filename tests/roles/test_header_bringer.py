"""Header bringer: what the coordinator proposes, and when it is quiet."""

from ambientd.ledger.headers import window_of
from ambientd.model.effect import Propose
from ambientd.model.record import BitcoinHeaders
from ambientd.roles.header_bringer import INSIST_MS, PATIENCE_MS, HeaderBringer
from ambientd.rules.header_window import Window
from tests.ledger.cluster import TestCluster, rejections
from tests.ledger.headers import SIGNET_HEADERS
from tests.ledger.test_headers import HEIGHT, headers, on_signet


def seeing(end: int) -> HeaderBringer:
    bringer = HeaderBringer()
    bringer.on_headers(Window(HEIGHT, SIGNET_HEADERS[:end]))
    return bringer


def test_it_brings_what_the_ledger_lacks_and_again_until_the_ledger_has_it() -> None:
    cluster = on_signet()
    bringer = seeing(4)
    assert bringer.next_deadline(cluster.state, leads=True) == 0
    assert bringer.on_tick(cluster.state, 1, leads=True) == [Propose(headers(0, 4))]
    assert bringer.on_tick(cluster.state, INSIST_MS, leads=True) == []
    assert bringer.on_tick(cluster.state, 1 + INSIST_MS, leads=True) == [Propose(headers(0, 4))]
    cluster.block((0, headers(0, 4)))
    assert bringer.next_deadline(cluster.state, leads=True) is None
    assert bringer.on_tick(cluster.state, 10 * INSIST_MS, leads=True) == []
    bringer.on_headers(Window(HEIGHT + 2, SIGNET_HEADERS[2:7]))
    assert bringer.on_tick(cluster.state, 1, leads=True) == [Propose(headers(4, 7))]


def test_who_does_not_coordinate_brings_what_the_coordinator_keeps_back() -> None:
    cluster = on_signet()
    bringer = seeing(4)
    assert bringer.on_tick(cluster.state, 1, leads=False) == []
    assert bringer.next_deadline(cluster.state, leads=False) == 1 + PATIENCE_MS
    assert bringer.on_tick(cluster.state, PATIENCE_MS, leads=False) == []
    assert bringer.on_tick(cluster.state, 1 + PATIENCE_MS, leads=False) == [Propose(headers(0, 4))]
    cluster.block((0, headers(0, 4)))
    assert bringer.next_deadline(cluster.state, leads=False) is None
    assert bringer.on_tick(cluster.state, 2 * PATIENCE_MS, leads=False) == []


def test_a_false_height_holds_up_nobody() -> None:
    cluster = on_signet()
    false = BitcoinHeaders(height=HEIGHT + 1_000, headers=SIGNET_HEADERS[:4])
    cluster.block((1, false))
    (said,) = seeing(7).on_tick(cluster.state, 1, leads=True)
    assert said == Propose(headers(4, 7))
    assert rejections(cluster.block((0, headers(4, 7)))) == []
    window = window_of(cluster.state)
    assert (window.first, window.headers) == (HEIGHT + 1_000, SIGNET_HEADERS[:7])


def test_where_blocks_cost_nothing_no_headers_are_brought() -> None:
    assert seeing(4).on_tick(TestCluster().state, 1, leads=True) == []


def test_who_has_no_chain_brings_nothing() -> None:
    assert HeaderBringer().on_tick(on_signet().state, 1, leads=True) == []


def test_a_branch_that_the_ledger_would_not_take_is_not_brought() -> None:
    cluster = on_signet()
    cluster.block((0, headers(0, 4)))
    bringer = HeaderBringer()
    bringer.on_headers(Window(HEIGHT + 6, SIGNET_HEADERS[6:9]))
    assert bringer.on_tick(cluster.state, 1, leads=True) == [], "less work than the four"
    bringer.on_headers(Window(HEIGHT + 6, SIGNET_HEADERS[6:11]))
    assert bringer.on_tick(cluster.state, 1, leads=True) == [Propose(headers(6, 11))]
