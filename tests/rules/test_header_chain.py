"""Chains of headers are taken by the network's rules, and by no others."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters.header_file import checkpoints
from ambientd.errors import UsageError
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    MAIN,
    NETWORKS,
    REGTEST,
    SIGNET,
    Network,
    decode_header,
    display,
    proof_of_work_fault,
    target_from_bits,
)
from ambientd.rules.bitcoin_networks import RETARGET_BLOCKS
from ambientd.rules.header_chain import (
    PERIOD_S,
    Extended,
    HeaderChain,
    HeaderFault,
    NotHeavier,
    bits_from_target,
    retarget,
)
from tests.rules.headers import EASY, MOVING, SLOW, SPACING_S, grow, mine

GENESIS_HASHES = {
    "main": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    "testnet4": "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
    "signet": "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
    "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}
# The main network's headers at heights 1 and 2.
MAIN_1_AND_2 = bytes.fromhex(
    "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe"
    "680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299010000004860eb18bf1b1620"
    "e37e9490fc8a427514416fd75159ab86688e9a8300000000d5fdcc541e25de1c7a5addedf24858b8bb665c9f36ef"
    "744ee42c316022c90f9bb0bc6649ffff001d08d2bd61"
)
# Ends of the main network's periods: height, first and last time, bits before and after.
MAIN_RETARGETS = [
    (2_015, 1_231_006_505, 1_233_061_996, 0x1D00FFFF, 0x1D00FFFF),  # would be below difficulty 1
    (32_255, 1_261_130_161, 1_262_152_739, 0x1D00FFFF, 0x1D00D86A),  # the first that moved
    (68_543, 1_279_008_237, 1_279_297_671, 0x1C05A3F4, 0x1C0168FD),  # held at a quarter
]


def fault_of(outcome: object) -> str:
    assert isinstance(outcome, HeaderFault), outcome
    return f"{outcome.height}: {outcome.reason}"


def of(network: Network, count: int = 0, **how: int) -> HeaderChain:
    chain = HeaderChain(network)
    if count:
        assert chain.extend(1, grow(chain, count, **how)) == Extended(added=count, replaced=0)
    return chain


@pytest.mark.parametrize("network", list(NETWORKS.values()), ids=lambda network: network.name)
def test_every_network_begins_with_its_well_known_block(network: Network) -> None:
    header = decode_header(network.genesis)
    assert display(header.hash) == GENESIS_HASHES[network.name]
    assert proof_of_work_fault(header, network.pow_limit) is None


def test_the_main_networks_first_headers_are_taken() -> None:
    chain = HeaderChain(MAIN)
    assert chain.extend(1, MAIN_1_AND_2) == Extended(added=2, replaced=0)
    assert display(chain.tip_hash).startswith("000000006a625f06636b8bb6ac7b960a8d03705d1ace08b1")


@pytest.mark.parametrize(("height", "first_s", "last_s", "before", "after"), MAIN_RETARGETS)
def test_difficulty_moves_as_it_did_on_the_main_network(
    height: int, first_s: int, last_s: int, before: int, after: int
) -> None:
    assert (height + 1) % RETARGET_BLOCKS == 0
    assert retarget(before, first_s, last_s, MAIN.pow_limit) == after


def test_difficulty_rises_to_four_times_and_falls_to_a_quarter_at_most() -> None:
    bits = 0x1C387F6F
    quarter = retarget(bits, 0, PERIOD_S // 4, MAIN.pow_limit)
    assert retarget(bits, 0, 1, MAIN.pow_limit) == quarter
    assert retarget(bits, 0, 9 * PERIOD_S, MAIN.pow_limit) == 0x1D00E1FD


@pytest.mark.parametrize("network", [MAIN, SIGNET], ids=lambda network: network.name)
def test_every_shipped_checkpoint_proves_its_work(network: Network) -> None:
    headers = {height: decode_header(raw) for height, raw in checkpoints(network).items()}
    assert len(headers) > 100
    for header in headers.values():
        assert proof_of_work_fault(header, network.pow_limit) is None


def test_all_difficulties_of_the_main_network_follow_from_its_times() -> None:
    """A period's last header is not shipped: its time must be near that of the next."""
    headers = [decode_header(raw) for _, raw in sorted(checkpoints(MAIN).items())]
    clock_error_s = 2 * 3600
    for first, following in pairwise(headers):
        lasts = (following.time_s - clock_error_s * 2, following.time_s + clock_error_s)
        bounds = [
            target_from_bits(retarget(first.bits, first.time_s, last_s, MAIN.pow_limit))
            for last_s in lasts
        ]
        assert bounds[0] <= following.target <= bounds[1]


