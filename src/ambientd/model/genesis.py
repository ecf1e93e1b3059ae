"""The cluster's birth certificate: who is in it, under which rules, with which grants."""

from enum import StrEnum

from ambientd.model.base import NodeId, Value

MEMBERS_MAX = 128
"""How many members a committee may have; every list of one item a member is bounded by it."""

FIRST_EPOCH = 1
"""The number of the founding committee's epoch."""

FIRST_STATE_VERSION = 1
"""The lowest version of the state that a genesis may name (protocols/03 section 5)."""


class NodeKind(StrEnum):
    """What sort of device a node runs on."""

    GATEWAY = "gateway"
    COMPUTE = "compute"
    EDGE = "edge"
    MOBILE = "mobile"


class Label(Value, frozen=True):
    """Something that a node's owner says of it, for submitters to choose by."""

    key: str
    value: str


class Profile(Value, frozen=True):
    """What a node says of itself when it joins; nobody proves any of it.

    `refuses` are the classes of tasks that its owner takes none of.
    """

    name: str
    region: str
    kind: NodeKind
    owner: str = ""
    labels: tuple[Label, ...] = ()
    refuses: tuple[str, ...] = ()


class Member(Value, frozen=True):
    """A founding committee member."""

    node: NodeId
    profile: Profile
    beacon_tip: bytes
    grant_msat: int
    bond_msat: int


class Rules(Value, frozen=True):
    """The numbers every node must share; all times in milliseconds of block time."""

    t0_ms: int = 400
    lease_ms: int = 5_000
    reveal_ms: int = 5_000
    dispute_ms: int = 60_000
    attempts_max: int = 4
    batch_ms: int = 2_000
    keep_ms: int = 86_400_000
    replicas_max: int = 16
    price_msat_per_mgas_min: int = 1
    strategy: str = "weighted"
    round_ms: int = 20_000
    referee_gas_max: int = 100_000_000
    audit_window_ms: int = 14_400_000
    audit_permille: int = 100
    classes: tuple[str, ...] = ("general", "inference", "learning", "media")
    """What sorts of tasks there are: reputation is earned in each by itself."""
    peg_sat_max: int = 0
    """The most that the peg holds, 0 for no bound; what does not fit waits."""
    peg_acknowledged: str = ""
    """On the main network: the name of what its founders know that nobody has audited."""


class Genesis(Value, frozen=True):
    """What a cluster's fingerprint is the hash of.

    Its log begins in `state_version`; later ones come with epochs.
    """

    state_version: int
    name: str
    created_ms: int
    bitcoin_network: str
    members: tuple[Member, ...]
    rules: Rules
