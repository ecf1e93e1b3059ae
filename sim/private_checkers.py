"""What must hold of private mode in a world: books first, budgets kept, no honest node barred."""

from ambientd.ledger.entries import Table
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import RoundState, StudyId
from ambientd.roles.learning import book as lines
from sim.checkers import InvariantViolation
from sim.machine import Effect, Host
from sim.node_checkers import NodeChecker, ledger_changes
from sim.node_machine import NodeHost
from sim.private_pupils import LIMIT_MICRO, NameModel, sum_of


class PrivateBooks(NodeChecker):
    """Each honest node's ledger shows nothing of it that its own book does not have."""

    def __init__(self, name_model: NameModel | None = sum_of) -> None:
        self._name_model = name_model  # none: models are sums of numbers, and compared elsewhere
        self._shown: dict[tuple[bytes, bytes], set[int]] = {}
        self._curves: dict[tuple[bytes, bytes], tuple[int, ...]] = {}
        self._models: dict[bytes, Digest] = {}
        self._trained: dict[bytes, set[int]] = {}
        self.done: set[bytes] = set()
        self.failed: set[bytes] = set()
        self.opened: set[bytes] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look at what a node has just written."""
        if not node.is_honest or not isinstance(node, NodeHost):
            return
        for change in ledger_changes(effect):
            for (table, name), entry in change.writes.items():
                fault = None
                if table is Table.ROUND and isinstance(entry, RoundEntry):
                    fault = self._round_fault(node, name, entry)
                elif isinstance(entry, StudyEntry) and node.key in entry.barred:
                    fault = "an honest node is barred"
                if fault is not None:
                    who = node.key.hex()[:12]
                    raise InvariantViolation("books come first", f"{fault}: {who} at {now} ms")

    def _round_fault(self, node: NodeHost, name: bytes, row: RoundEntry) -> str | None:
        study, number, me = StudyId(name[:32]), int.from_bytes(name[32:], "big"), NodeId(node.key)
        own = node.book.load().of(study)
        trained = self._trained.setdefault(study, set())
        if row.state is RoundState.TRAINING:
            trained.add(number)
        if row.keys and row.state is RoundState.AGGREGATING and self._name_model is not None:
            kept = [each.update for each in row.contributed if each.node in row.survivors]
            self._models[name] = self._name_model(row.before, kept)
        if row.state is RoundState.DONE and self._models.get(name, row.after) != row.after:
            return "liars alone made a model"
        if name in self._models and row.state in {RoundState.DONE, RoundState.FAILED}:
            (self.done if row.state is RoundState.DONE else self.failed).add(name)
        if own is None:
            return None
        key = (study, node.key)
        curve = lines.curve_of(own) or ()
        if any(a < b for a, b in zip(curve, self._curves.get(key, curve), strict=True)):
            return "a budget went up"
        self._curves[key] = curve
        if (lines.spent(own).epsilon_micro or 0) > LIMIT_MICRO:
            return "more was spent than the owner allows"
        if any(each.node == me for each in row.contributed) and row.keys:
            self._shown.setdefault(key, set()).add(number)
        if own.releases < len(self._shown.get(key, ())):
            return "something was shown that was not paid for"
        if own.releases > len(trained):
            return "a round's budget was spent twice"
        held = lines.own_round(node.book.load(), study, number)
        if held is None:
            return None
        if any(each.node == me and each.update != held.shown for each in row.contributed):
            return "the log has an update that the book does not"
        if any(each.node == me for each in row.opened):
            self.opened.add(name)
            if not held.opened_for or not set(held.opened_for) <= set(row.survivors):
                return "shares were opened for others than the log's survivors"
        return None
