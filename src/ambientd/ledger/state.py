"""The committed state: a flat map of frozen entries, with a running root over all changes.

Entries change in one way only: `commit` takes the writes of a whole block. The few indexes here
are derived from the entries and kept in step by the same call.
"""

from collections.abc import Iterator, Mapping
from typing import cast

from ambientd.codec import merkle
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.codec.statements import fingerprint
from ambientd.ledger.entries import (
    ENTRY_TYPES,
    META_KEY,
    Account,
    CheckpointEntry,
    Entry,
    Key,
    Leaf,
    Meta,
    NodeEntry,
    Reputation,
    Table,
    TaskEntry,
)
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import Genesis
from ambientd.model.task import TERMINAL
from ambientd.rules import reputation

ROOTS_KEPT_MAX = 8


def encode_key(key: Key) -> bytes:
    """Give a key's bytes; keys of one table sort together."""
    return bytes([key[0]]) + key[1]


def decode_key(data: bytes) -> Key:
    """Read a key; raise ValueError for an unknown table."""
    if not data:
        msg = "a ledger key has at least one byte"
        raise ValueError(msg)
    return Table(data[0]), data[1:]


def encode_entry(entry: Entry) -> bytes:
    """Give an entry's canonical bytes."""
    return encode(entry)


def decode_entry(key: Key, data: bytes) -> Entry:
    """Read the entry of a key; raise RemoteProtocolError when it is malformed."""
    return cast("Entry", decode(data, ENTRY_TYPES[key[0]]))


def next_root(root: bytes, writes: Mapping[Key, Entry | None]) -> bytes:
    """Chain a block's changes onto the state root (COORDINATION, Followers)."""
    parts = []
    for key in sorted(writes):
        entry = writes[key]
        parts += [encode_key(key), b"" if entry is None else encode(entry)]
    return tagged("ambient/state/1", root, *parts) if parts else root


