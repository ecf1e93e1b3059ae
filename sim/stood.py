"""What a state is in the fast world: where an execution of a task stood, truly or astray."""

from dataclasses import dataclass

from ambientd.codec.digest import tagged
from ambientd.model.base import Digest, TaskId


@dataclass(frozen=True, slots=True)
class Stood:
    """Where an execution of a task stood: truly, or astray from a root that somebody made up."""

    task: TaskId
    gas_index: int
    astray: bytes = b""

    @property
    def root(self) -> Digest:
        """Give the state's root."""
        gas = self.gas_index.to_bytes(8, "big")
        return Digest(tagged("sim/state-root/1", self.task, self.astray, gas))

    @property
    def name(self) -> Digest:
        """Give the hash of the state's bytes."""
        return Digest(tagged("sim/state/1", self.root))
