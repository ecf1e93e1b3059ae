"""A task's module as it is prepared here, for who judges what others say of it."""

from dataclasses import dataclass
from typing import Protocol

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.execution import AbortCause, Aborted
from ambientd.model.task import TaskSpec
from ambientd.runtime.blobs import Blobs
from ambientd.wasm.prepare import Refused


class Rewriter(Protocol):
    """What prepares modules in a process that is locked down: `runtime.workers.WorkerPool`."""

    async def rewrite(self, source: bytes, module: bytes) -> bytes | Refused | Aborted:
        """Give a submitted module's prepared form."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared module and its SHA-256."""

    module: bytes
    digest: Digest


async def prepared_of(
    spec: TaskSpec, holders: tuple[NodeId, ...], blobs: Blobs, rewriter: Rewriter
) -> Prepared | Refused | Aborted:
    """Fetch and prepare a task's module."""
    module = await blobs.fetch(spec.module, spec.module_size_bytes, holders)
    if module is None:
        reason = "the module could not be fetched from any holder"
        return Aborted(reason, AbortCause.NOT_FETCHED)
    made = await rewriter.rewrite(spec.module, module)
    return made if isinstance(made, Refused | Aborted) else Prepared(made, Digest(sha256(made)))
