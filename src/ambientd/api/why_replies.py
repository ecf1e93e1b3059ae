"""What `task.why` answers."""

from ambientd.api.replies import Reply


class StandingCount(Reply, frozen=True):
    """How many nodes stand alike for a slot that waits, or stood when it was given."""

    standing: str
    nodes: int
    text: str


class NodeWhy(Reply, frozen=True):
    """What the scheduler sees in one node for a slot that waits, or saw when it gave one."""

    node: str
    name: str
    standing: str
    text: str
    open_slots: int
    capacity: int


class SlotWhy(Reply, frozen=True):
    """Who has a slot, and how it was given; without `given_ms` this daemon does not know any more.

    `chance_percent` is what the draw by weight had for it; other strategies take the best.
    """

    slot: int
    attempt: int
    node: str
    name: str
    given_ms: int | None = None
    strategy: str = ""
    chance_percent: int | None = None
    counts: tuple[StandingCount, ...] = ()
    nodes: tuple[NodeWhy, ...] = ()


class Why(Reply, frozen=True):
    """Why a task is in its state, what it waits for and until when (block time)."""

    task_id: str
    state: str
    text: str
    waits_for: str
    until_ms: int | None
    counts: tuple[StandingCount, ...] = ()
    nodes: tuple[NodeWhy, ...] = ()
    slots: tuple[SlotWhy, ...] = ()
