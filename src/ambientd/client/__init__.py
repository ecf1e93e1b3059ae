"""Ambient for Python programs: submit modules to a mesh, and have outputs that were verified.

    from ambientd.client import Mesh

    with Mesh() as mesh:
        print(mesh.run("hello.wasm", b"hello").output())

`LocalMesh` starts one on this machine; `AsyncMesh` is the same for trio and asyncio;
`MeshExecutor` stands where a `concurrent.futures.Executor` stood.
"""

from ambientd.api.operations import OperationError
from ambientd.client.async_mesh import AsyncMesh, AsyncTask, Terms
from ambientd.client.failures import TaskFailedError, TaskUnfinishedError
from ambientd.client.local import LocalMesh
from ambientd.client.mesh import Mesh, MeshExecutor, Task
from ambientd.errors import AmbientError, UnreachableError

__all__ = [
    "AmbientError",
    "AsyncMesh",
    "AsyncTask",
    "LocalMesh",
    "Mesh",
    "MeshExecutor",
    "OperationError",
    "Task",
    "TaskFailedError",
    "TaskUnfinishedError",
    "Terms",
    "UnreachableError",
]
