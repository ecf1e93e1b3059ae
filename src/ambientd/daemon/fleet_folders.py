"""The folders of a fleet: founded where there are none, and one more for each node that joins."""

from pathlib import Path

import msgspec

from ambientd.adapters.host_memory import available_bytes
from ambientd.api.client import Client
from ambientd.api.cluster import BASE_PORT, ClusterPlan, JoinPlan, create_cluster, join_cluster
from ambientd.api.invitation import read_token
from ambientd.api.operations import CLUSTER_INVITE
from ambientd.api.requests import Invite
from ambientd.config.places import Places, socket_path_for
from ambientd.errors import ConfigError, UsageError

COMMITTEE = 4
NODES_MAX = 1_000
TOGETHER_MAX = 32
_BUDGET_BYTES_MIN = 1 << 30  # what a task asks for that says nothing of memory, and some
_PORTS = 65_535


class FleetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a fleet decides."""

    root: Path
    nodes: int
    base_port: int = BASE_PORT
    tokens: tuple[str, ...] = ()
    """Join tokens of a cluster that is there already: the last are for folders that are not."""

    together: int = 1
    """How many nodes share a process; the first, which may be a committee, never do."""

    def __post_init__(self) -> None:
        """Refuse a plan that makes no sense; raise UsageError."""
        if not 1 <= self.nodes <= NODES_MAX:
            raise UsageError(f"--nodes {self.nodes}: a fleet has 1 to {NODES_MAX} nodes")
        last = self.base_port + self.nodes - 1
        if not 1 <= self.base_port <= last <= _PORTS:
            msg = f"ports {self.base_port} to {last} do not exist; choose another --base-port"
            raise UsageError(msg)
        if not 1 <= self.together <= TOGETHER_MAX:
            msg = f"--together {self.together}: 1 to {TOGETHER_MAX} nodes share a process"
            raise UsageError(msg)

    def folder(self, number: int) -> Path:
        """Give the folder of a node, from 1 up."""
        return self.root / f"node{number}"

    def crews(self) -> tuple[range, ...]:
        """Give the nodes of each process in order; one fault never takes two of a committee."""
        alone = min(self.nodes, COMMITTEE)
        end = self.nodes + 1
        others = range(alone + 1, end, self.together)
        return (
            *(range(each, each + 1) for each in range(1, alone + 1)),
            *(range(each, min(each + self.together, end)) for each in others),
        )


class FleetFolders:
    """Writes what a fleet's nodes start from; what is there is left as it is."""

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan
        share = available_bytes() * 3 // 4 // plan.nodes
        self._options: dict[str, dict[str, object]] = {
            "execution": {"workers": 1, "memory_budget_bytes": max(share, _BUDGET_BYTES_MIN)},
            "memory": {"profile": "slim"},
        }

    def exists(self, number: int) -> bool:
        """Tell whether a node has its folder."""
        return Places(self._plan.folder(number)).config.exists()

    def has_joined(self, number: int) -> bool:
        """Tell whether a node is of the cluster, as far as it knows: its token is used up."""
        return not Places(self._plan.folder(number)).invitation.exists()

    def prepare(self) -> None:
        """Found a cluster where nothing is, or join with the tokens that were given."""
        plan = self._plan
        missing = [each for each in range(1, plan.nodes + 1) if not self.exists(each)]
        if plan.tokens and len(plan.tokens) < len(missing):
            msg = (
                f"{len(missing)} nodes have no folder yet, but there are {len(plan.tokens)} tokens"
            )
            raise UsageError(f"{msg}: ask for more with `ambientctl cluster invite`")
        if plan.tokens:
            # The last: earlier ones let in the nodes that are there, and do so once.
            unused = plan.tokens[len(plan.tokens) - len(missing) :]
            for number, token in zip(missing, unused, strict=True):
                self._join(number, token)
        elif len(missing) == plan.nodes:
            founding = ClusterPlan(bitcoin="off", base_port=plan.base_port, options=self._options)
            create_cluster(plan.root, min(plan.nodes, COMMITTEE), founding)
        elif not self.exists(1):
            msg = f"{plan.folder(1)} is missing, which the others of {plan.root} are invited by"
            raise ConfigError(f"{msg}: choose a new folder, or give --tokens FILE")

    def bring(self, number: int) -> None:
        """Let the first node invite one more; raise UnreachableError while it does not answer."""
        with Client(socket_path_for(self._plan.folder(1))) as client:
            self._join(number, client.call(CLUSTER_INVITE, Invite()).token)

    def _join(self, number: int, token: str) -> None:
        listen = f"127.0.0.1:{self._plan.base_port + number - 1}"
        plan = JoinPlan(name=f"node{number}", listen=listen, options=self._options)
        join_cluster(self._plan.folder(number), read_token(token), token, plan)
