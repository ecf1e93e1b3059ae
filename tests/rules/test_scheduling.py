from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.rules.scheduling import (
    BOND_CAP_MSAT,
    STRATEGIES,
    Candidate,
    contenders,
    sample,
    select,
    slot_seed,
    weight,
)

ESTABLISHED = Candidate(
    node=NodeId(b""),
    bond_msat=BOND_CAP_MSAT,
    reputation_permille=800,
    newcomer=False,
    load_percent=50,
    latency_ms=20,
    carbon_g_per_kwh=300,
    open_slots=0,
    capacity=2,
)


def seeds(count: int) -> list[bytes]:
    return [slot_seed(sha256(b"beacon"), b"task", 0, attempt) for attempt in range(count)]


def crowd(count: int, **changes: int) -> list[Candidate]:
    return [
        replace(ESTABLISHED, node=NodeId(bytes([number]) * 32), **changes)
        for number in range(1, count + 1)
    ]


def drawn(candidates: list[Candidate], strategy: str = "weighted", draws: int = 2000) -> Counter:
    return Counter(select(candidates, seed, strategy) for seed in seeds(draws))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_choice_depends_on_the_seed_and_not_on_the_order_of_candidates(strategy: str) -> None:
    candidates = crowd(9)
    for seed in seeds(20):
        assert select(candidates, seed, strategy) == select(candidates[::-1], seed, strategy)
    nodes = 1 if strategy == "locality-aware" else 9  # that one depends on the module instead
    assert len(drawn(candidates, strategy, 300)) == nodes


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_nobody_is_chosen_where_nobody_has_room(strategy: str) -> None:
    assert select([], seeds(1)[0], strategy) is None
    assert select(crowd(3, open_slots=16), seeds(1)[0], strategy) is None
    one_free = [*crowd(3, open_slots=16)[:2], *crowd(3)[2:]]
    assert select(one_free, seeds(1)[0], strategy, is_checked=False) == one_free[2].node


def test_equal_candidates_are_drawn_equally_often() -> None:
    counts = drawn(crowd(4))
    assert all(400 < count < 600 for count in counts.values())


