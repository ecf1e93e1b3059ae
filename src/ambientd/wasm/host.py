"""What a running module can ask of its host, written once for every engine (protocols/04 §9)."""

from ambientd.wasm.guest import CALL_GAS, Guest, charge
from ambientd.wasm.host_crypto import CRYPTO_SERVED
from ambientd.wasm.host_wasi import WASI_SERVED, WasiWorld, WorldState
from ambientd.wasm.imports import HOST_FUNCTIONS

_MASKS = {"i": (1 << 32) - 1, "l": (1 << 64) - 1}


class Host:
    """Serves the imports of one execution; `guest` is set once the instance exists."""

    def __init__(self, data: bytes, seed: bytes, output_bytes_max: int, log_bytes_max: int) -> None:
        self.guest: Guest
        self._world = WasiWorld(data, seed, output_bytes_max, log_bytes_max)

    @property
    def output(self) -> bytes:
        """Return what the program has written to standard output."""
        return bytes(self._world.output)

    @property
    def log(self) -> bytes:
        """Return what was kept of what the program has written to standard error."""
        return bytes(self._world.log)

    def snapshot(self) -> WorldState:
        """Return what a paused execution's host has to know again."""
        return self._world.snapshot()

    def restore(self, state: WorldState) -> None:
        """Go on from a snapshot; raise RemoteProtocolError if it does not fit the task."""
        self._world.restore(state)

    def call(self, name: str, *arguments: int) -> int | None:
        """Serve one import; every call is paid first, every pointer is checked."""
        function = HOST_FUNCTIONS[name]
        charge(self.guest, CALL_GAS)
        if function.always is not None:
            return function.always.value
        numbers = [a & _MASKS[kind] for a, kind in zip(arguments, function.params, strict=True)]
        if name in CRYPTO_SERVED:
            return CRYPTO_SERVED[name](self.guest, *numbers)
        return WASI_SERVED[name](self._world, self.guest, *numbers)
