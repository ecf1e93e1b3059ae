"""The checker finds each broken promise, and finds nothing in a good history."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from ambientd.api.replies import Task, WorkerPay
from tests.chaos.history import IN_FLIGHT_MS, Ending, History, Islander, faults
from tests.chaos.play import doubles

NAME = "ab" * 32


def task(**changes: Any) -> Task:
    kinds = {field.name: field for field in msgspec.structs.fields(Task)}
    values = {
        name: changes.get(name, field.default)
        for name, field in kinds.items()
        if name in changes or field.default is not msgspec.NODEFAULT
    }
    good = {
        "task_id": NAME,
        "state": "final",
        "replicas": 2,
        "input_sha256": "cd" * 32,
        "outcome": "completed",
        "output_sha256": "ef" * 32,
        "paid_msat": 6,
        "refunded_msat": 4,
        "payments": (
            WorkerPay(worker="aa", amount_msat=3),
            WorkerPay(worker="bb", amount_msat=3),
        ),
    }
    rest = dict.fromkeys(kinds)
    return Task(**{**rest, **values, **good, **changes})


def history() -> History:
    made = History()
    made.acknowledge(NAME, b"nonce", 0.1, was_known=False)
    made.see(1, 1, "a")
    made.see(1, 2, "b")
    made.see(1, 2, None)
    return made


def ending(
    *tasks: Task, total_msat: int = 100, blocks: Mapping[int, bytes] = MappingProxyType({})
) -> Ending:
    return Ending({each.task_id: each for each in tasks}, {NAME: ""}, total_msat, blocks)


def found(*endings: Ending, seen: History | None = None) -> list[str]:
    named = {f"node{number}": each for number, each in enumerate(endings)}
    return faults(seen or history(), named, 100) + doubles(named)


def test_a_good_history_has_no_fault() -> None:
    assert found(ending(task()), ending(task())) == []


def test_an_audit_that_has_begun_when_nodes_are_stopped_is_no_fault() -> None:
    """Seen: all had ended, and two of four nodes took one more block while the others stopped."""
    audit = {"task_id": "01" * 32, "audits": NAME, "paid_msat": 0, "payments": ()}
    begun = task(**audit, state="assigned", outcome="", output_sha256="")
    ended = task(**audit)
    assert found(ending(task()), ending(task(), begun), ending(task(), ended)) == []
    wrong = task(**audit, output_sha256="99" * 32)
    assert any("disagree about 0101" in e for e in found(ending(ended), ending(wrong)))


@pytest.mark.parametrize("state", ["expired", "cancelled"])
def test_an_audit_that_has_ended_but_not_as_final_is_a_fault(state: str) -> None:
    audit = {"task_id": "01" * 32, "audits": NAME, "paid_msat": 0, "payments": ()}
    lost, good = ending(task(), task(**audit, state=state)), ending(task(), task(**audit))
    assert any(f"is {state}, not final" in each for each in found(lost))
    assert any("disagree about 0101" in each for each in found(lost, good))


def test_what_a_client_asked_for_is_no_audit_whatever_a_node_calls_it() -> None:
    called = ending(task(state="assigned", audits="01" * 32))
    assert any("is assigned, not final" in each for each in found(called))
    assert any("disagree about abab" in each for each in found(ending(task()), called))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (ending(), "has lost the acknowledged task abab"),
        (ending(task(state="assigned")), "is assigned, not final"),
        (ending(task(), total_msat=101), "has 101 msat, of 100"),
        (ending(task(paid_msat=7)), "another sum than its payments"),
        (ending(task(replicas=1)), "has paid 2 workers of 1"),
        (
            ending(task(payments=(WorkerPay(worker="aa", amount_msat=3),) * 2)),
            "or one twice",
        ),
        (ending(task(), task(task_id="01" * 32)), "was admitted twice"),
        (replace(ending(task()), receipts={NAME: "no note"}), "does not verify: no note"),
    ],
)
def test_a_broken_promise_is_named(bad: Ending, words: str) -> None:
    assert any(words in each for each in found(bad))


def test_two_nodes_that_disagree_are_named() -> None:
    (fault,) = found(ending(task()), ending(task(output_sha256="00" * 32)))
    assert fault == f"node0 and node1 disagree about {NAME[:12]}"


def on_an_island(*looks: Islander, node: str = "node4") -> History:
    seen = history()
    for look in looks:
        seen.see_island("alone", node, look)
    return seen


def test_an_island_may_finish_what_was_under_way_and_stand_still() -> None:
    seen = on_an_island(
        Islander(7, -200, 2, 10),
        Islander(8, IN_FLIGHT_MS, 3, 12),
        Islander(8, IN_FLIGHT_MS, 1, 12),
        Islander(8, IN_FLIGHT_MS, 0, 12),
    )
    seen.see_island("alone", "node4, started again", Islander(8, IN_FLIGHT_MS, 3, 12))
    assert found(ending(task()), seen=seen) == []


def test_a_block_that_an_island_made_is_a_fault() -> None:
    seen = on_an_island(Islander(8, 3_000, 0, 10))
    assert found(ending(task()), seen=seen) == [
        "alone: node4: block 8, made 3000 ms after the cut, was committed on an island"
    ]


def test_a_block_that_an_island_made_at_once_is_a_fault_by_what_the_others_have() -> None:
    """Seen by the checker's own test: any number passed within a second after the cut."""
    majority = ending(task(), blocks={7: b"7", 8: b"8"})
    behind, alone = ending(task(), blocks={7: b"7"}), ending(task(), blocks={7: b"7", 8: b"x"})
    assert found(majority, behind) == []
    assert found(majority, behind, alone) == ["node0 and node2 have different blocks at 8"]


def test_a_slot_that_is_taken_up_without_a_block_is_a_fault() -> None:
    seen = on_an_island(Islander(7, -200, 1, 10), Islander(7, -200, 3, 10))
    assert found(ending(task()), seen=seen) == [
        "alone: node4: 2 slots were taken up at block 7, on an island and without another block"
    ]


def test_a_payment_without_a_block_is_a_fault() -> None:
    seen = on_an_island(Islander(7, -200, 1, 10), Islander(7, -200, 0, 13))
    assert found(ending(task()), seen=seen) == [
        "alone: node4: 3 msat were paid at block 7, on an island and without another block"
    ]


def test_an_island_that_nobody_looked_at_is_a_fault() -> None:
    seen = on_an_island(Islander(7, -200, 1, 10))
    seen.cut_off("alone")
    assert found(ending(task()), seen=seen) == []
    seen.cut_off("unseen")
    assert found(ending(task()), seen=seen) == [
        "unseen: nobody looked at a node of it while it was cut off"
    ]


def test_a_task_that_waited_on_an_island_and_is_not_there_by_itself_is_a_fault() -> None:
    seen = history()
    seen.strand(NAME)
    assert found(ending(task()), seen=seen) == []
    seen.strand("99" * 32)
    assert found(ending(task()), ending(task()), seen=seen) == [
        f"node{number} has no task 999999999999, which waited on an island" for number in range(2)
    ]


def test_a_term_with_two_coordinators_is_named() -> None:
    seen = history()
    seen.see(1, 2, "c")
    assert found(ending(task()), seen=seen) == ["term 2 of epoch 1 had 2 coordinators"]
