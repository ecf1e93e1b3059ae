"""Random programs and random bytes: same answers, honest gas, and never an exception."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ambientd.wasm.prepare import Prepared, Refused, prepare
from tests.wasm.programs import Program
from tests.wasm.running import Instance, module, prepared, valid

GAS = 10**9
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=200)


@SETTINGS
@given(seed=st.integers(0, 2**32))
def test_a_prepared_program_does_what_the_raw_one_does(seed: int) -> None:
    source = module(Program(seed).text())
    assert valid(source)
    rewritten = prepared(source)
    paid = Instance(rewritten, GAS)
    seen = paid.call("main")
    after = paid.paid(GAS)
    assume(after.gas <= GAS)
    assert seen == Instance(source).call("main")
    if seen.trap is None:
        assert after.depth == 0
        exact = Instance(rewritten, after.gas)
        assert exact.call("main") == seen
        assert exact.paid(after.gas).gas == after.gas
        for less in (after.gas - 1, after.gas // 2):
            poor = Instance(rewritten, less)
            assert poor.call("main").trap == "UNREACHABLE"
            assert poor.paid(less).gas > less


def _examples() -> list[bytes]:
    return [module(Program(seed).text()) for seed in range(12)]


EXAMPLES = _examples()


def _check(source: bytes) -> None:
    outcome = prepare(source)
    assert prepare(source) == outcome
    if isinstance(outcome, Prepared):
        assert valid(outcome.module) == valid(source)
        assert isinstance(prepare(outcome.module), Refused)
    else:
        assert outcome.reason.endswith(".")


@SETTINGS
@given(tail=st.binary(max_size=200))
def test_random_bytes_are_refused_or_prepared(tail: bytes) -> None:
    _check(tail)
    _check(b"\0asm\x01\0\0\0" + tail)


@SETTINGS
@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_module_is_refused_or_prepared_as_valid_as_it_was(
    source: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(source)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                damaged[place] = data.draw(st.integers(0, 255))
            case 1:
                damaged[place] ^= 1 << data.draw(st.integers(0, 7))
            case 2:
                del damaged[place : place + data.draw(st.integers(1, 8))]
            case _:
                damaged[place:place] = data.draw(st.binary(max_size=6))
        if not damaged:
            break
    _check(bytes(damaged))
