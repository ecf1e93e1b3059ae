"""What a node answers about the cluster as a whole."""

from msgspec import field

from ambientd.api.replies import Reply


class Cluster(Reply, frozen=True):
    """A cluster in figures, as this node's ledger has them; `anchored` and `receipts` count.

    `tasks` and `studies` are counted by their states.
    """

    name: str
    fingerprint: str
    term: int
    coordinator: str | None
    committed_height: int
    time_ms: int
    epoch: int
    committee: int
    nodes: int
    connected: int
    tasks: dict[str, int]
    receipts: int
    anchored: int
    studies: dict[str, int] = field(default_factory=dict)
