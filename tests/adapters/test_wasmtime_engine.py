"""What is wasmtime's own; the rest of the port is in test_engine_contract."""

import pytest

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.ports.engine import ModuleInvalidError


def test_text_is_not_assembled_in_passing() -> None:
    with pytest.raises(ModuleInvalidError, match="binary"):
        WasmtimeEngine().compile(b"(module)")