class LedgerState:
    """All entries, and the indexes that queries and roles need."""

    def __init__(
        self, genesis: Genesis, items: Mapping[Key, Entry], index: int, root: bytes
    ) -> None:
        self.genesis = genesis
        self.cluster = fingerprint(genesis)
        self.members = tuple(sorted(member.node for member in genesis.members))
        self.applied_index = index
        self.root = root
        self._items: dict[Key, Entry] = {}
        self._open: dict[TaskId, None] = {}
        self._nodes: dict[NodeId, None] = {}
        self._leaves: dict[int, bytes] = {}
        self._roots: dict[int, Digest] = {}
        self._index(items)

    @classmethod
    def from_genesis(cls, genesis: Genesis) -> "LedgerState":
        """Give the state before the first block."""
        items: dict[Key, Entry] = {META_KEY: Meta(time_ms=genesis.created_ms)}
        for member in genesis.members:
            items[Table.ACCOUNT, member.node] = Account(balance_msat=member.grant_msat)
            items[Table.NODE, member.node] = NodeEntry(
                profile=member.profile, is_member=True, bond_msat=member.bond_msat
            )
        root = next_root(fingerprint(genesis), items)
        return cls(genesis, items, 0, root)

    @classmethod
    def from_items(
        cls, genesis: Genesis, items: Mapping[Key, Entry], index: int, root: bytes
    ) -> "LedgerState":
        """Give the state that a store or a snapshot holds, on top of the genesis."""
        state = cls.from_genesis(genesis)
        state._index(items)
        state.applied_index = index
        state.root = root
        return state

    def commit(self, index: int, writes: Mapping[Key, Entry | None], root: bytes) -> None:
        """Take a block's changes."""
        self._index(writes)
        self.applied_index = index
        self.root = root

    def _index(self, writes: Mapping[Key, Entry | None]) -> None:
        for key, entry in writes.items():
            if entry is None:
                self._items.pop(key, None)
                continue
            self._items[key] = entry
            match entry:
                case TaskEntry(state=task_state):
                    task = TaskId(key[1])
                    if task_state in TERMINAL:
                        self._open.pop(task, None)
                    else:
                        self._open[task] = None
                case NodeEntry():
                    self._nodes[NodeId(key[1])] = None
                case Leaf(digest=digest):
                    self._leaves[int.from_bytes(key[1], "big")] = digest
                case _:
                    pass

    # Reading

    def get(self, key: Key) -> Entry | None:
        """Give an entry."""
        return self._items.get(key)

    def items(self) -> Mapping[Key, Entry]:
        """Give every entry, for snapshots and checks; not to be changed."""
        return self._items

    @property
    def meta(self) -> Meta:
        """Give what there is one of."""
        return cast("Meta", self._items[META_KEY])

    def task(self, task: TaskId) -> TaskEntry | None:
        """Give a task."""
        return cast("TaskEntry | None", self._items.get((Table.TASK, task)))

    def tasks(self) -> Iterator[tuple[TaskId, TaskEntry]]:
        """Walk all tasks, open and ended."""
        for key, entry in self._items.items():
            if isinstance(entry, TaskEntry):
                yield TaskId(key[1]), entry

    def open_tasks(self) -> list[tuple[TaskId, TaskEntry]]:
        """Give the tasks that have not ended, in the order of their admission."""
        return [(task, cast("TaskEntry", self._items[Table.TASK, task])) for task in self._open]

    def node(self, node: NodeId) -> NodeEntry | None:
        """Give a node."""
        return cast("NodeEntry | None", self._items.get((Table.NODE, node)))

    def nodes(self) -> list[NodeId]:
        """Give every node, sorted."""
        return sorted(self._nodes)

    def allowed_nodes(self) -> frozenset[NodeId]:
        """Give the allow-list."""
        return frozenset(self._nodes)

    def balance_msat(self, node: NodeId) -> int:
        """Give what a node may spend."""
        return cast("Account", self._items.get((Table.ACCOUNT, node)) or Account()).balance_msat

    def reputation_permille(self, node: NodeId) -> int:
        """Give what verified outcomes say of a node; nothing once it is convicted."""
        entry = self.node(node)
        if entry is not None and entry.tombstoned:
            return 0
        counters = cast("Reputation | None", self._items.get((Table.REPUTATION, node)))
        if counters is None:
            return reputation.permille(reputation.PRIOR_GOOD, reputation.PRIOR_BAD)
        return reputation.permille(counters.good, counters.bad)

    def checkpoint(self, size: int) -> CheckpointEntry | None:
        """Give the closed batch of this size."""
        key = (Table.CHECKPOINT, size.to_bytes(8, "big"))
        return cast("CheckpointEntry | None", self._items.get(key))

    def checkpoint_covering(self, leaf: int) -> CheckpointEntry | None:
        """Give the best closed batch that holds a leaf: the first anchored one, else the first."""
        closed = sorted(
            int.from_bytes(key[1], "big") for key in self._items if key[0] is Table.CHECKPOINT
        )
        covering = [entry for size in closed if size > leaf and (entry := self.checkpoint(size))]
        anchored = (entry for entry in covering if entry.anchor is not None)
        return next(anchored, covering[0] if covering else None)

    # The receipt log

    def receipt_log_size(self) -> int:
        """Give how many receipts were settled."""
        return self.meta.log_size

    def checkpoint_size(self) -> int:
        """Give the size of the last closed batch's tree."""
        return self.meta.checkpoint_size

    def anchored_size(self) -> int:
        """Give the size of the largest anchored tree."""
        return self.meta.anchored_size

    def receipt_log_leaves(self, size: int) -> list[bytes]:
        """Give the first leaf hashes."""
        return [self._leaves[index] for index in range(size)]

    def receipt_log_root(self, size: int) -> Digest:
        """Give the head of the tree over the first receipts."""
        meta = self.meta
        if size == meta.log_size:
            return Digest(merkle.Frontier(size, meta.log_edge).root())
        found = self._roots.get(size)
        if found is None:
            found = Digest(merkle.root(self.receipt_log_leaves(size)))
            if len(self._roots) >= ROOTS_KEPT_MAX:
                self._roots.pop(next(iter(self._roots)))
            self._roots[size] = found
        return found