@given(st.integers(min_value=1, max_value=MAIN.pow_limit))
def test_compact_bits_lose_precision_only(target: int) -> None:
    bits = bits_from_target(target)
    kept = target_from_bits(bits)
    assert kept <= target
    assert bits_from_target(kept) == bits
    assert (target - kept) >> max(0, target.bit_length() - 15) == 0


@pytest.mark.slow
@pytest.mark.parametrize("spacing_s", [150, 1_200])
def test_a_synthetic_chain_crosses_retargets(spacing_s: int) -> None:
    count = 2 * RETARGET_BLOCKS + 5
    chain = of(MOVING, 0)
    assert isinstance(chain.extend(1, grow(chain, count, spacing_s=spacing_s)), Extended)
    seen = [decode_header(chain.header(height)).bits for height in (2015, 2016, 4031, 4032)]
    assert seen[0] == EASY
    if spacing_s < SPACING_S:
        assert target_from_bits(seen[1]) < target_from_bits(EASY)
        assert target_from_bits(seen[3]) < target_from_bits(seen[1])
        assert seen[1] == seen[2]
    else:
        assert seen == [EASY] * 4


@pytest.mark.slow
def test_a_header_with_the_bits_of_the_period_before_is_refused() -> None:
    chain = of(MOVING, RETARGET_BLOCKS - 1, spacing_s=150)
    tip = chain.header(chain.height)
    stale = mine(tip, decode_header(tip).time_s + 150, EASY)
    assert "it has bits 0x207fffff, not " in fault_of(chain.extend(RETARGET_BLOCKS, stale))


@pytest.mark.slow
def test_slow_blocks_are_easy_and_do_not_carry_over_where_a_network_says_so() -> None:
    chain = of(SLOW, RETARGET_BLOCKS + 2, spacing_s=150)
    hard = decode_header(chain.header(chain.height)).bits
    assert hard != EASY
    tip = chain.header(chain.height)
    slow = mine(tip, decode_header(tip).time_s + 1_201, EASY)
    assert isinstance(chain.extend(chain.height + 1, slow), Extended)
    assert chain.required_bits(decode_header(slow).time_s + 600) == hard
    assert chain.required_bits(decode_header(slow).time_s + 1_201) == EASY


@pytest.mark.slow
def test_a_period_may_not_begin_long_before_its_predecessor_ends() -> None:
    chain = of(SLOW, RETARGET_BLOCKS - 1, spacing_s=700)
    tip = decode_header(chain.header(chain.height))
    for early_s, taken in ((601, False), (600, True)):
        time_s = tip.time_s - early_s
        first = mine(chain.header(chain.height), time_s, chain.required_bits(time_s))
        outcome = chain.extend(RETARGET_BLOCKS, first)
        assert isinstance(outcome, Extended) == taken, outcome


def test_a_changed_byte_anywhere_is_refused() -> None:
    raw = grow(HeaderChain(REGTEST), 12)
    for place in range(0, len(raw), 7):
        broken = bytearray(raw)
        broken[place] ^= 1
        chain = HeaderChain(REGTEST)
        outcome = chain.extend(1, bytes(broken))
        # A field of the last header may change and still meet so easy a target.
        if place < 11 * HEADER_SIZE:
            assert isinstance(outcome, HeaderFault)
            assert chain.height == 0


