"""A bundle in the ledger: taken within bounds, settled once, and never bisected."""

import pytest
from msgspec.structs import replace

from ambientd.codec.bundles import bundle_of_items, bundle_of_outcomes, encode_items
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.ledger.events import RoundBegan, WholeWanted
from ambientd.model.base import Digest
from ambientd.model.bundle import ITEMS_MAX, Bundle, ItemOutcome
from ambientd.model.genesis import Rules
from ambientd.model.task import Result, SlotState, TaskState, Verdict
from ambientd.wasm.prepare import REWRITER_VERSION
from tests.ledger.cluster import OUTPUT, TestCluster, rejections, result, spec

ITEMS = (b"one", b"two", b"three")
DATA = encode_items(ITEMS)
GIVEN = bundle_of_items(ITEMS, len(DATA))
TERMS: dict[str, object] = {"input": sha256(DATA), "input_size_bytes": GIVEN}


def answer(*outputs: bytes, gas: int = 5_000_000) -> Result:
    outcomes = [ItemOutcome(kind=0, reason="", gas=1, output=each) for each in outputs]
    data = encode(tuple(outcomes))
    found = result(data, gas=gas)
    return replace(found, output_size_bytes=bundle_of_outcomes(outcomes, len(data)))


TRUE, LIE = answer(b"ONE", b"TWO", b"THREE"), answer(b"ONE", b"TWO", b"LIE")


def test_a_bundle_that_all_agree_on_is_settled_paid_and_one_leaf() -> None:
    cluster = TestCluster()
    task = cluster.admit(**TERMS)
    cluster.work(task, {0: TRUE, 1: TRUE})
    entry = cluster.task(task)
    assert entry.settlement is not None
    assert (entry.settlement.verdict, entry.settlement.result) == (Verdict.AGREED, TRUE)
    assert len(entry.payments) == 2
    cluster.close_batch()
    assert cluster.state.checkpoint_size() == 1


def test_a_liar_about_one_item_is_convicted_by_referees_who_execute_the_whole() -> None:
    cluster = TestCluster(rules=Rules(referee_gas_max=1))
    task = cluster.admit(**TERMS)
    events = cluster.work(task, {0: TRUE, 1: LIE})
    assert [type(each) for each in events if isinstance(each, RoundBegan | WholeWanted)] == [
        WholeWanted
    ]
    liar = cluster.task(task).slots[1].worker
    for referee in range(3):
        cluster.block(cluster.finding(task, referee, TRUE))
    entry = cluster.task(task)
    assert entry.state is TaskState.FINAL
    assert entry.settlement is not None
    assert (entry.settlement.result, entry.settlement.liars) == (TRUE, (liar,))


def test_the_same_dispute_about_one_input_is_bisected() -> None:
    cluster = TestCluster(rules=Rules(referee_gas_max=1))
    events = cluster.work(cluster.admit(), {1: result(b"a lie")})
    assert any(isinstance(each, RoundBegan) for each in events)


@pytest.mark.parametrize(
    "wrong",
    [
        result(),
        answer(b"ONE", b"TWO"),
        answer(b"ONE", b"TWO", b"THREE", b"FOUR"),
        replace(TRUE, output_size_bytes=Bundle(size_bytes=2_000, items=3, root=Digest(bytes(32)))),
        replace(TRUE, kind=1),
    ],
)
def test_an_answer_that_is_no_bundle_of_these_items_is_not_opened(wrong: Result) -> None:
    cluster = TestCluster()
    task = cluster.admit(**TERMS)
    cluster.work(task, {0: wrong, 1: TRUE})
    states = [slot.state for slot in cluster.task(task).slots]
    assert states == [SlotState.COMMITTED, SlotState.REVEALED]


def test_an_answer_of_items_to_a_task_of_one_input_is_not_opened() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {0: TRUE, 1: TRUE})
    assert cluster.task(task).state is TaskState.COMMITTED


@pytest.mark.parametrize("items", [0, ITEMS_MAX + 1, 2**40])
def test_a_bundle_of_no_items_or_too_many_is_not_admitted(items: int) -> None:
    cluster = TestCluster()
    size = replace(GIVEN, items=items)
    task = cluster.admit(input_size_bytes=size, gas_max=1 << 42, price_msat_per_mgas=1)
    assert cluster.state.task(task) is None
    assert "number of items" in rejections(cluster.events)[-1]


def test_gas_for_less_than_one_an_item_is_not_admitted() -> None:
    cluster = TestCluster()
    assert cluster.state.task(cluster.admit(**TERMS, gas_max=2)) is None
    assert "gas limit" in rejections(cluster.events)[-1]


def test_a_task_of_one_input_has_the_bytes_that_it_had_before_bundles() -> None:
    """Its specification as the program wrote it the day before: ids, receipts and rows hold."""
    written = (
        f"dc0012c420{sha256(b'module').hex()}c420{sha256(b'input').hex()}"
        "640ace00989680ce00100000cd03e8cd03e8010264a767656e6572616c9090040000a0"
    )
    assert encode(spec()).hex() == written
    answered = (
        f"9700a0c420{sha256(OUTPUT).hex()}0ace004c4b40c420{sha256(b'prepared').hex()}"
        f"{REWRITER_VERSION:02x}"
    )
    assert encode(result()).hex() == answered
