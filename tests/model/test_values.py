import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.codec.canonical import decode, encode
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Value
from ambientd.model.execution import ExecutionLimits
from tests.model.values import model_types, plain, values_of

TYPES = model_types()
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)


@KINDS
@QUICK
@given(st.data())
def test_every_value_survives_its_own_bytes(kind: type[Value], data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    assert decode(encode(value), kind) == value


@KINDS
@QUICK
@given(st.data())
def test_the_bytes_are_the_shortest_messagepack_of_an_independent_encoder(
    kind: type[Value], data: st.DataObject
) -> None:
    value = data.draw(values_of(kind))
    assert encode(value) == msgpack.packb(plain(value), use_bin_type=True)
    again = msgpack.unpackb(encode(value), raw=False, strict_map_key=False)
    assert again == plain(value)


@KINDS
@QUICK
@given(st.data())
def test_a_changed_byte_is_another_value_or_none(kind: type[Value], data: st.DataObject) -> None:
    raw = encode(data.draw(values_of(kind)))
    place = data.draw(st.integers(0, len(raw) - 1))
    bent = bytearray(raw)
    bent[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(bent), kind)
    except RemoteProtocolError:
        return
    assert encode(other) == bytes(bent)


@KINDS
@QUICK
@given(data=st.data())
def test_a_field_too_many_or_too_few_is_refused(kind: type[Value], data: st.DataObject) -> None:
    fields = plain(data.draw(values_of(kind)))
    for wrong in ([*fields, None], fields[:-1]):
        with pytest.raises(RemoteProtocolError):
            decode(msgpack.packb(wrong, use_bin_type=True), kind)


@KINDS
@QUICK
@given(st.binary(max_size=120))
def test_garbage_is_refused_and_never_raises_anything_else(kind: type[Value], raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(raw, kind)


def test_the_model_is_all_here() -> None:
    names = {kind.__name__ for kind in TYPES}
    assert {"Genesis", "TaskSpec", "Record", "ReceiptFile", "Admit", "Fraud"} <= names


def test_values_are_frozen() -> None:
    for kind in TYPES:
        assert kind.__struct_config__.frozen, kind
        assert kind.__struct_config__.array_like, kind
        assert kind.__struct_config__.forbid_unknown_fields, kind


@pytest.mark.parametrize("changes", [{"memory_bytes_max": 1}, {"gas_max": 0}, {"wall_ms_max": 0}])
def test_impossible_limits_are_refused_when_made(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        ExecutionLimits(**changes)
