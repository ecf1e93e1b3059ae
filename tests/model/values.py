"""Every model value, and a strategy that draws any of them from its own type."""

import enum
import importlib
import pkgutil
from typing import Any

import msgspec
from hypothesis import strategies as st

import ambientd.model
from ambientd.model.base import Value
from ambientd.model.execution import ExecutionLimits

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, -1, -32, -33, -129]),
)
TEXTS = st.text(max_size=40)
LIMITS = st.builds(
    ExecutionLimits,
    memory_bytes_max=st.integers(65_536, 512 << 20),
    wall_ms_max=st.integers(1, 3_600_000),
    gas_max=st.integers(1, 1 << 62),
    output_bytes_max=st.integers(0, 64 << 20),
    log_bytes_max=st.integers(0, 1 << 20),
)


def model_types() -> list[type[Value]]:
    """Give every struct of the model."""
    for module in pkgutil.iter_modules(ambientd.model.__path__):
        importlib.import_module(f"ambientd.model.{module.name}")
    found: list[type[Value]] = []
    queue = list(Value.__subclasses__())
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue += kind.__subclasses__()
    own = [kind for kind in set(found) if kind.__module__.startswith("ambientd.model.")]
    return sorted(own, key=lambda kind: kind.__qualname__)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type."""
    return _of(msgspec.inspect.type_info(kind))


def _of(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.StructType(cls=cls) if cls is ExecutionLimits:
            return LIMITS
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            drawn = {each.name: st.deferred(lambda t=each.type: _of(t)) for each in fields}
            return st.builds(cls, **drawn)
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case msgspec.inspect.NamedTupleType(cls=cls, fields=fields):
            return st.builds(cls, **{each.name: _of(each.type) for each in fields})
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=3).map(tuple)
        case msgspec.inspect.TupleType(item_types=items):
            return st.tuples(*[_of(each) for each in items])
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return st.binary(min_size=least or 0, max_size=min(70, 70 if most is None else most))
        case msgspec.inspect.StrType():
            return TEXTS
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType(ge=None, le=None, lt=None):
            return NUMBERS
        case msgspec.inspect.IntType(ge=lowest, le=highest, lt=end):
            return st.integers(lowest, highest if end is None else end - 1)
        case msgspec.inspect.NoneType():
            return st.none()
        case _:
            raise AssertionError(info)


def plain(value: Any) -> Any:
    """Give what the canonical form is made of: arrays, numbers, strings and bytes."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        fields = [plain(getattr(value, name)) for name in value.__struct_fields__]
        return fields if tag is None else [tag, *fields]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value
