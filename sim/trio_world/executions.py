"""What stands in for engines, probes and disks in a trio world: nothing is executed there."""

import random
from collections.abc import Sequence

import trio

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.model.telemetry import Observation
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.probe import EnergyReading
from ambientd.wasm.interface import Interface
from sim.vices import Vice, output_by, prepared_of, work_ms

EXECUTION_MS_MAX = 400


class PretendedEngines:
    """Takes its time and gives the output that every honest engine has, or a lie."""

    engine = "sim"
    engine_version = "1"

    def __init__(
        self, key: bytes, dice: random.Random, aborts_permille: int, vices: frozenset[Vice]
    ) -> None:
        self._key = key
        self._dice = dice
        self._aborts_permille = aborts_permille
        self._vices = vices

    async def prepare(self, source: bytes, module: bytes) -> ReadyModule:
        """Call a module prepared."""
        del module
        name = prepared_of(Digest(source))
        return ReadyModule(source, name, Interface.AMBIENT, (), b"", is_compiled=False)

    async def execute(
        self, module: ReadyModule, data: bytes, limits: ExecutionLimits, seed: bytes
    ) -> ExecutionResult | Aborted:
        """Wait, and give an output."""
        del seed
        drawn_ms = 1 + self._dice.randrange(EXECUTION_MS_MAX)
        await trio.sleep(work_ms(drawn_ms, self._vices) / 1000)
        if self._dice.randrange(1000) < self._aborts_permille:
            return Aborted(reason="the wall-clock limit was reached")
        name = Digest(sha256(data))
        source = Digest(module.source)
        output, gas = output_by(self._key, self._vices, source, name, limits.gas_max)
        return ExecutionResult(
            kind=OutcomeKind.COMPLETED, reason="", output=output, gas=gas, log=b""
        )


class NoSensors:
    """A device that measures nothing."""

    def read(self) -> Sequence[Observation]:
        """Measure nothing."""
        return ()


class NoMeter:
    """A device whose energy nothing measures."""

    def read(self) -> EnergyReading:
        """Say so."""
        return EnergyReading(None, "none")


class Shelf:
    """Blobs in memory; a crash leaves them."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's bytes, or None."""
        return self._blobs.get(digest)

    def put(self, data: bytes) -> bytes:
        """Keep a blob and give its SHA-256."""
        name = sha256(data)
        self._blobs[name] = data
        return name
