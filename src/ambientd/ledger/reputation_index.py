"""Which classes a node has a reputation in, so that nobody asks the state for each of them."""

from ambientd.ledger.entries import Entry, Key
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.model.reputation import Reputation
from ambientd.rules.reputation import UNKNOWN, as_of, overall_permille


class ReputationIndex:
    """Follows the entries by itself."""

    def __init__(self) -> None:
        self._found: dict[NodeId, dict[bytes, Reputation]] = {}

    def see(self, key: Key, entry: Entry | None) -> None:
        """Take note of an entry that has changed; reputations are never deleted."""
        if isinstance(entry, Reputation):
            node, task_class = NodeId(key[1][:DIGEST_BYTES]), key[1][DIGEST_BYTES:]
            self._found.setdefault(node, {})[task_class] = entry

    def permille(self, node: NodeId, now_ms: int) -> int:
        """Give what outcomes in all classes say of a node."""
        return overall_permille(self._found.get(node, {}).values(), now_ms)

    def by_class(self, node: NodeId, now_ms: int) -> dict[str, Reputation]:
        """Give what is known of a node's work, class by class."""
        found = sorted(self._found.get(node, {}).items())
        return {name.decode(): as_of(each, now_ms) for name, each in found}

    def of(self, node: NodeId, task_class: str, now_ms: int) -> Reputation:
        """Give what is known of a node's work in a class."""
        return as_of(self._found.get(node, {}).get(task_class.encode(), UNKNOWN), now_ms)