def test_bond_times_reputation_is_what_weighs() -> None:
    strong, weak = crowd(2)
    counts = drawn([strong, replace(weak, bond_msat=BOND_CAP_MSAT // 10)])
    assert counts[strong.node] > 5 * counts[weak.node]
    counts = drawn([strong, replace(weak, reputation_permille=100)])
    assert counts[strong.node] > 6 * counts[weak.node]
    counts = drawn([strong, replace(weak, bond_msat=10 * BOND_CAP_MSAT)])
    assert 0.8 < counts[strong.node] / counts[weak.node] < 1.25, "a bond counts up to the cap"


def test_newcomers_get_about_one_slot_in_ten() -> None:
    newcomer = replace(crowd(9)[8], newcomer=True, bond_msat=0, reputation_permille=50)
    share = drawn([*crowd(8), newcomer])[newcomer.node] / 2000
    assert 0.07 < share < 0.14


def test_who_is_less_busy_is_preferred() -> None:
    busy, free = crowd(2)
    assert drawn([replace(busy, open_slots=1), free]) == {free.node: 2000}


def test_a_checked_slot_waits_until_half_of_the_weight_has_room() -> None:
    full = crowd(7, open_slots=16)
    for places in range(8):
        candidates = [replace(c, open_slots=0) if p < places else c for p, c in enumerate(full)]
        assert (select(candidates, seeds(1)[0], "weighted") is None) == (places < 4)
        unchecked = select(candidates, seeds(1)[0], "weighted", is_checked=False)
        assert (unchecked is None) == (places == 0)


queues = st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(0, 5), st.booleans())


@given(st.lists(queues, min_size=1, max_size=12), st.data())
def test_filling_queues_doubles_nobodys_part_of_the_chance(
    about: list[tuple[int, int, int, bool]], data: st.DataObject
) -> None:
    nodes = [
        replace(
            ESTABLISHED,
            node=NodeId(bytes([place]) * 32),
            open_slots=slots,
            capacity=capacity,
            bond_msat=bond * 100_000_000,
        )
        for place, (slots, capacity, bond, _) in enumerate(about)
    ]
    theirs = {c.node for c, (_, _, _, colludes) in zip(nodes, about, strict=True) if colludes}
    among = contenders(nodes, data.draw(st.binary(min_size=32, max_size=32)), "weighted")
    if among:
        part = Fraction(sum(weight(c) for c in nodes if c.node in theirs), sum(map(weight, nodes)))
        chance = Fraction(
            sum(weight(c) for c in among if c.node in theirs), sum(map(weight, among))
        )
        assert chance <= 2 * part


def test_the_least_busy_take_what_nobody_checks_however_few_they_are() -> None:
    candidates = [*crowd(9, open_slots=1)[:8], crowd(9)[8]]
    found = {select(candidates, seed, "weighted", is_checked=False) for seed in seeds(50)}
    assert found == {candidates[8].node}
    assert len(drawn(candidates, draws=200)) == 9


def test_newcomers_have_no_turn_while_most_of_them_are_busy() -> None:
    newcomers = [replace(c, newcomer=True, open_slots=16) for c in crowd(9)[4:]]
    free = replace(newcomers[0], open_slots=0)
    share = drawn([*crowd(4), free, *newcomers[1:]])[free.node] / 2000
    assert share < 0.25, "one of five newcomers, drawn like any other"
    alone = drawn([*crowd(4), free])[free.node] / 2000
    assert alone > share + 0.05


@pytest.mark.parametrize(
    ("strategy", "better"),
    [
        ("round-robin", {"open_slots": -1}),
        ("least-loaded", {"load_percent": -1}),
        ("latency-aware", {"latency_ms": -1}),
        ("carbon-aware", {"carbon_g_per_kwh": -1}),
    ],
)
def test_each_strategy_takes_what_it_is_named_for(strategy: str, better: dict[str, int]) -> None:
    candidates = crowd(5, open_slots=3)
    changes = {name: getattr(candidates[3], name) + change for name, change in better.items()}
    candidates[3] = replace(candidates[3], **changes)
    assert drawn(candidates, strategy, 50) == {candidates[3].node: 50}


def test_a_module_comes_to_the_same_node_until_that_has_its_fill() -> None:
    idle = [replace(each, module=b"m" * 32, capacity=2) for each in crowd(5)]
    [first] = drawn(idle, "locality-aware", 50)
    for open_slots, same in ((1, True), (2, False)):
        busy = [replace(c, open_slots=open_slots) if c.node == first else c for c in idle]
        assert (first in drawn(busy, "locality-aware", 50)) == same
    all_busy = [replace(each, open_slots=3) for each in idle]
    assert drawn(all_busy, "locality-aware", 50) == {first: 50}


def test_modules_are_spread_over_all_nodes() -> None:
    counts: Counter[NodeId] = Counter()
    for number in range(500):
        module = number.to_bytes(32, "big")
        counts += drawn([replace(each, module=module) for each in crowd(5)], "locality-aware", 1)
    assert min(counts.values()) > 60


@given(st.integers(1, 300), st.integers(1, 80), st.binary(min_size=32, max_size=32))
def test_a_sample_is_of_different_nodes(size: int, count: int, seed: bytes) -> None:
    nodes = [NodeId(number.to_bytes(4, "big")) for number in range(size)]
    picked = sample(nodes, seed, count)
    assert len(picked) == len(set(picked)) == min(size, count)


def test_every_node_is_sampled_about_equally_often() -> None:
    nodes = [NodeId(bytes([number])) for number in range(200)]
    counts = Counter(node for seed in seeds(2000) for node in sample(nodes, seed, 20))
    assert len(counts) == 200
    assert min(counts.values()) > 100
    assert max(counts.values()) < 350


def of(*traits: str, node: int = 9) -> Candidate:
    return replace(ESTABLISHED, node=NodeId(bytes([node]) * 32), traits=traits)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_replica_goes_to_an_engine_that_no_other_replica_has(strategy: str) -> None:
    mixed = [replace(c, traits=("abc"[place % 3],)) for place, c in enumerate(crowd(9))]
    for seed in seeds(20):
        chosen = select(mixed, seed, strategy, [of("a"), of("c")])
        assert chosen in {c.node for c in mixed if c.traits == ("b",)}


def test_replicas_differ_in_every_label_for_which_there_are_nodes_enough() -> None:
    mixed = [
        replace(c, traits=("ab"[place % 2], "xyz"[place % 3])) for place, c in enumerate(crowd(9))
    ]
    for seed in seeds(50):
        chosen = select(mixed, seed, "weighted", [of("a", "x")])
        (found,) = (c for c in mixed if c.node == chosen)
        assert found.traits[0] == "b"
        assert found.traits[1] != "x"
    alike = [replace(c, traits=("b", "x")) for c in crowd(9)]
    assert select(alike, seeds(1)[0], "weighted", [of("a", "x")]) is not None


def test_where_all_engines_are_the_same_or_unknown_or_busy_everybody_is_a_candidate() -> None:
    same = [replace(c, traits=("a",)) for c in crowd(4)]
    other = replace(same[0], node=NodeId(b"\x09" * 32), traits=("b",), open_slots=16)
    unknown = [replace(c, traits=("",)) for c in crowd(4)]
    for candidates in (same, unknown, [*same, other]):
        for holders in ([], [of("")], [of("a")]):
            found = {select(candidates, seed, "weighted", holders) for seed in seeds(100)}
            assert found == {c.node for c in candidates[:4]}


def test_saying_nothing_of_an_engine_wins_no_slot() -> None:
    silent = of("")
    others = [replace(c, traits=("b",)) for c in crowd(3)]
    for seed in seeds(100):
        assert select([*others, silent], seed, "weighted", [of("a")]) != silent.node


def test_claiming_an_engine_that_few_run_wins_no_more_slots_than_weight_does() -> None:
    same = [replace(c, traits=("a",)) for c in crowd(9)]
    for claim in ("a", "rare"):
        claimed = [replace(c, traits=(claim,)) if p < 2 else c for p, c in enumerate(same)]
        chosen = [select(claimed, seed, "weighted", [of("a")]) for seed in seeds(200)]
        assert chosen == [select(same, seed, "weighted") for seed in seeds(200)]


def test_whoever_has_no_weight_left_is_chosen_where_there_is_nobody_else() -> None:
    worst = crowd(2, bond_msat=0, reputation_permille=0, open_slots=1_000, capacity=1_024)
    assert len(drawn(worst, draws=50)) == 2
