"""Ambient for Python programs: submit modules to a mesh, and have outputs that were verified.

    from ambientd.client import Mesh

    with Mesh() as mesh:
        print(mesh.run("hello.wasm", b"hello").output())

`LocalMesh` starts one on this machine; `AsyncMesh` is the same for trio and asyncio;
`MeshExecutor` stands where a `concurrent.futures.Executor` stood. `Mesh.start_study`
has nodes train a model together.
"""

from ambientd.api.learning_values import StartStudy
from ambientd.api.operations import OperationError
from ambientd.client.async_mesh import AsyncMesh, AsyncTask
from ambientd.client.failures import (
    ItemFailedError,
    NoOutcomesError,
    StudyUnfinishedError,
    TaskFailedError,
    TaskUnfinishedError,
)
from ambientd.client.local import LocalMesh
from ambientd.client.mesh import Mesh, MeshExecutor, Task
from ambientd.client.studies import AsyncStudy, Study
from ambientd.client.terms import Terms
from ambientd.errors import AmbientError, UnreachableError

__all__ = [
    "AmbientError",
    "AsyncMesh",
    "AsyncStudy",
    "AsyncTask",
    "ItemFailedError",
    "LocalMesh",
    "Mesh",
    "MeshExecutor",
    "NoOutcomesError",
    "OperationError",
    "StartStudy",
    "Study",
    "StudyUnfinishedError",
    "Task",
    "TaskFailedError",
    "TaskUnfinishedError",
    "Terms",
    "UnreachableError",
]
