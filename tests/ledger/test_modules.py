"""A version names the same bytes for ever, a name is its publisher's, and the table is bounded."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.ledger.events import ModulePublished, ModuleYanked
from ambientd.ledger.module_entries import ModuleEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.record import Bond, Fraud, Transfer, Yank
from ambientd.rules.modules import MODULES_MAX, PUBLISH_FEE_MSAT, VERSIONS_MAX
from tests.ledger.cluster import GRANT_MSAT, TestCluster, rejections, result
from tests.ledger.publishing import publish


def found(cluster: TestCluster, publisher: int = 1, name: str = "sums") -> ModuleEntry:
    entry = cluster.state.modules.get(cluster.node(publisher), name)
    assert entry is not None
    return entry


def versions(cluster: TestCluster) -> list[str]:
    return [each.version for each in found(cluster).versions]


def test_a_published_version_is_in_the_registry_for_a_fee() -> None:
    cluster = TestCluster()
    node, pool_msat = cluster.node(1), cluster.state.meta.fee_pool_msat
    body = publish()
    assert cluster.block((1, body)) == [ModulePublished(node, "sums", "1.0.0", body.manifest)]
    [version] = found(cluster).versions
    assert (version.module, version.module_size_bytes) == (body.module, body.module_size_bytes)
    assert version.published_ms == cluster.time_ms
    assert cluster.state.balance_msat(node) == GRANT_MSAT - PUBLISH_FEE_MSAT
    assert cluster.state.meta.fee_pool_msat == pool_msat + PUBLISH_FEE_MSAT
    assert cluster.state.modules.names() == [(node, "sums")]


def test_what_a_version_names_never_changes() -> None:
    cluster = TestCluster()
    cluster.block((1, publish()))
    before, balance_msat = found(cluster), cluster.state.balance_msat(cluster.node(1))
    assert cluster.block((1, publish())) == [], "the same again is nothing new"
    for change in ({"module": bytes(32)}, {"manifest": bytes(32)}):
        assert "as another module" in rejections(cluster.block((1, publish(**change))))[0]
    assert found(cluster) == before
    assert cluster.state.balance_msat(cluster.node(1)) == balance_msat


def test_names_of_two_publishers_have_nothing_to_do_with_each_other() -> None:
    cluster = TestCluster()
    cluster.block((1, publish()))
    cluster.block((2, publish(module=bytes(32))))
    assert found(cluster, 1).versions[0].module != found(cluster, 2).versions[0].module
    yank = Yank(name="sums", version="1.0.0", reason="mine is better")
    assert "no such version" in rejections(cluster.block((3, yank)))[0]
    assert not found(cluster, 1).versions[0].yanked


def test_a_version_is_above_all_of_its_line() -> None:
    cluster = TestCluster()
    for version in ("1.4.1", "2.0.0-rc.1", "2.0.0", "1.4.2"):
        assert not rejections(cluster.block((1, publish(version=version))))
    for version in ("1.4.0", "1.4.2-rc.1", "2.0.0-rc.2"):
        assert "MAJOR.MINOR" in rejections(cluster.block((1, publish(version=version))))[0]
    assert versions(cluster) == ["1.4.1", "2.0.0-rc.1", "2.0.0", "1.4.2"]


def test_a_yanked_version_stays_with_the_first_reason() -> None:
    cluster = TestCluster()
    cluster.block((1, publish()))
    yank = Yank(name="sums", version="1.0.0", reason="adds wrongly")
    assert cluster.block((1, yank)) == [
        ModuleYanked(cluster.node(1), "sums", "1.0.0", "adds wrongly")
    ]
    assert cluster.block((1, replace(yank, reason="another"))) == []
    assert found(cluster).versions[0].yanked == "adds wrongly"
    assert cluster.block((1, publish())) == [], "an old record brings nothing back"
    assert found(cluster).versions[0].yanked == "adds wrongly"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Sums"},
        {"name": ""},
        {"name": "a" * 64},
        {"name": "sums/../up"},
        {"name": "sums\n"},
        {"version": "1.0"},
        {"version": "01.0.0"},
        {"version": "1.0.0+build"},
        {"version": "1.0.0-01"},
        {"version": "1.0.0\n"},
        {"version": "1.0." + "9" * 200},
        {"summary": "a" * 101},
        {"summary": "right-to-left \u202e"},
        {"module_size_bytes": 0},
        {"module_size_bytes": (64 << 20) + 1},
    ],
)
def test_what_is_out_of_bounds_is_rejected(change: dict[str, object]) -> None:
    cluster = TestCluster()
    assert rejections(cluster.block((1, publish(**change))))
    assert cluster.state.modules.names() == []


@pytest.mark.parametrize("reason", ["", "   ", "a" * 101])
def test_a_yank_gives_a_reason_in_plain_words(reason: str) -> None:
    cluster = TestCluster()
    cluster.block((1, publish()))
    yank = Yank(name="sums", version="1.0.0", reason=reason)
    assert rejections(cluster.block((1, yank)))
    assert not found(cluster).versions[0].yanked


def test_a_publisher_has_so_many_names_and_a_name_so_many_versions() -> None:
    cluster = TestCluster(grant_msat=4 * GRANT_MSAT)
    names = [(1, publish(f"m{number}")) for number in range(MODULES_MAX)]
    assert not rejections(cluster.block(*names))
    late = [(1, publish("one-more")), (1, publish("m0", "1.0.1")), (2, publish("one-more"))]
    assert len(rejections(cluster.block(*late))) == 1, "in one block as in many"
    more = [(1, publish("m1", f"1.0.{number}")) for number in range(1, VERSIONS_MAX)]
    assert not rejections(cluster.block(*more))
    assert "no more" in rejections(cluster.block((1, publish("m1", "2.0.0"))))[0]
    size_bytes = len(encode(found(cluster, 1, "m1")))
    assert MODULES_MAX * size_bytes < 512 * 1024, "what document 15 promises of the state's size"


def test_who_has_no_credits_publishes_nothing() -> None:
    cluster = TestCluster()
    node = cluster.node(1)
    left_msat = cluster.state.balance_msat(node) - PUBLISH_FEE_MSAT + 1
    cluster.block((1, Transfer(to=cluster.node(2), amount_msat=left_msat, said_ms=1)))
    assert "costs" in rejections(cluster.block((1, publish())))[0]
    cluster.block((2, Transfer(to=node, amount_msat=1, said_ms=1)))
    assert not rejections(cluster.block((1, publish())))
    assert "less than" in rejections(cluster.block((1, Bond(amount_msat=1, said_ms=2))))[0]


def test_a_convicted_publisher_publishes_no_more_and_what_it_did_stays() -> None:
    cluster = TestCluster()
    cluster.block((1, publish()))
    lies = [cluster.verdict(cluster.admit(), 1, result(answer)) for answer in (b"one", b"two")]
    first, second = map(encode, lies)
    cluster.block((0, Fraud(culprit=cluster.node(1), kind="verdict", first=first, second=second)))
    yank = Yank(name="sums", version="1.0.0", reason="adds wrongly")
    for body in (publish(version="1.1.0"), yank):
        assert "convicted" in rejections(cluster.block((1, body)))[0]
    assert versions(cluster) == ["1.0.0"]


def test_a_state_that_is_read_again_knows_the_same_modules() -> None:
    cluster = TestCluster()
    cluster.block((1, publish()), (2, publish("other")))
    again = LedgerState.from_items(cluster.genesis, cluster.state.items(), cluster.index)
    assert again.modules.names() == cluster.state.modules.names()
    assert again.modules.get(cluster.node(1), "sums") == found(cluster)
