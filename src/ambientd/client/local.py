"""A mesh of one's own on this machine, for a first look and for tests of programs."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import finalize

from ambientd.client.mesh import Mesh

BLOCK_INTERVAL_MS = 1_000


class LocalMesh(Mesh):
    """Daemons that live as long as a `with` block, and a mesh that is spoken to by the first.

    They have keys, a log and a Bitcoin chain (regtest) of their own, below `folder` or in a folder
    for the time being, and listen on loopback alone. Four nodes bear one that lies, three none.
    Raises what founding a cluster raises, and DaemonsError when they are not ready in time.
    """

    def __init__(
        self, nodes: int = 4, *, folder: str | Path | None = None, ready_timeout_s: float = 90.0
    ) -> None:
        # Founding knows ledger and chain; whoever only speaks with a mesh never loads them.
        from ambientd.api.cluster import ClusterPlan, create_cluster
        from ambientd.api.embedded_chain import stop_embedded_chain
        from ambientd.api.local_daemons import LOCAL_PORTS, LocalDaemons
        from ambientd.api.own_ports import own_ports

        with ExitStack() as stack:
            root = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="ambient-local-"))
            if folder is None:
                stack.callback(shutil.rmtree, root, ignore_errors=True)
            port, claim = own_ports(LOCAL_PORTS)
            stack.enter_context(claim)
            plan = ClusterPlan(name="local", base_port=port, block_interval_ms=BLOCK_INTERVAL_MS)
            founded = create_cluster(root, nodes, plan)
            self.fingerprint = founded.fingerprint
            """The cluster's, which `Task.verify` asks for."""
            daemons = LocalDaemons(founded)
            stack.callback(stop_embedded_chain, root / "chain")
            stack.callback(daemons.stop)
            daemons.start()
            daemons.wait_ready(ready_timeout_s)
            super().__init__(founded.nodes[0].data_dir)
            self._machine = stack.pop_all()
        finalize(self, self._machine.close)  # who forgets to leave leaves no daemon behind

    def __enter__(self) -> Self:
        """Enter; the daemons run already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave, end every daemon and the chain, and remove a folder made for the time being."""
        with self._machine:
            super().__exit__(kind, error, trace)

    def close(self) -> None:
        """Leave and end it all, as at the end of a `with` block."""
        self.__exit__(None, None, None)
