"""What was looked at when a slot was given (03 §6): told with the event, never part of the state.

It only refers to entries as they were, so that telling it costs a block nothing; `weighed` in
`ledger/weighing.py` says what each node lacked, for the few slots that somebody asks about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.model.base import NodeId
from ambientd.rules.scheduling import Candidate


@dataclass(frozen=True, slots=True)
class Choice:
    """All that the rule saw of whom a slot could go to."""

    task: TaskEntry
    seen: Mapping[NodeId, NodeEntry]
    candidates: Sequence[Candidate]
    """Those of `seen` that the slot was for, whether they had room or not."""
    holders: Sequence[Candidate]
    strategy: str
    seed: bytes
    worker: NodeId
    passed_over: int
    """Nodes that take work and were not among those that a slot looks at."""
    resting: int
    convicted: int
