from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.genesis import NodeKind
from ambientd.rules.energy import (
    RESIDUAL_FACTOR,
    SAMPLES_MIN,
    SHORT_MS,
    TDP_WATT,
    EnergyDoubt,
    EnergyUse,
    doubt_of,
    is_modelled,
)

WRAP_MJ = (1 << 32) // 1000
"""A counter of 32 bits of microjoules that ran over once."""
KINDS = st.sampled_from(list(NodeKind))
ORDINARY = [EnergyUse(20_000, 1_000, 500_000_000 + number) for number in range(SAMPLES_MIN)]


def test_a_counter_that_ran_over_is_doubted_on_every_kind_of_device() -> None:
    for kind in NodeKind:
        assert doubt_of(EnergyUse(WRAP_MJ, 1_000, 10**9), kind) is EnergyDoubt.ABOVE_POWER
        assert doubt_of(EnergyUse(20_000 - WRAP_MJ, 1_000, 10**9), kind) is EnergyDoubt.NEGATIVE


def test_a_second_of_work_for_nothing_is_doubted() -> None:
    assert doubt_of(EnergyUse(0, 1_000, 10**9), NodeKind.MOBILE) is EnergyDoubt.BELOW_IDLE


def test_an_execution_shorter_than_a_counters_tick_may_have_used_nothing() -> None:
    assert doubt_of(EnergyUse(0, SHORT_MS - 1, 10**6), NodeKind.COMPUTE) is None


def test_a_figure_far_from_the_nodes_own_is_doubted_and_one_near_is_not() -> None:
    kind = NodeKind.COMPUTE
    assert doubt_of(EnergyUse(20_000, 1_000, 500_000_000), kind, ORDINARY) is None
    more = EnergyUse(20_000 * (RESIDUAL_FACTOR + 1), 1_000, 500_000_000)
    assert doubt_of(more, kind, ORDINARY) is EnergyDoubt.OUT_OF_LINE
    less = EnergyUse(20_000 // (RESIDUAL_FACTOR + 1), 1_000, 500_000_000)
    assert doubt_of(less, kind, ORDINARY) is EnergyDoubt.OUT_OF_LINE


def test_few_executions_say_nothing_of_the_next() -> None:
    odd = EnergyUse(20_000 * (RESIDUAL_FACTOR + 1), 1_000, 500_000_000)
    assert doubt_of(odd, NodeKind.COMPUTE, ORDINARY[1:]) is None


def test_work_without_gas_is_held_against_no_other() -> None:
    assert doubt_of(EnergyUse(20_000, 1_000, 0), NodeKind.COMPUTE, ORDINARY) is None


@given(KINDS, st.integers(SHORT_MS, 10**7), st.integers(0, 2**53))
def test_what_a_device_can_draw_is_never_doubted_for_its_power(
    kind: NodeKind, duration_ms: int, gas: int
) -> None:
    for energy_mj in (TDP_WATT[kind] * duration_ms, -(-duration_ms // 10)):
        assert doubt_of(EnergyUse(energy_mj, duration_ms, gas), kind) is None


@given(KINDS, st.integers(0, 10**9), st.integers(0, 10**7), st.integers(0, 2**53))
def test_more_energy_is_never_less_suspect_of_too_much(
    kind: NodeKind, energy_mj: int, duration_ms: int, gas: int
) -> None:
    if doubt_of(EnergyUse(energy_mj, duration_ms, gas), kind) is EnergyDoubt.ABOVE_POWER:
        more = EnergyUse(energy_mj * 2 + 1, duration_ms, gas)
        assert doubt_of(more, kind) is EnergyDoubt.ABOVE_POWER


def test_a_share_of_little_is_no_sign_of_a_counter_that_lies() -> None:
    kind = NodeKind.EDGE
    assert doubt_of(EnergyUse(1, 10_000, 0), kind) is EnergyDoubt.BELOW_IDLE
    assert doubt_of(EnergyUse(1, 10_000, 0, is_share=True), kind) is None


def test_a_model_is_known_by_its_source() -> None:
    assert is_modelled("model:3-7W/cpu")
    assert not is_modelled("rapl:package-0/cpu")
