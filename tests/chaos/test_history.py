"""The checker finds each broken promise, and finds nothing in a good history."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ambientd.api.replies import Task, WorkerPay
from tests.chaos.history import Ending, History, faults
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


def ending(*tasks: Task, total_msat: int = 100) -> Ending:
    return Ending({each.task_id: each for each in tasks}, {NAME: ""}, total_msat)


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


def test_a_term_with_two_coordinators_is_named() -> None:
    seen = history()
    seen.see(1, 2, "c")
    assert found(ending(task()), seen=seen) == ["term 2 of epoch 1 had 2 coordinators"]