def test_each_rule_is_named_when_it_is_broken() -> None:
    chain = of(REGTEST, 11)
    tip = chain.header(11)
    time_s = decode_header(tip).time_s
    median_s = decode_header(chain.header(6)).time_s
    cases = [
        (mine(chain.header(5), time_s + 1), "does not follow"),
        (mine(tip, time_s + 1, 0x207FFFFE), "has bits"),
        (mine(tip, median_s), "median"),
        (mine(tip, time_s + 1, version=3), "version 3"),
        (mine(tip, time_s + 10_000), "future"),
        (b"\0" * 79, "whole headers"),
        (b"", "whole headers"),
    ]
    for raw, reason in cases:
        assert reason in fault_of(chain.extend(12, raw, time_s + 9_999))
    while decode_header(weak := mine(tip, time_s + 1)).hash[31] < 0x40:
        time_s += 1
    unproven = bytearray(weak)
    while decode_header(bytes(unproven)).hash[31] < 0x80:
        unproven[76] = (unproven[76] + 1) % 256
    assert "does not meet" in fault_of(chain.extend(12, bytes(unproven)))
    assert isinstance(chain.extend(12, mine(tip, median_s + 1)), Extended)


def test_headers_above_nothing_known_are_refused() -> None:
    chain = of(REGTEST, 3)
    for start in (0, -1, 5, 1 << 40):
        assert "predecessor" in fault_of(chain.extend(start, bytes(HEADER_SIZE)))


@pytest.mark.parametrize("depth", [1, 6, 40])
def test_a_heavier_chain_replaces_headers_at_any_depth(depth: int) -> None:
    chain = of(REGTEST, 40)
    before = chain.headers(0, 41)
    start = 41 - depth
    equal = grow(chain, depth, start=start, salt=1)
    assert chain.extend(start, equal) == NotHeavier()
    assert chain.headers(0, 41) == before
    heavier = grow(chain, depth + 1, start=start, salt=1)
    assert chain.extend(start, heavier) == Extended(added=depth + 1, replaced=depth)
    assert chain.height == 41
    gone = before[40 * HEADER_SIZE :]
    assert chain.confirmations(gone, 40) == 0
    assert chain.confirmations(chain.header(start), start) == depth + 1


@pytest.mark.slow
def test_more_work_wins_over_more_headers() -> None:
    fast = of(MOVING, RETARGET_BLOCKS + 9, spacing_s=150)
    start = RETARGET_BLOCKS - 1000
    slow = grow(fast, 1011, start=start, spacing_s=1_200)
    assert fast.extend(start, slow) == NotHeavier()


def test_a_fork_that_breaks_a_rule_late_changes_nothing() -> None:
    chain = of(REGTEST, 20)
    before = chain.headers(0, 21)
    branch = bytearray(grow(chain, 15, start=10, salt=1))
    branch[-HEADER_SIZE + 4] ^= 1
    assert fault_of(chain.extend(10, bytes(branch))).startswith("24:")
    assert chain.headers(0, 21) == before


def test_another_header_at_a_checkpoint_is_refused() -> None:
    forged = mine(REGTEST.genesis, decode_header(REGTEST.genesis).time_s + 600)
    chain = HeaderChain(REGTEST, 0, {RETARGET_BLOCKS: forged})
    outcome = chain.extend(1, grow(HeaderChain(REGTEST), RETARGET_BLOCKS))
    assert "checkpoint" in fault_of(outcome)


def test_a_chain_begins_at_a_known_checkpoint_only() -> None:
    shipped = checkpoints(MAIN)
    last = max(shipped)
    assert HeaderChain(MAIN, last, shipped).height == last
    for height, known in ((last, {}), (5, {5: shipped[last]})):
        with pytest.raises(UsageError, match="no checkpoint"):
            HeaderChain(MAIN, height, known)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(min_value=1, max_value=30), max_size=4))
def test_headers_may_come_in_any_portions(cuts: list[int]) -> None:
    raw = grow(HeaderChain(REGTEST), 30)
    chain = HeaderChain(REGTEST)
    for end in sorted({*cuts, 30}):
        start = chain.height + 1
        if end >= start:
            portion = raw[(start - 1) * HEADER_SIZE : end * HEADER_SIZE]
            assert isinstance(chain.extend(start, portion), Extended)
    assert chain.headers(1, 31) == raw


@given(st.binary(max_size=400), st.integers(min_value=-5, max_value=20))
def test_no_bytes_make_it_raise(raw: bytes, start: int) -> None:
    chain = HeaderChain(replace(REGTEST, name="any"))
    assert isinstance(chain.extend(start, raw), HeaderFault | Extended)
