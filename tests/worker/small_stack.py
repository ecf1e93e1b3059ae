"""An engine whose own stack ends before the depth counter does."""

import wasmtime

from ambientd.adapters.wasmtime_engine import WasmtimeEngine


class SmallStack(WasmtimeEngine):
    """wasmtime with 64 KiB of stack."""

    def __init__(self) -> None:
        super().__init__()
        config = wasmtime.Config()
        config.max_wasm_stack = 64 << 10
        self._engine = wasmtime.Engine(config)
