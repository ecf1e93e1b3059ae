"""Bitcoin headers in the ledger: what is taken, and how they draw."""

from ambientd.ledger.audit_entries import AuditSource, AuditState
from ambientd.ledger.audits import DRAW_AHEAD
from ambientd.ledger.events import HeadersTaken
from ambientd.ledger.headers import window_of
from ambientd.model.genesis import Rules
from ambientd.model.record import BitcoinHeaders
from ambientd.rules.auditing import is_audited
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, double_sha256
from tests.ledger.cluster import TestCluster, rejections
from tests.ledger.headers import SIGNET_HEADERS
from tests.ledger.test_audits import about, alone, told

HEIGHT = 200_000
KNOWN = 3
RULES = Rules(audit_window_ms=100_000, audit_permille=500)


def headers(start: int, end: int) -> BitcoinHeaders:
    """Give some of the headers by their places."""
    return BitcoinHeaders(height=HEIGHT + start, headers=SIGNET_HEADERS[start:end])


def on_signet() -> TestCluster:
    return TestCluster(rules=RULES, network="signet")


def test_members_bring_headers_and_each_is_taken_once() -> None:
    cluster = on_signet()
    cluster.block((0, headers(0, KNOWN)))
    assert told(cluster, HeadersTaken) == [HeadersTaken(HEIGHT + KNOWN - 1)]
    assert cluster.block((1, headers(0, KNOWN))) == [], "it is there already"
    cluster.block((2, headers(KNOWN, 5)))
    window = window_of(cluster.state)
    assert (window.first, window.headers) == (HEIGHT, SIGNET_HEADERS[:5])
    assert cluster.restarted().root == cluster.state.root


def test_headers_of_guests_or_without_cost_are_not_taken() -> None:
    cluster = on_signet()
    cluster.block(cluster.join(50))
    said = rejections(cluster.block((50, headers(0, 2))))
    assert said == ["only committee members that were never convicted bring headers"]
    cheap = TestCluster(rules=RULES)
    said = rejections(cheap.block((0, headers(0, 2))))
    assert said == ["the blocks of this cluster's Bitcoin network draw nothing"]


def test_a_block_that_was_mined_later_draws_once_it_has_six_confirmations() -> None:
    cluster = on_signet()
    cluster.block((0, headers(0, KNOWN)))
    tasks = [alone(cluster, nonce=b"%d" % number)[0] for number in range(8)]
    drawing = KNOWN - 1 + DRAW_AHEAD
    enough = drawing + CONFIRMATIONS_MIN
    cluster.term += 1
    cluster.block((0, headers(KNOWN, enough - 1)))
    cluster.block()
    assert {about(cluster, task).state for task in tasks} == {AuditState.AWAITING}
    cluster.block((0, headers(enough - 1, enough)))
    cluster.block()
    seed = double_sha256(SIGNET_HEADERS[drawing])
    for task in tasks:
        found = about(cluster, task)
        assert found.source is AuditSource.BITCOIN
        is_open = found.state is AuditState.OPEN
        assert is_open == is_audited(seed, task, RULES.audit_permille)
    assert {about(cluster, task).state for task in tasks} == {AuditState.OPEN, AuditState.PASSED}


def test_the_committee_draws_when_bitcoin_says_nothing_for_half_of_the_window() -> None:
    cluster = on_signet()
    cluster.block((0, headers(0, KNOWN)))
    task, _ = alone(cluster)
    cluster.term += 1
    cluster.block(after_ms=RULES.audit_window_ms // 2 - 200)
    assert about(cluster, task).state is AuditState.AWAITING
    cluster.block(after_ms=200)
    assert about(cluster, task).source is AuditSource.COMMITTEE
